//! The blob of a key backup: what it holds, and how it is laid out (`docs/key-backup-format.md`).

use serde::{Deserialize, Serialize};
use strongroom_crypto::backup::{BackupChunks, BackupKey, BackupKind, Position};
use strongroom_crypto::{CryptoError, Entropy, KeyMaterial};
use strongroom_types::{KeyName, KeyVersion, Secret, Timestamp};

use crate::barrier::{Record, decode, encode};
use crate::keys::record::VersionRecord;
use crate::keys::rotation_policy::RotationPolicy;
use crate::{Error, Result};

/// What a key backup holds besides the versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BackedUpKey {
    pub(super) name: KeyName,
    /// All versions, oldest first; never empty.
    pub(super) versions: Vec<KeyVersion>,
    pub(super) rotation_policy: Option<RotationPolicy>,
    /// When the backup was made.
    pub(super) made: Timestamp,
}

impl Record for BackedUpKey {
    const FORMAT: u16 = 1;
}

/// One version: its record, and its material in the form it is sealed in.
pub(super) struct BackedUpVersion {
    pub(super) record: VersionRecord,
    pub(super) material: Secret<Vec<u8>>,
}

/// Seals a backup: the key, and then record and material of each version in turn.
pub(super) struct BlobWriter<'a> {
    chunks: BackupChunks,
    entropy: &'a dyn Entropy,
    blob: Vec<u8>,
    versions_left: usize,
}

impl<'a> BlobWriter<'a> {
    pub(super) fn new(wrapping: &BackupKey, entropy: &'a dyn Entropy, key: &BackedUpKey) -> Result<Self> {
        let chunks = BackupChunks::create(wrapping, BackupKind::ManagedHsmKey, entropy)?;
        let blob = chunks.preamble().to_vec();
        let mut writer = Self { chunks, entropy, blob, versions_left: key.versions.len() };
        writer.push(Position::Inner, encode(key)?.expose())?;
        Ok(writer)
    }

    /// Adds the next version, in the order the key lists them.
    pub(super) fn add(&mut self, record: &VersionRecord, material: &Secret<Vec<u8>>) -> Result<()> {
        self.versions_left = self.versions_left.saturating_sub(1);
        self.push(Position::Inner, encode(record)?.expose())?;
        let position = if self.versions_left == 0 { Position::Last } else { Position::Inner };
        self.push(position, material.expose())
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.blob
    }

    fn push(&mut self, position: Position, plaintext: &[u8]) -> Result<()> {
        let sealed = self.chunks.seal(self.entropy, position, plaintext)?;
        let too_large = || Error::LimitReached { what: "bytes of a key backup", limit: BLOB_BYTES_MAX };
        let length = u32::try_from(sealed.len()).map_err(|_| too_large())?;
        self.blob.extend_from_slice(&length.to_be_bytes());
        self.blob.extend_from_slice(&sealed);
        if self.blob.len() > BLOB_BYTES_MAX { Err(too_large()) } else { Ok(()) }
    }
}

/// Opens a blob whole. Everything that is wrong with one is the same error.
pub(super) fn open(wrapping: &BackupKey, blob: &[u8]) -> Result<(BackedUpKey, Vec<BackedUpVersion>)> {
    let refused = |_: CryptoError| Error::BackupRefused;
    let mut chunks = BackupChunks::open(wrapping, BackupKind::ManagedHsmKey, blob).map_err(refused)?;
    let mut rest = blob.get(BackupChunks::PREAMBLE_BYTES..).ok_or(Error::BackupRefused)?;
    let mut next = || -> Result<Option<Secret<Vec<u8>>>> {
        if rest.is_empty() {
            return Ok(None);
        }
        let (length, behind) = rest.split_first_chunk::<4>().ok_or(Error::BackupRefused)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Error::BackupRefused)?;
        let (sealed, behind) = behind.split_at_checked(length).ok_or(Error::BackupRefused)?;
        rest = behind;
        let position = if rest.is_empty() { Position::Last } else { Position::Inner };
        chunks.open_next(position, sealed).map(Some).map_err(refused)
    };
    let key: BackedUpKey = record(&next()?.ok_or(Error::BackupRefused)?)?;
    let mut versions = Vec::new();
    while let Some(chunk) = next()? {
        let material = next()?.ok_or(Error::BackupRefused)?;
        versions.push(BackedUpVersion { record: record(&chunk)?, material });
    }
    let mut unique = key.versions.clone();
    unique.sort_unstable();
    unique.dedup();
    if versions.is_empty() || versions.len() != key.versions.len() || unique.len() != versions.len() {
        return Err(Error::BackupRefused);
    }
    Ok((key, versions))
}

impl BackedUpVersion {
    /// Bytes it takes in a commit, at most: record and material, and what sealing and the store keys add.
    pub(super) fn size(&self) -> Result<usize> {
        Ok(encode(&self.record)?.expose().len() + self.material.expose().len() + VERSION_OVERHEAD_BYTES)
    }

    /// Whether the material is a key of the kind, and with the public half, that the record names.
    pub(super) fn is_consistent(&self) -> bool {
        let material = KeyMaterial::from_sealable(self.record.specification, self.material.expose());
        material.is_ok_and(|material| *material.public_key() == self.record.public_key)
    }
}

fn record<T: Record>(chunk: &Secret<Vec<u8>>) -> Result<T> {
    decode("", chunk.expose()).map_err(|_| Error::BackupRefused)
}

/// Two sealed values and, each twice, their store keys: generously.
const VERSION_OVERHEAD_BYTES: usize = 1024;
/// Largest blob, in bytes: with base64url and JSON around it, it fits into the largest body the server takes.
pub const BLOB_BYTES_MAX: usize = 767 * 1024;
