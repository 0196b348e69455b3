//! What is this node's own, in its data folder.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use strongroom_core::deployment::Expectation;
use strongroom_core::identity::{Directory, Foundation};
use strongroom_core::layout;
use strongroom_core::request::Request;
use strongroom_crypto::Entropy;
use strongroom_crypto::providers::{FileRoot, QuorumRoot, RootProvider};
use strongroom_store::Kv;
use strongroom_types::{DeploymentId, NodeId, Secret, Timestamp};
use uuid::Uuid;

use crate::config::{RootProviderKind, Settings};
use crate::data_dir::{DataDir, DataDirError};
use crate::serve::error::StartError;

/// Opens the root, or makes its file for an empty store; says what the store may be expected to hold.
pub(super) async fn open_root(
    folder: &DataDir,
    settings: &Settings,
    store: &dyn Kv,
    entropy: &dyn Entropy,
) -> Result<(Arc<dyn RootProvider>, Expectation), StartError> {
    let path = &settings.root_file;
    let remembered: Option<DeploymentId> = folder.read(DEPLOYMENT)?.and_then(|text| text.parse().ok());
    // A start that was cut off after it made the root, and before it founded, has left a root that belongs to no store.
    let unfinished = folder.read(FOUNDING)?.is_some();
    let existed = path.exists();
    let root = if existed {
        FileRoot::open(path).map_err(StartError::Root)?
    } else if remembered.is_some() || store.get(layout::DEPLOYMENT).await?.is_some() {
        return Err(StartError::RootMissing { path: path.clone() });
    } else {
        folder.write(FOUNDING, b"")?;
        create_root(path, entropy)?
    };
    let expectation = Expectation { remembered, root_existed: existed && !unfinished, init: settings.init };
    let root: Arc<dyn RootProvider> = match settings.root_provider {
        RootProviderKind::File => Arc::new(root),
        RootProviderKind::Quorum => Arc::new(QuorumRoot::new(root)),
    };
    Ok((root, expectation))
}

/// Remembers which deployment the folder belongs to; from now on it founds no other.
pub(super) fn remember(folder: &DataDir, deployment: DeploymentId) -> Result<(), DataDirError> {
    if folder.read(DEPLOYMENT)?.is_none() {
        folder.write(DEPLOYMENT, format!("{deployment}\n").as_bytes())?;
    }
    folder.remove(FOUNDING)
}

/// Which node this is: drawn at its first start. Its jobs, its part of the outbox and its secret go by this name.
pub(super) fn node_id(folder: &DataDir, entropy: &dyn Entropy) -> Result<NodeId, StartError> {
    if let Some(text) = folder.read(NODE)? {
        let malformed = |error| DataDirError::Io {
            path: folder.join(NODE),
            source: io::Error::new(io::ErrorKind::InvalidData, error),
        };
        return Ok(text.parse().map_err(malformed)?);
    }
    let node = NodeId::from_random(entropy.sixteen()?);
    folder.write(NODE, format!("{node}\n").as_bytes())?;
    Ok(node)
}

/// The node's own secret of the administrator: the one in the folder if it still counts, or a new one.
pub(super) async fn bootstrap_secret(
    folder: &DataDir,
    directory: &Directory,
    foundation: &Foundation,
    request: &Request,
    now: Timestamp,
) -> Result<Secret<String>, StartError> {
    if let Some(secret) = folder.read(BOOTSTRAP_SECRET)? {
        let secret = Secret::new(secret);
        let client_id = foundation.administrator.client_id;
        if directory.authenticate_with_secret(client_id, secret.expose(), now).await.is_ok() {
            return Ok(secret);
        }
    }
    let node = directory.core().barrier().node();
    let issued = directory.issue_bootstrap_secret(request, &node.to_string()).await?;
    folder.write(BOOTSTRAP_SECRET, issued.secret.expose().as_bytes())?;
    Ok(issued.secret)
}

/// What `X-IDENTITY-HEADER` must be at this node's metadata service.
pub(super) fn identity_header(folder: &DataDir, entropy: &dyn Entropy) -> Result<Secret<String>, StartError> {
    if let Some(header) = folder.read(IDENTITY_HEADER)?.filter(|header| header.len() >= IDENTITY_HEADER_BYTES) {
        return Ok(Secret::new(header));
    }
    let (first, second) = (Uuid::from_bytes(entropy.sixteen()?), Uuid::from_bytes(entropy.sixteen()?));
    let header = Secret::new(format!("{}{}", first.as_simple(), second.as_simple()));
    folder.write(IDENTITY_HEADER, header.expose().as_bytes())?;
    Ok(header)
}

