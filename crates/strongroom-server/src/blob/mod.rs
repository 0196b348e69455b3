//! Blob stores behind [`strongroom_core::blobs`]: a directory of this machine, and containers of Azure Blob storage or
//! of anything that speaks as it does (protocols.md §9).
//!
//! [`BlobPlaces`] chooses by the scheme of the address and decides whether this deployment goes there at all. It is not
//! the place where what is written is decided, or who may: that is the core's.
//!
//! It fails with [`BlobError`]; no text of one holds a credential.

mod azure;
mod directory;
mod hosts;
mod sas;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::RootCertStore;
use strongroom_core::blobs::{BlobContainer, BlobCredential, BlobError, BlobStores};
use strongroom_core::pools::BlobEndpoint;
use strongroom_core::ports::Clock;
use strongroom_crypto::Entropy;

use crate::blob::azure::AzureBlobs;
use crate::blob::directory::Directories;
pub use crate::blob::hosts::{AllowedHost, HostNotValid};
use crate::outgoing::outgoing;

/// Where backups may go.
#[derive(Debug, Clone, Default)]
pub struct BlobRules {
    /// Directories below which `file:` addresses may lie.
    pub directories: Vec<PathBuf>,
    /// Where the configured storage accounts have their blobs.
    pub endpoints: Vec<BlobEndpoint>,
    /// Other hosts that a SAS may be for.
    pub allowed_hosts: Vec<AllowedHost>,
    /// Whether a SAS for this machine's loopback addresses needs no rule.
    pub loopback: LoopbackRule,
}

/// Whether loopback is allowed without being listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoopbackRule {
    /// It must be listed as any other host.
    #[default]
    Listed,
    /// In the local profile: it need not be.
    Allowed,
}

/// How long a blob store is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Most time of one attempt, from connecting to the last byte.
    pub attempt: Duration,
    /// Waits between attempts; there is one attempt more than there are waits.
    pub waits: [Duration; 3],
}

impl Default for Patience {
    fn default() -> Self {
        let waits = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4)];
        Self { attempt: Duration::from_secs(60), waits }
    }
}

/// TLS for blob stores cannot be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("TLS for blob stores cannot be set up")]
pub struct BlobTlsError;

/// All places that blobs may lie in.
#[derive(Debug)]
pub struct BlobPlaces {
    directories: Directories,
    azure: AzureBlobs,
}

impl BlobPlaces {
    /// Places by these rules. `roots` are what outgoing TLS trusts. Nothing is opened before it is needed.
    ///
    /// # Errors
    /// [`BlobTlsError`].
    pub fn new(
        rules: BlobRules,
        patience: Patience,
        roots: &RootCertStore,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, BlobTlsError> {
        let tls = outgoing(roots.clone()).map_err(|_| BlobTlsError)?;
        let BlobRules { directories, endpoints, allowed_hosts, loopback } = rules;
        let rules = azure::Rules { endpoints, allowed_hosts, loopback };
        Ok(Self {
            directories: Directories::new(directories, entropy),
            azure: AzureBlobs::new(rules, patience, tls, clock).ok_or(BlobTlsError)?,
        })
    }
}

#[async_trait]
impl BlobStores for BlobPlaces {
    async fn open(&self, container: &str, credential: BlobCredential) -> Result<Arc<dyn BlobContainer>, BlobError> {
        if container.starts_with("file:") {
            return Ok(Arc::new(self.directories.open(container, &credential)?));
        }
        Ok(Arc::new(self.azure.open(container, credential)?))
    }
}

/// Largest blob that is written or read, in bytes.
const BLOB_BYTES_MAX: usize = 8 << 20;

/// Checks the path of a blob: names between single slashes. What is no name could leave the container.
fn checked_path(path: &str) -> Result<&str, BlobError> {
    let is_name = |name: &str| {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        (1..=NAME_MAX).contains(&name.len()) && plain && !name.starts_with('.')
    };
    let segments = path.split('/');
    if segments.clone().count() > SEGMENTS_MAX || !segments.into_iter().all(is_name) {
        let shown: String = path.chars().filter(|c| !c.is_control()).take(PATH_SHOWN_MAX).collect();
        return Err(BlobError::Malformed(format!(
            "`{shown}` is no path of a blob: letters, digits, full stops, hyphens and underscores between slashes are"
        )));
    }
    Ok(path)
}

/// The path with a blob of at most the largest size.
fn checked_content<'a>(path: &'a str, content: &[u8]) -> Result<&'a str, BlobError> {
    if content.len() > BLOB_BYTES_MAX {
        return Err(BlobError::TooLarge { path: path.to_owned(), limit: BLOB_BYTES_MAX });
    }
    checked_path(path)
}

/// Longest name in a path, in bytes; with what is put around it for a time it stays below what file systems take.
const NAME_MAX: usize = 128;
/// Most names in a path.
const SEGMENTS_MAX: usize = 8;
/// Characters of a wrong path that an error repeats.
const PATH_SHOWN_MAX: usize = 128;
