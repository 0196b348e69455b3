//! Key backup and restore: a key with all its versions in one sealed blob, which opens in any HSM of the same security
//! domain and nowhere else.
//!
//! A restore may be larger than one commit. The versions are staged under their new key id, where nothing points to
//! them, and the last commit makes the name record. What a restore stages is listed as left over from its first commit
//! on, so that it is swept if the restore is cut off; the last commit takes it from that list.

use strongroom_crypto::backup::BackupHeader;
use strongroom_types::{DataAction, KeyId, KeyName, KeyVersion, Scope, Timestamp};

use crate::barrier::Transaction;
use crate::container::{KeyContainer, Permit};
use crate::keys::blob::{self, BackedUpKey, BackedUpVersion, BlobWriter};
use crate::keys::delete::Leftover;
use crate::keys::record::{Key, NameRecord, Rotation};
use crate::keys::rotate::schedule_rotation;
use crate::ports::Lane;
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

impl KeyContainer<'_> {
    /// Seals a key with all its versions, their material, attributes and tags, and its rotation policy. That the key was
    /// backed up is on record before the blob is handed out.
    ///
    /// # Errors
    /// [`Error::LimitReached`] if the blob would be too large to be restored.
    pub async fn back_up_key(&self, request: &Request, name: &KeyName) -> Result<Vec<u8>> {
        retry_on_conflict!(self.try_back_up(request, name))
    }

    /// Restores a key from its blob, under its name.
    ///
    /// # Errors
    /// [`Error::BackupRefused`] for a blob that is no whole, unaltered backup of a key of this security domain;
    /// [`Error::KeyExists`] or [`Error::KeyDeleted`] if its name is in use.
    pub async fn restore_key(&self, request: &Request, blob: &[u8]) -> Result<Key> {
        // Rights first: a stranger's blob is not even opened.
        let permit = self.authorize(request, DataAction::KeysRestore, &Scope::Keys).await?;
        self.check_audit()?;
        let restore = self.open_backup(&permit, blob).await?;
        retry_on_conflict!(self.try_restore(request, &restore))
    }

    async fn try_back_up(&self, request: &Request, name: &KeyName) -> Result<Vec<u8>> {
        let permit = self.authorize(request, DataAction::KeysBackup, &Scope::Key(name.clone())).await?;
        self.check_audit()?;
        let found = self.live_name(&permit, name).await?;
        let (barrier, generation) = (permit.barrier(), permit.generation());
        let guard = &permit.guard().value;
        let wrapping = self.backup_key(guard, guard.epoch).await?;
        let wrapping = wrapping.ok_or(Error::Internal("the domain lacks the epoch in use"))?;
        let key = BackedUpKey {
            name: found.value.name.clone(),
            versions: found.value.versions.clone(),
            rotation_policy: found.value.rotation.as_ref().map(|rotation| rotation.policy.clone()),
            made: request.received,
        };
        let mut writer = BlobWriter::new(&wrapping, barrier.entropy().as_ref(), &key)?;
        for version in &key.versions {
            let (_, record) = self.version_record(&permit, &found.value, Some(*version)).await?;
            let at = generation.material(found.value.id, *version);
            let material = barrier.read_secret(permit.sealer(), &at).await?;
            let missing = Error::Tampered { key: at, problem: "the material of a version is missing" };
            let (material, _) = material.ok_or(missing)?;
            writer.add(&record.value, &material)?;
        }
        let marked = NameRecord { backed_up: Some(request.received), ..found.value.clone() };
        let mut transaction = permit.transaction().detail(format!("key {name}, {} versions", key.versions.len()));
        transaction.replace(permit.sealer(), &found, &marked)?;
        transaction.commit(request).await?;
        Ok(writer.finish())
    }

    async fn open_backup(&self, permit: &Permit<'_>, blob: &[u8]) -> Result<Restore> {
        let header = BackupHeader::peek(blob).map_err(|_| Error::BackupRefused)?;
        let wrapping = self.backup_key(&permit.guard().value, header.epoch).await?;
        let (key, versions) = blob::open(&wrapping.ok_or(Error::BackupRefused)?, blob)?;
        if versions.len() > self.limits().versions_per_key {
            return Err(Error::LimitReached { what: "versions of a key", limit: self.limits().versions_per_key });
        }
        // A hundred RSA keys take milliseconds to parse.
        let check = move || versions.iter().all(BackedUpVersion::is_consistent).then_some(versions);
        let versions = self.core().run(Lane::Slow, check).await?.ok_or(Error::BackupRefused)?;
        // A Standard vault does not get by a restore what it does not make.
        for BackedUpVersion { record, .. } in &versions {
            if self.protection(record.specification.key_type(), record.protection)? != record.protection {
                return Err(Error::BackupRefused);
            }
        }
        Ok(Restore { key, versions })
    }

    async fn try_restore(&self, request: &Request, restore: &Restore) -> Result<Key> {
        let permit = self.authorize(request, DataAction::KeysRestore, &Scope::Keys).await?;
        let name = &restore.key.name;
        match self.name_record(&permit, name).await? {
            None => {}
            Some(found) if found.value.deletion.is_some() => return Err(Error::KeyDeleted { name: name.clone() }),
            Some(_) => return Err(Error::KeyExists { name: name.clone() }),
        }
        let id = KeyId::from_time_and_random(request.received, permit.barrier().entropy().sixteen()?);
        self.stage(request, &permit, id, restore).await?;
        self.publish(request, &permit, id, restore).await
    }

    /// Writes the versions where nothing points to them yet, in as many commits as it takes.
    pub(super) async fn stage(
        &self,
        request: &Request,
        permit: &Permit<'_>,
        id: KeyId,
        restore: &Restore,
    ) -> Result<()> {
        let mut step = Step::new(permit);
        let leftover = Leftover::staged(restore.key.name.clone(), request.received);
        step.transaction.create(permit.sealer(), permit.generation().leftover(id), &leftover)?;
        for (version, content) in restore.versions() {
            if step.versions == STEP_VERSIONS || step.bytes + content.size()? > STEP_BYTES {
                step.transaction.commit_step().await?;
                step = Step::new(permit);
            }
            step.add(permit, id, version, content)?;
        }
        step.transaction.commit_step().await?;
        Ok(())
    }

    /// Makes the name that points to what was staged: from this commit on there is the key.
    async fn publish(&self, request: &Request, permit: &Permit<'_>, id: KeyId, restore: &Restore) -> Result<Key> {
        let BackedUpKey { name, versions, .. } = &restore.key;
        let (version, latest) = restore.versions().last().ok_or(Error::BackupRefused)?;
        let mut transaction = permit.transaction().detail(format!("key {name}, {} versions", versions.len()));
        let pointer = stage_pointer(&mut transaction, permit, id, restore, request.received, None).await?;
        transaction.create(permit.sealer(), permit.generation().name(&pointer.name), &pointer)?;
        transaction.commit(request).await?;
        Ok(latest.record.clone().show(self.record(), &pointer.name, version))
    }
}

