//! Checkpoints: the end of the chain, signed (ES256, RFC 7515) by a key of the deployment.
//!
//! A checkpoint is one compact JWS, so that it can be kept anywhere and checked with any JOSE library. Who has the log and
//! one checkpoint from elsewhere knows that the log up to there is as it was.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use strongroom_core::audit::rfc3339;
use strongroom_core::witness::Highest;
use strongroom_crypto::digest::sha256;
use strongroom_crypto::{CryptoError, EcPublicKey, KeyMaterial, KeySpecification, PublicKey};
use strongroom_types::{Algorithm, CurveName, Timestamp};
use uuid::Uuid;

use crate::audit_log::format::{Chain, FORMAT, LineHash};

/// What a checkpoint says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// The number of the log's format.
    pub format: u16,
    /// The deployment's id.
    pub deployment: String,
    /// The log's id, as in the head of its segments.
    pub log: Uuid,
    /// The number of the last line it covers.
    pub sequence: u64,
    /// The hash of that line.
    pub hash: LineHash,
    /// When it was made.
    pub time: String,
    /// Why it was made.
    pub reason: Reason,
    /// How many records the node has seen.
    pub records: usize,
    /// The highest change number among them.
    pub highest_change: u64,
    /// The change number of each guard, by its store key: it rises with each change of rights or state. At most
    /// [`GUARDS_MAX`] of them, in the order of their keys.
    pub guards: BTreeMap<String, u64>,
}

/// A checkpoint with its signature.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The compact JWS.
    pub jws: String,
}

/// Why a checkpoint was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// The server has started.
    Start,
    /// Time has passed, and there were events.
    Interval,
    /// The segment ends here.
    Segment,
    /// The server closed the log.
    Stop,
}

/// The key that signs checkpoints, and whose log it is.
pub struct CheckpointKey {
    key: KeyMaterial,
    public: PublicJwk,
    thumbprint: String,
    deployment: String,
}

/// The public half, as a JWK (RFC 7518 §6.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicJwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

/// Checks checkpoints.
pub struct CheckpointVerifier {
    key: EcPublicKey,
    thumbprint: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

impl CheckpointKey {
    /// From the key's sealable form.
    ///
    /// # Errors
    /// [`CryptoError::MalformedMaterial`] if it is no key on P-256.
    pub fn new(key: KeyMaterial, deployment: String) -> Result<Self, CryptoError> {
        let (PublicKey::Ec { curve: CurveName::P256, x, y }, Some(thumbprint)) =
            (key.public_key(), key.public_key().thumbprint())
        else {
            return Err(CryptoError::MalformedMaterial);
        };
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = PublicJwk { kty: "EC".to_owned(), crv: "P-256".to_owned(), x: text(x), y: text(y) };
        Ok(Self { key, public, thumbprint, deployment })
    }

    /// What is published.
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// The deployment whose key it is.
    pub(super) fn deployment(&self) -> &str {
        &self.deployment
    }

    /// A checkpoint at the end of a chain.
    pub(super) fn checkpoint(
        &self,
        log: Uuid,
        chain: Chain,
        reason: Reason,
        time: Timestamp,
        highest: &Highest,
    ) -> Checkpoint {
        Checkpoint {
            format: FORMAT,
            deployment: self.deployment.clone(),
            log,
            sequence: chain.next.saturating_sub(1),
            hash: chain.previous,
            time: rfc3339(time),
            reason,
            records: highest.records,
            highest_change: highest.change,
            guards: highest.guards.iter().take(GUARDS_MAX).map(|(key, change)| (key.clone(), *change)).collect(),
        }
    }

    /// Signs it.
    pub(super) fn sign(&self, checkpoint: Checkpoint) -> Result<Signed, SignError> {
        let header = Header { alg: ALG.to_owned(), kid: self.thumbprint.clone(), typ: TYPE.to_owned() };
        let signed = format!("{}.{}", encode(&header)?, encode(&checkpoint)?);
        let signature = self.key.sign(Algorithm::Es256, &sha256(signed.as_bytes()))?;
        Ok(Signed { checkpoint, jws: format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)) })
    }
}

impl std::fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointKey").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

