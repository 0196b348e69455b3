//! Every record in memory, as it was at one revision.
//!
//! The replica only moves forward, one whole commit at a time. Of what is read on demand (key material) it holds the
//! revision and not the value.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use strongroom_store::{Change, Entry, Page, PageBuilder, Revision};
use tokio::sync::watch;

use crate::layout::Layout;
use crate::registration::{REGISTRATIONS, Registration};

/// The records, and who else is registered.
pub(crate) struct Replica {
    state: RwLock<State>,
    layout: Layout,
    progress: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<String, Held>,
    peers: BTreeMap<String, Peer>,
    applied: Revision,
    counted: Revision,
}

/// A record.
struct Held {
    /// `None` if it is read on demand.
    value: Option<Box<[u8]>>,
    created: Revision,
    modified: Revision,
}

/// A registration as this node sees it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) registration: Registration,
    /// The commit that wrote it.
    pub(crate) revision: Revision,
    /// When this node first saw that commit, by its own clock: never before it happened.
    pub(crate) since: Duration,
}

/// The registrations, and the revisions they were looked at.
pub(crate) struct Peers<'a> {
    /// As [`Replica::applied`].
    pub(crate) applied: Revision,
    /// As [`Replica::counted`].
    pub(crate) counted: Revision,
    /// By store key.
    pub(crate) all: &'a BTreeMap<String, Peer>,
}

/// What is known about a key.
pub(crate) enum Found {
    /// There is none.
    Absent,
    /// The whole record.
    Record(Entry),
    /// Its value must be read, and counts only if it was written by this commit.
    OnDemand(Revision),
}

/// A page of the replica.
pub(crate) enum Listed {
    /// The whole page.
    Page(Page),
    /// The page holds values that must be read from the engine, at this revision.
    OnDemand(Revision),
}

/// Everything at one revision, being read.
#[derive(Default)]
pub(crate) struct Load {
    records: BTreeMap<String, Held>,
    registrations: Vec<(String, Registration, Revision)>,
}

/// The store shows less than it has shown before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WentBack;

impl Replica {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { state: RwLock::default(), layout, progress: watch::Sender::new(()) }
    }

    /// Every change up to this revision is in the replica.
    pub(crate) fn applied(&self) -> Revision {
        self.read().applied
    }

    /// Every change that counts up to this revision is in the replica. It rises when such a change comes, and not with the
    /// registrations: or nodes would go on telling each other for ever that they have heard each other. Behind a load it is
    /// what is applied, for nobody knows what was removed before.
    pub(crate) fn counted(&self) -> Revision {
        self.read().counted
    }

    /// Resolves `changed` whenever something here, or something that waits for it, has moved on.
    pub(crate) fn progress(&self) -> watch::Receiver<()> {
        self.progress.subscribe()
    }

    /// Wakes whoever waits for progress.
    pub(crate) fn nudge(&self) {
        self.progress.send_replace(());
    }

    pub(crate) fn find(&self, key: &str) -> Found {
        let state = self.read();
        let Some(held) = state.records.get(key) else { return Found::Absent };
        held.entry(key).map_or(Found::OnDemand(held.modified), Found::Record)
    }

    /// The commit that wrote a key, if it is there.
    pub(crate) fn modified(&self, key: &str) -> Option<Revision> {
        Some(self.read().records.get(key)?.modified)
    }

    pub(crate) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Listed {
        let state = self.read();
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut page = PageBuilder::new(limit, state.applied);
        let behind = state.records.range::<str, _>((from, Bound::Unbounded));
        for (key, held) in behind.take_while(|(key, _)| key.starts_with(prefix)) {
            let Some(entry) = held.entry(key) else { return Listed::OnDemand(state.applied) };
            if !page.has_room(key, &entry.value) {
                break;
            }
            page.push(entry);
        }
        Listed::Page(page.finish())
    }

    /// Looks at the registrations as they were at the applied revision.
    pub(crate) fn with_peers<T>(&self, look: impl FnOnce(&Peers<'_>) -> T) -> T {
        let state = self.read();
        look(&Peers { applied: state.applied, counted: state.counted, all: &state.peers })
    }

    /// Applies the changes of one commit; those of one that is in already change nothing.
    pub(crate) fn apply(&self, changes: Vec<Change>, now: Duration) {
        let Some(revision) = changes.first().map(revision_of) else { return };
        let mut state = self.write();
        if revision <= state.applied {
            return;
        }
        for change in changes {
            if self.counts(key_of(&change)) {
                state.counted = revision;
            }
            match change {
                Change::Put(entry) => state.put(self.layout, entry, now),
                Change::Deleted(key, _) => state.remove(&key),
            }
        }
        state.applied = revision;
        drop(state);
        self.nudge();
    }

    /// Whether answers depend on what lies under a key.
    pub(crate) fn counts(&self, key: &str) -> bool {
        !key.starts_with(REGISTRATIONS) && !(self.layout.incidental)(key)
    }

    /// Adds a page of a load.
    pub(crate) fn add(&self, load: &mut Load, page: Page) {
        for entry in page.entries {
            if entry.key.starts_with(REGISTRATIONS) {
                let registration = Registration::decode(&entry.value);
                load.registrations.push((entry.key.clone(), registration, entry.modified));
            }
            let (key, held) = Held::of(self.layout, entry);
            load.records.insert(key, held);
        }
    }

    /// Puts what was loaded in the place of everything.
    ///
    /// # Errors
    /// [`WentBack`] if it is older than what is here.
    pub(crate) fn replace(&self, load: Load, revision: Revision, now: Duration) -> Result<(), WentBack> {
        let Load { records, registrations } = load;
        let mut state = self.write();
        if revision < state.applied {
            return Err(WentBack);
        }
        let peer = |(key, registration, revision): (String, Registration, Revision)| {
            let seen = state.peers.get(&key).filter(|peer| peer.revision == revision);
            let since = seen.map_or(now, |peer| peer.since);
            (key, Peer { registration, revision, since })
        };
        let peers = registrations.into_iter().map(peer).collect();
        *state = State { records, peers, applied: revision, counted: revision };
        drop(state);
        self.nudge();
        Ok(())
    }

    /// Which commit wrote each key.
    #[cfg(test)]
    pub(crate) fn index(&self) -> (Revision, BTreeMap<String, Revision>) {
        let state = self.read();
        (state.applied, state.records.iter().map(|(key, held)| (key.clone(), held.modified)).collect())
    }

    /// Pretends that everything up to a revision was applied.
    #[cfg(test)]
    pub(crate) fn skip_to(&self, revision: Revision) {
        let mut state = self.write();
        state.applied = state.applied.max(revision);
        state.counted = state.counted.max(revision);
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // No code panics while it holds the lock half-way through a commit.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, layout: Layout, entry: Entry, now: Duration) {
        if entry.key.starts_with(REGISTRATIONS) {
            let registration = Registration::decode(&entry.value);
            self.peers.insert(entry.key.clone(), Peer { registration, revision: entry.modified, since: now });
        }
        let (key, held) = Held::of(layout, entry);
        self.records.insert(key, held);
    }

    fn remove(&mut self, key: &str) {
        self.peers.remove(key);
        self.records.remove(key);
    }
}

