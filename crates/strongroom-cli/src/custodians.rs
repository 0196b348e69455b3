//! Custodians' keys for a story on one machine. In real life each belongs to another person, offline.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use strongroom_security_domain::CustodianKey;
use strongroom_types::Secret;

/// A custodian's certificate, DER.
pub(crate) struct Certificate(Vec<u8>);

impl Certificate {
    /// As the download request takes it (security-domain.md §1.2).
    pub(crate) fn json_web_key(&self) -> Value {
        json!({"kty": "RSA", "alg": "RSA-OAEP-256", "key_ops": ["wrapKey"], "x5c": [STANDARD.encode(&self.0)]})
    }
}

/// The three certificates of the folder; makes them with their keys if they are not there.
pub(crate) fn make_or_read(folder: &Path) -> Result<Vec<Certificate>> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    (0..CUSTODIANS).map(|number| make_or_read_one(folder, number)).collect()
}

fn make_or_read_one(folder: &Path, number: usize) -> Result<Certificate> {
    let (key_file, certificate_file) =
        (folder.join(format!("cert_{number}.key")), folder.join(format!("cert_{number}.cer")));
    if let Ok(pem) = fs::read(&certificate_file) {
        let block =
            first_certificate(&pem).with_context(|| format!("{} holds no certificate", certificate_file.display()))?;
        return Ok(Certificate(block));
    }
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let mut parameters = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("custodian {number}"));
    parameters.distinguished_name = name;
    let certificate = parameters.self_signed(&key)?;
    write_private(&key_file, key.serialize_pem().as_bytes())?;
    // The certificate comes last: where it is, its key is too.
    write_private(&certificate_file, certificate.pem().as_bytes())?;
    Ok(Certificate(certificate.der().to_vec()))
}

/// The DER of the first certificate of a PEM text.
fn first_certificate(pem: &[u8]) -> Option<Vec<u8>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem).ok().map(|der| der.to_vec())
}

/// Writes a file that only its owner can read, durable before it counts.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

/// The keys of the first custodians of the folder.
pub(crate) fn read_keys(folder: &Path, count: usize) -> Result<Vec<CustodianKey>> {
    let read = |number| {
        let text = |kind| {
            let path = folder.join(format!("cert_{number}.{kind}"));
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(CustodianKey::from_pem(Secret::new(text("key")?).expose(), &text("cer")?, None)?)
    };
    (0..count).map(read).collect()
}

const CUSTODIANS: usize = 3;
