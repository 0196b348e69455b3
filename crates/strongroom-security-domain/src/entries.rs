//! The entries of a security domain: secrets with a tag each, encrypted under keys derived from one master key.

use std::fmt;

use serde::{Deserialize, Serialize};
use strongroom_crypto::{CryptoError, Entropy};
use strongroom_types::Secret;

use crate::kdf::entry_key;
use crate::{SecurityDomainError, jwe};

/// The tag of the entry that holds the domain's secrets.
pub(crate) const DOMAIN_TAG: &str = "strongroom_domain";
/// The tag of the entry that says what belongs together.
pub(crate) const MANIFEST_TAG: &str = "mhsm_manifest";
/// The tags of our entries.
pub const STRONGROOM_TAGS: &[&str] = &[DOMAIN_TAG, MANIFEST_TAG];

/// A secret with its tag.
pub struct Entry {
    /// What kind of secret it is.
    pub tag: String,
    /// The secret.
    pub plaintext: Secret<Vec<u8>>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// All entries of a security domain, in their order.
#[derive(Debug)]
pub struct Entries(pub(crate) Vec<Entry>);

impl Entries {
    /// The entries, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// The entry with this tag.
    pub(crate) fn get(&self, tag: &str) -> Option<&Secret<Vec<u8>>> {
        self.0.iter().find(|entry| entry.tag == tag).map(|entry| &entry.plaintext)
    }
}

/// `EncData` of the format.
#[derive(Serialize, Deserialize)]
pub(crate) struct EncData {
    data: Vec<EncryptedEntry>,
    kdf: String,
}

#[derive(Serialize, Deserialize)]
struct EncryptedEntry {
    compact_jwe: String,
    tag: String,
}

impl EncData {
    /// Encrypts every entry under its key.
    pub(crate) fn seal(entries: &Entries, master: &[u8; 32], entropy: &dyn Entropy) -> Result<Self, CryptoError> {
        let seal = |entry: &Entry| {
            let key = entry_key(master, &entry.tag);
            let compact_jwe = jwe::seal_entry(key.expose(), &entry.tag, entry.plaintext.expose(), entropy)?;
            Ok(EncryptedEntry { compact_jwe, tag: entry.tag.clone() })
        };
        let data = entries.iter().map(seal).collect::<Result<_, CryptoError>>()?;
        Ok(Self { data, kdf: KDF.to_owned() })
    }

    /// The tags, as often as they are there.
    pub(crate) fn tags(&self) -> Vec<&str> {
        self.data.iter().map(|entry| entry.tag.as_str()).collect()
    }

    /// Checks what needs no key: the derivation, and that there are exactly the expected tags, once each.
    pub(crate) fn check(&self, what: &'static str, expected_tags: &[&str]) -> Result<(), SecurityDomainError> {
        let malformed = |problem| Err(SecurityDomainError::Malformed { what, problem });
        if self.kdf != KDF {
            return malformed("its kdf must be sp108_kdf");
        }
        if self.data.len() > ENTRIES_MAX {
            return malformed("it has more than 16 entries");
        }
        let has = |tag: &str| self.data.iter().any(|entry| entry.tag == tag);
        if !expected_tags.iter().any(|tag| has(tag)) {
            return Err(SecurityDomainError::Foreign);
        }
        // As many as expected and all of them: no other and none twice.
        if self.data.len() != expected_tags.len() || !expected_tags.iter().all(|tag| has(tag)) {
            return Err(SecurityDomainError::Altered("an entry is missing, twice there, or was added"));
        }
        Ok(())
    }

    /// Decrypts every entry.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] if one does not open.
    pub(crate) fn open(&self, master: &[u8; 32]) -> Result<Entries, CryptoError> {
        let open = |entry: &EncryptedEntry| {
            let key = entry_key(master, &entry.tag);
            let plaintext = jwe::open_entry(key.expose(), &entry.tag, &entry.compact_jwe)?;
            Ok(Entry { tag: entry.tag.clone(), plaintext })
        };
        self.data.iter().map(open).collect::<Result<_, CryptoError>>().map(Entries)
    }
}

/// Draws a master key.
pub(crate) fn draw_master(entropy: &dyn Entropy) -> Result<Secret<[u8; 32]>, CryptoError> {
    let mut master = Secret::new([0; 32]);
    entropy.fill(master.expose_mut())?;
    Ok(master)
}

/// The name of the derivation in the format.
const KDF: &str = "sp108_kdf";
/// Most entries looked at.
const ENTRIES_MAX: usize = 16;
