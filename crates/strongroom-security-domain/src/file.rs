//! The security-domain file: what the custodians keep.

use serde::{Deserialize, Serialize};
use strongroom_crypto::Entropy;
use strongroom_types::{Epoch, Timestamp};

use crate::entries::{EncData, STRONGROOM_TAGS, draw_master};
use crate::manifest::make_entries;
use crate::shamir::{Coefficients, self_check, split};
use crate::{Custodians, DomainSecrets, Quorum, SecurityDomainError, TEXT_BYTES_MAX, Thumbprint, jwe};

/// A security-domain file (docs/security-domain-format.md), members in the order of the official service.
#[derive(Serialize, Deserialize)]
pub struct SecurityDomainFile {
    #[serde(rename = "EncData")]
    pub(crate) enc_data: EncData,
    #[serde(rename = "SharedKeys")]
    shared_keys: SharedKeys,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct SharedKeys {
    enc_shares: Vec<EncryptedKey>,
    key_algorithm: String,
    required: i64,
}

/// A key encrypted to a certificate.
#[derive(Serialize, Deserialize)]
pub(crate) struct EncryptedKey {
    pub(crate) enc_key: String,
    pub(crate) x5t_256: String,
}

/// A custodian's share, still encrypted.
pub(crate) struct EncryptedShare<'a> {
    pub(crate) thumbprint: Thumbprint,
    pub(crate) compact: &'a str,
}

/// What a file says without a key. Nothing of it is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// How many custodians there are and how many open.
    pub quorum: Quorum,
    /// Their certificates, in the order of their shares.
    pub certificates: Vec<Thumbprint>,
    /// The tags of the entries.
    pub tags: Vec<String>,
}

impl FileFacts {
    /// Reads them from a file, whoever made it.
    ///
    /// # Errors
    /// [`SecurityDomainError::Malformed`], [`SecurityDomainError::Altered`] for tags that are there twice.
    pub fn read(text: &str) -> Result<Self, SecurityDomainError> {
        let file = SecurityDomainFile::read(text)?;
        let tags = file.enc_data.tags();
        file.enc_data.check(WHAT, &tags)?;
        Ok(Self {
            quorum: file.quorum()?,
            certificates: file.shares()?.iter().map(|share| share.thumbprint).collect(),
            tags: tags.into_iter().map(str::to_owned).collect(),
        })
    }

    /// Whether the entries are those that strongroom makes.
    pub fn is_ours(&self) -> bool {
        self.tags.len() == STRONGROOM_TAGS.len()
            && STRONGROOM_TAGS.iter().all(|tag| self.tags.iter().any(|it| it == tag))
    }
}

impl SecurityDomainFile {
    /// Makes the file of a domain: a fresh master key, the entries under it, a share of it to each custodian.
    ///
    /// # Errors
    /// [`SecurityDomainError::UnknownEpoch`]; [`SecurityDomainError::SelfCheck`] if the machine miscalculated;
    /// [`SecurityDomainError::Crypto`].
    pub fn build(
        secrets: &DomainSecrets,
        epoch: Epoch,
        custodians: &Custodians,
        created: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<String, SecurityDomainError> {
        let quorum = custodians.quorum();
        let entries = make_entries(secrets, epoch, custodians, created)?;
        let master = draw_master(entropy)?;
        let enc_data = EncData::seal(&entries, master.expose(), entropy)?;
        let coefficients = Coefficients::draw(quorum, master.expose().len(), entropy)?;
        let shares = split(master.expose(), &coefficients, quorum.total());
        self_check(master.expose(), &shares, quorum.required(), entropy)?;
        let mut enc_shares = Vec::with_capacity(shares.len());
        for (share, certificate) in shares.iter().zip(custodians.certificates()) {
            let enc_key = jwe::seal_to(certificate.public(), share.to_bytes().expose(), entropy)?;
            enc_shares.push(EncryptedKey { enc_key, x5t_256: certificate.thumbprint().to_string() });
        }
        let file = Self {
            enc_data,
            shared_keys: SharedKeys {
                enc_shares,
                key_algorithm: KEY_ALGORITHM.to_owned(),
                required: i64::from(quorum.required()),
            },
            version: VERSION,
        };
        serde_json::to_string(&file).map_err(|_| malformed("it cannot be written"))
    }

    /// Reads a file and checks what needs no key.
    pub(crate) fn parse(text: &str, expected_tags: &[&str]) -> Result<Self, SecurityDomainError> {
        let file = Self::read(text)?;
        file.enc_data.check(WHAT, expected_tags)?;
        Ok(file)
    }

    fn read(text: &str) -> Result<Self, SecurityDomainError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let file: Self = serde_json::from_str(text).map_err(|_| malformed("it is no JSON of this format"))?;
        if file.version != VERSION {
            return Err(malformed("its version must be 2"));
        }
        if file.shared_keys.key_algorithm != KEY_ALGORITHM {
            return Err(malformed("its key_algorithm must be shamir_share"));
        }
        file.quorum()?;
        file.shares()?;
        Ok(file)
    }

    /// The quorum as the file has it, which nothing protects: the manifest knows better.
    pub(crate) fn quorum(&self) -> Result<Quorum, SecurityDomainError> {
        Quorum::new(self.shared_keys.required, self.shared_keys.enc_shares.len())
    }

    /// The shares; two for one certificate would let one custodian act for two.
    pub(crate) fn shares(&self) -> Result<Vec<EncryptedShare<'_>>, SecurityDomainError> {
        let mut shares: Vec<EncryptedShare<'_>> = Vec::with_capacity(self.shared_keys.enc_shares.len());
        for share in &self.shared_keys.enc_shares {
            let thumbprint = Thumbprint::from_base64url(&share.x5t_256)
                .ok_or(malformed("x5t_256 must be a SHA-256 in base64url"))?;
            if shares.iter().any(|other| other.thumbprint == thumbprint) {
                return Err(malformed("it has two shares for one certificate"));
            }
            shares.push(EncryptedShare { thumbprint, compact: &share.enc_key });
        }
        Ok(shares)
    }
}

const VERSION: u32 = 2;
const KEY_ALGORITHM: &str = "shamir_share";
const WHAT: &str = "security-domain file";

fn malformed(problem: &'static str) -> SecurityDomainError {
    SecurityDomainError::Malformed { what: WHAT, problem }
}
