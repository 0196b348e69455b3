//! The engine as only the simulation sees it: every commit in its order, and what must hold after each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use strongroom_store::{Change, Commit, Entry, Kv, MemoryStore, Outcome, Revision, StoreError};
use strongroom_testkit::{Wrap, Wrapped};

use super::model::{GUARD, KEYS, KeyRecord, OUTBOX, ROLES, Role, decode};

/// A store in memory that tells on whoever breaks a rule.
pub(super) struct Ledger {
    store: MemoryStore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    commits: Vec<(Revision, Vec<Change>)>,
    records: BTreeMap<String, Entry>,
    /// Events that were ever there.
    seen: BTreeSet<String>,
    violations: Vec<String>,
    founded: bool,
}

impl Ledger {
    /// A store that keeps so many commits.
    pub(super) fn new(history: u64) -> Arc<Wrapped<Self>> {
        Arc::new(Wrapped(Self { store: MemoryStore::with_history(history), state: Mutex::default() }))
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// The commits behind the first `from` of them.
    pub(super) fn commits(&self, from: usize) -> Vec<(Revision, Vec<Change>)> {
        self.state().commits[from..].to_vec()
    }

    /// Whether an event was ever written, into whichever node's part of the outbox.
    pub(super) fn has_seen(&self, event: &str) -> bool {
        self.state().seen.contains(event)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn add(&mut self, changes: Vec<Change>) {
        let guard = self.records.get(GUARD).map_or(Revision(0), |entry| entry.modified);
        let mut revision = Revision(0);
        for change in &changes {
            match change {
                Change::Put(entry) => {
                    revision = entry.modified;
                    if entry.key.starts_with(OUTBOX) {
                        self.seen.extend(entry.key.rsplit('/').next().map(str::to_owned));
                    }
                    self.no_write_slips_past_the_guard(entry, guard);
                    self.records.insert(entry.key.clone(), entry.clone());
                }
                Change::Deleted(key, at) => {
                    revision = *at;
                    self.records.remove(key);
                }
            }
        }
        self.commits.push((revision, changes));
        self.an_administrator_is_always_left(revision);
    }

    /// A record says under which guard its write was authorized: it must be the one that was there.
    fn no_write_slips_past_the_guard(&mut self, entry: &Entry, guard: Revision) {
        let judged = match entry.key.as_str() {
            key if key.starts_with(KEYS) => decode::<KeyRecord>(entry).guard,
            key if key.starts_with(ROLES) => decode::<Role>(entry).guard,
            _ => return,
        };
        if judged != guard.0 {
            let (key, at) = (&entry.key, entry.modified);
            self.violations.push(format!("{key} at {at}: authorized by guard {judged}, committed under {guard}"));
        }
    }

    fn an_administrator_is_always_left(&mut self, at: Revision) {
        let roles = self.records.range(ROLES.to_owned()..).take_while(|(key, _)| key.starts_with(ROLES));
        let administrators = roles.filter(|(_, entry)| decode::<Role>(entry).administrator).count();
        self.founded |= administrators > 0;
        if self.founded && administrators == 0 {
            self.violations.push(format!("at {at} there is no administrator"));
        }
    }
}

#[async_trait]
impl Wrap for Ledger {
    fn behind(&self) -> &dyn Kv {
        &self.store
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let before = self.store.revision().await?;
        // Nothing in the store in memory waits, so nobody else commits between these steps.
        let outcome = self.store.commit(commit).await?;
        if self.store.revision().await? > before {
            let changes = self.store.watch("", before).await?.next().await;
            self.state().add(changes.unwrap().unwrap());
        }
        Ok(outcome)
    }
}