/// The name record that points to what was staged. Adds to a commit what goes with it: that the versions are left over no
/// more, and when the key rotates. `backed_up` is when the key that had the name last left in a backup.
///
/// # Errors
/// [`Error::Conflict`] if what was staged is being swept.
pub(super) async fn stage_pointer(
    transaction: &mut Transaction<'_>,
    permit: &Permit<'_>,
    id: KeyId,
    restore: &Restore,
    now: Timestamp,
    backed_up: Option<Timestamp>,
) -> Result<NameRecord> {
    let BackedUpKey { name, versions, rotation_policy, made } = restore.key.clone();
    let (version, latest) = restore.versions().last().ok_or(Error::BackupRefused)?;
    // Whoever sweeps it has rewritten it first, so this commit and a sweep exclude each other.
    let staged = permit.barrier().read::<Leftover>(permit.sealer(), &permit.generation().leftover(id)).await?;
    transaction.delete(&staged.filter(|leftover| leftover.value.is_staged()).ok_or(Error::Conflict)?);
    let rotation = rotation_policy.map(|policy| Rotation { policy, due: None });
    let (backed_up, restored) = (backed_up.max(Some(made)), Some(now));
    let mut pointer = NameRecord { versions, rotation, backed_up, restored, ..NameRecord::new(name, id, version) };
    schedule_rotation(transaction, permit, &mut pointer, &latest.record)?;
    Ok(pointer)
}

/// A backup that has been opened and checked.
pub(super) struct Restore {
    pub(super) key: BackedUpKey,
    pub(super) versions: Vec<BackedUpVersion>,
}

impl Restore {
    /// The versions with their identifiers, oldest first.
    pub(super) fn versions(&self) -> impl DoubleEndedIterator<Item = (KeyVersion, &BackedUpVersion)> {
        self.key.versions.iter().copied().zip(&self.versions)
    }
}

/// One commit of the staging.
struct Step<'a> {
    transaction: Transaction<'a>,
    versions: usize,
    bytes: usize,
}

impl<'a> Step<'a> {
    fn new(permit: &Permit<'a>) -> Self {
        Self { transaction: permit.transaction(), versions: 0, bytes: 0 }
    }

    fn add(&mut self, permit: &Permit<'_>, id: KeyId, version: KeyVersion, content: &BackedUpVersion) -> Result<()> {
        let generation = permit.generation();
        self.transaction.create(permit.sealer(), generation.version(id, version), &content.record)?;
        let material = content.material.expose();
        self.transaction.create_secret(permit.sealer(), generation.material(id, version), material);
        self.versions += 1;
        self.bytes += content.size()?;
        Ok(())
    }
}

/// Versions of one commit: each needs two writes and their preconditions; the commit, the guard's, and the first one the
/// list entry's. Below the store's limit on operations.
const STEP_VERSIONS: usize = 15;
/// Bytes of one commit, as [`BackedUpVersion::size`] counts them; below the store's limit.
const STEP_BYTES: usize = 448 * 1024;
