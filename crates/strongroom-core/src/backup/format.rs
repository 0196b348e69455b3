//! How a backup is laid out in blobs, and how its parts are made and opened.
//!
//! ```text
//! <folder>/attempt-<n>-part-<6 digits>   chunk number of the part: frames, sealed
//! <folder>/manifest                      preamble 110 | number of parts u64 | chunk of that number, the last one: the manifest
//! frame                                  kind u8 | length u32 | content                          (integers big-endian)
//! ```
//! The sealing is that of `strongroom_crypto::backup`: chunks are numbered, and the last one says that it is the last.

use strongroom_crypto::backup::{BackupChunks, BackupHeader, BackupKey, BackupKind, Position};
use strongroom_crypto::{CryptoError, Entropy};
use strongroom_types::{DomainId, Epoch, HsmName, Secret, Timestamp};

use crate::backup::BackupRules;
use crate::backup::manifest::Manifest;
use crate::barrier::{decode, encode};
use crate::{Error, Result};

/// Why a backup cannot be used. The texts are safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupProblem {
    /// A folder without a manifest is none: its backup was not finished, or there never was one.
    #[error("there is no backup in folder {folder}: it has no manifest")]
    NoManifest {
        /// The folder.
        folder: String,
    },
    /// What lies there is something else.
    #[error("the manifest is not that of a backup of a managed HSM")]
    NotABackup,
    /// A later version of this program has written it.
    #[error("the backup has format {format} of a later version; this one reads format {known}")]
    LaterFormat {
        /// What it says.
        format: u16,
        /// The newest this version knows.
        known: u16,
    },
    /// It was made under another security domain.
    #[error("the backup was made under security domain {backup}, the managed HSM has {own}")]
    OtherDomain {
        /// That of the backup.
        backup: DomainId,
        /// That of the HSM.
        own: DomainId,
    },
    /// It was made under a root that the HSM's domain does not hold.
    #[error("the backup was made under epoch {} of the security domain, which this managed HSM does not hold", .0.number())]
    UnknownEpoch(Epoch),
    /// It is not whole and unaltered.
    #[error("the backup is not whole and unaltered: {0}")]
    Altered(String),
    /// It holds no key of that name.
    #[error("the backup holds no key {name}")]
    NoSuchKey {
        /// What was asked for.
        name: String,
    },
}

impl BackupProblem {
    pub(super) fn altered(what: impl Into<String>) -> Self {
        Self::Altered(what.into())
    }
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// What is set of the HSM itself.
    Hsm,
    /// A custom role.
    RoleDefinition,
    /// A role assignment.
    RoleAssignment,
    /// A key; its versions follow, oldest first.
    Key,
    /// A version of the key before it.
    Version,
}

impl FrameKind {
    const ALL: [Self; 5] = [Self::Hsm, Self::RoleDefinition, Self::RoleAssignment, Self::Key, Self::Version];

    const fn number(self) -> u8 {
        match self {
            Self::Hsm => 1,
            Self::RoleDefinition => 2,
            Self::RoleAssignment => 3,
            Self::Key => 4,
            Self::Version => 5,
        }
    }
}

/// Frames on their way into a part.
pub(super) struct PartWriter {
    frames: Secret<Vec<u8>>,
    part_bytes: usize,
}

impl PartWriter {
    /// Parts are closed when they have so many bytes.
    pub(super) fn new(part_bytes: usize) -> Self {
        let part_bytes = part_bytes.min(PART_BYTES_MAX);
        // Room for all of it from the start: growing would leave copies of key material behind.
        Self { frames: Secret::new(Vec::with_capacity(part_bytes + FRAME_BYTES_MAX)), part_bytes }
    }

    /// Whether the part has reached its size.
    pub(super) fn is_full(&self) -> bool {
        self.frames.expose().len() >= self.part_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.expose().is_empty()
    }

    pub(super) fn push(&mut self, kind: FrameKind, content: &[u8]) -> Result<()> {
        let fits = content.len() + FRAME_HEADER_BYTES <= FRAME_BYTES_MAX;
        let length = u32::try_from(content.len()).ok().filter(|_| fits);
        let length = length.ok_or(Error::Internal("a record is too long for a backup"))?;
        let frames = self.frames.expose_mut();
        frames.push(kind.number());
        frames.extend_from_slice(&length.to_be_bytes());
        frames.extend_from_slice(content);
        Ok(())
    }

