//! The read side: one moment of the store, and its history.

use std::ops::Bound;

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::engine::Trouble;
use super::tables::{CURRENT, LOG, META, REVISION, SUPERSEDED};
use crate::limits::PageBuilder;
use crate::{Change, Entry, Page, Revision, StoreError};

/// The last durable state when it was opened, unmoved by commits since.
///
/// One is opened after each commit, so it opens only what nearly every reader asks for. History is opened by who reads it.
pub(super) struct Snapshot {
    transaction: ReadTransaction,
    current: ReadOnlyTable<&'static str, (u64, u64, &'static [u8])>,
    revision: u64,
    oldest: u64,
}

type Superseded = ReadOnlyTable<(&'static str, u64), (u64, u64, &'static [u8])>;

/// How far a watch has come, and what it found there.
pub(super) struct Step {
    /// Everything up to this commit has been looked at.
    pub(super) behind: Revision,
    /// The changes of that commit, if it touched the prefix.
    pub(super) changes: Vec<Change>,
}

impl Snapshot {
    pub(super) fn open(database: &Database, history: u64) -> Result<Self, Trouble> {
        let transaction = database.begin_read()?;
        let revision = transaction.open_table(META)?.get(REVISION)?.map_or(0, |revision| revision.value());
        Self::of(transaction, revision, history)
    }

    /// The state after a commit, for the thread that has made it and makes no other one meanwhile.
    pub(super) fn after(database: &Database, revision: Revision, history: u64) -> Result<Self, Trouble> {
        Self::of(database.begin_read()?, revision.0, history)
    }

    fn of(transaction: ReadTransaction, revision: u64, history: u64) -> Result<Self, Trouble> {
        let current = transaction.open_table(CURRENT)?;
        Ok(Self { transaction, current, revision, oldest: revision.saturating_sub(history) })
    }

    pub(super) fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, Trouble> {
        let row = self.current.get(key)?;
        Ok(row.map(|row| {
            let (created, modified, value) = row.value();
            entry(key, created, modified, value)
        }))
    }

    pub(super) fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Trouble> {
        let at = at.unwrap_or(self.revision());
        self.check_kept(at)?;
        let after = after.filter(|after| *after >= prefix);
        let mut current = CurrentAt::new(&self.current, prefix, after, at.0)?;
        let table = if at.0 == self.revision { None } else { Some(self.superseded()?) };
        let mut superseded = table.as_ref().map(|table| SupersededAt::new(table, prefix, after, at.0));
        let mut page = PageBuilder::new(limit, at);
        // No key is in both: a value is superseded at the commit that wrote the one that follows.
        let mut live = current.next()?;
        let mut past = superseded.as_mut().map(SupersededAt::next).transpose()?.flatten();
        loop {
            let live_is_next = match (&live, &past) {
                (Some(live), Some(past)) => live.key < past.key,
                (live, _) => live.is_some(),
            };
            let Some(entry) = (if live_is_next { live.take() } else { past.take() }) else { break };
            if !page.has_room(&entry.key, &entry.value) {
                break;
            }
            page.push(entry);
            if live_is_next {
                live = current.next()?;
            } else {
                past = superseded.as_mut().map(SupersededAt::next).transpose()?.flatten();
            }
        }
        Ok(page.finish())
    }

    pub(super) fn check_watchable(&self, behind: Revision) -> Result<(), Trouble> {
        if behind.0 < self.oldest { Err(StoreError::Compacted(behind).into()) } else { Ok(()) }
    }

    /// Looks for the next commit behind `behind` that touched the prefix, through at most [`SCAN_COMMITS_MAX`] commits.
    pub(super) fn step(&self, prefix: &str, behind: Revision) -> Result<Step, Trouble> {
        self.check_watchable(behind)?;
        let mut step = Step { behind, changes: Vec::new() };
        if behind.0 >= self.revision {
            return Ok(step);
        }
        let (log, superseded) = (self.transaction.open_table(LOG)?, self.superseded()?);
        for row in log.range((Bound::Excluded(behind.0), Bound::Unbounded))?.take(SCAN_COMMITS_MAX) {
            let (revision, changed) = row?;
            step.behind = Revision(revision.value());
            for (key, _) in changed.value() {
                if key.starts_with(prefix) {
                    step.changes.push(self.change(&superseded, key, step.behind)?);
                }
            }
            if !step.changes.is_empty() {
                break;
            }
        }
        Ok(step)
    }

