//! Reading the store as it was at one revision: what a backup is made of.
//!
//! What is read so may be newer elsewhere by now, so it is not held against what this node has seen.

use strongroom_crypto::seal::Sealer;
use strongroom_store::{Entry, Revision};
use strongroom_types::Secret;

use crate::Result;
use crate::barrier::{Barrier, Record, Stored, open_sealed, stored};

impl Barrier {
    /// The revision of the last commit.
    pub async fn revision(&self) -> Result<Revision> {
        Ok(self.store.revision().await?)
    }

    /// Reads a record as it was at a revision, or `None` if there was none.
    ///
    /// # Errors
    /// [`strongroom_store::StoreError::Compacted`] if that revision is no longer kept.
    pub async fn read_at<T: Record>(&self, sealer: &Sealer, key: &str, at: Revision) -> Result<Option<Stored<T>>> {
        let Some(entry) = self.entry_at(key, at).await? else { return Ok(None) };
        let opened = open_sealed(sealer, &entry)?;
        stored(entry, &opened).map(Some)
    }

    /// Reads raw sealed bytes, key material, as they were at a revision.
    ///
    /// # Errors
    /// As [`Barrier::read_at`].
    pub async fn read_secret_at(&self, sealer: &Sealer, key: &str, at: Revision) -> Result<Option<Secret<Vec<u8>>>> {
        let Some(entry) = self.entry_at(key, at).await? else { return Ok(None) };
        Ok(Some(open_sealed(sealer, &entry)?.plaintext))
    }

    /// One key at a revision. Of all keys that begin with it, it is itself the first.
    async fn entry_at(&self, key: &str, at: Revision) -> Result<Option<Entry>> {
        let page = self.store.range(key, None, 1, Some(at)).await?;
        Ok(page.entries.into_iter().next().filter(|entry| entry.key == key))
    }
}
