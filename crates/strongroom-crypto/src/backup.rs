//! Sealing of backups: what leaves an HSM, and opens again only under the same security domain.
//!
//! ```text
//! preamble: header 30 | wrapped key 80
//! header:   "SRBACKUP" 8 | format u8 = 1 | kind u8 | domain id 16 | epoch u32                  (integers big-endian)
//! wrapped:  salt 32 | data key, encrypted 32 | tag 16                  under KDF(root, `backup`, epoch), bound to the header
//! chunk:    salt 32 | ciphertext | tag 16            under the data key, bound to preamble | number u64 | position u8
//! ```
//! Each backup has a random data key. Chunks are numbered from 0, and the last one says that it is the last, so nothing
//! can be left out, repeated, exchanged or cut off. No instance is bound: a backup opens in any HSM of its domain. How
//! chunks are laid out in blobs is up to who writes them (`docs/key-backup-format.md`).

use strongroom_types::{DomainId, Epoch, Secret};
use uuid::Uuid;

use crate::one_use::OneUseKeys;
use crate::{CryptoError, Entropy, Label, Root};

/// What a backup is one of. A backup of one kind does not open as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupKind {
    /// One key of a managed HSM.
    ManagedHsmKey,
    /// A whole managed HSM.
    ManagedHsm,
    /// One key of a vault.
    VaultKey,
}

impl BackupKind {
    const ALL: [Self; 3] = [Self::ManagedHsmKey, Self::ManagedHsm, Self::VaultKey];

    const fn number(self) -> u8 {
        match self {
            Self::ManagedHsmKey => 1,
            Self::ManagedHsm => 2,
            Self::VaultKey => 3,
        }
    }
}

/// The header of a backup, readable without a key and authenticated when the backup is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupHeader {
    /// What it is a backup of.
    pub kind: BackupKind,
    /// The domain whose root sealed it.
    pub domain: DomainId,
    /// Which root of that domain.
    pub epoch: Epoch,
}

impl BackupHeader {
    const BYTES: usize = MAGIC.len() + 2 + 16 + 4;

    /// Reads the header at the beginning of a backup. What it says is unproved until the backup is opened.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] for everything this version does not write.
    pub fn peek(backup: &[u8]) -> Result<Self, CryptoError> {
        let rest = backup.strip_prefix(MAGIC).ok_or(CryptoError::Rejected)?;
        let ([format, kind], rest) = rest.split_first_chunk::<2>().ok_or(CryptoError::Rejected)?;
        let (domain, rest) = rest.split_first_chunk::<16>().ok_or(CryptoError::Rejected)?;
        let (epoch, _) = rest.split_first_chunk::<4>().ok_or(CryptoError::Rejected)?;
        let kind = BackupKind::ALL.into_iter().find(|known| known.number() == *kind);
        match kind {
            Some(kind) if *format == FORMAT => Ok(Self {
                kind,
                domain: DomainId::from_uuid(Uuid::from_bytes(*domain)),
                epoch: Epoch::new(u32::from_be_bytes(*epoch)),
            }),
            _ => Err(CryptoError::Rejected),
        }
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[FORMAT, self.kind.number()]);
        bytes.extend_from_slice(self.domain.as_bytes());
        bytes.extend_from_slice(&self.epoch.number().to_be_bytes());
        bytes
    }
}

/// Wraps the keys of backups under one root of a domain.
pub struct BackupKey {
    domain: DomainId,
    epoch: Epoch,
    keys: OneUseKeys,
}

impl std::fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupKey").field("domain", &self.domain).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl BackupKey {
    /// KDF(root, `backup`, epoch).
    pub fn new(root: &Root, domain: DomainId, epoch: Epoch) -> Result<Self, CryptoError> {
        let key = root.derive(Label::Backup, &[&epoch.number().to_be_bytes()])?;
        Ok(Self { domain, epoch, keys: OneUseKeys::new(key.expose()) })
    }
}

/// Whether a chunk is followed by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// More follow.
    Inner,
    /// It is the last.
    Last,
}

/// Seals, or opens, the chunks of one backup in their order.
pub struct BackupChunks {
    keys: OneUseKeys,
    preamble: Vec<u8>,
    next: u64,
}

impl std::fmt::Debug for BackupChunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupChunks").field("next", &self.next).finish_non_exhaustive()
    }
}

