//! Delete, recover, purge, and the jobs that remove what is left.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strongroom_types::{DataAction, KeyName, Scope, Timestamp};

use crate::barrier::{Record, Stored};
use crate::container::{KeyContainer, Permit};
use crate::guard::Swept;
use crate::keys::record::{DeletedKey, Key, NameRecord};
use crate::keys::rotate::{schedule_rotation, unschedule_rotation};
use crate::layout::Generation;
use crate::managed_hsm::Deletion;
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// Versions that nothing points to: of a purged key, or of a restore that is not finished.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Leftover {
    name: KeyName,
    /// When a restore began to write them. They are left alone for a while, and must then be claimed first.
    staged: Option<Timestamp>,
}

impl Leftover {
    /// What a restore is about to write.
    pub(super) fn staged(name: KeyName, now: Timestamp) -> Self {
        Self { name, staged: Some(now) }
    }

    /// What nothing points to any more.
    pub(super) fn unreachable(name: KeyName) -> Self {
        Self { name, staged: None }
    }

    /// Whether a restore may still finish with them.
    pub(super) fn is_staged(&self) -> bool {
        self.staged.is_some()
    }

    fn may_be_swept(&self, now: Timestamp) -> bool {
        self.staged.is_none_or(|staged| staged.plus_seconds(RESTORE_SECONDS_MAX) <= now)
    }
}

impl Record for Leftover {
    const FORMAT: u16 = 1;
}

/// Who wants a purge.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purge {
    /// A caller, who needs the right to it.
    Asked,
    /// The end of the retention, if it has come by this time.
    Due(Timestamp),
}

