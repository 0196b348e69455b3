//! Opening a backup, and reading what is in it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use strongroom_crypto::KeyCheck;
use strongroom_crypto::backup::{BackupChunks, BackupHeader, Position};
use strongroom_crypto::digest::sha256;
use strongroom_types::{DataAction, InstanceId, KeyName, KeyVersion, Scope, Secret};

use crate::backup::format::{
    BackupProblem, FrameKind, Frames, MANIFEST_BYTES_MAX, PART_BLOB_BYTES_MAX, check_folder, check_record_format,
    manifest_path, open_manifest, peek_manifest,
};
use crate::backup::manifest::{Manifest, Part};
use crate::barrier::{Record, decode};
use crate::blobs::{BlobContainer, BlobError};
use crate::guard::Guard;
use crate::hsm::Hsm;
use crate::keys::{CopiedKey, CopiedVersion};
use crate::rbac::{CustomRole, RoleAssignment};
use crate::request::Request;
use crate::settings::Settings;
use crate::{Core, Error, Result};

/// A backup whose manifest is authentic. Its parts are read, and checked, one at a time.
pub struct OpenBackup {
    header: BackupHeader,
    manifest: Manifest,
    chunks: BackupChunks,
    container: Arc<dyn BlobContainer>,
    folder: String,
}

/// What is set of the HSM itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CopiedHsm {
    pub(super) settings: Settings,
}

impl Record for CopiedHsm {
    const FORMAT: u16 = 1;
}

/// What a backup holds, one after the other.
pub(super) enum Item {
    Hsm(CopiedHsm),
    RoleDefinition(CustomRole),
    RoleAssignment(RoleAssignment),
    Key(CopiedKey),
    Version(CopiedVersion),
}

impl std::fmt::Debug for OpenBackup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenBackup")
            .field("folder", &self.folder)
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Opens the backup in a folder under the security domain of an HSM.
    ///
    /// # Errors
    /// [`Error::Backup`] says what is wrong with it; [`Error::Blob`] if it cannot be read.
    pub(super) async fn open_backup(
        &self,
        guard: &Guard,
        instance: InstanceId,
        container: Arc<dyn BlobContainer>,
        folder: &str,
    ) -> Result<OpenBackup> {
        let blob = match container.read(&manifest_path(folder), MANIFEST_BYTES_MAX).await {
            Err(BlobError::NotFound(_)) => return Err(BackupProblem::NoManifest { folder: folder.to_owned() }.into()),
            Err(BlobError::TooLarge { .. }) => return Err(BackupProblem::NotABackup.into()),
            other => other?,
        };
        let header = peek_manifest(&blob)?;
        let own = guard.domain.ok_or(Error::NotActivated)?;
        if header.domain != own {
            return Err(BackupProblem::OtherDomain { backup: header.domain, own }.into());
        }
        let key = self.backup_key(instance, guard, header.epoch).await?;
        let key = key.ok_or(BackupProblem::UnknownEpoch(header.epoch))?;
        let (chunks, manifest) = open_manifest(&key, &blob)?;
        Ok(OpenBackup { header, manifest, chunks, container, folder: folder.to_owned() })
    }
}

impl Hsm<'_> {
    /// Opens a backup in a container that is in hand already, to look at what it holds.
    ///
    /// # Errors
    /// [`Error::Backup`] says what is wrong with it; [`Error::Blob`] if it cannot be read; [`Error::Forbidden`] without the
    /// right to start backups.
    pub async fn open_backup(
        &self,
        request: &Request,
        container: Arc<dyn BlobContainer>,
        folder: &str,
    ) -> Result<OpenBackup> {
        let permit = self.authorize(request, DataAction::BackupStart, &Scope::Root).await?;
        let folder = check_folder("folder", folder)?;
        self.core().open_backup(&permit.guard().value, self.instance(), container, &folder).await
    }
}

impl OpenBackup {
    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The security domain and epoch it was made under.
    pub fn header(&self) -> BackupHeader {
        self.header
    }