impl BackupChunks {
    /// Length of the preamble, in bytes.
    pub const PREAMBLE_BYTES: usize = BackupHeader::BYTES + OneUseKeys::OVERHEAD_BYTES + DATA_KEY_BYTES;

    /// Begins a backup under a new data key.
    pub fn create(key: &BackupKey, kind: BackupKind, entropy: &dyn Entropy) -> Result<Self, CryptoError> {
        let header = BackupHeader { kind, domain: key.domain, epoch: key.epoch }.to_bytes();
        let mut data_key = Secret::new([0; DATA_KEY_BYTES]);
        entropy.fill(data_key.expose_mut())?;
        let preamble = key.keys.seal(entropy, header.clone(), &header, data_key.expose())?;
        Ok(Self { keys: OneUseKeys::new(data_key.expose()), preamble, next: 0 })
    }

    /// Begins to open a backup; more bytes than the preamble may follow.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] if it is not of this kind, domain and epoch, or was altered.
    pub fn open(key: &BackupKey, kind: BackupKind, backup: &[u8]) -> Result<Self, CryptoError> {
        let found = BackupHeader::peek(backup)?;
        if found != (BackupHeader { kind, domain: key.domain, epoch: key.epoch }) {
            return Err(CryptoError::Rejected);
        }
        let preamble = backup.get(..Self::PREAMBLE_BYTES).ok_or(CryptoError::Rejected)?;
        let (header, wrapped) = preamble.split_at_checked(BackupHeader::BYTES).ok_or(CryptoError::Rejected)?;
        let data_key = key.keys.open(header, wrapped)?;
        let data_key = data_key.expose().first_chunk::<DATA_KEY_BYTES>().ok_or(CryptoError::Rejected)?;
        Ok(Self { keys: OneUseKeys::new(data_key), preamble: preamble.to_vec(), next: 0 })
    }

    /// What the backup begins with.
    pub fn preamble(&self) -> &[u8] {
        &self.preamble
    }

    /// Seals the next chunk.
    pub fn seal(
        &mut self,
        entropy: &dyn Entropy,
        position: Position,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let associated_data = self.bound_to(self.next, position);
        self.next = self.next.saturating_add(1);
        self.keys.seal(entropy, Vec::new(), &associated_data, plaintext)
    }

    /// Opens the next chunk.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] if it is not the chunk of this number and position, or was altered.
    pub fn open_next(&mut self, position: Position, sealed: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        let opened = self.open_at(self.next, position, sealed);
        self.next = self.next.saturating_add(1);
        opened
    }

    /// Opens the chunk of a number, whatever was opened before; for backups whose chunks lie apart.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] if it is not the chunk of this number and position, or was altered.
    pub fn open_at(&self, number: u64, position: Position, sealed: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        self.keys.open(&self.bound_to(number, position), sealed)
    }

    /// What a chunk is bound to.
    fn bound_to(&self, number: u64, position: Position) -> Vec<u8> {
        let mut data = self.preamble.clone();
        data.extend_from_slice(&number.to_be_bytes());
        data.push(match position {
            Position::Inner => 0,
            Position::Last => 1,
        });
        data
    }
}

