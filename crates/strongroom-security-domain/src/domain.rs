//! What a security domain protects: its identity and its roots.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strongroom_crypto::digest::{constant_time_eq, sha256};
use strongroom_crypto::{CryptoError, DomainIdentity, Entropy, Root};
use strongroom_types::{DomainId, Epoch, Secret};
use uuid::Uuid;

use crate::SecurityDomainError;

/// The secrets of a security domain. HSMs that hold the same are one domain.
pub struct DomainSecrets {
    domain_id: DomainId,
    identity_seed: Secret<[u8; 32]>,
    // Rising epochs, at least one.
    roots: Vec<(Epoch, Root)>,
}

impl DomainSecrets {
    /// Most roots a domain can have.
    pub const EPOCHS_MAX: usize = 64;

    /// Draws a new domain with one root.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, SecurityDomainError> {
        let mut seed = Secret::new([0; 32]);
        entropy.fill(seed.expose_mut())?;
        let root = Root::generate(entropy)?;
        Ok(Self { domain_id: domain_id(&seed)?, identity_seed: seed, roots: vec![(Epoch::FIRST, root)] })
    }

    /// The same domain with one more root, under the next epoch.
    ///
    /// # Errors
    /// [`SecurityDomainError::TooManyEpochs`] if it has [`DomainSecrets::EPOCHS_MAX`] already.
    pub fn with_next_epoch(&self, entropy: &dyn Entropy) -> Result<Self, SecurityDomainError> {
        let next = self.newest_epoch().number().checked_add(1).map(Epoch::new);
        let next = next.filter(|_| self.roots.len() < Self::EPOCHS_MAX).ok_or(SecurityDomainError::TooManyEpochs)?;
        let mut roots = self.copies_of_roots(next)?;
        roots.push((next, Root::generate(entropy)?));
        Ok(Self { roots, ..self.without_roots() })
    }

    /// The same domain as it was when an epoch was the newest: later roots are left out.
    ///
    /// # Errors
    /// [`SecurityDomainError::UnknownEpoch`] if it has no root of that epoch.
    pub fn up_to(&self, newest: Epoch) -> Result<Self, SecurityDomainError> {
        self.root(newest).ok_or(SecurityDomainError::UnknownEpoch)?;
        Ok(Self { roots: self.copies_of_roots(newest)?, ..self.without_roots() })
    }

    /// Whether both are the same domain with the same newest root under the same epoch; compared in constant time.
    pub fn has_same_newest_root(&self, other: &Self) -> bool {
        let newest = self.roots.last().zip(other.roots.last());
        self.domain_id == other.domain_id
            && newest.is_some_and(|((epoch, root), (other_epoch, other_root))| {
                epoch == other_epoch && constant_time_eq(root.expose(), other_root.expose())
            })
    }

    fn copies_of_roots(&self, newest: Epoch) -> Result<Vec<(Epoch, Root)>, CryptoError> {
        let roots = self.roots.iter().filter(|(epoch, _)| *epoch <= newest);
        roots.map(|(epoch, root)| Ok((*epoch, Root::from_bytes(root.expose())?))).collect()
    }

    fn without_roots(&self) -> Self {
        let identity_seed = Secret::new(*self.identity_seed.expose());
        Self { domain_id: self.domain_id, identity_seed, roots: Vec::new() }
    }

    /// The name of the domain: the first 16 bytes of SHA-256(`strongroom/domain-id` ‖ public key of the identity).
    pub fn domain_id(&self) -> DomainId {
        self.domain_id
    }

    /// The key that signs in the name of the domain.
    pub fn identity(&self) -> Result<DomainIdentity, SecurityDomainError> {
        Ok(DomainIdentity::from_seed(self.identity_seed.expose())?)
    }

    /// All roots with their epochs, which rise.
    pub fn roots(&self) -> &[(Epoch, Root)] {
        &self.roots
    }

    /// The epoch of the newest root.
    pub fn newest_epoch(&self) -> Epoch {
        self.roots.last().map_or(Epoch::FIRST, |(epoch, _)| *epoch)
    }

    /// The root of an epoch.
    pub fn root(&self, epoch: Epoch) -> Option<&Root> {
        self.roots.iter().find(|(number, _)| *number == epoch).map(|(_, root)| root)
    }

    /// The entry `strongroom_domain`, also what an HSM seals for itself: JSON with sorted members and no spaces.
    pub fn to_bytes(&self) -> Result<Secret<Vec<u8>>, SecurityDomainError> {
        let wire = Wire {
            domain_id: self.domain_id,
            epochs: self
                .roots
                .iter()
                .map(|(epoch, root)| WireEpoch { epoch: *epoch, root: Key(Secret::new(*root.expose())) })
                .collect(),
            format: FORMAT,
            identity: Key(Secret::new(*self.identity_seed.expose())),
        };
        // Room for the longest from the start: growing would leave copies of the secrets behind.
        let mut bytes = Secret::new(Vec::with_capacity(BYTES_MAX));
        serde_json::to_writer(bytes.expose_mut(), &wire).map_err(|_| malformed("it cannot be written"))?;
        Ok(bytes)
    }

    /// Reads the entry back.
    ///
    /// # Errors
    /// [`SecurityDomainError::Malformed`] for everything [`DomainSecrets::to_bytes`] does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecurityDomainError> {
        let wire: Wire = serde_json::from_slice(bytes).map_err(|_| malformed("it is no JSON of this format"))?;
        if wire.format != FORMAT {
            return Err(malformed("its format is unknown"));
        }
        let rising = wire.epochs.is_sorted_by(|earlier, later| earlier.epoch < later.epoch);
        if !rising || !(1..=Self::EPOCHS_MAX).contains(&wire.epochs.len()) {
            return Err(malformed("its epochs must rise, from 1 to 64 of them"));
        }
        if wire.domain_id != domain_id(&wire.identity.0)? {
            return Err(malformed("its domain id is not that of its identity"));
        }
        let roots = wire.epochs.iter().map(|entry| Ok((entry.epoch, Root::from_bytes(entry.root.0.expose())?)));
        let roots = roots.collect::<Result<_, CryptoError>>()?;
        Ok(Self { domain_id: wire.domain_id, identity_seed: wire.identity.0, roots })
    }
}

