//! One key out of a full backup, back into the generation in use.
//!
//! Nothing is lost by it: a live key of the same name is replaced only if the backup holds every version it has, so that
//! restoring is no way round a purge; a deleted one must be recovered or purged first. The old versions become leftovers
//! in the commit that makes the name point to the restored ones.

use std::sync::Arc;

use strongroom_types::{KeyId, KeyName, KeyVersion};

use crate::barrier::{Stored, Transaction};
use crate::container::{KeyContainer, Permit};
use crate::keys::backup::{Restore, stage_pointer};
use crate::keys::blob::BackedUpKey;
use crate::keys::copy::{CopiedKey, CopiedVersion, RestoreTerms};
use crate::keys::delete::Leftover;
use crate::keys::record::NameRecord;
use crate::keys::rotate::unschedule_rotation;
use crate::request::Request;
use crate::{Error, Result};

/// A key of a backup with all its versions, checked.
pub(crate) struct RestorableKey {
    restore: Restore,
    terms: RestoreTerms,
}

impl RestorableKey {
    pub(crate) fn new(key: CopiedKey, versions: Vec<CopiedVersion>, terms: RestoreTerms) -> Self {
        let CopiedKey { name, versions: numbers, rotation_policy, .. } = key;
        let key = BackedUpKey { name, versions: numbers, rotation_policy, made: terms.made };
        Self {
            restore: Restore { key, versions: versions.into_iter().map(|version| version.content).collect() },
            terms,
        }
    }
}

impl KeyContainer<'_> {
    /// Writes the versions of a copied key under a new id, where nothing points to them yet.
    ///
    /// # Errors
    /// [`Error::KeyDeleted`], or [`Error::NewerVersions`] if a version that is here is not in the backup.
    pub(crate) async fn stage_copied_key(
        &self,
        request: &Request,
        permit: &Permit<'_>,
        key: &RestorableKey,
    ) -> Result<KeyId> {
        let BackedUpKey { name, versions, .. } = &key.restore.key;
        self.replaceable(permit, name, versions).await?;
        let id = KeyId::from_time_and_random(request.received, permit.barrier().entropy().sixteen()?);
        self.stage(request, permit, id, &key.restore).await?;
        Ok(id)
    }

    /// Adds to a commit that the name points to what was staged.
    ///
    /// # Errors
    /// As [`KeyContainer::stage_copied_key`]; [`Error::Conflict`] if what was staged is being swept.
    pub(crate) async fn publish_copied_key(
        &self,
        transaction: &mut Transaction<'_>,
        permit: &Permit<'_>,
        id: KeyId,
        key: &RestorableKey,
    ) -> Result<()> {
        let RestorableKey { restore, terms } = key;
        let before = self.replaceable(permit, &restore.key.name, &restore.key.versions).await?;
        let backed_up = before.as_ref().and_then(|before| before.value.backed_up);
        let pointer = stage_pointer(transaction, permit, id, restore, terms.now, backed_up).await?;
        let (generation, sealer) = (permit.generation(), permit.sealer());
        match before {
            None => transaction.create(sealer, generation.name(&pointer.name), &pointer),
            Some(before) => {
                unschedule_rotation(transaction, permit, &mut before.value.clone())?;
                let old = Leftover::unreachable(pointer.name.clone());
                transaction.create(sealer, generation.leftover(before.value.id), &old)?;
                transaction.replace(sealer, &before, &pointer)
            }
        }
    }

    /// The live key that would be replaced, if there is one.
    async fn replaceable(
        &self,
        permit: &Permit<'_>,
        name: &KeyName,
        versions: &[KeyVersion],
    ) -> Result<Option<Arc<Stored<NameRecord>>>> {
        match self.name_record(permit, name).await? {
            Some(found) if found.value.deletion.is_some() => Err(Error::KeyDeleted { name: name.clone() }),
            Some(found) if found.value.versions.iter().any(|version| !versions.contains(version)) => {
                Err(Error::NewerVersions { name: name.clone() })
            }
            found => Ok(found),
        }
    }
}