    /// Seals the frames as the next chunk, and begins anew.
    pub(super) fn seal(&mut self, chunks: &mut BackupChunks, entropy: &dyn Entropy) -> Result<Vec<u8>> {
        let sealed = chunks.seal(entropy, Position::Inner, self.frames.expose())?;
        let frames = self.frames.expose_mut();
        frames.fill(0);
        frames.clear();
        Ok(sealed)
    }
}

/// Frames of an opened part.
pub(super) struct Frames {
    content: Secret<Vec<u8>>,
    position: usize,
}

impl Frames {
    pub(super) fn new(content: Secret<Vec<u8>>) -> Self {
        Self { content, position: 0 }
    }

    /// The next frame; `None` at the end of the part.
    pub(super) fn next(&mut self) -> Result<Option<(FrameKind, &[u8])>, BackupProblem> {
        let malformed = || BackupProblem::altered("a part is malformed");
        let rest = self.content.expose().get(self.position..).unwrap_or_default();
        let Some((kind, rest)) = rest.split_first() else { return Ok(None) };
        let kind = FrameKind::ALL.into_iter().find(|known| known.number() == *kind).ok_or_else(malformed)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| malformed())?;
        let content = rest.get(..length).ok_or_else(malformed)?;
        self.position += FRAME_HEADER_BYTES + length;
        Ok(Some((kind, content)))
    }
}

/// The blob of a manifest.
pub(super) fn seal_manifest(chunks: &mut BackupChunks, entropy: &dyn Entropy, manifest: &Manifest) -> Result<Vec<u8>> {
    let parts = u64::try_from(manifest.parts.len()).map_err(|_| Error::Internal("too many parts"))?;
    let mut blob = chunks.preamble().to_vec();
    blob.extend_from_slice(&parts.to_be_bytes());
    blob.extend_from_slice(&chunks.seal(entropy, Position::Last, encode(manifest)?.expose())?);
    if blob.len() > MANIFEST_BYTES_MAX {
        return Err(Error::LimitReached { what: "bytes of a backup's manifest", limit: MANIFEST_BYTES_MAX });
    }
    Ok(blob)
}

/// The header of a manifest's blob. What it says is unproved until the manifest is opened.
pub(super) fn peek_manifest(blob: &[u8]) -> Result<BackupHeader, BackupProblem> {
    let format = blob.strip_prefix(MAGIC).and_then(|rest| rest.first()).ok_or(BackupProblem::NotABackup)?;
    if *format > FORMAT {
        return Err(BackupProblem::LaterFormat { format: u16::from(*format), known: u16::from(FORMAT) });
    }
    let header = BackupHeader::peek(blob).map_err(|_| BackupProblem::NotABackup)?;
    if header.kind == BackupKind::ManagedHsm { Ok(header) } else { Err(BackupProblem::NotABackup) }
}

/// Opens a manifest, and what opens its parts.
pub(super) fn open_manifest(key: &BackupKey, blob: &[u8]) -> Result<(BackupChunks, Manifest), BackupProblem> {
    let altered = |_: CryptoError| BackupProblem::altered("its manifest does not open");
    let cut = || BackupProblem::altered("its manifest is cut short");
    let chunks = BackupChunks::open(key, BackupKind::ManagedHsm, blob).map_err(altered)?;
    let rest = blob.get(BackupChunks::PREAMBLE_BYTES..).ok_or_else(cut)?;
    let (parts, sealed) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
    let parts = u64::from_be_bytes(*parts);
    let content = chunks.open_at(parts, Position::Last, sealed).map_err(altered)?;
    check_record_format(content.expose())?;
    let manifest: Manifest =
        decode("", content.expose()).map_err(|_| BackupProblem::altered("its manifest is not one of this version"))?;
    if u64::try_from(manifest.parts.len()) != Ok(parts) {
        return Err(BackupProblem::altered("its manifest lists another number of parts"));
    }
    Ok((chunks, manifest))
}