/// A checkpoint could not be signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("a checkpoint does not encode")]
    Encoding(#[from] serde_json::Error),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl CheckpointVerifier {
    /// A verifier for a key; `None` if that is no point of P-256.
    pub fn new(key: &PublicJwk) -> Option<Self> {
        let PublicJwk { kty, crv, x, y } = key;
        if kty != "EC" || crv != "P-256" {
            return None;
        }
        let (x, y) = (URL_SAFE_NO_PAD.decode(x).ok()?, URL_SAFE_NO_PAD.decode(y).ok()?);
        let key = EcPublicKey::from_coordinates(CurveName::P256, &x, &y).ok()?;
        let thumbprint = PublicKey::Ec { curve: CurveName::P256, x, y }.thumbprint()?;
        Some(Self { key, thumbprint })
    }

    /// The key's thumbprint (RFC 7638): the `kid` of its checkpoints.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// What a checkpoint says, if this key signed it.
    pub(super) fn verify(&self, jws: &str) -> Option<Checkpoint> {
        let (signed, signature) = jws.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = decode(header)?;
        if header.alg != ALG || header.typ != TYPE || header.kid != self.thumbprint {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !self.key.verify(&sha256(signed.as_bytes()), &signature).ok()? {
            return None;
        }
        decode(payload).filter(|checkpoint: &Checkpoint| checkpoint.format == FORMAT)
    }
}

/// What a checkpoint says, whoever signed it: for a node that reads back its own folder.
pub(super) fn unverified(jws: &str) -> Option<Checkpoint> {
    decode(jws.split('.').nth(1)?)
}

fn encode<T: Serialize>(part: &T) -> serde_json::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(part)?))
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// The kind of key that signs checkpoints.
pub(super) const SPECIFICATION: KeySpecification = KeySpecification::Ec(CurveName::P256);
const ALG: &str = "ES256";
const TYPE: &str = "strongroom-audit-checkpoint";
/// Guards that one checkpoint names; keeps it within a line.
pub const GUARDS_MAX: usize = 1000;

#[cfg(test)]
pub(super) mod tests {
    use strongroom_crypto::SystemEntropy;

    use super::*;

    pub(in crate::audit_log) fn key() -> CheckpointKey {
        CheckpointKey::new(KeyMaterial::generate(SPECIFICATION, &SystemEntropy).unwrap(), "test".to_owned()).unwrap()
    }

    /// A checkpoint of some log that names a line.
    pub(in crate::audit_log) fn signed(sequence: u64) -> Signed {
        let key = key();
        key.sign(Checkpoint { sequence, ..checkpoint(&key) }).unwrap()
    }

    fn checkpoint(key: &CheckpointKey) -> Checkpoint {
        let highest = Highest { records: 3, change: 9, guards: BTreeMap::from([("d/guard".to_owned(), 4)]) };
        let chain = Chain { next: 12, previous: LineHash::NONE.then(b"x") };
        key.checkpoint(Uuid::from_u128(1), chain, Reason::Interval, Timestamp::default(), &highest)
    }

    #[test]
    fn a_checkpoint_is_known_by_its_key_and_by_no_other() {
        let (one, other) = (key(), key());
        let jws = one.sign(checkpoint(&one)).unwrap().jws;
        let verified = CheckpointVerifier::new(one.public()).unwrap().verify(&jws).unwrap();
        assert_eq!((verified.sequence, verified.highest_change, verified.guards["d/guard"]), (11, 9, 4));
        assert!(CheckpointVerifier::new(other.public()).unwrap().verify(&jws).is_none());
        assert!(unverified(&jws).is_some());
    }

    #[test]
    fn no_character_of_a_checkpoint_can_be_changed() {
        let key = key();
        let verifier = CheckpointVerifier::new(key.public()).unwrap();
        let jws = key.sign(checkpoint(&key)).unwrap().jws;
        for at in 0..jws.len() {
            let mut bytes = jws.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(verifier.verify(&String::from_utf8(bytes).unwrap()).is_none(), "at {at}");
        }
    }

    #[test]
    fn the_largest_checkpoint_fits_a_line() {
        let key = key();
        let guard = |number| (format!("hsm/{}/guard", Uuid::from_u128(number)), u64::MAX);
        let highest = Highest { records: usize::MAX, change: u64::MAX, guards: (0..5000).map(guard).collect() };
        let chain = Chain { next: u64::MAX, previous: LineHash::NONE };
        let largest = key.checkpoint(Uuid::nil(), chain, Reason::Interval, Timestamp::default(), &highest);
        assert_eq!(largest.guards.len(), GUARDS_MAX);
        assert!((key.sign(largest).unwrap().jws.len() as u64) < crate::audit_log::format::LINE_BYTES_MAX / 2);
    }
}
