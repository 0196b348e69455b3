//! The certificates that shares and transfers are encrypted to.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use strongroom_crypto::RsaPublicKey;
use strongroom_crypto::digest::sha1;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use crate::pem::certificate_of_pem;
use crate::{CertificateProblem, Quorum, SecurityDomainError, Thumbprint};

/// A certificate of the download request, as it comes (REST: `SecurityDomainJsonWebKey`). Members that are not needed,
/// such as `kid`, `use` and `key_ops`, are ignored.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct CertificateJwk {
    /// The key type.
    pub kty: Option<String>,
    /// The certificates, DER in standard base64; the first is the custodian's.
    pub x5c: Option<Vec<String>>,
    /// SHA-1 of the certificate, base64url.
    pub x5t: Option<String>,
    /// SHA-256 of the certificate, base64url.
    #[serde(rename = "x5t#S256")]
    pub x5t_s256: Option<String>,
    /// The modulus, base64url.
    pub n: Option<String>,
    /// The exponent, base64url.
    pub e: Option<String>,
}

/// A certificate with an RSA key good enough to encrypt a share to.
///
/// Dates, issuer and signature are not looked at: self-signed certificates of one year are the documented way, and must
/// still restore many years later.
#[derive(Debug)]
pub struct WrappingCertificate {
    thumbprint: Thumbprint,
    subject: String,
    public: RsaPublicKey,
}

impl WrappingCertificate {
    /// From strict DER.
    ///
    /// # Errors
    /// The problem with it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateProblem> {
        let certificate = Certificate::from_der(der).map_err(|_| CertificateProblem::NotACertificate)?;
        let key = certificate.tbs_certificate().subject_public_key_info();
        let key = key.to_der().map_err(|_| CertificateProblem::NotACertificate)?;
        let public = RsaPublicKey::from_der(&key).map_err(|_| CertificateProblem::KeySize)?;
        if !is_good_exponent(public.e()) {
            return Err(CertificateProblem::Exponent);
        }
        if has_small_factor(public.n()) {
            return Err(CertificateProblem::WeakModulus);
        }
        let subject = certificate.tbs_certificate().subject().to_string().chars().take(SUBJECT_CHARS_MAX).collect();
        Ok(Self { thumbprint: Thumbprint::of(der), subject, public })
    }

    /// From a PEM file.
    ///
    /// # Errors
    /// The problem with it.
    pub fn from_pem(text: &str) -> Result<Self, CertificateProblem> {
        Self::from_der(&certificate_of_pem(text).ok_or(CertificateProblem::NotACertificate)?)
    }

    /// The SHA-256 of the certificate.
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// Whom it names (RFC 4514), cut to 256 characters, for the audit log.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The key.
    pub fn public(&self) -> &RsaPublicKey {
        &self.public
    }

    fn from_jwk(jwk: &CertificateJwk) -> Result<Self, CertificateProblem> {
        if jwk.kty.as_deref() != Some("RSA") {
            return Err(CertificateProblem::NotRsa);
        }
        let text = jwk.x5c.as_ref().and_then(|chain| chain.first()).ok_or(CertificateProblem::NoCertificate)?;
        let der = STANDARD.decode(text).map_err(|_| CertificateProblem::NotACertificate)?;
        let certificate = Self::from_der(&der)?;
        // The members beside x5c are claims about it. They may be missing, but not differ.
        for (name, claim, truth) in [
            ("n", &jwk.n, certificate.public.n()),
            ("e", &jwk.e, certificate.public.e()),
            ("x5t", &jwk.x5t, sha1(&der).as_slice()),
            ("x5t#S256", &jwk.x5t_s256, certificate.thumbprint.as_bytes()),
        ] {
            if claim.as_ref().is_some_and(|claim| !says(claim, truth)) {
                return Err(CertificateProblem::Mismatch(name));
            }
        }
        Ok(certificate)
    }
}

/// The custodians of a security domain: distinct certificates over distinct keys, and how many of them open it.
#[derive(Debug)]
pub struct Custodians {
    quorum: Quorum,
    certificates: Vec<WrappingCertificate>,
}

