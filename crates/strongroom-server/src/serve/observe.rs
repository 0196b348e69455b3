//! The cluster as its store shows it: for commands that look at it, or change how a node is used, without being a node.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use strongroom_cluster::{DRAINS, Registration, Standing, node_of, refuse_newer, registrations};
use strongroom_core::deployment::Deployment;
use strongroom_core::layout;
use strongroom_crypto::SystemEntropy;
use strongroom_store::{COMMIT_OPERATIONS_MAX, Commit, Kv, Write, entries};
use strongroom_types::DeploymentId;

use crate::config::{Settings, SettingsError, StorePlace};
use crate::data_dir::DataDir;
use crate::serve::cluster::RECORDS;
use crate::serve::error::StartError;
use crate::serve::node;
use crate::serve::store::{Held, Purpose, hold};

/// The nodes of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterView {
    /// The store's revision.
    pub revision: u64,
    /// By id; one that was expelled and is back stands here twice for some seconds.
    pub nodes: Vec<NodeView>,
}

/// One registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// The node's id.
    pub node: String,
    /// What people call it.
    pub name: String,
    /// Whether the others rely on it.
    pub standing: &'static str,
    /// The release that it runs; empty if it does not say so.
    pub release: String,
    /// It has applied all changes up to here.
    pub applied_revision: u64,
    /// How far that is behind the store. Registrations count as well, so some are normal.
    pub behind: u64,
    /// Whether it has renewed its registration in the time that one counts: if not, it does not serve.
    pub renewing: bool,
    /// Whether an operator empties it.
    pub draining: bool,
}

/// What was read of the registrations at one time.
type Registrations = Vec<(String, Registration)>;

impl ClusterView {
    /// Looks twice, as far apart as a registration counts. Works while no node runs.
    ///
    /// # Errors
    /// [`StartError`] if there is no cluster, or its store cannot be read.
    pub async fn look(settings: &Settings) -> Result<Self, StartError> {
        let Held { store, .. } = hold_shared(settings, Purpose::Look).await?;
        let (_, before) = registrations(store.as_ref()).await?;
        tokio::time::sleep(settings.cluster.serving).await;
        let (revision, after) = registrations(store.as_ref()).await?;
        let drained = drained(store.as_ref()).await?;
        Ok(Self { revision: revision.0, nodes: nodes(&before, after, revision.0, &drained) })
    }

    /// Whether every node that is there renews its registration.
    pub fn is_well(&self) -> bool {
        self.nodes.iter().all(|node| node.renewing)
    }
}

fn nodes(before: &Registrations, after: Registrations, revision: u64, drained: &BTreeSet<String>) -> Vec<NodeView> {
    let before: BTreeMap<&String, u64> = before.iter().map(|(key, earlier)| (key, earlier.renewals)).collect();
    let view = |(key, registration): (String, Registration)| {
        let Registration { name, applied, renewals, standing, release, .. } = registration;
        let id = node_of(&key).unwrap_or(&key).to_owned();
        let registered = standing == Standing::Registered;
        NodeView {
            name,
            standing: if registered { "registered" } else { "expelled" },
            release,
            applied_revision: applied,
            behind: revision.saturating_sub(applied),
            // One that was not there before has been made since.
            renewing: registered && before.get(&key).is_none_or(|earlier| renewals > *earlier),
            draining: drained.contains(&id),
            // It goes to a terminal, and comes from a store that nobody trusts.
            node: id.replace(char::is_control, ""),
        }
    };
    after.into_iter().map(view).collect()
}

/// The nodes that are said to be being emptied, whether they are there or not.
async fn drained(store: &dyn Kv) -> Result<BTreeSet<String>, StartError> {
    let (_, marks) = entries(store, DRAINS).await?;
    Ok(marks.iter().filter_map(|entry| Some(entry.key.strip_prefix(DRAINS)?.to_owned())).collect())
}

/// Has a node say that it is not ready, or takes that back; answers with the node's id. `node` is its id, or its name if no other has it.
///
/// # Errors
/// [`StartError`]: there is no such node, or the store cannot be reached.
pub async fn drain(settings: &Settings, node: &str, undo: bool) -> Result<String, StartError> {
    let Held { store, .. } = hold_shared(settings, Purpose::Change).await?;
    mark(store.as_ref(), node, undo).await
}

