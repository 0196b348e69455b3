//! Where backups may go, from the configuration.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_core::ports::Clock;
use strongroom_crypto::{Entropy, SystemEntropy};

use crate::blob::{BlobPlaces, BlobRules, LoopbackRule, Patience};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::data_dir::DataDir;
use crate::serve::error::StartError;
use crate::tls::trust::TrustedRoots;

/// All places that backups may go to. The default folder is made if it is not there, a configured one is not: what is
/// not mounted must not be written beside.
pub(super) fn places(
    folder: &DataDir,
    settings: &Settings,
    roots: &TrustedRoots,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<BlobPlaces, StartError> {
    let directories = match &settings.storage.directories {
        Some(configured) => configured.clone(),
        None => vec![default_directory(folder)?],
    };
    let rules = BlobRules {
        directories,
        endpoints: settings.storage.accounts.iter().map(|account| account.blob_endpoint.clone()).collect(),
        allowed_hosts: settings.storage.hosts.clone(),
        loopback: if settings.is_local() { LoopbackRule::Allowed } else { LoopbackRule::Listed },
    };
    Ok(BlobPlaces::new(rules, Patience::default(), roots.outside(), clock, entropy)?)
}

/// The one place that whoever runs this program has named on its command line. There is no deployment whose rules would
/// say where it goes; a redirection is not followed all the same.
///
/// # Errors
/// [`StartError::Tls`] if a CA file cannot be used.
pub fn named_place(container: &str, extra_ca_files: &[PathBuf]) -> Result<BlobPlaces, StartError> {
    let roots = TrustedRoots::load(extra_ca_files)?;
    let directory = container.strip_prefix("file://").map(|path| PathBuf::from(path.trim_end_matches('/')));
    let host = container.parse::<http::Uri>().ok().and_then(|uri| uri.host()?.parse().ok());
    let rules = BlobRules {
        directories: directory.into_iter().collect(),
        endpoints: Vec::new(),
        allowed_hosts: host.into_iter().collect(),
        loopback: LoopbackRule::Allowed,
    };
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    Ok(BlobPlaces::new(rules, Patience::default(), roots.outside(), clock, entropy)?)
}

fn default_directory(folder: &DataDir) -> Result<PathBuf, StartError> {
    let path = folder.join(BACKUPS);
    let failed = |source| StartError::BackupFolder { path: path.clone(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
    // Addresses of backups are absolute, a data folder need not be.
    std::path::absolute(&path).map_err(failed)
}

/// The folder for backups in the data folder.
const BACKUPS: &str = "backups";