impl Held {
    fn of(layout: Layout, entry: Entry) -> (String, Self) {
        let Entry { key, value, created, modified } = entry;
        let value = (!(layout.on_demand)(&key)).then(|| value.into_boxed_slice());
        (key, Self { value, created, modified })
    }

    /// The whole entry, if its value is here.
    fn entry(&self, key: &str) -> Option<Entry> {
        let value = self.value.as_ref()?.to_vec();
        Some(Entry { key: key.to_owned(), value, created: self.created, modified: self.modified })
    }
}

fn key_of(change: &Change) -> &str {
    match change {
        Change::Put(entry) => &entry.key,
        Change::Deleted(key, _) => key,
    }
}

fn revision_of(change: &Change) -> Revision {
    match change {
        Change::Put(entry) => entry.modified,
        Change::Deleted(_, revision) => *revision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout =
        Layout { on_demand: |key| key.starts_with("m/"), incidental: |key| key.starts_with("audit/") };

    fn put(key: &str, value: &str, revision: u64) -> Change {
        let revision = Revision(revision);
        Change::Put(Entry { key: key.into(), value: value.into(), created: revision, modified: revision })
    }

    fn value(replica: &Replica, key: &str) -> Option<Vec<u8>> {
        match replica.find(key) {
            Found::Record(entry) => Some(entry.value),
            Found::Absent | Found::OnDemand(_) => None,
        }
    }

    #[test]
    fn a_commit_that_is_in_already_changes_nothing() {
        let replica = Replica::new(LAYOUT);
        replica.apply(vec![put("a", "old", 1)], Duration::ZERO);
        replica.apply(vec![put("a", "new", 2)], Duration::ZERO);
        replica.apply(vec![put("a", "old", 1)], Duration::ZERO);
        assert_eq!(value(&replica, "a"), Some(b"new".to_vec()));
        replica.apply(vec![Change::Deleted("a".into(), Revision(3))], Duration::ZERO);
        assert!(matches!(replica.find("a"), Found::Absent));
        assert_eq!(replica.applied(), Revision(3));
    }

    #[test]
    fn of_key_material_only_the_revision_is_held() {
        let replica = Replica::new(LAYOUT);
        replica.apply(vec![put("m/1", "material", 4)], Duration::ZERO);
        assert!(matches!(replica.find("m/1"), Found::OnDemand(Revision(4))));
        assert!(matches!(replica.list("m/", None, 10), Listed::OnDemand(Revision(4))));
        assert!(matches!(replica.list("a/", None, 10), Listed::Page(page) if page.entries.is_empty()));
    }

    #[test]
    fn registrations_and_events_of_the_audit_log_do_not_count() {
        let replica = Replica::new(LAYOUT);
        replica.apply(vec![put("a", "", 1)], Duration::ZERO);
        replica.apply(vec![put("node/x", "", 2)], Duration::ZERO);
        replica.apply(vec![put("audit/1", "", 3)], Duration::ZERO);
        assert_eq!((replica.applied(), replica.counted()), (Revision(3), Revision(1)));
        replica.apply(vec![put("audit/2", "", 4), put("a", "", 4)], Duration::ZERO);
        assert_eq!(replica.counted(), Revision(4));
    }

    #[test]
    fn a_load_replaces_everything_and_never_goes_back() {
        let replica = Replica::new(LAYOUT);
        replica.apply(vec![put("gone", "", 1), put("node/x", "", 1)], Duration::from_secs(1));
        let mut load = Load::default();
        let Change::Put(entry) = put("node/x", "", 1) else { panic!("it is a put") };
        replica.add(&mut load, Page { entries: vec![entry], revision: Revision(5), more: false });
        replica.replace(load, Revision(5), Duration::from_secs(9)).unwrap();
        assert!(matches!(replica.find("gone"), Found::Absent));
        let since = replica.with_peers(|peers| peers.all["node/x"].since);
        assert_eq!(since, Duration::from_secs(1), "what was seen before the load was seen then");
        assert_eq!(replica.replace(Load::default(), Revision(4), Duration::ZERO), Err(WentBack));
        assert_eq!(replica.applied(), Revision(5));
    }
}
