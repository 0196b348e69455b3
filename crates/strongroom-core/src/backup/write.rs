//! Making a backup: the HSM as it is at one revision of the store, part by part, and the manifest last.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_crypto::Entropy;
use strongroom_crypto::backup::{BackupChunks, BackupKind};
use strongroom_crypto::digest::sha256;
use strongroom_store::Revision;
use strongroom_types::Timestamp;

use crate::backup::format::{BackupProblem, FrameKind, PartWriter, manifest_path, part_name, seal_manifest};
use crate::backup::job::Progress;
use crate::backup::manifest::{Counts, Manifest, Part, Source};
use crate::backup::read::CopiedHsm;
use crate::backup::run::Claim;
use crate::barrier::{Record, encode};
use crate::blobs::{BlobContainer, BlobError};
use crate::container::Permit;
use crate::guard::Guard;
use crate::keys::CopiedKey;
use crate::layout;
use crate::{Error, Result};

/// A backup on its way.
struct Writer {
    container: Arc<dyn BlobContainer>,
    entropy: Arc<dyn Entropy>,
    chunks: BackupChunks,
    folder: String,
    attempt: u32,
    frames: PartWriter,
    parts: Vec<Part>,
    counts: Counts,
}

impl<'a> Claim<'a> {
    /// Writes the backup, and ends the job.
    pub(super) async fn back_up(&mut self) -> Result<()> {
        let container = self.open_container().await?;
        if self.job.value.attempt > 1
            && let Some(made) = self.is_complete(&container).await?
        {
            return self.end_backup("the backup was complete already", made).await;
        }
        let (permit, at) = self.snapshot().await?;
        let made = self.core.barrier().clock().now();
        let mut writer = self.writer(container, &permit).await?;
        writer.push_rights(&permit).await?;
        self.write_keys(&mut writer, &permit, at).await?;
        writer.close_part().await?;
        let manifest = self.manifest(&writer, &permit, at, made);
        writer.write_manifest(&manifest).await?;
        let Counts { keys, deleted_keys, versions, .. } = writer.counts;
        let detail = format!("{keys} keys, {deleted_keys} deleted keys, {versions} versions");
        self.end_backup(&detail, self.core.barrier().clock().now()).await
    }

