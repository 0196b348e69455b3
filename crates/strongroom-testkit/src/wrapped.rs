//! A store with something in front of it.

use std::ops::Deref;

use async_trait::async_trait;
use strongroom_store::{Commit, Entry, Kv, Look, Outcome, Page, Revision, StoreError, Watch};

/// What stands in front of a store. It says what it does otherwise; everything else passes.
#[async_trait]
pub trait Wrap: Send + Sync {
    /// The store.
    fn behind(&self) -> &dyn Kv;

    /// One key, for [`Kv::get`] (nothing is known) and [`Kv::get_unless`].
    ///
    /// # Errors
    /// As [`Kv::get`].
    async fn look(&self, key: &str, known: Option<Revision>) -> Result<Look, StoreError> {
        look(self.behind(), key, known).await
    }

    /// As [`Kv::range`].
    ///
    /// # Errors
    /// As [`Kv::range`].
    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.behind().range(prefix, after, limit, at).await
    }

    /// As [`Kv::commit`].
    ///
    /// # Errors
    /// As [`Kv::commit`].
    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.behind().commit(commit).await
    }

    /// As [`Kv::revision`].
    ///
    /// # Errors
    /// As [`Kv::revision`].
    async fn revision(&self) -> Result<Revision, StoreError> {
        self.behind().revision().await
    }
}

/// Asks a store for a key, of which a revision may be known.
///
/// # Errors
/// As [`Kv::get`].
pub async fn look(store: &dyn Kv, key: &str, known: Option<Revision>) -> Result<Look, StoreError> {
    match known {
        Some(known) => store.get_unless(key, known).await,
        None => Ok(store.get(key).await?.map_or(Look::Nothing, Look::Entry)),
    }
}

/// The two as one store.
#[derive(Debug, Default)]
pub struct Wrapped<W>(pub W);

impl<W> Deref for Wrapped<W> {
    type Target = W;

    fn deref(&self) -> &W {
        &self.0
    }
}

#[async_trait]
impl<W: Wrap> Kv for Wrapped<W> {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        match self.0.look(key, None).await? {
            Look::Nothing => Ok(None),
            Look::Entry(entry) => Ok(Some(entry)),
            Look::Unchanged => Err(StoreError::Unavailable("it takes for known what is not".to_owned())),
        }
    }

    async fn get_unless(&self, key: &str, known: Revision) -> Result<Look, StoreError> {
        self.0.look(key, Some(known)).await
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.0.range(prefix, after, limit, at).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.0.commit(commit).await
    }

    async fn watch(&self, prefix: &str, behind: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.0.behind().watch(prefix, behind).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.0.revision().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.0.behind().close().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use strongroom_store::{MemoryStore, Write};

    use super::*;
    use crate::FaultyStore;

    /// A store that knows everything already.
    #[derive(Default)]
    struct Knowing(MemoryStore);

    #[async_trait]
    impl Wrap for Knowing {
        fn behind(&self) -> &dyn Kv {
            &self.0
        }

        async fn look(&self, key: &str, known: Option<Revision>) -> Result<Look, StoreError> {
            if known.is_some() { Ok(Look::Unchanged) } else { look(&self.0, key, None).await }
        }
    }

    #[tokio::test]
    async fn what_the_store_behind_knows_without_reading_is_passed_on() {
        let store = FaultyStore::new(Arc::new(Wrapped::<Knowing>::default()));
        let writes = vec![Write::Put("a".to_owned(), vec![7])];
        store.commit(Commit { preconditions: vec![], writes }).await.unwrap();
        assert_eq!(store.get_unless("a", Revision(1)).await.unwrap(), Look::Unchanged);
        assert_eq!(store.get("a").await.unwrap().unwrap().value, [7]);
        assert!(store.get("b").await.unwrap().is_none());
        assert_eq!(store.counts().gets, 3);
    }
}
