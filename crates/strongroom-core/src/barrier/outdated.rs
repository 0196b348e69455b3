//! Records that an earlier epoch has sealed, and their sealing under the present one.

use std::sync::Arc;

use strongroom_crypto::seal::{Header, Opened, Sealer};
use strongroom_store::{Entry, Revision};
use strongroom_types::Secret;

use super::{Barrier, Transaction, open_sealed};
use crate::{Error, Result};

/// A record, or key material, that an earlier epoch has sealed. What is in it is nobody's business here.
#[derive(Debug)]
pub(crate) struct Outdated {
    key: String,
    plaintext: Secret<Vec<u8>>,
    revision: Revision,
    change: u64,
}

/// Some of what an earlier epoch has sealed.
#[derive(Debug)]
pub(crate) struct OutdatedRecords {
    pub(crate) records: Vec<Outdated>,
    /// The last store key looked at, if more follow.
    pub(crate) next: Option<String>,
}

impl Outdated {
    /// Its store key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

impl Barrier {
    /// Looks for records under a prefix, behind a store key, that `sealer` opens under an earlier epoch: so many, and of so
    /// many bytes (one, if it alone is larger).
    ///
    /// # Errors
    /// [`Error::Tampered`] if one does not open; [`Error::Conflict`] if one was written while it was read.
    pub(crate) async fn outdated(
        &self,
        sealer: &Sealer,
        prefix: &str,
        after: Option<&str>,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<OutdatedRecords> {
        let page = self.store.range(prefix, after, LOOKED_AT_MAX, None).await?;
        let (mut found, mut bytes, mut looked_at) = (Vec::new(), 0, None);
        for entry in page.entries {
            // What has no header of ours, or another domain's, opens for nobody who reads with this sealer.
            let outdated = Header::peek(&entry.value).is_ok_and(|header| sealer.is_outdated(&header));
            if outdated {
                bytes += entry.value.len();
                if found.len() == records_max || (bytes > bytes_max && !found.is_empty()) {
                    return Ok(OutdatedRecords { records: found, next: looked_at });
                }
            }
            looked_at = Some(entry.key.clone());
            if outdated {
                found.push(self.open_outdated(sealer, entry)?);
            }
        }
        Ok(OutdatedRecords { records: found, next: looked_at.filter(|_| page.more) })
    }

    fn open_outdated(&self, sealer: &Sealer, entry: Entry) -> Result<Outdated> {
        let Opened { change, plaintext, .. } = open_sealed(sealer, &entry)?;
        // A write that came while the page was on its way has been seen already.
        self.witness.look(&entry.key, change).map_err(|_| Error::Conflict)?;
        Ok(Outdated { key: entry.key, plaintext, revision: entry.modified, change })
    }
}

impl Transaction<'_> {
    /// Seals a record under the sealer's own epoch, if it is as it was read.
    pub(crate) fn seal_again(&mut self, sealer: &Arc<Sealer>, record: Outdated) {
        let Outdated { key, plaintext, revision, change } = record;
        self.put_again(sealer, key, (revision, change), plaintext);
    }
}

/// Records looked at in one read.
const LOOKED_AT_MAX: usize = 128;
