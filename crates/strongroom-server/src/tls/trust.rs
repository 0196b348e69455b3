//! What clients of this deployment, and the server itself when it calls others, trust.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::tls::error::TlsError;
use crate::tls::operator::certificates;

/// The system's roots, and those the operator has added.
#[derive(Debug, Clone)]
pub struct TrustedRoots {
    roots: Vec<CertificateDer<'static>>,
    /// The same, parsed.
    store: RootCertStore,
}

impl TrustedRoots {
    /// Reads the system's roots (or those of `SSL_CERT_FILE`, and then the system's as well) and the files.
    ///
    /// # Errors
    /// [`TlsError::File`] if one of the files cannot be used. A system without roots is no error.
    pub fn load(extra_files: &[PathBuf]) -> Result<Self, TlsError> {
        let mut roots = rustls_native_certs::load_native_certs().certs;
        // With SSL_CERT_FILE set, which our own client.env does, the line above has read that file alone.
        if let Some(system) = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.exists()) {
            roots.extend(rustls_native_certs::load_certs_from_paths(Some(system), None).certs);
        }
        for file in extra_files {
            roots.extend(certificates(file)?);
        }
        let mut store = RootCertStore::empty();
        // Old roots that this stack cannot parse are left out.
        store.add_parsable_certificates(roots.iter().cloned());
        Ok(Self { roots, store })
    }

    /// All of them and one more as a PEM bundle, each once.
    pub fn bundle(&self, own: &CertificateDer<'_>) -> String {
        let mut seen = BTreeSet::new();
        let all = self.roots.iter().map(AsRef::as_ref).chain([own.as_ref()]);
        all.filter(|der: &&[u8]| seen.insert(*der)).map(|der| pem("CERTIFICATE", der)).collect()
    }

    /// What calls to services outside of this deployment trust.
    pub fn outside(&self) -> &RootCertStore {
        &self.store
    }

    /// What calls to issuers trust. Our own CA is among it: identities of this deployment may be issuers for one another.
    pub fn store(&self, own: &CertificateDer<'static>) -> RootCertStore {
        let mut store = self.store.clone();
        store.add_parsable_certificates([own.clone()]);
        store
    }
}

/// PEM (RFC 7468 §3).
pub fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while let Some((line, behind)) = rest.split_at_checked(PEM_LINE) {
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

const PEM_LINE: usize = 64;

/// Where distributions keep the system's roots in one file.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

#[cfg(test)]
mod tests {
    use strongroom_crypto::SystemEntropy;
    use strongroom_types::Timestamp;

    use super::*;
    use crate::tls::ca::CertificateAuthority;

    fn authority(name: &str) -> CertificateDer<'static> {
        CertificateAuthority::generate(name, &SystemEntropy, Timestamp::from_seconds(1_800_000_000))
            .unwrap()
            .certificate
    }

    #[test]
    fn a_bundle_has_each_certificate_once_and_ours_among_them() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, extra) = (authority("ours"), authority("extra"));
        let file = folder.path().join("extra.pem");
        std::fs::write(&file, pem("CERTIFICATE", &extra) + &pem("CERTIFICATE", &ours)).unwrap();
        let roots = TrustedRoots::load(&[file]).unwrap();
        let bundle = folder.path().join("bundle.pem");
        std::fs::write(&bundle, roots.bundle(&ours)).unwrap();
        let all = certificates(&bundle).unwrap();
        let count = |der: &CertificateDer<'_>| all.iter().filter(|one| *one == der).count();
        assert_eq!((count(&ours), count(&extra)), (1, 1));
        assert!(roots.store(&ours).len() >= 2);
        let other = authority("other");
        assert_eq!(roots.store(&other).len(), roots.outside().len() + 1, "what is outside does not know our CA");
    }

    #[test]
    fn a_file_that_holds_no_certificate_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("extra.pem");
        std::fs::write(&file, "nothing").unwrap();
        assert!(TrustedRoots::load(&[file]).is_err());
    }

    #[test]
    fn pem_lines_have_64_characters() {
        for length in [1, 47, 48, 49, 96] {
            let text = pem("X", &vec![0; length]);
            let lines: Vec<_> = text.lines().collect();
            assert!(lines[1..lines.len() - 2].iter().all(|line| line.len() == 64), "{length}");
            assert!((1..=64).contains(&lines[lines.len() - 2].len()), "{length}");
        }
    }
}
