//! Custodians' keys for a story on one machine. In real life each belongs to another person, offline.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strongroom_crypto::SystemEntropy;
use strongroom_security_domain::{CertificateTerms, CustodianKey, NewCustodian, certificate_of_pem};
use strongroom_types::{RsaSize, Secret};

use crate::ceremony::{CERTIFICATE_DAYS, now};

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
    let certificate = |pem: &str| {
        let der = certificate_of_pem(pem);
        der.map(Certificate).with_context(|| format!("{} holds no certificate", certificate_file.display()))
    };
    if let Ok(pem) = fs::read(&certificate_file) {
        return certificate(&String::from_utf8_lossy(&pem));
    }
    let name = format!("custodian {number}");
    let terms = CertificateTerms { name: &name, not_before: now(), days: CERTIFICATE_DAYS };
    let made = NewCustodian::generate(RsaSize::Bits2048, terms, None, &SystemEntropy)?;
    write_private(&key_file, made.key.expose().as_bytes())?;
    // The certificate comes last: where it is, its key is too.
    write_private(&certificate_file, made.certificate.as_bytes())?;
    certificate(&made.certificate)
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
