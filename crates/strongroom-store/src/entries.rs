//! Everything under a prefix, for prefixes that hold little.

use crate::{Entry, Kv, LIMIT_MAX, Revision, StoreError};

/// What lies under a prefix, all as it was at one revision, and that revision. It is held in memory whole.
///
/// # Errors
/// As [`Kv::range`].
pub async fn entries(store: &dyn Kv, prefix: &str) -> Result<(Revision, Vec<Entry>), StoreError> {
    let (mut entries, mut after, mut at) = (Vec::new(), None::<String>, None);
    loop {
        let page = store.range(prefix, after.as_deref(), LIMIT_MAX, at).await?;
        (after, at) = (page.entries.last().map(|entry| entry.key.clone()), Some(page.revision));
        entries.extend(page.entries);
        if !page.more {
            return Ok((page.revision, entries));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Commit, MemoryStore, Outcome, Write};

    #[tokio::test]
    async fn every_page_is_read_and_what_lies_beside_the_prefix_is_not() {
        let store = MemoryStore::new();
        let names: Vec<String> = (0..LIMIT_MAX + 5).map(|n| format!("a/{n:05}")).collect();
        let keys: Vec<String> = names.iter().cloned().chain(["b/1".to_owned()]).collect();
        let mut last = Revision(0);
        for keys in keys.chunks(50) {
            let writes = keys.iter().map(|key| Write::Put(key.clone(), Vec::new())).collect();
            let done = store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
            let Outcome::Committed(revision) = done else { panic!("there is nothing to conflict with") };
            last = revision;
        }
        let (revision, found) = entries(&store, "a/").await.unwrap();
        assert_eq!(revision, last);
        assert_eq!(found.into_iter().map(|entry| entry.key).collect::<Vec<_>>(), names);
    }
}
