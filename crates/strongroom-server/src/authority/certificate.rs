//! Certificates of clients: what the directory keeps of one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_core::identity::record::ClientCertificate;
use strongroom_crypto::digest::{sha1, sha256};
use strongroom_types::Timestamp;
use x509_cert::Certificate;
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{Decode, Reader, SliceReader};

/// Why a certificate cannot be a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be read.
    #[error("not a certificate in DER of at most 8 KiB")]
    Malformed,
    /// Only RSA keys sign client assertions here.
    #[error("the certificate's key is not an RSA key of 2048 to 8192 bits")]
    NotRsa,
}

/// What the directory keeps of a certificate whose key may sign a client's assertions. The certificate itself proves
/// nothing; that it is registered does.
///
/// # Errors
/// [`CertificateError`].
pub fn client_certificate(der: &[u8]) -> Result<ClientCertificate, CertificateError> {
    if der.len() > DER_BYTES_MAX {
        return Err(CertificateError::Malformed);
    }
    let certificate = Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
    let body = certificate.tbs_certificate();
    let info = body.subject_public_key_info();
    if info.algorithm.oid.to_string() != RSA_ENCRYPTION {
        return Err(CertificateError::NotRsa);
    }
    let key = info.subject_public_key.as_bytes().ok_or(CertificateError::Malformed)?;
    let (n, e) = rsa_public_key(key).map_err(|_| CertificateError::Malformed)?;
    if !(2048 / 8..=8192 / 8).contains(&n.len()) {
        return Err(CertificateError::NotRsa);
    }
    let expires = body.validity().not_after.to_unix_duration().as_secs();
    Ok(ClientCertificate {
        thumbprint_sha1: URL_SAFE_NO_PAD.encode(sha1(der)),
        thumbprint_sha256: URL_SAFE_NO_PAD.encode(sha256(der)),
        der: URL_SAFE_NO_PAD.encode(der),
        n: URL_SAFE_NO_PAD.encode(n),
        e: URL_SAFE_NO_PAD.encode(e),
        expires: Timestamp::from_seconds(i64::try_from(expires).unwrap_or(i64::MAX)),
    })
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017 §A.1.1).
fn rsa_public_key(der: &[u8]) -> x509_cert::der::Result<(Vec<u8>, Vec<u8>)> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|reader: &mut SliceReader<'_>| {
        let (n, e) = (UintRef::decode(reader)?, UintRef::decode(reader)?);
        Ok((n.as_bytes().to_vec(), e.as_bytes().to_vec()))
    })
}

/// RFC 8017 appendix A.1.
const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
/// Many times a usual certificate; twenty of them still fit one record.
const DER_BYTES_MAX: usize = 8 * 1024;
