//! The exchange key: what an HSM in recovery lets a security domain be encrypted to.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use strongroom_crypto::digest::sha1;
use strongroom_crypto::{Entropy, RsaPrivateKey};
use strongroom_types::{RsaSize, Timestamp};

use crate::{CertificateTerms, SecurityDomainError, Thumbprint, WrappingCertificate, self_signed};

/// Failed uploads after which the exchange key is to be destroyed.
pub const EXCHANGE_TRIES_MAX: u32 = 5;
/// Life of an exchange key, in seconds.
pub const EXCHANGE_KEY_SECONDS: i64 = 24 * 60 * 60;

/// Validity of its certificate, in days; the key itself ends much earlier, and clients do not look.
const CERTIFICATE_DAYS: u32 = 365;
/// How far its certificate begins in the past.
const SKEW_SECONDS: i64 = 3600;

/// An RSA key with its certificate.
pub struct ExchangeKey {
    private: RsaPrivateKey,
    certificate: Vec<u8>,
    thumbprint: Thumbprint,
}

impl ExchangeKey {
    /// Draws a new RSA-4096 key and certifies it for the named HSM. Takes up to seconds.
    ///
    /// # Errors
    /// [`SecurityDomainError::Crypto`].
    pub fn generate(hsm: &str, now: Timestamp, entropy: &dyn Entropy) -> Result<Self, SecurityDomainError> {
        let private = RsaPrivateKey::generate(RsaSize::Bits4096)?;
        // The custodians' clocks are not ours.
        let not_before = now.plus_seconds(-SKEW_SECONDS);
        let terms = CertificateTerms { name: hsm, not_before, days: CERTIFICATE_DAYS };
        let certificate = self_signed(&private, terms, entropy)?;
        Self::new(private, certificate)
    }

    /// From a private key and the DER of a certificate over its public key.
    ///
    /// # Errors
    /// [`SecurityDomainError::PrivateKey`] if they do not belong together; [`SecurityDomainError::Certificate`].
    pub fn new(private: RsaPrivateKey, certificate: Vec<u8>) -> Result<Self, SecurityDomainError> {
        let parsed = WrappingCertificate::from_der(&certificate)
            .map_err(|problem| SecurityDomainError::Certificate { index: 0, problem })?;
        if parsed.public().n() != private.public().n() || parsed.public().e() != private.public().e() {
            return Err(SecurityDomainError::PrivateKey("does not belong to the certificate"));
        }
        Ok(Self { private, thumbprint: parsed.thumbprint(), certificate })
    }

    /// The private key, for those who seal it.
    pub fn private(&self) -> &RsaPrivateKey {
        &self.private
    }

    /// The certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The SHA-256 of the certificate.
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// The text of `transfer_key`: a JWK as a JSON string, as both official clients want it (REST: `TransferKey`).
    pub fn transfer_key(&self) -> Result<String, SecurityDomainError> {
        let jwk = TransferJwk {
            e: URL_SAFE_NO_PAD.encode(self.private.public().e()),
            key_ops: ["wrapKey", "verify", "encrypt"],
            kid: "not used",
            kty: "RSA",
            n: URL_SAFE_NO_PAD.encode(self.private.public().n()),
            x5c: [STANDARD.encode(&self.certificate)],
            x5t: URL_SAFE_NO_PAD.encode(sha1(&self.certificate)),
            x5t_s256: self.thumbprint.to_string(),
        };
        serde_json::to_string(&jwk)
            .map_err(|_| SecurityDomainError::Malformed { what: "transfer key", problem: "it cannot be written" })
    }
}

impl fmt::Debug for ExchangeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeKey").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct TransferJwk {
    e: String,
    key_ops: [&'static str; 3],
    kid: &'static str,
    kty: &'static str,
    n: String,
    x5c: [String; 1],
    x5t: String,
    #[serde(rename = "x5t#S256")]
    x5t_s256: String,
}