/// Marks a node, or takes its mark away. Marks of nodes that are not there go as well: nobody else would ever take them away.
async fn mark(store: &dyn Kv, node: &str, undo: bool) -> Result<String, StartError> {
    let (_, registered) = registrations(store).await?;
    let id = find(&registered, node)?;
    let key = format!("{DRAINS}{id}");
    let present: BTreeSet<&str> = registered.iter().filter_map(|(key, _)| node_of(key)).collect();
    let gone = drained(store).await?.into_iter().filter(|node| !present.contains(node.as_str()));
    let mut writes = vec![if undo { Write::Delete(key) } else { Write::Put(key, Vec::new()) }];
    writes.extend(gone.map(|node| Write::Delete(format!("{DRAINS}{node}"))).take(COMMIT_OPERATIONS_MAX - 1));
    // Without preconditions there is nothing to conflict with.
    store.commit(Commit { preconditions: Vec::new(), writes }).await?;
    Ok(id)
}

fn find(registered: &Registrations, node: &str) -> Result<String, StartError> {
    let of = |(key, registration): &(String, Registration)| {
        // A node's id has no control characters, so one with them is no node's, and need not reach a terminal.
        let id = node_of(key).filter(|id| !id.contains(char::is_control))?;
        Some((id.to_owned(), registration.name.clone()))
    };
    let known: BTreeMap<String, String> = registered.iter().filter_map(of).collect();
    if known.contains_key(node) {
        return Ok(node.to_owned());
    }
    let named: Vec<&String> = known.iter().filter(|(_, name)| *name == node).map(|(id, _)| id).collect();
    match named.as_slice() {
        [id] => Ok((*id).clone()),
        [] => Err(StartError::UnknownNode { node: node.to_owned() }),
        [..] => Err(StartError::SeveralNodes { node: node.to_owned() }),
    }
}

/// Prepares a data folder for a new node of a deployment that is there; founds nothing. Answers with the deployment.
///
/// # Errors
/// [`StartError`] says what is missing.
pub async fn join(settings: &Settings) -> Result<DeploymentId, StartError> {
    let Held { store, .. } = hold_shared(settings, Purpose::Look).await?;
    if store.get(layout::DEPLOYMENT).await?.is_none() {
        return Err(StartError::NoDeployment);
    }
    let (_, registered) = registrations(store.as_ref()).await?;
    refuse_newer(registered.iter().map(|(_, registration)| registration), RECORDS)?;
    let folder = DataDir::open(&settings.data_dir)?;
    // The store has a deployment, so a root is never made here.
    let (root, expectation) = node::open_root(&folder, settings, store.as_ref(), &SystemEntropy).await?;
    let deployment = Deployment::open(store.as_ref(), root.as_ref(), &SystemEntropy, expectation).await?;
    node::remember(&folder, deployment.id)?;
    Ok(deployment.id)
}

/// Opens a store that several nodes may share.
async fn hold_shared(settings: &Settings, purpose: Purpose) -> Result<Held, StartError> {
    match settings.store {
        StorePlace::Embedded => Err(SettingsError::NoCluster.into()),
        StorePlace::Etcd(_) => hold(settings, purpose).await,
    }
}

#[cfg(test)]
mod tests {
    use strongroom_store::MemoryStore;

    use super::*;
    use crate::config::{Configuration, Flags};

    fn registration(name: &str, renewals: u64, standing: Standing) -> Registration {
        let (name, release) = (name.to_owned(), "0.1.0".to_owned());
        Registration { name, applied: 90, renewals, standing, waited_for: None, release, records: 1 }
    }

    fn key(node: &str) -> String {
        format!("node/{node}-0f-1")
    }

