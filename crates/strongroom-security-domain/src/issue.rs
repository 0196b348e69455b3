//! Self-signed certificates: the envelope in which clients want RSA keys, for transfer keys and for custodians.

use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, IsCa, KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData, SerialNumber,
    SignatureAlgorithm, SigningKey, date_time_ymd,
};
use strongroom_crypto::{CryptoError, Entropy, RsaPrivateKey};
use strongroom_types::Timestamp;

use crate::SecurityDomainError;

/// What a self-signed certificate says.
#[derive(Debug, Clone, Copy)]
pub struct CertificateTerms<'a> {
    /// Its common name.
    pub name: &'a str,
    /// When it begins.
    pub not_before: Timestamp,
    /// How long it is valid, in days. Nobody looks: a security domain is restored years later.
    pub days: u32,
}

/// A self-signed certificate over an RSA key, DER: version 3, no CA, for key encipherment only.
///
/// # Errors
/// [`SecurityDomainError::Crypto`] if the random number generator or the signature fails.
pub fn self_signed(
    key: &RsaPrivateKey,
    terms: CertificateTerms<'_>,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SecurityDomainError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, terms.name);
    // 126 random bits in 16 bytes, positive (RFC 5280 §4.1.2.2).
    let mut serial = entropy.sixteen()?;
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let at = |time: Timestamp| {
        date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(time.seconds()).unwrap_or_default())
    };
    params.not_before = at(terms.not_before);
    params.not_after = at(terms.not_before.plus_days(terms.days));
    // "Explicit", because that also writes the subject key identifier.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    let certificate = params.self_signed(&Signer(key)).map_err(|_| CryptoError::Library("X.509"))?;
    Ok(certificate.der().to_vec())
}

/// Lets the certificate be signed without a second copy of the private key in memory.
struct Signer<'a>(&'a RsaPrivateKey);

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_pkcs1()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign_message(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests {
    use strongroom_crypto::SystemEntropy;
    use strongroom_types::RsaSize;
    use x509_cert::Certificate;
    use x509_cert::der::{Decode, Encode};

    use super::*;
    use crate::WrappingCertificate;

    #[test]
    fn a_certificate_holds_its_key_and_verifies_under_it() {
        let key = RsaPrivateKey::generate(RsaSize::Bits2048).unwrap();
        let not_before = Timestamp::from_seconds(1_800_000_000);
        let terms = CertificateTerms { name: "custodian one", not_before, days: 365 };
        let der = self_signed(&key, terms, &SystemEntropy).unwrap();
        let read = WrappingCertificate::from_der(&der).unwrap();
        assert_eq!((read.subject(), read.public().n()), ("CN=custodian one", key.public().n()));
        let parsed = Certificate::from_der(&der).unwrap();
        let signed = parsed.tbs_certificate().to_der().unwrap();
        let digest = strongroom_crypto::digest::sha256(&signed);
        let signature = parsed.signature().as_bytes().unwrap();
        assert!(key.public().verify(strongroom_types::Algorithm::Rs256, &digest, signature).unwrap());
        let validity = parsed.tbs_certificate().validity();
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        assert_eq!(seconds(validity.not_before), 1_800_000_000);
        assert_eq!(seconds(validity.not_after), 1_800_000_000 + 365 * 86_400);
    }
}