impl fmt::Debug for DomainSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DomainSecrets").field("domain_id", &self.domain_id).finish_non_exhaustive()
    }
}

/// The domain id that belongs to the public key of an identity.
pub(crate) fn domain_id_of(public_key: &[u8; 32]) -> DomainId {
    let hash = sha256(&[DOMAIN_ID_LABEL, public_key.as_slice()].concat());
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    DomainId::from_uuid(Uuid::from_bytes(id))
}

fn domain_id(seed: &Secret<[u8; 32]>) -> Result<DomainId, CryptoError> {
    Ok(domain_id_of(&DomainIdentity::from_seed(seed.expose())?.public_key()))
}

const FORMAT: u32 = 1;
const DOMAIN_ID_LABEL: &[u8] = b"strongroom/domain-id";
/// Longest entry, in bytes: 64 epochs of at most 83, and what is around them.
const BYTES_MAX: usize = 64 * 83 + 256;

/// The entry as JSON, members in the order of their names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    domain_id: DomainId,
    epochs: Vec<WireEpoch>,
    format: u32,
    identity: Key,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireEpoch {
    epoch: Epoch,
    root: Key,
}

/// 32 secret bytes in base64url. They are coded in place: a `String` in between would not be wiped.
struct Key(Secret<[u8; 32]>);

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Secret::new([0; KEY_CHARS]);
        URL_SAFE_NO_PAD.encode_slice(self.0.expose(), text.expose_mut()).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(std::str::from_utf8(text.expose()).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("expected 32 bytes in base64url");
        // The decoder wants room for the longest text of that many characters.
        let mut room = Secret::new([0; 33]);
        let written = URL_SAFE_NO_PAD.decode_slice(text, room.expose_mut()).map_err(|_| wrong())?;
        let bytes = room.expose().get(..written).and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)?;
        Ok(Self(Secret::new(bytes)))
    }
}

/// Characters of 32 bytes in base64url.
const KEY_CHARS: usize = 43;

fn malformed(problem: &'static str) -> SecurityDomainError {
    SecurityDomainError::Malformed { what: "domain entry", problem }
}

#[cfg(test)]
mod tests {
    use strongroom_crypto::SystemEntropy;

    use super::*;

    #[test]
    fn the_entry_is_canonical_json_and_comes_back() {
        let secrets = fixed();
        let bytes = secrets.to_bytes().unwrap();
        let text = String::from_utf8(bytes.expose().clone()).unwrap();
        assert_eq!(
            text,
            format!(
                r#"{{"domain_id":"{}","epochs":[{{"epoch":1,"root":"{}"}},{{"epoch":4294967295,"root":"{}"}}],"format":1,"identity":"{}"}}"#,
                secrets.domain_id(),
                URL_SAFE_NO_PAD.encode([2; 32]),
                URL_SAFE_NO_PAD.encode([3; 32]),
                URL_SAFE_NO_PAD.encode([1; 32]),
            )
        );
        let again = DomainSecrets::from_bytes(bytes.expose()).unwrap();
        assert_eq!(again.to_bytes().unwrap().expose(), bytes.expose());
        assert_eq!(again.root(Epoch::new(u32::MAX)).unwrap().expose(), &[3; 32]);
        assert!(again.root(Epoch::new(2)).is_none());
    }

