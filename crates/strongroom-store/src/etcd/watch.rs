//! `watch`: a stream of etcd, taken up again where it broke off.
//!
//! etcd ends a stream for many reasons; none of them may lose a change. What was received stands behind a revision, and the
//! next stream begins *at* that revision, not behind it: what comes twice is thrown away, and a compaction in between shows
//! even if it fell on the very next revision (old releases of etcd then lose a deletion without a word). On an open stream that
//! was slow, the same loss shows as a gap in the revisions. Others who write to the same etcd make gaps as well, so what comes
//! behind one counts once etcd has said that it still keeps what was before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::proto::{PbEvent, PbWatchResponse};
use etcd_client::{EventType, WatchOptions, WatchStream};
use tokio::time::sleep;

use super::Inner;
use super::keyspace::{Keyspace, number, revision};
use super::trouble::Trouble;
use crate::{Change, Revision, StoreError, Watch};

/// What [`Kv::watch`](crate::Kv::watch) hands out.
pub(super) struct EtcdWatch {
    inner: Arc<Inner>,
    prefix: String,
    /// The stream, and the member it comes from.
    stream: Option<(usize, WatchStream)>,
    /// A response behind a gap, until it is known that nothing was lost in it.
    doubted: Option<PbWatchResponse>,
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
        let mut watch = Self { inner, prefix: prefix.to_owned(), stream: None, doubted: None, received, over: false };
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
        self.stream = Some(self.inner.members.watch(&first, options).await?);
        Ok(())
    }

    /// Waits for the next response and takes it; without a stream, for a new one.
    async fn advance(&mut self) {
        if self.doubted.is_some() {
            return self.verify().await;
        }
        let Some((_, stream)) = &mut self.stream else { return self.reconnect().await };
        let message = stream.message().await;
        if let Ok(Some(header)) = message.as_ref().map(|response| response.as_ref().and_then(|it| it.0.header.as_ref()))
        {
            self.inner.note_revision(revision(header.revision).0);
        }
        let taken = match message {
            Ok(Some(response)) if self.received.skips(&response.0, self.inner.history.compacted()) => {
                self.doubted = Some(response.0);
                return;
            }
            Ok(Some(response)) => self.received.take(response.0, &self.inner.keyspace),
            Ok(None) => Err(Trouble::stream_ended()),
            Err(error) => Err(Trouble::of(error)),
        };
        if let Err(trouble) = taken {
            self.break_off(&trouble);
        }
    }

    /// Takes the response behind a gap if everything before it is still kept: then nothing was lost.
    async fn verify(&mut self) {
        let kept = self.inner.check_kept(self.received.last()).await;
        let Some(response) = self.doubted.take() else { return };
        let taken = match kept {
            Ok(()) => self.received.take(response, &self.inner.keyspace),
            Err(StoreError::Compacted(_)) => {
                self.received.compact();
                Ok(())
            }
            // Nobody says so now. A new stream begins at what was received, and that shows it as well.
            Err(_) => {
                self.stream = None;
                self.received.partial = None;
                Ok(())
            }
        };
        if let Err(trouble) = taken {
            self.break_off(&trouble);
        }
    }

    fn break_off(&mut self, why: &Trouble) {
        self.received.partial = None;
        if let Some((member, _)) = self.stream.take() {
            self.inner.members.leave(member, why);
        }
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

    /// The last revision of which something has come.
    fn last(&self) -> Revision {
        self.partial.as_ref().map_or(self.behind, |(revision, _)| *revision)
    }

    /// Whether a response may hide that something is missing before it: revisions are left out in it, or it is a sign of life that
    /// leaves them out, or it was under way when history up to `compacted` was dropped.
    fn skips(&self, response: &PbWatchResponse, compacted: u64) -> bool {
        if response.created || response.canceled || response.compact_revision > 0 {
            return false;
        }
        let alive = response.header.as_ref().map_or(Revision(0), |header| revision(header.revision));
        let told =
            response.events.iter().filter_map(|event| event.kv.as_ref()).map(|record| revision(record.mod_revision));
        let mut last = self.last();
        let mut left_out = response.events.is_empty() && alive > last;
        for at in told {
            left_out |= at.0 > last.0 + 1;
            last = last.max(at);
        }
        left_out || (!response.events.is_empty() && compacted > self.behind.0)
    }

    /// What follows is lost.
    fn compact(&mut self) {
        self.compacted = true;
        self.partial = None;
    }

    /// Takes a response of the stream.
    fn take(&mut self, response: PbWatchResponse, keyspace: &Keyspace) -> Result<(), Trouble> {
        let PbWatchResponse { header, created, canceled, compact_revision, cancel_reason, fragment, events, .. } =
            response;
        if compact_revision > 0 {
            self.compact();
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
            if let Err(error) = self.add(event, keyspace) {
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

#[cfg(test)]
mod tests {
    use etcd_client::proto::PbKeyValue;

    use super::*;

    fn response(revisions: &[i64]) -> PbWatchResponse {
        let event = |at: &i64| PbEvent {
            kv: Some(PbKeyValue { key: b"/p/data/k".to_vec(), mod_revision: *at, ..PbKeyValue::default() }),
            ..PbEvent::default()
        };
        PbWatchResponse { events: revisions.iter().map(event).collect(), ..PbWatchResponse::default() }
    }

    #[test]
    fn a_response_that_leaves_revisions_out_is_doubted_and_one_that_follows_is_not() {
        let mut received = Received::behind(Revision(9));
        for follows in [&[10][..], &[10, 10, 11], &[8, 9, 10]] {
            assert!(!received.skips(&response(follows), 0), "{follows:?}");
        }
        // The deletion at 10 may have been compacted away on a stream that was slow.
        for skips in [&[11][..], &[10, 12]] {
            assert!(received.skips(&response(skips), 0), "{skips:?}");
        }
        assert!(received.skips(&response(&[10]), 10), "history went up to there while it was under way");
        let keyspace = Keyspace::new("/p").unwrap();
        received.take(PbWatchResponse { fragment: true, ..response(&[10, 11]) }, &keyspace).unwrap();
        assert!(!received.skips(&response(&[11, 12]), 0), "a commit goes on in the next fragment");
        assert!(received.skips(&response(&[13]), 0));
    }

    #[test]
    fn a_sign_of_life_that_leaves_revisions_out_is_doubted() {
        let alive = |revision| {
            let header = etcd_client::proto::PbResponseHeader { revision, ..Default::default() };
            PbWatchResponse { header: Some(header), ..response(&[]) }
        };
        let received = Received::behind(Revision(9));
        assert!(received.skips(&alive(10), 0));
        assert!(!received.skips(&alive(9), 0));
    }
}
