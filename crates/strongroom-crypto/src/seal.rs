//! Sealing of records: what the store gets to see.
//!
//! A sealed value opens only at its place: format, epoch, instance, change number and the whole store key are
//! associated data. It says nothing about time; that is what change numbers and the guard are for (protocols.md §2).
//!
//! ```text
//! format u8 = 1 | domain id 16 | epoch u32 | change u64 | salt 32 | ciphertext | tag 16        (integers big-endian)
//! ```
//! Each seal draws 32 random bytes and derives a one-use AES-256-GCM key from them and the record key, so that there is
//! no nonce to repeat and no limit on the number of records.

use strongroom_types::{DomainId, Epoch, Secret};
use uuid::Uuid;

use crate::one_use::{OneUseKeys, SALT_BYTES};
use crate::{CryptoError, Entropy, Label, Root};

/// The header of a sealed value, readable without a key and authenticated when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The domain whose root sealed it.
    pub domain: DomainId,
    /// Which root of that domain.
    pub epoch: Epoch,
    /// The change number: rises with every write of the same store key.
    pub change: u64,
}

impl Header {
    const FORMAT: u8 = 1;
    const BYTES: usize = 1 + 16 + 4 + 8;

    /// Reads the header of a sealed value without opening it. What it says is unproved until then.
    pub fn peek(sealed: &[u8]) -> Result<Self, CryptoError> {
        let malformed = CryptoError::Rejected;
        let (format, rest) = sealed.split_first().ok_or(malformed.clone())?;
        let (domain, rest) = rest.split_first_chunk::<16>().ok_or(malformed.clone())?;
        let (epoch, rest) = rest.split_first_chunk::<4>().ok_or(malformed.clone())?;
        let (change, _) = rest.split_first_chunk::<8>().ok_or(malformed.clone())?;
        if *format != Self::FORMAT {
            return Err(malformed);
        }
        Ok(Self {
            domain: DomainId::from_uuid(Uuid::from_bytes(*domain)),
            epoch: Epoch::new(u32::from_be_bytes(*epoch)),
            change: u64::from_be_bytes(*change),
        })
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.push(Self::FORMAT);
        bytes.extend_from_slice(self.domain.as_bytes());
        bytes.extend_from_slice(&self.epoch.number().to_be_bytes());
        bytes.extend_from_slice(&self.change.to_be_bytes());
        bytes
    }
}

/// What no other sealed value has: the instance it was sealed for, its header, and the random bytes of its seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealId {
    instance: Uuid,
    domain: DomainId,
    epoch: Epoch,
    /// Header and salt as they lie in the store.
    bytes: [u8; Self::BYTES],
}

impl SealId {
    const BYTES: usize = Header::BYTES + SALT_BYTES;

    /// Whether a value is the one that was opened, as far as its seal tells: whoever alters what follows in the store cannot
    /// make that open.
    pub fn is_of(&self, sealed: &[u8]) -> bool {
        sealed.first_chunk() == Some(&self.bytes)
    }
}

/// A sealed value that was opened.
#[derive(Debug)]
pub struct Opened {
    /// Its change number, which is proved by now.
    pub change: u64,
    /// What tells it from every other sealed value.
    pub id: SealId,
    /// What was sealed.
    pub plaintext: Secret<Vec<u8>>,
}