    fn superseded(&self) -> Result<Superseded, Trouble> {
        Ok(self.transaction.open_table(SUPERSEDED)?)
    }

    fn check_kept(&self, at: Revision) -> Result<(), Trouble> {
        if at.0 > self.revision {
            return Err(StoreError::NotYetCommitted(at).into());
        }
        if at.0 < self.oldest {
            return Err(StoreError::Compacted(at).into());
        }
        Ok(())
    }

    /// What a commit in the log did to a key: it wrote the value that the key has or had, or there is none.
    fn change(&self, superseded: &Superseded, key: &str, revision: Revision) -> Result<Change, Trouble> {
        if let Some(entry) = self.get(key)?
            && entry.modified == revision
        {
            return Ok(Change::Put(entry));
        }
        let row = superseded.get((key, revision.0))?;
        Ok(row.map_or(Change::Deleted(key.to_owned(), revision), |row| {
            let (created, _, value) = row.value();
            Change::Put(entry(key, created, revision.0, value))
        }))
    }
}

/// Live keys of a prefix whose value was already there at a revision.
struct CurrentAt<'a> {
    rows: redb::Range<'a, &'static str, (u64, u64, &'static [u8])>,
    prefix: &'a str,
    at: u64,
}

impl<'a> CurrentAt<'a> {
    fn new(
        table: &'a ReadOnlyTable<&'static str, (u64, u64, &'static [u8])>,
        prefix: &'a str,
        after: Option<&str>,
        at: u64,
    ) -> Result<Self, Trouble> {
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        Ok(Self { rows: table.range::<&str>((from, Bound::Unbounded))?, prefix, at })
    }

    fn next(&mut self) -> Result<Option<Entry>, Trouble> {
        for row in self.rows.by_ref() {
            let (key, row) = row?;
            if !key.value().starts_with(self.prefix) {
                break;
            }
            let (created, modified, value) = row.value();
            if modified <= self.at {
                return Ok(Some(entry(key.value(), created, modified, value)));
            }
        }
        Ok(None)
    }
}

/// Values of a prefix that were there at a revision and are so no longer.
struct SupersededAt<'a> {
    table: &'a Superseded,
    prefix: &'a str,
    from: Bound<(String, u64)>,
    at: u64,
}

impl<'a> SupersededAt<'a> {
    fn new(table: &'a Superseded, prefix: &'a str, after: Option<&str>, at: u64) -> Self {
        let from = match after {
            Some(after) => Bound::Excluded((after.to_owned(), u64::MAX)),
            None => Bound::Included((prefix.to_owned(), 0)),
        };
        Self { table, prefix, from, at }
    }

    /// Two look-ups a key, however many values it has had.
    fn next(&mut self) -> Result<Option<Entry>, Trouble> {
        while let Some(key) = self.next_key()? {
            let last = self.table.range((key.as_str(), 0)..=(key.as_str(), self.at))?.next_back().transpose()?;
            let live = last.and_then(|(place, row)| {
                let ((_, modified), (created, ended, value)) = (place.value(), row.value());
                (ended > self.at).then(|| entry(&key, created, modified, value))
            });
            self.from = Bound::Excluded((key, u64::MAX));
            if live.is_some() {
                return Ok(live);
            }
        }
        Ok(None)
    }

    fn next_key(&self) -> Result<Option<String>, Trouble> {
        let from = match &self.from {
            Bound::Included((key, revision)) => Bound::Included((key.as_str(), *revision)),
            Bound::Excluded((key, revision)) => Bound::Excluded((key.as_str(), *revision)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let first = self.table.range::<(&str, u64)>((from, Bound::Unbounded))?.next().transpose()?;
        let key = first.map(|(place, _)| place.value().0.to_owned());
        Ok(key.filter(|key| key.starts_with(self.prefix)))
    }
}

fn entry(key: &str, created: u64, modified: u64, value: &[u8]) -> Entry {
    Entry { key: key.to_owned(), value: value.to_vec(), created: Revision(created), modified: Revision(modified) }
}

/// Most commits that one step of a watch looks at, so that it never holds up the tasks beside it.
pub(super) const SCAN_COMMITS_MAX: usize = 256;
