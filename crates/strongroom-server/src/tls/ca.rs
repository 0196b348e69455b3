//! The deployment's own CA, and the server certificates it issues.
//!
//! The profile passes the strict X.509 checks of OpenSSL 3 and Python 3.13 (az-cli.md §1.3, RFC 5280 §4.2).

use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, SubjectPublicKeyInfo, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use strongroom_crypto::Entropy;
use strongroom_types::{Secret, Timestamp};

use crate::http::host::Domain;
use crate::tls::dns_names;
use crate::tls::error::TlsError;

/// A CA with its key: P-256, ten years.
pub struct CertificateAuthority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority").finish_non_exhaustive()
    }
}

/// A new CA, before it is stored.
pub struct NewAuthority {
    /// Its certificate, DER.
    pub certificate: CertificateDer<'static>,
    /// Its private key, PKCS#8 DER.
    pub key: Secret<Vec<u8>>,
}

/// A server certificate with its chain and key, before TLS has looked at it.
pub struct Leaf {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// When it ends.
    pub not_after: Timestamp,
}

impl CertificateAuthority {
    /// Makes a new CA. Its name is its own, because trust stores look issuers up by name.
    ///
    /// # Errors
    /// [`TlsError::Issue`].
    pub fn generate(name: &str, entropy: &dyn Entropy, now: Timestamp) -> Result<NewAuthority, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(name, entropy, now, CA_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(NewAuthority { certificate, key: Secret::new(key.serialize_der()) })
    }

    /// Takes a CA from where it was stored.
    ///
    /// # Errors
    /// [`TlsError::Issue`] if certificate or key do not parse.
    pub fn open(certificate: Vec<u8>, key: &[u8]) -> Result<Self, TlsError> {
        let certificate = CertificateDer::from(certificate);
        let key = PrivatePkcs8KeyDer::from(key);
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { certificate, issuer })
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Issues a server certificate for all hosts below the domains, with a new key.
    ///
    /// # Errors
    /// [`TlsError::Issue`].
    pub fn issue(&self, domains: &[Domain], entropy: &dyn Entropy, now: Timestamp) -> Result<Leaf, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(LEAF_NAME, entropy, now, LEAF_DAYS)?;
        params.subject_alt_names = subject_alternative_names(domains)?;
        // "Explicit", because that also writes the subject key identifier.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            not_after: now.plus_days(LEAF_DAYS),
        })
    }
}

impl CertificateAuthority {
    /// Certifies an RSA key (DER of its `SubjectPublicKeyInfo`) that signs the statements of HSMs; answers with the chain,
    /// leaf first, and when it ends. It names the hosts below the domains, so that statements can be told apart by them.
    ///
    /// # Errors
    /// [`TlsError::Issue`].
    pub fn issue_for_statements(
        &self,
        public_key: &[u8],
        domains: &[Domain],
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<(Vec<CertificateDer<'static>>, Timestamp), TlsError> {
        let public_key = SubjectPublicKeyInfo::from_der(public_key)?;
        let mut params = params(STATEMENT_NAME, entropy, now, STATEMENT_DAYS)?;
        params.subject_alt_names = subject_alternative_names(domains)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&public_key, &self.issuer)?;
        Ok((vec![certificate.der().clone(), self.certificate.clone()], now.plus_days(STATEMENT_DAYS)))
    }
}

/// What both kinds of certificate share.
fn params(name: &str, entropy: &dyn Entropy, now: Timestamp, days: u32) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial_number(entropy)?);
    let at = |time: Timestamp| {
        date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(time.seconds()).unwrap_or_default())
    };
    // The clocks of clients are not ours.
    params.not_before = at(now.plus_seconds(-SKEW_SECONDS));
    params.not_after = at(now.plus_days(days));
    Ok(params)
}

/// 126 random bits in 16 bytes, positive (RFC 5280 §4.1.2.2).
fn serial_number(entropy: &dyn Entropy) -> Result<SerialNumber, TlsError> {
    let mut bytes = entropy.sixteen()?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn subject_alternative_names(domains: &[Domain]) -> Result<Vec<SanType>, TlsError> {
    let mut names = Vec::new();
    for name in dns_names(domains) {
        names.push(SanType::DnsName(Ia5String::try_from(name)?));
    }
    if domains.iter().any(Domain::is_localhost) {
        names.push(SanType::DnsName(Ia5String::try_from("localhost")?));
        names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
        names.push(SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()));
    }
    Ok(names)
}

/// Days from the making of a CA to its end.
const CA_DAYS: u32 = 3653;
/// Days from the making of a server certificate to its end.
pub const LEAF_DAYS: u32 = 90;
/// How far certificates begin in the past.
const SKEW_SECONDS: i64 = 3600;
const ORGANIZATION: &str = "strongroom";
/// Days from the making of a certificate for statements to its end.
pub const STATEMENT_DAYS: u32 = 731;
const STATEMENT_NAME: &str = "strongroom statements";
const LEAF_NAME: &str = "strongroom server";

#[cfg(test)]
mod tests;
