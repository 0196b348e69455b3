//! A deployment: everything that lives in one store, under one deployment key.
//!
//! The deployment record lies in the clear: it is what is read before anything can be opened. It holds the deployment's
//! id, a check value of the platform root, and the deployment key wrapped by that root (protocols.md §1, §3).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use strongroom_crypto::seal::{Header, Sealer};
use strongroom_crypto::{Entropy, Root, providers::RootProvider};
use strongroom_store::{Commit, Entry, Kv, Outcome, Precondition, Revision, Write};
use strongroom_types::{DeploymentId, DomainId, Epoch};

use crate::error::DeploymentError;
use crate::witness::Witness;
use crate::{Result, layout};

/// An opened deployment.
pub struct Deployment {
    /// Its id: random, made when it was founded.
    pub id: DeploymentId,
    root: Root,
    sealer: Arc<Sealer>,
    change_base: u64,
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct DeploymentRecord {
    format: u16,
    id: DeploymentId,
    root_provider: String,
    root_check: String,
    wrapped_key: String,
    /// What the revisions of the stores it lay in before add up to.
    #[serde(default, skip_serializing_if = "is_zero")]
    change_base: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the node knows before it looks into the store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expectation {
    /// The deployment its data folder belongs to.
    pub remembered: Option<DeploymentId>,
    /// Whether the platform root existed before this start (a new one may found, an old one must find its store).
    pub root_existed: bool,
    /// The operator asked to found a deployment with an existing root (`--init`).
    pub init: bool,
}

impl Deployment {
    /// Opens the deployment in the store, or founds one if the store is empty and that is what is expected.
    ///
    /// # Errors
    /// [`DeploymentError`] if root, store and folder do not belong together.
    pub async fn open(
        store: &dyn Kv,
        provider: &dyn RootProvider,
        entropy: &dyn Entropy,
        expectation: Expectation,
    ) -> Result<Self> {
        let mut found = store.get(layout::DEPLOYMENT).await?;
        if found.is_none() && holds_records(store).await? {
            // Another node may just have founded it.
            found = Some(store.get(layout::DEPLOYMENT).await?.ok_or(DeploymentError::Incomplete)?);
        }
        if let Some(entry) = found {
            return Self::from_record(&entry.value, provider, expectation);
        }
        if let Some(folder) = expectation.remembered {
            return Err(DeploymentError::StoreLost { folder: folder.to_string() }.into());
        }
        if expectation.root_existed && !expectation.init {
            return Err(DeploymentError::RootWithoutStore.into());
        }
        let record = Self::found(provider, entropy)?;
        let commit = Commit {
            preconditions: vec![Precondition::Absent(layout::DEPLOYMENT.to_owned())],
            writes: vec![Write::Put(layout::DEPLOYMENT.to_owned(), record.clone())],
        };
        match store.commit(commit).await? {
            Outcome::Committed(Revision(_)) => Self::from_record(&record, provider, expectation),
            // Another node founded it first: it must be openable with our root, or we do not belong to it.
            Outcome::Conflict => {
                let entry = store.get(layout::DEPLOYMENT).await?.ok_or(DeploymentError::Malformed)?;
                Self::from_record(&entry.value, provider, expectation)
            }
        }
    }

    /// Seals what belongs to the deployment and to no HSM.
    pub fn sealer(&self) -> &Arc<Sealer> {
        &self.sealer
    }

    /// The deployment key, from which keys for other purposes are derived.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// What is added to the store's revision wherever change numbers rest on it: see [`moved`].
    pub(crate) fn change_base(&self) -> u64 {
        self.change_base
    }

    fn found(provider: &dyn RootProvider, entropy: &dyn Entropy) -> Result<Vec<u8>> {
        let id = DeploymentId::from_random(entropy.sixteen()?);
        let key = Root::generate(entropy)?;
        let record = DeploymentRecord {
            format: FORMAT,
            id,
            root_provider: provider.name().to_owned(),
            root_check: URL_SAFE_NO_PAD.encode(provider.check_value()),
            wrapped_key: URL_SAFE_NO_PAD.encode(provider.wrap(&purpose(id), key.expose())?),
            change_base: 0,
        };
        serde_json::to_vec(&record).map_err(|_| DeploymentError::Malformed.into())
    }

    fn from_record(bytes: &[u8], provider: &dyn RootProvider, expectation: Expectation) -> Result<Self> {
        let record = DeploymentRecord::parse(bytes)?;
        if let Some(folder) = expectation.remembered.filter(|folder| *folder != record.id) {
            let (folder, store) = (folder.to_string(), record.id.to_string());
            return Err(DeploymentError::OtherDeployment { folder, store }.into());
        }
        // Another provider may leave at rest what this one must not, or the other way round.
        if record.root_provider != provider.name() {
            let (founded, configured) = (record.root_provider, provider.name());
            return Err(DeploymentError::OtherRootProvider { founded, configured }.into());
        }
        if record.root_check != URL_SAFE_NO_PAD.encode(provider.check_value()) {
            return Err(DeploymentError::WrongRoot.into());
        }
        let wrapped = URL_SAFE_NO_PAD.decode(&record.wrapped_key).map_err(|_| DeploymentError::Malformed)?;
        let key = provider.unwrap(&purpose(record.id), &wrapped).map_err(|_| DeploymentError::WrongRoot)?;
        let root = Root::from_bytes(key.expose())?;
        let uuid = record.id.uuid();
        let sealer = Sealer::new(&root, DomainId::from_uuid(uuid), Epoch::FIRST, uuid)?;
        Ok(Self { id: record.id, root, sealer: Arc::new(sealer), change_base: record.change_base })
    }
}

impl DeploymentRecord {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let record: Self = serde_json::from_slice(bytes).map_err(|_| DeploymentError::Malformed)?;
        if record.format == FORMAT { Ok(record) } else { Err(DeploymentError::Malformed.into()) }
    }
}

/// The deployment record for another store, into which everything else was copied as it was when the store it comes from was `at`
/// a revision.
///
/// No change number is higher than the revision that its commit made, and new ones rest on that ([`crate::barrier`]). The other
/// store counts its revisions from anywhere, so those of this one are added to them from now on. Taking the higher of both
/// would not do: the numbers of a record that is made, removed and made again would then stand still.
///
/// # Errors
/// [`DeploymentError::Malformed`].
pub fn moved(record: &[u8], at: Revision) -> Result<Vec<u8>> {
    let record = DeploymentRecord::parse(record)?;
    let moved = DeploymentRecord { change_base: record.change_base.saturating_add(at.0), ..record };
    serde_json::to_vec(&moved).map_err(|_| DeploymentError::Malformed.into())
}

/// Whether there is anything but what is said of nodes, which comes before the deployment is opened.
async fn holds_records(store: &dyn Kv) -> Result<bool> {
    let is_of_node = |entry: &Entry| [layout::DRAINS, layout::NODES].iter().any(|prefix| entry.key.starts_with(prefix));
    for behind in [None, Some(BEHIND_DRAINS), Some(BEHIND_NODES)] {
        let page = store.range("", behind, 1, None).await?;
        if page.entries.iter().any(|entry| !is_of_node(entry)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Compares the store with what this node has seen, before anything is served.
///
/// # Errors
/// [`DeploymentError::RolledBack`] names one record that is older than it was.
pub async fn check_not_rolled_back(store: &dyn Kv, witness: &Witness) -> Result<()> {
    let seen = witness.all();
    let (mut after, mut at) = (None::<String>, None);
    loop {
        let page = store.range("", after.as_deref(), strongroom_store::LIMIT_MAX, at).await?;
        for entry in &page.entries {
            let (Some(seen), Ok(header)) = (seen.get(&entry.key), Header::peek(&entry.value)) else { continue };
            if header.change < *seen {
                let key = entry.key.clone();
                return Err(DeploymentError::RolledBack { key, found: header.change, seen: *seen }.into());
            }
        }
        at = Some(page.revision);
        after = page.entries.last().map(|entry| entry.key.clone());
        if !page.more {
            return Ok(());
        }
    }
}

fn purpose(id: DeploymentId) -> String {
    format!("deployment-key/{id}")
}

const FORMAT: u16 = 1;
/// Behind all of those in the order of keys: `0` follows `/`, and no key is this one.
const BEHIND_DRAINS: &str = "drain0";
/// The same of registrations.
const BEHIND_NODES: &str = "node0";

#[cfg(test)]
mod tests {
    use strongroom_crypto::SystemEntropy;
    use strongroom_crypto::providers::FileRoot;
    use strongroom_store::MemoryStore;

    use super::*;

    /// Opens a deployment on a store that holds these keys.
    async fn open_with(keys: &[&str]) -> Result<Deployment> {
        let folder = tempfile::tempdir().unwrap();
        let root = FileRoot::create(&folder.path().join("root.key"), &SystemEntropy).unwrap();
        let store = MemoryStore::new();
        let writes = keys.iter().map(|key| Write::Put((*key).to_owned(), vec![1])).collect();
        store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
        Deployment::open(&store, &root, &SystemEntropy, Expectation { init: true, ..Expectation::default() }).await
    }

    #[tokio::test]
    async fn what_is_said_of_nodes_makes_no_deployment_and_anything_else_a_broken_one() {
        for keys in [&["drain/a"][..], &["node/a-0f-1"], &["drain/a", "drain/b", "node/a-0f-1", "node/b-0f-1"]] {
            open_with(keys).await.unwrap();
        }
        for record in ["audit/outbox/a/b", "copying", "d/x", "drained", "hsm/a/guard", "node1", "zone"] {
            let refused = open_with(&["drain/a", "node/a-0f-1", record]).await;
            let is_incomplete = matches!(refused, Err(crate::Error::Deployment(DeploymentError::Incomplete)));
            assert!(is_incomplete, "{record}");
        }
    }
}
