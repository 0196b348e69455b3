//! Removes from the outbox what stands in the log.
//!
//! On a thread of its own: a store may take seconds for a commit, and neither the next events nor who waits for a line has
//! to wait for that.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use strongroom_store::{Commit, Kv, Write};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::State;

/// The end of the thread that writes the log; dropped, it lets the other one end.
pub(super) struct Outbox(SyncSender<String>);

impl Outbox {
    /// Begins to remove, and answers what ends once everything is removed or given up.
    pub(super) fn start(
        store: Arc<dyn Kv>,
        state: Arc<State>,
        runtime: Handle,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (keys, durable) = sync_channel(KEYS_MAX);
        let remover = Remover { store, state, runtime };
        let thread = std::thread::Builder::new().name("outbox".to_owned()).spawn(move || remover.run(&durable))?;
        Ok((Self(keys), thread))
    }

    /// Their lines are durable, so these records have done their work. One that stays is recognised at the next start.
    pub(super) fn remove(&self, keys: Vec<String>) {
        let left = keys.into_iter().filter_map(|key| self.0.try_send(key).err()).count();
        if left > 0 {
            tracing::warn!(
                events = left,
                "events stay in the outbox until the next start: the store removes them too slowly"
            );
        }
    }
}

struct Remover {
    store: Arc<dyn Kv>,
    state: Arc<State>,
    runtime: Handle,
}

impl Remover {
    fn run(&self, durable: &Receiver<String>) {
        let mut closing = None;
        while let Ok(first) = durable.recv() {
            let keys = std::iter::once(first).chain(durable.try_iter().take(KEYS_AT_ONCE - 1));
            let commit = Commit { preconditions: Vec::new(), writes: keys.map(Write::Delete).collect() };
            let removed = self.runtime.block_on(self.store.commit(commit));
            if let Err(error) = &removed {
                tracing::warn!(%error, "events stay in the outbox; they are removed at the next start");
            }
            if self.state.closing.load(Ordering::Acquire) {
                let closing: Instant = *closing.get_or_insert_with(Instant::now);
                if removed.is_err() || closing.elapsed() >= CLOSING_PATIENCE {
                    return;
                }
            }
        }
    }
}

/// Records removed in one commit.
const KEYS_AT_ONCE: usize = 60;
/// Most records that wait to be removed.
const KEYS_MAX: usize = 16 * 1024;
/// How long a stop waits for a store that removes them slowly.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);