impl Custodians {
    /// Checks a download request (REST: `SecurityDomainCertificateInfo`).
    ///
    /// # Errors
    /// [`SecurityDomainError::Quorum`] or [`SecurityDomainError::Certificate`]; both are the caller's to fix.
    pub fn parse(certificates: &[CertificateJwk], required: i64) -> Result<Self, SecurityDomainError> {
        let quorum = Quorum::new(required, certificates.len())?;
        let mut accepted: Vec<WrappingCertificate> = Vec::with_capacity(certificates.len());
        for (index, jwk) in certificates.iter().enumerate() {
            let refuse = |problem| SecurityDomainError::Certificate { index, problem };
            let certificate = WrappingCertificate::from_jwk(jwk).map_err(refuse)?;
            refuse_twin(&accepted, &certificate).map_err(refuse)?;
            accepted.push(certificate);
        }
        Ok(Self { quorum, certificates: accepted })
    }

    /// The same of certificates from files, DER, in the order of their shares.
    ///
    /// # Errors
    /// As [`Custodians::parse`].
    pub fn from_certificates(certificates: &[Vec<u8>], required: i64) -> Result<Self, SecurityDomainError> {
        let jwk = |der: &Vec<u8>| CertificateJwk {
            kty: Some("RSA".to_owned()),
            x5c: Some(vec![STANDARD.encode(der)]),
            ..CertificateJwk::default()
        };
        Self::parse(&certificates.iter().map(jwk).collect::<Vec<_>>(), required)
    }

    /// How many there are and how many open.
    pub fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// The certificates, in the order of the request: the custodian at place i holds the share at i + 1.
    pub fn certificates(&self) -> &[WrappingCertificate] {
        &self.certificates
    }
}

/// Longest subject kept, in characters.
const SUBJECT_CHARS_MAX: usize = 256;

/// Whoever holds one private key would hold two shares.
fn refuse_twin(accepted: &[WrappingCertificate], new: &WrappingCertificate) -> Result<(), CertificateProblem> {
    if let Some(twin) = accepted.iter().position(|old| old.thumbprint == new.thumbprint) {
        return Err(CertificateProblem::SameCertificate(twin));
    }
    match accepted.iter().position(|old| old.public.n() == new.public.n()) {
        Some(twin) => Err(CertificateProblem::SameKey(twin)),
        None => Ok(()),
    }
}

/// Whether a base64url claim has these bytes; numbers may have leading zeros.
fn says(claim: &str, truth: &[u8]) -> bool {
    URL_SAFE_NO_PAD.decode(claim).is_ok_and(|bytes| {
        let padding = bytes.len().saturating_sub(truth.len());
        bytes.iter().take(padding).all(|byte| *byte == 0) && bytes.get(padding..) == Some(truth)
    })
}

/// Odd, and at least 65537.
fn is_good_exponent(e: &[u8]) -> bool {
    let value = e.iter().fold(0u64, |value, byte| value.saturating_mul(256).saturating_add(u64::from(*byte)));
    let odd = e.last().is_some_and(|byte| byte & 1 == 1);
    odd && value >= 65537
}

/// Whether a number below 1000 divides it, as happens with broken generators.
fn has_small_factor(n: &[u8]) -> bool {
    let remainder = |divisor| n.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % divisor);
    (2..1000).any(|divisor| remainder(divisor) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_odd_and_at_least_65537() {
        for (e, good) in [
            (&[1, 0, 1][..], true),
            (&[1, 0, 3], true),
            (&[1, 0, 0, 0, 1], true),
            (&[1, 0, 2], false),
            (&[3], false),
            (&[255, 255], false),
            (&[], false),
        ] {
            assert_eq!(is_good_exponent(e), good, "{e:?}");
        }
    }

    #[test]
    fn small_factors_are_found() {
        let odd_multiple = |prime: u32| (prime * 1_000_003).to_be_bytes();
        for prime in [2, 3, 17, 257, 997] {
            assert!(has_small_factor(&odd_multiple(prime)), "{prime}");
        }
        assert!(!has_small_factor(&odd_multiple(1009)));
    }

    #[test]
    fn claims_are_compared_as_bytes_and_leading_zeros_do_not_count() {
        assert!(says("AQAB", &[1, 0, 1]));
        assert!(says("AAEAAQ", &[1, 0, 1]));
        assert!(!says("AQAC", &[1, 0, 1]));
        assert!(!says("AQ", &[1, 0, 1]));
        assert!(!says("AQABAQAB", &[1, 0, 1]));
        assert!(!says("AQAB=", &[1, 0, 1]));
    }
}