    /// Looks whether blobs can be written and read, by one small blob of a fixed name that stays.
    pub(super) async fn check_backup(&mut self) -> Result<()> {
        let container = self.open_container().await?;
        let path = format!("strongroom-check/{}", self.hsm.record().name.folded());
        match container.create(&path, PROBE.to_vec()).await {
            Ok(()) | Err(BlobError::AlreadyExists(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if container.read(&path, PROBE.len()).await? != PROBE {
            return Err(BlobError::Refused(format!("{path} is not what was written")).into());
        }
        self.end("the container can be written and read".to_owned(), |_| {}).await
    }

    /// Ends the job. `at` is the time from which on the backup counts as fresh.
    async fn end_backup(&mut self, detail: &str, at: Timestamp) -> Result<()> {
        let detail = format!("{detail}, in folder {} of {}", self.job.value.folder, self.job.value.container);
        self.end(detail, |history| history.value.last_backup = Some(at)).await
    }

    /// When the backup was made, if an earlier attempt has written the manifest and was cut off before it could say so. That
    /// may be long ago: the moment when the manifest was written is known to nobody.
    async fn is_complete(&self, container: &Arc<dyn BlobContainer>) -> Result<Option<Timestamp>> {
        let (core, job) = (self.core, &self.job.value);
        let guard = core.guard(self.instance()).await?;
        match core.open_backup(&guard.value, self.instance(), Arc::clone(container), &job.folder).await {
            Ok(found) if found.manifest().job == job.id => Ok(Some(found.manifest().made)),
            Ok(_) => Err(exists(&manifest_path(&job.folder))),
            Err(Error::Backup(BackupProblem::NoManifest { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A revision, and leave to read as things are then.
    async fn snapshot(&self) -> Result<(Permit<'a>, Revision)> {
        let barrier = self.core.barrier();
        for _ in 0..SNAPSHOT_ATTEMPTS_MAX {
            let permit = self.hsm.permit_for_job().await?;
            let at = barrier.revision().await?;
            let key = layout::guard(self.instance());
            let then = barrier.read_at::<Guard>(barrier.deployment(), &key, at).await?;
            if then.is_some_and(|then| then.revision == permit.guard().revision) {
                return Ok((permit, at));
            }
        }
        Err(Error::Conflict)
    }

    async fn writer(&self, container: Arc<dyn BlobContainer>, permit: &Permit<'_>) -> Result<Writer> {
        let guard = &permit.guard().value;
        let entropy = Arc::clone(self.core.barrier().entropy());
        let key = self.core.backup_key(self.instance(), guard, guard.epoch).await?;
        let key = key.ok_or(Error::Internal("the domain lacks the epoch in use"))?;
        let chunks = BackupChunks::create(&key, BackupKind::ManagedHsm, entropy.as_ref())?;
        let (folder, attempt) = (self.job.value.folder.clone(), self.job.value.attempt);
        let frames = PartWriter::new(self.core.backup_rules().part_bytes);
        let (parts, counts) = (Vec::new(), Counts::default());
        Ok(Writer { container, entropy, chunks, folder, attempt, frames, parts, counts })
    }

    async fn write_keys(&mut self, writer: &mut Writer, permit: &Permit<'_>, at: Revision) -> Result<()> {
        let mut next = None;
        loop {
            let page = CopiedKey::page_at(permit, next.as_deref(), at).await?;
            for key in page.keys {
                writer.push_key(permit, &key, at).await?;
                self.renew_if_further(writer).await?;
            }
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    async fn renew_if_further(&mut self, writer: &Writer) -> Result<()> {
        let parts = u64::try_from(writer.parts.len()).unwrap_or(u64::MAX);
        if parts > self.job.value.progress.parts {
            let keys = writer.counts.keys + writer.counts.deleted_keys;
            self.renew(Progress { keys, parts }).await?;
        }
        Ok(())
    }

    fn manifest(&self, writer: &Writer, permit: &Permit<'_>, at: Revision, made: Timestamp) -> Manifest {
        let guard = &permit.guard().value;
        Manifest {
            job: self.job.value.id,
            attempt: self.job.value.attempt,
            source: Source {
                deployment: self.core.deployment().id,
                name: self.hsm.record().name.clone(),
                instance: self.instance(),
            },
            generation: guard.generation,
            rights_version: guard.rights_version,
            revision: at.0,
            made,
            counts: writer.counts,
            parts: writer.parts.clone(),
        }
    }
}

impl Writer {
    /// Settings, custom roles and assignments. They are those of the guard at the revision: its digest has been checked.
    async fn push_rights(&mut self, permit: &Permit<'_>) -> Result<()> {
        self.push_record(FrameKind::Hsm, &CopiedHsm { settings: permit.guard().value.settings }).await?;
        for role in permit.rights().custom_roles() {
            self.push_record(FrameKind::RoleDefinition, role).await?;
            self.counts.role_definitions += 1;
        }
        for assignment in permit.rights().assignments() {
            self.push_record(FrameKind::RoleAssignment, &assignment.value).await?;
            self.counts.role_assignments += 1;
        }
        Ok(())
    }

    async fn push_key(&mut self, permit: &Permit<'_>, key: &CopiedKey, at: Revision) -> Result<()> {
        self.push_record(FrameKind::Key, key).await?;
        for version in key.versions() {
            let content = key.version_at(permit, *version, at).await?;
            self.push(FrameKind::Version, content.encode()?.expose()).await?;
            self.counts.versions += 1;
            // Parsing keys takes time that others want.
            tokio::task::yield_now().await;
        }
        let count = if key.is_deleted() { &mut self.counts.deleted_keys } else { &mut self.counts.keys };
        *count += 1;
        Ok(())
    }

    async fn push_record<T: Record>(&mut self, kind: FrameKind, record: &T) -> Result<()> {
        self.push(kind, encode(record)?.expose()).await
    }

    async fn push(&mut self, kind: FrameKind, content: &[u8]) -> Result<()> {
        self.frames.push(kind, content)?;
        if self.frames.is_full() { self.close_part().await } else { Ok(()) }
    }

    /// Writes the frames so far as a part.
    async fn close_part(&mut self) -> Result<()> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let sealed = self.frames.seal(&mut self.chunks, self.entropy.as_ref())?;
        let name = part_name(self.attempt, self.parts.len());
        let bytes = u64::try_from(sealed.len()).map_err(|_| Error::Internal("a part is too long"))?;
        let path = format!("{}/{name}", self.folder);
        let sha256 = self.create(&path, sealed).await?;
        self.parts.push(Part { name, bytes, sha256: URL_SAFE_NO_PAD.encode(sha256) });
        Ok(())
    }

    async fn write_manifest(&mut self, manifest: &Manifest) -> Result<()> {
        let blob = seal_manifest(&mut self.chunks, self.entropy.as_ref(), manifest)?;
        self.create(&manifest_path(&self.folder), blob).await?;
        Ok(())
    }

    /// Writes a blob, and answers its SHA-256. One that is there already with this content is the one we wrote, when the
    /// answer to it was lost.
    async fn create(&self, path: &str, content: Vec<u8>) -> Result<[u8; 32]> {
        let (bytes, hash) = (content.len(), sha256(&content));
        match self.container.create(path, content).await {
            Err(BlobError::AlreadyExists(_)) => match self.container.read(path, bytes).await {
                Ok(found) if sha256(&found) == hash => Ok(hash),
                Ok(_) | Err(BlobError::TooLarge { .. }) => Err(exists(path)),
                Err(error) => Err(error.into()),
            },
            other => Ok(other.map(|()| hash)?),
        }
    }
}

fn exists(path: &str) -> Error {
    BlobError::AlreadyExists(path.to_owned()).into()
}

/// How often a revision is taken before too many changes of the guard were in the way.
const SNAPSHOT_ATTEMPTS_MAX: u32 = 16;
/// What the check of a container writes.
const PROBE: &[u8] = b"strongroom can write here\n";