    /// Every version of every key it holds, with what it can be recognised by.
    pub fn keys(&self) -> BackupKeys<'_> {
        BackupKeys { items: self.items(), key: None, versions: Vec::new().into_iter() }
    }

    pub(super) fn items(&self) -> Items<'_> {
        Items { backup: self, next_part: 0, frames: None }
    }

    /// Reads a part, and opens it.
    async fn part(&self, number: usize, part: &Part) -> Result<Secret<Vec<u8>>> {
        let altered = |problem: &str| BackupProblem::altered(format!("part {} {problem}", part.name));
        let bytes = usize::try_from(part.bytes).ok().filter(|bytes| *bytes <= PART_BLOB_BYTES_MAX);
        let bytes = bytes.ok_or_else(|| altered("is too large"))?;
        let path = format!("{}/{}", self.folder, part.name);
        let blob = match self.container.read(&path, bytes).await {
            Err(BlobError::NotFound(_)) => return Err(altered("is missing").into()),
            Err(BlobError::TooLarge { .. }) => return Err(altered("is longer than it was").into()),
            other => other?,
        };
        if blob.len() != bytes || URL_SAFE_NO_PAD.encode(sha256(&blob)) != part.sha256 {
            return Err(altered("is not what was written").into());
        }
        let number = u64::try_from(number).map_err(|_| Error::Internal("too many parts"))?;
        let opened = self.chunks.open_at(number, Position::Inner, &blob);
        Ok(opened.map_err(|_| altered("does not open"))?)
    }
}

/// The items of a backup, in their order. At most one part is in memory.
pub(super) struct Items<'a> {
    backup: &'a OpenBackup,
    next_part: usize,
    frames: Option<Frames>,
}

impl Items<'_> {
    /// The next item; `None` at the end of the backup.
    pub(super) async fn next(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(frames) = &mut self.frames
                && let Some((kind, content)) = frames.next()?
            {
                return Ok(Some(item(kind, content)?));
            }
            let Some(part) = self.backup.manifest.parts.get(self.next_part) else { return Ok(None) };
            // The old part goes before the new one comes.
            self.frames = None;
            self.frames = Some(Frames::new(self.backup.part(self.next_part, part).await?));
            self.next_part += 1;
        }
    }

    /// Parts that were read.
    pub(super) fn parts(&self) -> u64 {
        u64::try_from(self.next_part).unwrap_or(u64::MAX)
    }
}

fn item(kind: FrameKind, content: &[u8]) -> Result<Item, BackupProblem> {
    Ok(match kind {
        FrameKind::Hsm => Item::Hsm(record(content)?),
        FrameKind::RoleDefinition => Item::RoleDefinition(record(content)?),
        FrameKind::RoleAssignment => Item::RoleAssignment(record(content)?),
        FrameKind::Key => Item::Key(record(content)?),
        FrameKind::Version => {
            let version = CopiedVersion::decode(content);
            Item::Version(version.ok_or_else(|| BackupProblem::altered("a version of a key is malformed"))?)
        }
    })
}

fn record<T: Record>(content: &[u8]) -> Result<T, BackupProblem> {
    check_record_format(content)?;
    decode("", content).map_err(|_| BackupProblem::altered("a record is malformed"))
}

/// A version of a key in a backup, and what it can be recognised by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUpKeyVersion {
    /// The name of the key.
    pub name: KeyName,
    /// Its version.
    pub version: KeyVersion,
    /// Whether the key was soft-deleted.
    pub deleted: bool,
    /// The public half, or the check value of a symmetric key.
    pub check: KeyCheck,
}

/// Goes through the keys of a backup.
pub struct BackupKeys<'a> {
    items: Items<'a>,
    key: Option<(KeyName, bool)>,
    versions: std::vec::IntoIter<KeyVersion>,
}

impl BackupKeys<'_> {
    /// The next version; `None` at the end.
    ///
    /// # Errors
    /// As the check of a backup.
    pub async fn next(&mut self) -> Result<Option<BackedUpKeyVersion>> {
        loop {
            match self.items.next().await? {
                None => return Ok(None),
                Some(Item::Hsm(_) | Item::RoleDefinition(_) | Item::RoleAssignment(_)) => {}
                Some(Item::Key(key)) => {
                    self.key = Some((key.name().clone(), key.is_deleted()));
                    self.versions = key.versions().to_vec().into_iter();
                }
                Some(Item::Version(content)) => {
                    let out_of_place = || BackupProblem::altered("a version belongs to no key");
                    let (name, deleted) = self.key.clone().ok_or_else(out_of_place)?;
                    let version = self.versions.next().ok_or_else(out_of_place)?;
                    return Ok(Some(BackedUpKeyVersion { name, version, deleted, check: content.check().clone() }));
                }
            }
        }
    }
}
