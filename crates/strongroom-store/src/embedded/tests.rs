mod faults;
mod file;
mod history;
mod model;

use std::path::Path;

use super::EmbeddedStore;
use crate::{Commit, Kv, Outcome, StoreError, Write};

/// Puts values without preconditions.
async fn put(store: &dyn Kv, key: &str, value: &[u8]) -> Result<Outcome, StoreError> {
    let writes = vec![Write::Put(key.to_owned(), value.to_vec())];
    store.commit(Commit { preconditions: vec![], writes }).await
}

/// Everything in the store, as keys and the length of their values.
async fn listed(store: &dyn Kv) -> Result<Vec<(String, usize)>, StoreError> {
    let page = store.range("", None, 1000, None).await?;
    Ok(page.entries.into_iter().map(|entry| (entry.key, entry.value.len())).collect())
}

fn open(path: &Path) -> EmbeddedStore {
    EmbeddedStore::open(path).unwrap()
}
