//! `watch`: a stream of etcd, taken up again where it broke off.
//!
//! etcd ends a stream for many reasons; none of them may lose a change. What was received stands behind a revision, and the
//! next stream begins *at* that revision, not behind it: what comes twice is thrown away, and a compaction in between shows
//! even if it fell on the very next revision (old releases of etcd then lose a deletion without a word).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::proto::{PbEvent, PbWatchResponse};
use etcd_client::{EventType, WatchOptions, WatchStream};
use tokio::time::{sleep, timeout};

use super::Inner;
use super::keyspace::{Keyspace, number, revision};
use super::trouble::Trouble;
use crate::{Change, Revision, StoreError, Watch};

/// What [`Kv::watch`](crate::Kv::watch) hands out.
pub(super) struct EtcdWatch {
    inner: Arc<Inner>,
    prefix: String,
    stream: Option<WatchStream>,
    received: Received,
    over: bool,
}

/// What has come, in whole commits.
struct Received {
    /// Everything up to this commit was handed out.
    told: Revision,
    /// Everything up to this commit has come.
    behind: Revision,
    /// Commits that wait to be handed out.
    ready: VecDeque<(Revision, Vec<Change>)>,
    /// A commit of which more may come: etcd cuts long responses into fragments anywhere.
    partial: Option<(Revision, Vec<Change>)>,
    /// Changes behind `behind` are lost.
    compacted: bool,
    /// What cannot be handed out.
    damaged: Option<StoreError>,
}

impl EtcdWatch {
    /// Begins a watch, and waits until etcd has taken it.
    pub(super) async fn begin(inner: Arc<Inner>, prefix: &str, behind: Revision) -> Result<Self, StoreError> {
        let received = Received::behind(behind);
        let mut watch = Self { inner, prefix: prefix.to_owned(), stream: None, received, over: false };
        watch.connect().await.map_err(|trouble| watch.inner.explain_at(trouble, behind))?;
        Ok(watch)
    }

    async fn connect(&mut self) -> Result<(), Trouble> {
        let (first, end) = self.inner.keyspace.range(&self.prefix, None);
        // The first revision of etcd is 1, and holds nothing.
        let from = self.received.behind.0.max(1);
        let options = WatchOptions::new()
            .with_range(end)
            .with_start_revision(number(from))
            .with_progress_notify()
            .with_fragment();
        let mut stream = self.inner.members.watch(&first, options).await?;
        let limit = self.inner.members.options().timeout;
        let created = timeout(limit, stream.message()).await.map_err(|_| Trouble::silence())?;
        match created.map_err(Trouble::of)? {
            Some(answer) if answer.canceled() && answer.compact_revision() > 0 => return Err(Trouble::Compacted),
            Some(answer) if answer.canceled() => return Err(Trouble::Refused(answer.cancel_reason().to_owned())),
            Some(_) => {}
            None => return Err(Trouble::Lost("the stream ended".to_owned())),
        }
        self.stream = Some(stream);
        Ok(())
    }

    /// Waits for the next response and takes it; without a stream, for a new one.
    async fn advance(&mut self) {
        let Some(stream) = &mut self.stream else { return self.reconnect().await };
        let trouble = match stream.message().await {
            Ok(Some(response)) => match self.received.take(response.0, &self.inner) {
                Ok(()) => return,
                Err(trouble) => trouble,
            },
            Ok(None) => Trouble::Lost("the stream ended".to_owned()),
            Err(error) => Trouble::of(error),
        };
        self.stream = None;
        self.received.partial = None;
        self.inner.members.leave_current(&trouble);
    }

    async fn reconnect(&mut self) {
        match self.connect().await {
            Ok(()) => {}
            Err(Trouble::Compacted) => self.received.compacted = true,
            Err(_) => sleep(PAUSE).await,
        }
    }
}

#[async_trait]
impl Watch for EtcdWatch {
    async fn next(&mut self) -> Option<Result<Vec<Change>, StoreError>> {
        let mut closed = self.inner.closed.subscribe();
        while !self.over {
            if *closed.borrow() {
                break;
            }
            match self.received.next() {
                Some(Ok(changes)) => return Some(Ok(changes)),
                Some(Err(error)) => {
                    self.over = true;
                    return Some(Err(error));
                }
                None => {}
            }
            tokio::select! {
                // The sender lives in what the watch holds.
                _ = closed.changed() => {}
                () = self.advance() => {}
            }
        }
        self.over = true;
        None
    }
}

impl Received {
    fn behind(behind: Revision) -> Self {
        Self { told: behind, behind, ready: VecDeque::new(), partial: None, compacted: false, damaged: None }
    }

    fn next(&mut self) -> Option<Result<Vec<Change>, StoreError>> {
        if let Some((revision, changes)) = self.ready.pop_front() {
            self.told = revision;
            return Some(Ok(changes));
        }
        if let Some(error) = self.damaged.take() {
            return Some(Err(error));
        }
        self.compacted.then_some(Err(StoreError::Compacted(self.told)))
    }

    /// Takes a response of the stream.
    fn take(&mut self, response: PbWatchResponse, inner: &Inner) -> Result<(), Trouble> {
        let PbWatchResponse { header, created, canceled, compact_revision, cancel_reason, fragment, events, .. } =
            response;
        // A stream that was so slow that this node's compaction overtook it may have lost a deletion at the edge.
        let overtaken = !events.is_empty() && inner.history.compacted() > self.behind.0;
        if compact_revision > 0 || overtaken {
            self.compacted = true;
            self.partial = None;
            return Ok(());
        }
        if canceled {
            return Err(Trouble::Lost(cancel_reason));
        }
        if events.is_empty() && !created && !fragment && self.partial.is_none() {
            // A sign of life: everything up to this revision has come.
            self.behind = self.behind.max(header.map_or(Revision(0), |header| revision(header.revision)));
            self.told = self.behind;
            return Ok(());
        }
        for event in events {
            if let Err(error) = self.add(event, &inner.keyspace) {
                self.damaged = Some(error);
                return Ok(());
            }
        }
        if !fragment {
            self.finish();
        }
        Ok(())
    }

    fn add(&mut self, event: PbEvent, keyspace: &Keyspace) -> Result<(), StoreError> {
        let Some(record) = event.kv else { return Ok(()) };
        let at = revision(record.mod_revision);
        if at <= self.behind {
            return Ok(());
        }
        let change = if event.r#type == EventType::Delete as i32 {
            Change::Deleted(keyspace.key(record.key)?, at)
        } else {
            Change::Put(keyspace.entry(record)?)
        };
        match &mut self.partial {
            Some((revision, changes)) if *revision == at => changes.push(change),
            _ => {
                self.finish();
                self.partial = Some((at, vec![change]));
            }
        }
        Ok(())
    }

    /// The commit at hand is whole.
    fn finish(&mut self) {
        if let Some((revision, changes)) = self.partial.take() {
            self.behind = revision;
            self.ready.push_back((revision, changes));
        }
    }
}

/// Between attempts to take a broken stream up again.
const PAUSE: Duration = Duration::from_millis(500);
