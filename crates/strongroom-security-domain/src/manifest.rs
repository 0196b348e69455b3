//! The manifest: an entry that says which entries, custodians and epoch belong together, signed by the domain.
//!
//! The format itself binds nothing to anything: entries can be dropped, exchanged or added by whoever makes an upload,
//! and the quorum named in a file is unprotected. The official clients carry the manifest along like any other entry.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use strongroom_crypto::digest::sha256;
use strongroom_crypto::verify_ed25519;
use strongroom_types::{DomainId, Epoch, Secret, Timestamp};

use crate::domain::domain_id_of;
use crate::entries::{DOMAIN_TAG, Entries, Entry, MANIFEST_TAG};
use crate::{Custodians, DomainSecrets, Quorum, SecurityDomainError, Thumbprint};

/// What a manifest says, once its signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The domain.
    pub domain_id: DomainId,
    /// The newest epoch when the file was made.
    pub epoch: Epoch,
    /// How many custodians there are and how many open.
    pub quorum: Quorum,
    /// The certificates of the custodians, in the order of their shares.
    pub certificates: Vec<Thumbprint>,
    /// When the file was made, in whole seconds.
    pub created: Timestamp,
}

/// A domain whose entries were opened and found to belong together.
#[derive(Debug)]
pub struct OpenedDomain {
    /// The secrets.
    pub secrets: Arc<DomainSecrets>,
    /// Where they come from.
    pub manifest: Manifest,
}

impl OpenedDomain {
    /// Checks opened entries against their manifest.
    pub(crate) fn from_entries(entries: &Entries) -> Result<Self, SecurityDomainError> {
        let entry = |tag| entries.get(tag).ok_or(SecurityDomainError::Altered("an entry is missing"));
        let (domain, manifest) = (entry(DOMAIN_TAG)?, entry(MANIFEST_TAG)?);
        let wire = Wire::parse(manifest.expose())?;
        wire.verify()?;
        for entry in entries.iter().filter(|entry| entry.tag != MANIFEST_TAG) {
            if wire.entries.get(&entry.tag) != Some(&hash(&entry.plaintext)) {
                return Err(SecurityDomainError::Altered("an entry is not the one of the manifest"));
            }
        }
        let secrets = DomainSecrets::from_bytes(domain.expose())?;
        let manifest = wire.into_manifest()?;
        if secrets.domain_id() != manifest.domain_id || secrets.root(manifest.epoch).is_none() {
            return Err(SecurityDomainError::Altered("the manifest is that of another domain"));
        }
        Ok(Self { secrets: Arc::new(secrets), manifest })
    }
}

/// Both entries of a domain.
pub(crate) fn make_entries(
    secrets: &DomainSecrets,
    epoch: Epoch,
    custodians: &Custodians,
    created: Timestamp,
) -> Result<Entries, SecurityDomainError> {
    if secrets.root(epoch).is_none() {
        return Err(SecurityDomainError::UnknownEpoch);
    }
    let domain = Entry { tag: DOMAIN_TAG.to_owned(), plaintext: secrets.to_bytes()? };
    let identity = secrets.identity()?;
    let mut wire = Wire {
        certificates: custodians.certificates().iter().map(|one| one.thumbprint().to_string()).collect(),
        created: created.seconds(),
        domain_id: secrets.domain_id(),
        entries: BTreeMap::from([(domain.tag.clone(), hash(&domain.plaintext))]),
        epoch,
        format: FORMAT,
        public_key: URL_SAFE_NO_PAD.encode(identity.public_key()),
        required: custodians.quorum().required(),
        signature: None,
        total: custodians.quorum().total(),
    };
    let signature = identity.sign(&wire.signed_bytes()?)?;
    wire.signature = Some(URL_SAFE_NO_PAD.encode(signature));
    let manifest = Entry { tag: MANIFEST_TAG.to_owned(), plaintext: Secret::new(wire.to_bytes()?) };
    Ok(Entries(vec![domain, manifest]))
}

/// The manifest as JSON, members in the order of their names.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    certificates: Vec<String>,
    created: i64,
    domain_id: DomainId,
    entries: BTreeMap<String, String>,
    epoch: Epoch,
    format: u32,
    public_key: String,
    required: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    total: u8,
}

impl Wire {
    /// Only the bytes that [`Wire::to_bytes`] writes are a manifest: nothing can hide in another spelling.
    fn parse(bytes: &[u8]) -> Result<Self, SecurityDomainError> {
        let wire: Self = serde_json::from_slice(bytes).map_err(|_| malformed("it is no JSON of this format"))?;
        if wire.format != FORMAT {
            return Err(malformed("its format is unknown"));
        }
        if wire.to_bytes()? != bytes {
            return Err(malformed("it is not canonical"));
        }
        Ok(wire)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, SecurityDomainError> {
        serde_json::to_vec(self).map_err(|_| malformed("it cannot be written"))
    }

    /// What is signed: a label, a zero byte, and the manifest without its signature.
    fn signed_bytes(&self) -> Result<Vec<u8>, SecurityDomainError> {
        let unsigned = Self { signature: None, ..self.clone() };
        Ok([SIGNATURE_LABEL, &[0], unsigned.to_bytes()?.as_slice()].concat())
    }

    /// The key that signed must be the one the domain is named after.
    fn verify(&self) -> Result<(), SecurityDomainError> {
        let decode = |text: &String| URL_SAFE_NO_PAD.decode(text).ok();
        let public_key = decode(&self.public_key).and_then(|key| <[u8; 32]>::try_from(key).ok());
        let public_key = public_key.ok_or(malformed("its public key has 32 bytes"))?;
        if domain_id_of(&public_key) != self.domain_id {
            return Err(SecurityDomainError::Altered("the manifest is signed by another domain"));
        }
        let signature = self.signature.as_ref().and_then(decode).unwrap_or_default();
        if !verify_ed25519(&public_key, &self.signed_bytes()?, &signature) {
            return Err(SecurityDomainError::Altered("the signature of the manifest is wrong"));
        }
        Ok(())
    }

    fn into_manifest(self) -> Result<Manifest, SecurityDomainError> {
        let certificates = self.certificates.iter().map(|text| Thumbprint::from_base64url(text)).collect::<Option<_>>();
        Ok(Manifest {
            domain_id: self.domain_id,
            epoch: self.epoch,
            quorum: Quorum::new(i64::from(self.required), usize::from(self.total))?,
            certificates: certificates.ok_or(malformed("its certificates are thumbprints"))?,
            created: Timestamp::from_seconds(self.created),
        })
    }
}

fn hash(plaintext: &Secret<Vec<u8>>) -> String {
    URL_SAFE_NO_PAD.encode(sha256(plaintext.expose()))
}

fn malformed(problem: &'static str) -> SecurityDomainError {
    SecurityDomainError::Malformed { what: "manifest", problem }
}

const FORMAT: u32 = 1;
const SIGNATURE_LABEL: &[u8] = b"strongroom/security-domain-manifest";

#[cfg(test)]
mod tests;