/// Seals and opens the records of one instance under one root.
///
/// The instance is a managed HSM, a vault, or the deployment itself; its 16 bytes are bound into the key. Everything is
/// sealed under one epoch; while records of earlier epochs are being sealed again, those are opened too.
pub struct Sealer {
    domain: DomainId,
    epoch: Epoch,
    instance: Uuid,
    keys: OneUseKeys,
    earlier: Vec<(Epoch, OneUseKeys)>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("domain", &self.domain).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Sealer {
    /// The record key of an instance: KDF(root, `record`, epoch ‖ instance).
    pub fn new(root: &Root, domain: DomainId, epoch: Epoch, instance: Uuid) -> Result<Self, CryptoError> {
        Ok(Self { domain, epoch, instance, keys: record_keys(root, epoch, instance)?, earlier: Vec::new() })
    }

    /// The same, which also opens what was sealed under an earlier epoch of the domain.
    pub fn opening(mut self, root: &Root, epoch: Epoch) -> Result<Self, CryptoError> {
        self.earlier.push((epoch, record_keys(root, epoch, self.instance)?));
        Ok(self)
    }

    /// Whether a value with this header is to be sealed again: it opens, but under an earlier epoch.
    pub fn is_outdated(&self, header: &Header) -> bool {
        header.domain == self.domain && self.earlier.iter().any(|(epoch, _)| *epoch == header.epoch)
    }

    /// Seals a value for a place.
    pub fn seal(
        &self,
        entropy: &dyn Entropy,
        store_key: &str,
        change: u64,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let header = Header { domain: self.domain, epoch: self.epoch, change };
        self.keys.seal(entropy, header.to_bytes(), &self.associated_data(header, store_key), plaintext)
    }

    /// Opens a value that was read from a place.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] if it was not sealed for exactly this place, instance and domain under an epoch that is
    /// opened here, or was altered.
    pub fn open(&self, store_key: &str, sealed: &[u8]) -> Result<Opened, CryptoError> {
        let header = Header::peek(sealed)?;
        let rest = sealed.get(Header::BYTES..).ok_or(CryptoError::Rejected)?;
        let bytes = *sealed.first_chunk().ok_or(CryptoError::Rejected)?;
        let Header { domain, epoch, change } = header;
        let keys = self.keys_of(domain, epoch).ok_or(CryptoError::Rejected)?;
        let plaintext = keys.open(&self.associated_data(header, store_key), rest)?;
        Ok(Opened { change, id: SealId { instance: self.instance, domain, epoch, bytes }, plaintext })
    }

    /// Whether a value that was opened elsewhere opens here too: the same instance and domain, and an epoch that is opened
    /// here.
    pub fn opens(&self, id: &SealId) -> bool {
        id.instance == self.instance && self.keys_of(id.domain, id.epoch).is_some()
    }

    fn keys_of(&self, domain: DomainId, epoch: Epoch) -> Option<&OneUseKeys> {
        if domain != self.domain {
            return None;
        }
        if epoch == self.epoch {
            return Some(&self.keys);
        }
        self.earlier.iter().find(|(earlier, _)| *earlier == epoch).map(|(_, keys)| keys)
    }

    fn associated_data(&self, header: Header, store_key: &str) -> Vec<u8> {
        let mut data = header.to_bytes();
        data.extend_from_slice(self.instance.as_bytes());
        data.extend_from_slice(store_key.as_bytes());
        data
    }
}

fn record_keys(root: &Root, epoch: Epoch, instance: Uuid) -> Result<OneUseKeys, CryptoError> {
    let key = root.derive(Label::Record, &[&epoch.number().to_be_bytes(), instance.as_bytes()])?;
    Ok(OneUseKeys::new(key.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    fn sealer(root: &Root, domain: u8, epoch: u32, instance: u8) -> Sealer {
        let domain = DomainId::from_uuid(Uuid::from_bytes([domain; 16]));
        Sealer::new(root, domain, Epoch::new(epoch), Uuid::from_bytes([instance; 16])).unwrap()
    }

    #[test]
    fn an_earlier_epoch_opens_where_it_is_asked_for_and_nothing_is_sealed_under_it() {
        let (first, second) = (Root::generate(&SystemEntropy).unwrap(), Root::generate(&SystemEntropy).unwrap());
        let (before, after) = (sealer(&first, 1, 1, 1), sealer(&second, 1, 2, 1));
        let sealed = before.seal(&SystemEntropy, "a/b", 7, b"value").unwrap();
        let header = Header::peek(&sealed).unwrap();
        assert!(!after.is_outdated(&header) && !before.is_outdated(&header));
        assert_eq!(after.open("a/b", &sealed).unwrap_err(), CryptoError::Rejected);
        let both = sealer(&second, 1, 2, 1).opening(&first, Epoch::FIRST).unwrap();
        assert!(both.is_outdated(&header));
        assert_eq!(both.open("a/b", &sealed).unwrap().plaintext.expose().as_slice(), b"value".as_slice());
        assert_eq!(both.open("a/c", &sealed).unwrap_err(), CryptoError::Rejected);
        let again = both.seal(&SystemEntropy, "a/b", 8, b"value").unwrap();
        assert_eq!(Header::peek(&again).unwrap().epoch, Epoch::new(2));
        assert!(before.open("a/b", &again).is_err() && after.open("a/b", &again).is_ok());
        // The right epoch under another domain's name is not opened.
        let stranger = sealer(&second, 2, 2, 1).opening(&first, Epoch::FIRST).unwrap();
        assert!(!stranger.is_outdated(&header) && stranger.open("a/b", &sealed).is_err());
    }

    #[test]
    fn a_seal_is_known_again_by_who_opens_it_and_two_of_one_value_are_told_apart() {
        let (root, later) = (Root::generate(&SystemEntropy).unwrap(), Root::generate(&SystemEntropy).unwrap());
        let here = sealer(&root, 1, 1, 1);
        let seal = || here.seal(&SystemEntropy, "a/b", 7, b"value").unwrap();
        let (first, second) = (seal(), seal());
        let id = here.open("a/b", &first).unwrap().id;
        assert!(id.is_of(&first) && !id.is_of(&second) && !id.is_of(&first[..60]));
        assert!(here.opens(&id) && sealer(&later, 1, 2, 1).opening(&root, Epoch::FIRST).unwrap().opens(&id));
        for other in [sealer(&root, 2, 1, 1), sealer(&root, 1, 2, 1), sealer(&root, 1, 1, 2)] {
            assert!(!other.opens(&id), "{other:?}");
        }
    }

    #[test]
    fn a_value_opens_only_at_its_place() {
        let (root, other) = (Root::generate(&SystemEntropy).unwrap(), Root::generate(&SystemEntropy).unwrap());
        let here = sealer(&root, 1, 1, 1);
        let sealed = here.seal(&SystemEntropy, "a/b", 7, b"value").unwrap();
        let opened = here.open("a/b", &sealed).unwrap();
        assert_eq!((opened.change, opened.plaintext.expose().as_slice()), (7, b"value".as_slice()));
        for (sealer, key) in [
            (&here, "a/c"),
            (&sealer(&root, 1, 1, 2), "a/b"),
            (&sealer(&root, 1, 2, 1), "a/b"),
            (&sealer(&root, 2, 1, 1), "a/b"),
            (&sealer(&other, 1, 1, 1), "a/b"),
        ] {
            assert_eq!(sealer.open(key, &sealed).unwrap_err(), CryptoError::Rejected);
        }
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let root = Root::generate(&SystemEntropy).unwrap();
        let sealer = sealer(&root, 1, 1, 1);
        let sealed = sealer.seal(&SystemEntropy, "k", 1, b"x").unwrap();
        for position in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[position] ^= 1;
            assert!(sealer.open("k", &altered).is_err(), "byte {position}");
        }
        for length in 0..sealed.len() {
            assert!(sealer.open("k", &sealed[..length]).is_err(), "length {length}");
        }
    }
}