impl KeyContainer<'_> {
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
        let mut purged = 0;
        for name in self.due_names(now).await? {
            let request = request("KeyPurge");
            match retry_on_conflict!(self.try_purge_key(&request, &name, Purge::Due(now))) {
                Ok(()) => purged += 1,
                // It was recovered, or purged, since it was listed.
                Err(Error::KeyNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(purged)
    }

    /// The keys whose retention has ended, as each page of the names showed them.
    async fn due_names(&self, now: Timestamp) -> Result<Vec<KeyName>> {
        let permit = self.permit_for_job().await?;
        let (barrier, prefix) = (permit.barrier(), permit.generation().names());
        let (mut due, mut behind) = (Vec::new(), None::<String>);
        loop {
            // At a revision, so that the witness does not remember every name; what is purged is read again.
            let at = Some(barrier.revision().await?);
            let page = barrier.page::<NameRecord>(permit.sealer(), &prefix, behind.as_deref(), NAMES, at).await?;
            due.extend(page.records.into_iter().filter(|name| name.value.is_due(now)).map(|name| name.value.name));
            behind = page.next;
            if behind.is_none() {
                return Ok(due);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Removes some of what purged keys and unfinished restores left behind.
    pub async fn sweep_leftovers(&self, request: &JobRequest<'_>) -> Result<Swept> {
        let permit = self.permit_for_job().await?;
        let (barrier, generation) = (permit.barrier(), permit.generation());
        let request = request("KeySweep");
        let Some(leftover) = self.next_leftover(&permit, request.received).await? else {
            return Ok(Swept::Everything);
        };
        if leftover.value.is_staged() {
            // From now on the restore cannot finish.
            let claimed = Leftover { staged: None, ..leftover.value.clone() };
            let mut transaction = permit.transaction().detail(format!("restore of key {}", claimed.name));
            transaction.replace(permit.sealer(), &leftover, &claimed)?;
            transaction.commit(&request).await?;
            return Ok(Swept::Some);
        }
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
        transaction.commit(&request).await?;
        Ok(Swept::Some)
    }

    /// The first leftover that no restore may still finish with.
    async fn next_leftover(&self, permit: &Permit<'_>, now: Timestamp) -> Result<Option<Stored<Leftover>>> {
        let (barrier, prefix) = (permit.barrier(), permit.generation().leftovers());
        let mut behind = None;
        loop {
            let page = barrier.page::<Leftover>(permit.sealer(), &prefix, behind.as_deref(), LEFTOVERS, None).await?;
            let mut records = page.records.into_iter();
            if let Some(found) = records.find(|leftover| leftover.value.may_be_swept(now)) {
                return Ok(Some(found));
            }
            behind = page.next;
            if behind.is_none() {
                return Ok(None);
            }
        }
    }

    async fn try_delete_key(&self, request: &Request, name: &KeyName) -> Result<DeletedKey> {
        let permit = self.authorize(request, DataAction::KeysDelete, &Scope::Key(name.clone())).await?;
        let found = self.live_name(&permit, name).await?;
        let at = request.received;
        let deletion = Deletion { at, scheduled_purge: at.plus_days(self.record().retention_days) };
        let mut deleted = NameRecord { deletion: Some(deletion), ..found.value.clone() };
        let answer = self.show_deleted(&permit, &deleted).await?;
        let mut transaction = permit.transaction().detail(format!("key {name}"));
        unschedule_rotation(&mut transaction, &permit, &mut deleted)?;
        transaction.replace(permit.sealer(), &found, &deleted)?;
        transaction.commit(request).await?;
        self.forget_material(permit.generation(), &deleted);
        Ok(answer)
    }

    async fn try_recover_key(&self, request: &Request, name: &KeyName) -> Result<Key> {
        let permit = self.authorize(request, DataAction::DeletedKeysRecover, &Scope::Key(name.clone())).await?;
        let found = self.deleted_name(&permit, name).await?;
        let (version, record) = self.version_record(&permit, &found.value, None).await?;
        let mut recovered = NameRecord { deletion: None, ..found.value.clone() };
        let mut transaction = permit.transaction().detail(format!("key {name}"));
        schedule_rotation(&mut transaction, &permit, &mut recovered, &record.value)?;
        transaction.replace(permit.sealer(), &found, &recovered)?;
        transaction.commit(request).await?;
        Ok(record.value.show(self.record(), &recovered.name, version))
    }

    async fn try_purge_key(&self, request: &Request, name: &KeyName, purge: Purge) -> Result<()> {
        let scope = Scope::Key(name.clone());
        let permit = match purge {
            Purge::Asked => self.authorize(request, DataAction::DeletedKeysDelete, &scope).await?,
            Purge::Due(_) => self.permit_for_job().await?,
        };
        let found = self.deleted_name(&permit, name).await?;
        if matches!(purge, Purge::Due(now) if !found.value.is_due(now)) {
            return Err(Error::KeyNotFound { name: name.clone(), version: None });
        }
        if purge == Purge::Asked && self.record().purge_protection {
            return Err(Error::PurgeProtected { name: name.clone() });
        }
        let mut transaction = permit.transaction().detail(format!("key {name}"));
        // Purge protection may be switched on at this very moment.
        self.expect_record(&mut transaction);
        transaction.delete(&found);
        let leftover = Leftover::unreachable(name.clone());
        transaction.create(permit.sealer(), permit.generation().leftover(found.value.id), &leftover)?;
        self.stage_end_of_rights(&mut transaction, &permit, name).await?;
        transaction.commit(request).await?;
        self.forget_material(permit.generation(), &found.value);
        Ok(())
    }

    async fn deleted_name(&self, permit: &Permit<'_>, name: &KeyName) -> Result<Arc<Stored<NameRecord>>> {
        let found = self.name_record(permit, name).await?.filter(|stored| stored.value.deletion.is_some());
        found.ok_or_else(|| Error::KeyNotFound { name: name.clone(), version: None })
    }

    fn forget_material(&self, generation: Generation, name: &NameRecord) {
        for version in &name.versions {
            self.core().caches().materials.remove(&(generation, name.id, *version));
        }
    }
}

impl NameRecord {
    /// Whether it is deleted, and its retention has ended.
    fn is_due(&self, now: Timestamp) -> bool {
        self.deletion.is_some_and(|deletion| deletion.scheduled_purge <= now)
    }
}

/// Makes the request a job acts under, for an operation's name.
pub type JobRequest<'a> = dyn Fn(&'static str) -> Request + Send + Sync + 'a;

/// Names read at a time by the job that purges.
const NAMES: usize = 100;
/// Leftovers read at a time; all but the few of unfinished restores may be swept.
const LEFTOVERS: usize = 5;
/// Longer than any restore takes, in seconds.
const RESTORE_SECONDS_MAX: i64 = 3600;
/// Keys removed in one commit; below the store's limit on operations.
const SWEEP_KEYS: usize = 50;
