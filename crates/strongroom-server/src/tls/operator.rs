//! The operator's own certificate.

use std::io;
use std::path::{Path, PathBuf};

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use strongroom_core::audit::rfc3339;
use strongroom_types::{Secret, Timestamp};
use x509_cert::der::Decode;

use crate::http::host::Domain;
use crate::limited_file::{self, PEM_BYTES_MAX};
use crate::tls::dns_names;
use crate::tls::error::{FileProblem, TlsError};
use crate::tls::provider;

/// Certificate and key in files; read again whenever they are asked for.
#[derive(Debug, Clone)]
pub struct OperatorCertificate {
    /// The certificate and its chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub private_key: PathBuf,
}

impl OperatorCertificate {
    /// Reads the files. The certificate must be valid now and belong to the key.
    ///
    /// # Errors
    /// [`TlsError::File`] names the file and what is wrong with it.
    pub fn read(&self, now: Timestamp) -> Result<(CertifiedKey, Timestamp), TlsError> {
        let (certificate, private_key) = self.files()?;
        self.parse(certificate.expose(), private_key.expose(), now)
    }

    /// What the two files hold.
    pub(crate) fn files(&self) -> Result<(Pem, Pem), TlsError> {
        Ok((pem_of(&self.certificate)?, pem_of(&self.private_key)?))
    }

    /// The same as [`Self::read`], of what the files held.
    pub(crate) fn parse(
        &self,
        certificate: &[u8],
        private_key: &[u8],
        now: Timestamp,
    ) -> Result<(CertifiedKey, Timestamp), TlsError> {
        let of_certificate = |problem| TlsError::File { path: self.certificate.clone(), problem };
        let of_key = |problem| TlsError::File { path: self.private_key.clone(), problem };
        let chain = certificates_in(certificate).map_err(of_certificate)?;
        let leaf = chain.first().ok_or_else(|| of_certificate(FileProblem::NoCertificate))?;
        let not_after = check_time(leaf, now).map_err(of_certificate)?;
        let key = PrivateKeyDer::from_pem_slice(private_key).map_err(|_| of_key(FileProblem::NoPrivateKey))?;
        let key = provider().key_provider.load_private_key(key).map_err(|_| of_key(FileProblem::UnusableKey))?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| of_key(FileProblem::KeyMismatch))?;
        Ok((certified, not_after))
    }
}

/// The hosts below the domains that a certificate does not cover. Clients will refuse those.
pub fn uncovered(certificate: &CertificateDer<'_>, domains: &[Domain]) -> Vec<String> {
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return dns_names(domains) };
    let covers = |name: &String| {
        // A wildcard covers a name in its place.
        let name = name.replace('*', "any");
        ServerName::try_from(name).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    };
    dns_names(domains).into_iter().filter(|name| !covers(name)).collect()
}

/// All certificates of a PEM file.
///
/// # Errors
/// [`TlsError::File`].
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates_in(pem_of(path)?.expose()).map_err(|problem| TlsError::File { path: path.to_owned(), problem })
}

/// All certificates in PEM.
pub(crate) fn certificates_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|_| FileProblem::MalformedCertificate)?;
    if found.is_empty() { Err(FileProblem::NoCertificate) } else { Ok(found) }
}

/// What a file with certificates or a key holds. Nobody has looked into it yet.
pub(crate) type Pem = Secret<Vec<u8>>;

pub(crate) fn pem_of(path: &Path) -> Result<Pem, TlsError> {
    let unreadable = |error: io::Error| FileProblem::Unreadable(error.to_string());
    let pem = limited_file::read(path, PEM_BYTES_MAX).map_err(unreadable);
    pem.map_err(|problem| TlsError::File { path: path.to_owned(), problem })
}

