//! Certificates of this server, and what it and its clients trust.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use strongroom_core::ports::Clock;

use crate::arm::shared_key_in;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::data_dir::DataDir;
use crate::serve::deployment::Opened;
use crate::serve::error::StartError;
use crate::serve::store;
use crate::tls::certificates::{Certificates, Source};
use crate::tls::operator::{OperatorCertificate, uncovered};
use crate::tls::stored_ca;
use crate::tls::trust::{TrustedRoots, pem};

/// Certificates, and what is trusted.
pub(super) struct Trust {
    pub(super) certificates: Arc<Certificates>,
    /// Of services outside of this deployment.
    pub(super) roots: TrustedRoots,
    /// Of issuers and attestation authorities, which may be of this deployment: the same with its own CA.
    pub(super) with_own_ca: RootCertStore,
    /// What clients need to trust this server.
    pub(super) client_ca_file: PathBuf,
    /// The same with everything the system trusts.
    pub(super) client_ca_bundle: PathBuf,
    /// Hosts that the operator's certificate does not cover.
    pub(super) uncovered: Vec<String>,
}

impl Trust {
    /// Opens or makes the CA, loads the server's certificate, and writes the files for clients.
    pub(super) async fn establish(
        folder: &DataDir,
        settings: &Settings,
        opened: &Opened,
        roots: TrustedRoots,
    ) -> Result<Self, StartError> {
        let authority = stored_ca::open_or_create(&opened.core, &opened.request("CertificateAuthorityCreate")?).await?;
        let ca = authority.certificate();
        folder.write(CA_FILE, pem("CERTIFICATE", ca).as_bytes())?;
        folder.write(CA_BUNDLE, roots.bundle(ca).as_bytes())?;
        let with_own_ca = roots.store(ca);
        let domains = settings.domains();
        let operator = by_operator(settings);
        let is_by_operator = operator.is_some();
        let own = || Source::Own { authority: Box::new(authority), domains: domains.clone() };
        let source = operator.map_or_else(own, Source::Operator);
        let certificates = Certificates::load(source, opened.entropy.as_ref(), opened.clock.now())?;
        let leaf = certificates.current();
        let uncovered = leaf.cert.first().map_or_else(Vec::new, |leaf| uncovered(leaf, &domains));
        let client_ca_bundle = folder.join(CA_BUNDLE);
        // The operator's certificate is not of our CA; what it is of, the system or `extra_ca_files` must know.
        let client_ca_file = if is_by_operator { client_ca_bundle.clone() } else { folder.join(CA_FILE) };
        let certificates = Arc::new(certificates);
        Ok(Self { certificates, roots, with_own_ca, client_ca_file, client_ca_bundle, uncovered })
    }
}

/// Reads the files that `[tls]` and `[[storage_account]]` name; answers with the hosts that the certificate does not cover.
///
/// # Errors
/// [`StartError::Tls`] or [`StartError::StorageKey`] names the file and what is wrong with it.
pub fn check_files(settings: &Settings) -> Result<Vec<String>, StartError> {
    TrustedRoots::load(&settings.tls.extra_ca_files)?;
    store::check_files(settings)?;
    for key_file in settings.storage.accounts.iter().filter_map(|account| account.key_file.as_ref()) {
        shared_key_in(key_file)?;
    }
    let Some(files) = by_operator(settings) else { return Ok(Vec::new()) };
    let (certificate, _) = files.read(SystemClock.now())?;
    let domains = settings.domains();
    Ok(certificate.cert.first().map_or_else(Vec::new, |leaf| uncovered(leaf, &domains)))
}

fn by_operator(settings: &Settings) -> Option<OperatorCertificate> {
    let certificate = settings.tls.certificate_file.clone()?;
    let private_key = settings.tls.private_key_file.clone()?;
    Some(OperatorCertificate { certificate, private_key })
}

/// The deployment's own CA alone.
const CA_FILE: &str = "ca.pem";
/// The system's roots, the operator's, and our own.
const CA_BUNDLE: &str = "ca-bundle.pem";