const MAGIC: &[u8] = b"SRBACKUP";
const FORMAT: u8 = 1;
const DATA_KEY_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    fn domain(number: u8) -> DomainId {
        DomainId::from_uuid(Uuid::from_bytes([number; 16]))
    }

    /// Three chunks under a key, with their preamble.
    fn backup(key: &BackupKey) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut chunks = BackupChunks::create(key, BackupKind::ManagedHsmKey, &SystemEntropy).unwrap();
        let sealed = [(Position::Inner, b"one".as_slice()), (Position::Inner, b""), (Position::Last, b"three")]
            .map(|(position, text)| chunks.seal(&SystemEntropy, position, text).unwrap());
        (chunks.preamble().to_vec(), sealed.to_vec())
    }

    fn open(key: &BackupKey, preamble: &[u8], sealed: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, CryptoError> {
        let mut chunks = BackupChunks::open(key, BackupKind::ManagedHsmKey, preamble)?;
        let (last, inner) = sealed.split_last().unwrap();
        let mut opened = Vec::new();
        for chunk in inner {
            opened.push(chunks.open_next(Position::Inner, chunk)?.expose().clone());
        }
        opened.push(chunks.open_next(Position::Last, last)?.expose().clone());
        Ok(opened)
    }

    #[test]
    fn a_backup_opens_under_its_root_kind_domain_and_epoch_only() {
        let (root, other) = (Root::generate(&SystemEntropy).unwrap(), Root::generate(&SystemEntropy).unwrap());
        let key = BackupKey::new(&root, domain(1), Epoch::new(1)).unwrap();
        let (preamble, sealed) = backup(&key);
        assert_eq!(preamble.len(), BackupChunks::PREAMBLE_BYTES);
        assert_eq!(open(&key, &preamble, &sealed).unwrap(), [b"one".to_vec(), b"".to_vec(), b"three".to_vec()]);
        let header = BackupHeader::peek(&preamble).unwrap();
        assert_eq!((header.kind, header.domain, header.epoch), (BackupKind::ManagedHsmKey, domain(1), Epoch::new(1)));
        for wrong in [
            BackupKey::new(&other, domain(1), Epoch::new(1)),
            BackupKey::new(&root, domain(2), Epoch::new(1)),
            BackupKey::new(&root, domain(1), Epoch::new(2)),
        ] {
            assert_eq!(open(&wrong.unwrap(), &preamble, &sealed).unwrap_err(), CryptoError::Rejected);
        }
        for kind in [BackupKind::ManagedHsm, BackupKind::VaultKey] {
            assert_eq!(BackupChunks::open(&key, kind, &preamble).unwrap_err(), CryptoError::Rejected);
            let mut relabelled = preamble.clone();
            relabelled[9] = kind.number();
            assert_eq!(BackupChunks::open(&key, kind, &relabelled).unwrap_err(), CryptoError::Rejected);
        }
    }

    #[test]
    fn chunks_cannot_be_left_out_exchanged_repeated_or_taken_from_another_backup() {
        let root = Root::generate(&SystemEntropy).unwrap();
        let key = BackupKey::new(&root, domain(1), Epoch::new(1)).unwrap();
        let (preamble, sealed) = backup(&key);
        let (_, foreign) = backup(&key);
        let [one, two, three] = [0, 1, 2].map(|index| sealed[index].clone());
        for wrong in [
            vec![one.clone(), two.clone()],
            vec![one.clone()],
            vec![one.clone(), three.clone()],
            vec![two.clone(), one.clone(), three.clone()],
            vec![one.clone(), two.clone(), two.clone(), three.clone()],
            vec![one.clone(), two.clone(), three.clone(), three.clone()],
            vec![one, foreign[1].clone(), three],
        ] {
            assert_eq!(open(&key, &preamble, &wrong).unwrap_err(), CryptoError::Rejected);
        }
    }

    #[test]
    fn a_chunk_opens_at_its_own_number_only() {
        let root = Root::generate(&SystemEntropy).unwrap();
        let key = BackupKey::new(&root, domain(1), Epoch::new(1)).unwrap();
        let (preamble, sealed) = backup(&key);
        let chunks = BackupChunks::open(&key, BackupKind::ManagedHsmKey, &preamble).unwrap();
        assert_eq!(chunks.open_at(2, Position::Last, &sealed[2]).unwrap().expose(), b"three");
        assert_eq!(chunks.open_at(0, Position::Inner, &sealed[0]).unwrap().expose(), b"one");
        for (number, position) in [(1, Position::Inner), (0, Position::Last), (u64::MAX, Position::Inner)] {
            assert_eq!(chunks.open_at(number, position, &sealed[0]).unwrap_err(), CryptoError::Rejected);
        }
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let root = Root::generate(&SystemEntropy).unwrap();
        let key = BackupKey::new(&root, domain(1), Epoch::new(1)).unwrap();
        let (preamble, sealed) = backup(&key);
        for position in 0..preamble.len() {
            let mut altered = preamble.clone();
            altered[position] ^= 1;
            assert!(open(&key, &altered, &sealed).is_err(), "byte {position}");
            assert!(BackupChunks::open(&key, BackupKind::ManagedHsmKey, &preamble[..position]).is_err());
        }
        for position in 0..sealed[2].len() {
            let mut altered = sealed.clone();
            altered[2][position] ^= 1;
            assert!(open(&key, &preamble, &altered).is_err(), "byte {position} of the last chunk");
        }
    }
}