    #[test]
    fn the_longest_entry_needs_no_more_room_than_was_kept() {
        let roots = (0..64).map(|i| (Epoch::new(u32::MAX - 63 + i), Root::generate(&SystemEntropy).unwrap())).collect();
        let secrets = DomainSecrets { roots, ..fixed() };
        let bytes = secrets.to_bytes().unwrap();
        assert!(bytes.expose().len() <= BYTES_MAX);
        assert_eq!(bytes.expose().capacity(), BYTES_MAX);
    }

    #[test]
    fn an_entry_of_another_form_is_refused() {
        let good = String::from_utf8(fixed().to_bytes().unwrap().expose().clone()).unwrap();
        let other_id = DomainSecrets::generate(&SystemEntropy).unwrap().domain_id().to_string();
        for (wrong, problem) in [
            (good.replace(r#""format":1"#, r#""format":2"#), "format"),
            (good.replace(r#""format":1"#, r#""format":1,"format":1"#), "duplicate"),
            (good.replace(r#""format":1"#, r#""format":1,"extra":1"#), "unknown member"),
            (good.replace("4294967295", "1"), "equal epochs"),
            (good.replace("4294967295", "0"), "falling epochs"),
            (good.replace(&fixed().domain_id().to_string(), &other_id), "domain id"),
            (good.replace("AgICAg", "AgICAgIC"), "long root"),
            (good.replace("AQEBAQ", "AQEB"), "short identity"),
            (String::new(), "empty"),
        ] {
            let error = DomainSecrets::from_bytes(wrong.as_bytes()).unwrap_err();
            assert!(matches!(error, SecurityDomainError::Malformed { .. }), "{problem}");
        }
    }

    #[test]
    fn a_next_epoch_keeps_the_earlier_roots_and_can_be_left_out_again() {
        let first = DomainSecrets::generate(&SystemEntropy).unwrap();
        let second = first.with_next_epoch(&SystemEntropy).unwrap();
        assert_eq!((second.domain_id(), second.newest_epoch()), (first.domain_id(), Epoch::new(2)));
        assert_eq!(second.root(Epoch::FIRST).unwrap().expose(), first.root(Epoch::FIRST).unwrap().expose());
        assert_ne!(second.root(Epoch::new(2)).unwrap().expose(), first.root(Epoch::FIRST).unwrap().expose());
        let again = second.up_to(Epoch::FIRST).unwrap();
        assert_eq!(again.to_bytes().unwrap().expose(), first.to_bytes().unwrap().expose());
        assert_eq!(first.up_to(Epoch::new(2)).unwrap_err(), SecurityDomainError::UnknownEpoch);
    }

    #[test]
    fn a_domain_takes_no_more_roots_than_its_entry_has_room_for() {
        let mut secrets = DomainSecrets::generate(&SystemEntropy).unwrap();
        for _ in 1..DomainSecrets::EPOCHS_MAX {
            secrets = secrets.with_next_epoch(&SystemEntropy).unwrap();
        }
        assert_eq!(DomainSecrets::from_bytes(secrets.to_bytes().unwrap().expose()).unwrap().roots().len(), 64);
        assert_eq!(secrets.with_next_epoch(&SystemEntropy).unwrap_err(), SecurityDomainError::TooManyEpochs);
        assert_eq!(fixed().with_next_epoch(&SystemEntropy).unwrap_err(), SecurityDomainError::TooManyEpochs);
    }

    #[test]
    fn domains_differ_and_are_redacted_when_printed() {
        let (one, two) =
            (DomainSecrets::generate(&SystemEntropy).unwrap(), DomainSecrets::generate(&SystemEntropy).unwrap());
        assert_ne!(one.domain_id(), two.domain_id());
        assert_eq!(format!("{one:?}"), format!("DomainSecrets {{ domain_id: DomainId({}), .. }}", one.domain_id()));
    }

    fn fixed() -> DomainSecrets {
        let identity_seed = Secret::new([1; 32]);
        let root = |byte| Root::from_bytes(&[byte; 32]).unwrap();
        DomainSecrets {
            domain_id: domain_id(&identity_seed).unwrap(),
            identity_seed,
            roots: vec![(Epoch::FIRST, root(2)), (Epoch::new(u32::MAX), root(3))],
        }
    }
}