/// When a certificate ends, if it is valid now.
fn check_time(certificate: &CertificateDer<'_>, now: Timestamp) -> Result<Timestamp, FileProblem> {
    let parsed = x509_cert::Certificate::from_der(certificate).map_err(|_| FileProblem::MalformedCertificate)?;
    let validity = parsed.tbs_certificate().validity();
    let at = |time: x509_cert::time::Time| {
        Timestamp::from_seconds(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
    };
    let (not_before, not_after) = (at(validity.not_before), at(validity.not_after));
    if now < not_before {
        return Err(FileProblem::NotYetValid(rfc3339(not_before)));
    }
    if now > not_after {
        return Err(FileProblem::Expired(rfc3339(not_after)));
    }
    Ok(not_after)
}

#[cfg(test)]
mod tests {
    use strongroom_crypto::SystemEntropy;

    use super::*;
    use crate::tls::ca::{CertificateAuthority, Leaf};
    use crate::tls::certificates::{Certificates, Source};
    use crate::tls::trust::pem;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    struct Files {
        folder: tempfile::TempDir,
        authority: CertificateAuthority,
    }

    impl Files {
        fn new() -> Self {
            let new = CertificateAuthority::generate("test", &SystemEntropy, NOW).unwrap();
            let authority = CertificateAuthority::open(new.certificate.to_vec(), new.key.expose()).unwrap();
            Self { folder: tempfile::tempdir().unwrap(), authority }
        }

        fn paths(&self) -> OperatorCertificate {
            let (certificate, private_key) = (self.folder.path().join("c.pem"), self.folder.path().join("k.pem"));
            OperatorCertificate { certificate, private_key }
        }

        fn issue(&self, domain: &str, at: Timestamp) -> Leaf {
            self.authority.issue(&[domain.parse().unwrap()], &SystemEntropy, at).unwrap()
        }

        fn write(&self, leaf: &Leaf) -> OperatorCertificate {
            let paths = self.paths();
            let chain: String = leaf.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect();
            std::fs::write(&paths.certificate, chain).unwrap();
            std::fs::write(&paths.private_key, pem("PRIVATE KEY", leaf.key.secret_der())).unwrap();
            paths
        }
    }

    #[test]
    fn a_certificate_and_its_key_are_taken() {
        let files = Files::new();
        let paths = files.write(&files.issue("hsm.example.com", NOW));
        let (key, not_after) = paths.read(NOW).unwrap();
        assert_eq!(key.cert.len(), 2);
        assert_eq!(not_after, NOW.plus_days(90));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let files = Files::new();
        let paths = files.write(&files.issue("hsm.example.com", NOW));
        let other = files.issue("hsm.example.com", NOW);
        std::fs::write(&paths.private_key, pem("PRIVATE KEY", other.key.secret_der())).unwrap();
        let error = paths.read(NOW).unwrap_err().to_string();
        assert!(error.ends_with("k.pem: the private key does not belong to the certificate"), "{error}");
    }

    #[test]
    fn a_certificate_outside_its_time_is_refused() {
        let files = Files::new();
        let paths = files.write(&files.issue("hsm.example.com", NOW));
        let error = |now| paths.read(now).unwrap_err().to_string();
        assert!(error(NOW.plus_days(91)).ends_with("c.pem: the certificate expired at 2027-04-15T08:00:00.000Z"));
        assert!(error(NOW.plus_days(0).plus_seconds(-7200)).contains("is not valid before"));
    }

    #[test]
    fn files_that_are_not_what_they_should_be_are_named() {
        let files = Files::new();
        let paths = files.write(&files.issue("hsm.example.com", NOW));
        let swapped =
            OperatorCertificate { certificate: paths.private_key.clone(), private_key: paths.certificate.clone() };
        assert!(swapped.read(NOW).unwrap_err().to_string().ends_with("k.pem: holds no certificate in PEM"));
        let no_key = OperatorCertificate { private_key: paths.certificate.clone(), ..paths.clone() };
        assert!(no_key.read(NOW).unwrap_err().to_string().contains("c.pem: holds no private key in PEM"));
        let missing = OperatorCertificate { certificate: files.folder.path().join("x"), ..paths };
        assert!(missing.read(NOW).unwrap_err().to_string().contains("x: No such file"));
    }

    #[test]
    fn changed_files_are_taken_and_broken_ones_are_not() {
        let files = Files::new();
        let paths = files.write(&files.issue("hsm.example.com", NOW));
        let certificates = Certificates::load(Source::Operator(paths.clone()), &SystemEntropy, NOW).unwrap();
        assert!(!certificates.renew(&SystemEntropy, NOW).unwrap(), "nothing has changed");
        let next = files.issue("hsm.example.com", NOW.plus_days(30));
        files.write(&next);
        assert!(certificates.renew(&SystemEntropy, NOW.plus_days(30)).unwrap());
        assert_eq!(certificates.current().cert, next.chain);
        std::fs::write(&paths.certificate, "half a file").unwrap();
        assert!(certificates.renew(&SystemEntropy, NOW.plus_days(30)).is_err());
        assert_eq!(certificates.current().cert, next.chain, "the last good one stays");
    }

    #[test]
    fn hosts_that_a_certificate_does_not_cover_are_named() {
        let files = Files::new();
        let leaf = files.issue("hsm.example.com", NOW);
        let domain = |text: &str| [text.parse::<Domain>().unwrap()];
        assert!(uncovered(&leaf.chain[0], &domain("hsm.example.com")).is_empty());
        let missing = uncovered(&leaf.chain[0], &domain("example.com"));
        assert!(missing.contains(&"login.example.com".to_owned()));
        assert!(missing.contains(&"*.managedhsm.example.com".to_owned()));
    }
}
