//! Delete, recover, purge, and the jobs that remove what is left.

use serde::{Deserialize, Serialize};
use strongroom_types::{DataAction, KeyName, Scope, Timestamp};

use crate::barrier::{Record, Stored};
use crate::guard::Swept;
use crate::hsm::{Hsm, Permit};
use crate::keys::record::{DeletedKey, Key, NameRecord};
use crate::managed_hsm::Deletion;
use crate::rbac::{digest, with_rights};
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// A purged key whose versions remain to be removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Leftover {
    name: KeyName,
}

impl Record for Leftover {
    const FORMAT: u16 = 1;
}

/// Who wants a purge.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purge {
    /// A caller, who needs the right to it.
    Asked,
    /// The end of the retention.
    Due,
}

impl Hsm<'_> {
    /// Soft-deletes a key with all its versions.
    pub async fn delete_key(&self, request: &Request, name: &KeyName) -> Result<DeletedKey> {
        retry_on_conflict!(self.try_delete_key(request, name))
    }

    /// Takes a soft deletion back.
    pub async fn recover_key(&self, request: &Request, name: &KeyName) -> Result<Key> {
        retry_on_conflict!(self.try_recover_key(request, name))
    }

    /// Destroys a soft-deleted key, its versions and its role assignments.
    ///
    /// # Errors
    /// [`Error::PurgeProtected`] while purge protection holds it.
    pub async fn purge_key(&self, request: &Request, name: &KeyName) -> Result<()> {
        retry_on_conflict!(self.try_purge_key(request, name, Purge::Asked))
    }

    /// Destroys the keys whose retention has ended. Answers how many.
    pub async fn purge_due_keys(&self, request: &JobRequest<'_>, now: Timestamp) -> Result<usize> {
        let permit = self.permit_for_job().await?;
        let names = permit.barrier().all::<NameRecord>(permit.sealer(), &permit.generation().names()).await?;
        let mut purged = 0;
        for stored in names {
            let due = stored.value.deletion.is_some_and(|deletion| deletion.scheduled_purge <= now);
            if due {
                let request = request("KeyPurge");
                retry_on_conflict!(self.try_purge_key(&request, &stored.value.name, Purge::Due))?;
                purged += 1;
            }
        }
        Ok(purged)
    }

    /// Removes some of what purged keys left behind.
    pub async fn sweep_leftovers(&self, request: &JobRequest<'_>) -> Result<Swept> {
        let permit = self.permit_for_job().await?;
        let (barrier, generation) = (permit.barrier(), permit.generation());
        let leftovers = barrier.page::<Leftover>(permit.sealer(), &generation.leftovers(), None, 1, None).await?;
        let Some(leftover) = leftovers.records.into_iter().next() else { return Ok(Swept::Everything) };
        let id = leftover
            .key
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .parse()
            .map_err(|_| Error::Tampered { key: leftover.key.clone(), problem: "it names no key id" })?;
        let mut keys = barrier.keys(&generation.materials(id), SWEEP_KEYS).await?;
        if keys.is_empty() {
            keys = barrier.keys(&generation.versions(id), SWEEP_KEYS).await?;
        }
        let mut transaction = permit.transaction().detail(format!("key {}", leftover.value.name));
        if keys.is_empty() {
            transaction.delete(&leftover);
        }
        keys.into_iter().for_each(|key| transaction.discard(key));
        transaction.commit(&request("KeySweep")).await?;
        Ok(Swept::Some)
    }

    async fn try_delete_key(&self, request: &Request, name: &KeyName) -> Result<DeletedKey> {
        let permit = self.authorize(request, DataAction::KeysDelete, &Scope::Key(name.clone())).await?;
        let found = self.live_name(&permit, name).await?;
        let at = request.received;
        let deletion = Deletion { at, scheduled_purge: at.plus_days(self.record().retention_days) };
        let deleted = NameRecord { deletion: Some(deletion), ..found.value.clone() };
        let answer = self.show_deleted(&permit, &deleted).await?;
        let mut transaction = permit.transaction().detail(format!("key {name}"));
        transaction.replace(permit.sealer(), &found, &deleted)?;
        transaction.commit(request).await?;
        self.forget_material(&deleted);
        Ok(answer)
    }

    async fn try_recover_key(&self, request: &Request, name: &KeyName) -> Result<Key> {
        let permit = self.authorize(request, DataAction::DeletedKeysRecover, &Scope::Key(name.clone())).await?;
        let found = self.deleted_name(&permit, name).await?;
        let (version, record) = self.version_record(&permit, &found.value, None).await?;
        let recovered = NameRecord { deletion: None, ..found.value.clone() };
        let mut transaction = permit.transaction().detail(format!("key {name}"));
        transaction.replace(permit.sealer(), &found, &recovered)?;
        transaction.commit(request).await?;
        Ok(record.value.show(self.record(), &recovered.name, version))
    }

    async fn try_purge_key(&self, request: &Request, name: &KeyName, purge: Purge) -> Result<()> {
        let scope = Scope::Key(name.clone());
        let permit = match purge {
            Purge::Asked => self.authorize(request, DataAction::DeletedKeysDelete, &scope).await?,
            Purge::Due => self.permit_for_job().await?,
        };
        let found = self.deleted_name(&permit, name).await?;
        if purge == Purge::Asked && self.record().purge_protection {
            return Err(Error::PurgeProtected { name: name.clone() });
        }
        let mut transaction = permit.transaction().detail(format!("key {name}"));
        // Purge protection may be switched on at this very moment.
        transaction.expect(self.stored());
        transaction.delete(&found);
        let leftover = Leftover { name: name.clone() };
        transaction.create(permit.sealer(), permit.generation().leftover(found.value.id), &leftover)?;
        // Rights on a key that is gone must not wait for the next key of that name.
        let (own, left): (Vec<_>, Vec<_>) =
            permit.rights().assignments().iter().partition(|stored| stored.value.scope == scope);
        if !own.is_empty() {
            let guard = with_rights(&permit.guard().value, digest(left.into_iter().map(|stored| &stored.value)));
            transaction.replace(permit.barrier().deployment(), permit.guard(), &guard)?;
            own.into_iter().for_each(|assignment| transaction.delete(assignment));
        }
        transaction.commit(request).await?;
        self.forget_material(&found.value);
        Ok(())
    }

    async fn deleted_name(&self, permit: &Permit<'_>, name: &KeyName) -> Result<Stored<NameRecord>> {
        let found = self.name_record(permit, name).await?.filter(|stored| stored.value.deletion.is_some());
        found.ok_or_else(|| Error::KeyNotFound { name: name.clone(), version: None })
    }

    fn forget_material(&self, name: &NameRecord) {
        for version in &name.versions {
            self.core().caches().materials.remove(&(name.id, *version));
        }
    }
}

/// Makes the request a job acts under, for an operation's name.
pub type JobRequest<'a> = dyn Fn(&'static str) -> Request + Send + Sync + 'a;

/// Keys removed in one commit; below the store's limit on operations.
const SWEEP_KEYS: usize = 50;