/// Makes the root beside its place and moves it there, so that a crash leaves no half of one.
fn create_root(path: &Path, entropy: &dyn Entropy) -> Result<FileRoot, StartError> {
    let at = |source| StartError::DataDir(DataDirError::Io { path: path.to_owned(), source });
    let new = path.with_added_extension("new");
    if new.exists() {
        fs::remove_file(&new).map_err(at)?;
    }
    let root = FileRoot::create(&new, entropy).map_err(StartError::Root)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A link, unlike a rename, replaces nothing: a root is never overwritten.
    let moved = fs::hard_link(&new, path).and_then(|()| fs::remove_file(&new));
    moved.and_then(|()| fs::File::open(folder)?.sync_all()).map_err(at)?;
    Ok(root)
}

/// Which deployment the folder belongs to.
const DEPLOYMENT: &str = "deployment-id";
/// There while a first start is under way.
const FOUNDING: &str = "founding";
/// Which node this is.
const NODE: &str = "node-id";
const BOOTSTRAP_SECRET: &str = "bootstrap-secret";
const IDENTITY_HEADER: &str = "identity-header";
/// 256 bits in hexadecimal.
const IDENTITY_HEADER_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use strongroom_crypto::SystemEntropy;
    use strongroom_store::MemoryStore;

    use super::*;
    use crate::config::{Configuration, Flags};

    fn settings(folder: &DataDir) -> Settings {
        Settings::resolve(Configuration::default(), Flags::default(), Some(folder.path().to_owned())).unwrap()
    }

    fn folder() -> (tempfile::TempDir, DataDir) {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataDir::open(&parent.path().join("data")).unwrap();
        (parent, folder)
    }

    #[tokio::test]
    async fn a_start_cut_off_before_it_founded_may_found_with_its_root() {
        let (_parent, folder) = folder();
        let (store, settings) = (MemoryStore::new(), settings(&folder));
        let (made, first) = open_root(&folder, &settings, &store, &SystemEntropy).await.unwrap();
        let (found, second) = open_root(&folder, &settings, &store, &SystemEntropy).await.unwrap();
        assert_eq!(made.check_value(), found.check_value());
        assert!(!first.root_existed && !second.root_existed);
        remember(&folder, DeploymentId::from_random([1; 16])).unwrap();
        let (_, third) = open_root(&folder, &settings, &store, &SystemEntropy).await.unwrap();
        assert!(third.root_existed && third.remembered == Some(DeploymentId::from_random([1; 16])));
    }

    #[tokio::test]
    async fn a_missing_root_is_not_replaced_once_there_is_a_deployment() {
        let (_parent, folder) = folder();
        remember(&folder, DeploymentId::from_random([1; 16])).unwrap();
        let error =
            open_root(&folder, &settings(&folder), &MemoryStore::new(), &SystemEntropy).await.map(drop).unwrap_err();
        assert!(matches!(error, StartError::RootMissing { .. }));
        assert!(!folder.join("root.key").exists());
    }

    #[tokio::test]
    async fn half_a_root_that_a_crash_left_is_made_again() {
        let (_parent, folder) = folder();
        fs::write(folder.join("root.key.new"), "# half").unwrap();
        open_root(&folder, &settings(&folder), &MemoryStore::new(), &SystemEntropy).await.unwrap();
        assert!(folder.join("root.key").exists() && !folder.join("root.key.new").exists());
    }

    #[test]
    fn a_node_keeps_its_id_and_one_that_is_no_id_is_not_replaced() {
        let (_parent, folder) = folder();
        let first = node_id(&folder, &SystemEntropy).unwrap();
        assert_eq!(node_id(&folder, &SystemEntropy).unwrap(), first);
        folder.write(NODE, b"node-1").unwrap();
        let error = node_id(&folder, &SystemEntropy).unwrap_err();
        assert!(matches!(error, StartError::DataDir(DataDirError::Io { .. })), "{error}");
        assert_eq!(folder.read(NODE).unwrap().as_deref(), Some("node-1"));
    }

    #[test]
    fn the_identity_header_stays_the_same() {
        let (_parent, folder) = folder();
        let first = identity_header(&folder, &SystemEntropy).unwrap();
        assert_eq!(first.expose().len(), IDENTITY_HEADER_BYTES);
        assert_eq!(identity_header(&folder, &SystemEntropy).unwrap().expose(), first.expose());
    }
}