    #[test]
    fn a_node_renews_if_its_registration_has_gone_on_or_is_new() {
        let before = vec![
            (key("alive"), registration("a", 3, Standing::Registered)),
            (key("silent"), registration("b", 3, Standing::Registered)),
            (key("gone"), registration("c", 3, Standing::Registered)),
        ];
        let after = vec![
            (key("alive"), registration("a", 4, Standing::Registered)),
            (key("silent"), registration("b", 3, Standing::Registered)),
            (key("expelled"), registration("c", 9, Standing::Expelled)),
            (key("new"), registration("d", 0, Standing::Registered)),
        ];
        let drained = BTreeSet::from(["alive".to_owned()]);
        let nodes = nodes(&before, after, 100, &drained);
        let seen: Vec<_> = nodes.iter().map(|it| (it.node.as_str(), it.standing, it.renewing, it.draining)).collect();
        let expected = [
            ("alive", "registered", true, true),
            ("silent", "registered", false, false),
            ("expelled", "expelled", false, false),
            ("new", "registered", true, false),
        ];
        assert_eq!(seen, expected);
        assert_eq!(nodes[0].behind, 10);
        assert!(!ClusterView { revision: 100, nodes: nodes.clone() }.is_well());
        assert!(ClusterView { revision: 100, nodes: nodes[..1].to_vec() }.is_well());
    }

    #[test]
    fn a_node_is_found_by_its_id_or_by_a_name_that_no_other_has() {
        let node = |id: &str, name: &str| (key(id), registration(name, 0, Standing::Registered));
        let registered = vec![node("1", "east"), node("2", "west"), node("3", "west")];
        assert_eq!(find(&registered, "2").unwrap(), "2");
        assert_eq!(find(&registered, "east").unwrap(), "1");
        assert!(matches!(find(&registered, "west"), Err(StartError::SeveralNodes { .. })));
        assert!(matches!(find(&registered, "north"), Err(StartError::UnknownNode { .. })));
    }

    #[test]
    fn what_lies_in_the_store_sends_nothing_to_a_terminal() {
        let odd = vec![(key("a\u{1b}[2J"), registration("x", 0, Standing::Registered))];
        let seen = nodes(&Vec::new(), odd.clone(), 100, &BTreeSet::new());
        assert_eq!(seen[0].node, "a[2J");
        let error = find(&odd, "a\u{1b}[2J").unwrap_err();
        assert_eq!(error.cause(), "no node with the id or the name `a [2J` is registered");
    }

    async fn put(store: &dyn Kv, keys: impl IntoIterator<Item = String>) {
        for key in keys {
            let writes =
                vec![Write::Put(key, serde_json::to_vec(&registration("x", 0, Standing::Registered)).unwrap())];
            store.commit(Commit { preconditions: Vec::new(), writes }).await.unwrap();
        }
    }

    #[tokio::test]
    async fn marks_of_nodes_that_never_come_back_are_taken_away_and_hide_no_other() {
        let store = MemoryStore::new();
        // More than one page.
        put(&store, (0..1100).map(|number| format!("{DRAINS}gone-{number:04}"))).await;
        put(&store, [key("here"), key("there")]).await;
        assert_eq!(mark(&store, "there", false).await.unwrap(), "there");
        assert!(drained(&store).await.unwrap().contains("there"), "it comes behind a thousand others");
        for undo in [false, true].into_iter().cycle().take(1100 / (COMMIT_OPERATIONS_MAX - 1) + 1) {
            mark(&store, "here", undo).await.unwrap();
        }
        let mut left = drained(&store).await.unwrap();
        left.remove("here");
        assert_eq!(left, BTreeSet::from(["there".to_owned()]), "it is there, so its mark stays");
        mark(&store, "there", true).await.unwrap();
        assert!(!drained(&store).await.unwrap().contains("there"));
    }

    #[tokio::test]
    async fn without_a_cluster_nothing_is_made() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let settings = Settings::resolve(Configuration::default(), Flags::default(), Some(folder.clone())).unwrap();
        let refused = [join(&settings).await.map(drop), drain(&settings, "a", false).await.map(drop)];
        for refused in refused.into_iter().chain([ClusterView::look(&settings).await.map(drop)]) {
            assert!(matches!(refused, Err(StartError::Settings(SettingsError::NoCluster))), "{refused:?}");
        }
        assert!(!folder.exists());
    }
}