/// Refuses a record of a later format by its name.
pub(super) fn check_record_format(record: &[u8]) -> Result<(), BackupProblem> {
    let format = record.first_chunk::<2>().map_or(0, |format| u16::from_be_bytes(*format));
    if format > u16::from(FORMAT) {
        return Err(BackupProblem::LaterFormat { format, known: u16::from(FORMAT) });
    }
    Ok(())
}

/// Where the manifest lies.
pub(super) fn manifest_path(folder: &str) -> String {
    format!("{folder}/manifest")
}

/// The name of a part within its folder. Attempts never write to the same blob.
pub(super) fn part_name(attempt: u32, number: usize) -> String {
    format!("attempt-{attempt}-part-{number:06}")
}

/// `mhsm-<name>-<YYYYMMDDhhmmssff>`, in UTC with hundredths of a second.
pub(super) fn folder_name(hsm: &HsmName, now: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(now.millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let hundredths = now.millis().rem_euclid(1000) / 10;
    format!("mhsm-{}-{}{hundredths:02}", hsm.folded(), time.strftime("%Y%m%d%H%M%S"))
}

/// A folder as a client names it: segments of letters, digits, `-`, `_` and `.` that do not begin with a dot.
pub(super) fn check_folder(parameter: &'static str, text: &str) -> Result<String> {
    let folder = text.trim_matches('/');
    let good = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    if folder.len() > FOLDER_CHARACTERS_MAX || !folder.split('/').all(good) {
        let problem = "is not the folder of a backup, such as mhsm-name-2026010112000000";
        return Err(Error::bad_parameter(parameter, problem));
    }
    Ok(folder.to_owned())
}

/// Longest folder name.
const FOLDER_CHARACTERS_MAX: usize = 256;
const PART_BYTES_MAX: usize = BackupRules::PART_BYTES_MAX;
/// Longest frame: more than the store takes in one commit.
const FRAME_BYTES_MAX: usize = 1024 * 1024;
const FRAME_HEADER_BYTES: usize = 5;
/// Largest part, as it is stored.
pub(super) const PART_BLOB_BYTES_MAX: usize = PART_BYTES_MAX + FRAME_BYTES_MAX + 1024;
/// Largest manifest, as it is stored: some 30,000 parts, which is 120 GiB.
pub(super) const MANIFEST_BYTES_MAX: usize = 6 * 1024 * 1024;
/// What every backup begins with.
const MAGIC: &[u8] = b"SRBACKUP";
/// The newest format of the header and of the records in it.
const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_after_the_hsm_and_the_time() {
        let name = "ContosoMHSM".parse().unwrap();
        let time = Timestamp::from_millis(1_667_984_965_269);
        assert_eq!(folder_name(&name, time), "mhsm-contosomhsm-2022110909092526");
    }

    #[test]
    fn folders_stay_below_their_container() {
        for good in ["mhsm-a-2026010112000000", "/a/b.c/", "A_1"] {
            assert_eq!(check_folder("folder", good).unwrap(), good.trim_matches('/'));
        }
        for bad in ["", "/", "..", "a/../b", "a//b", ".hidden", "a b", "a?b", "a\\b", "a%2f", &"x".repeat(257)] {
            assert!(check_folder("folder", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn frames_come_back_and_malformed_ones_do_not() {
        let mut writer = PartWriter::new(1);
        writer.push(FrameKind::Hsm, b"one").unwrap();
        writer.push(FrameKind::Version, b"").unwrap();
        let bytes = writer.frames.expose().clone();
        let mut frames = Frames::new(Secret::new(bytes.clone()));
        assert_eq!(frames.next().unwrap(), Some((FrameKind::Hsm, b"one".as_slice())));
        assert_eq!(frames.next().unwrap(), Some((FrameKind::Version, b"".as_slice())));
        assert_eq!(frames.next().unwrap(), None);
        for malformed in [&bytes[..7], &[6, 0, 0, 0, 0][..], &[1, 255, 255, 255, 255, 0][..], &[1][..]] {
            assert!(Frames::new(Secret::new(malformed.to_vec())).next().is_err());
        }
        assert!(writer.push(FrameKind::Key, &vec![0; FRAME_BYTES_MAX]).is_err());
    }
}
