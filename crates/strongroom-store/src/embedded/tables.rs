//! What lies in the file, and the write side of it.

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, TableHandle, WriteTransaction};

use super::engine::Trouble;
use crate::{Commit, Outcome, Precondition, Revision, StoreError, Write};

/// A live key → the commit that made it, the commit that wrote this value, the value.
pub(super) const CURRENT: TableDefinition<'_, &str, (u64, u64, &[u8])> = TableDefinition::new("current");
/// A key and the commit that wrote a value it no longer has → the commit that made the key, the commit that ended the value,
/// the value. For reads at a revision in between.
pub(super) const SUPERSEDED: TableDefinition<'_, (&str, u64), (u64, u64, &[u8])> = TableDefinition::new("superseded");
/// A commit → the keys it changed in its order, each with the commit that wrote the value it had before ([`NO_VALUE`]:
/// none). Feeds watches, and leads trimming to the rows that go with the commit.
pub(super) const LOG: TableDefinition<'_, u64, Vec<(&str, u64)>> = TableDefinition::new("log");
/// [`FORMAT`] and [`REVISION`] by name.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The row of the format number.
const FORMAT: &str = "format";
/// The row of the last commit.
pub(super) const REVISION: &str = "revision";
/// The format this release writes, and the newest it reads.
pub(super) const FORMAT_NUMBER: u32 = 1;
/// History is forgotten in strides of this part of it, so that the file grows by no more than that.
const HISTORY_STRIDES: u64 = 64;
/// Longest stride: what one commit has to do for others.
const STRIDE_COMMITS_MAX: u64 = 32;
/// Stands for a commit where there is none: no commit has this revision.
const NO_VALUE: u64 = 0;

/// Makes the tables in a new file, or refuses one that this release does not understand.
pub(super) fn prepare(database: &Database, path: &str) -> Result<(), Trouble> {
    let found = {
        let transaction = database.begin_read()?;
        let tables: Vec<String> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
        if tables.is_empty() {
            None
        } else if !tables.iter().any(|table| table == META.name()) {
            return Err(Trouble::damaged(path, "it is not a store"));
        } else {
            let format = transaction.open_table(META)?.get(FORMAT)?.map(|format| format.value());
            Some(format.ok_or_else(|| Trouble::damaged(path, "it has no format number"))?)
        }
    };
    match found {
        None => create(database),
        Some(format) if format == u64::from(FORMAT_NUMBER) => Ok(()),
        Some(format) => {
            let found = u32::try_from(format).unwrap_or(u32::MAX);
            Err(StoreError::NewerFormat { path: path.to_owned(), found, known: FORMAT_NUMBER }.into())
        }
    }
}

fn create(database: &Database) -> Result<(), Trouble> {
    let transaction = database.begin_write()?;
    {
        transaction.open_table(CURRENT)?;
        transaction.open_table(SUPERSEDED)?;
        transaction.open_table(LOG)?;
        let mut meta = transaction.open_table(META)?;
        meta.insert(FORMAT, u64::from(FORMAT_NUMBER))?;
        meta.insert(REVISION, 0)?;
    }
    Ok(transaction.commit()?)
}

/// All tables, open for one group of commits.
pub(super) struct Tables<'a> {
    current: Table<'a, &'static str, (u64, u64, &'static [u8])>,
    superseded: Table<'a, (&'static str, u64), (u64, u64, &'static [u8])>,
    log: Table<'a, u64, Vec<(&'static str, u64)>>,
    meta: Table<'a, &'static str, u64>,
    revision: u64,
}

impl<'a> Tables<'a> {
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, Trouble> {
        let meta = transaction.open_table(META)?;
        let revision = meta.get(REVISION)?.map_or(0, |revision| revision.value());
        Ok(Self {
            current: transaction.open_table(CURRENT)?,
            superseded: transaction.open_table(SUPERSEDED)?,
            log: transaction.open_table(LOG)?,
            meta,
            revision,
        })
    }

    /// The last commit, those of this group included.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Judges a commit on everything before it and, if its preconditions hold, does its writes.
    pub(super) fn apply(&mut self, commit: &Commit) -> Result<Outcome, Trouble> {
        let mut judged = Vec::with_capacity(commit.preconditions.len());
        for precondition in &commit.preconditions {
            let found = self.current.get(precondition.key())?.map(|row| (row.value().0, row.value().1));
            if !holds(precondition, found) {
                return Ok(Outcome::Conflict);
            }
            judged.push((precondition.key(), found.map(|(created, _)| created)));
        }
        let next = self.revision + 1;
        let mut changed = Vec::with_capacity(commit.writes.len());
        for write in &commit.writes {
            changed.extend(match write {
                Write::Put(key, value) => {
                    // A batch writes a key once, so what it was judged on still holds.
                    let known = judged.iter().find(|(judged, _)| judged == key);
                    let created = match known {
                        Some((_, created)) => *created,
                        None => self.current.get(key.as_str())?.map(|row| row.value().0),
                    };
                    Some(self.put(key, value, created.unwrap_or(next), next)?)
                }
                Write::Delete(key) => self.delete(key, next)?,
            });
        }
        if !changed.is_empty() {
            self.log.insert(next, changed)?;
            self.revision = next;
        }
        Ok(Outcome::Committed(Revision(self.revision)))
    }

    /// Notes the last commit, and now and then forgets commits that only a read before the kept history could see: many
    /// together lie in the same pages. `before` is the last commit before this group.
    pub(super) fn finish(&mut self, before: u64, history: u64) -> Result<(), Trouble> {
        self.meta.insert(REVISION, self.revision)?;
        let stride = (history / HISTORY_STRIDES).clamp(1, STRIDE_COMMITS_MAX);
        if before / stride == self.revision / stride {
            return Ok(());
        }
        let oldest = self.revision.saturating_sub(history);
        // Two for each new one, so that a backlog (a shorter history than before) shrinks.
        for _ in 0..2 * (stride + self.revision - before) {
            if self.log.first()?.is_none_or(|(revision, _)| revision.value() > oldest) {
                break;
            }
            let Some((_, changed)) = self.log.pop_first()? else { break };
            for (key, previous) in changed.value() {
                if previous != NO_VALUE {
                    self.superseded.remove((key, previous))?;
                }
            }
        }
        Ok(())
    }

    fn put<'k>(&mut self, key: &'k str, value: &[u8], created: u64, next: u64) -> Result<(&'k str, u64), Trouble> {
        let Some(old) = self.current.insert(key, (created, next, value))? else { return Ok((key, NO_VALUE)) };
        let (created, modified, value) = old.value();
        self.superseded.insert((key, modified), (created, next, value))?;
        Ok((key, modified))
    }

    fn delete<'k>(&mut self, key: &'k str, next: u64) -> Result<Option<(&'k str, u64)>, Trouble> {
        let Some(old) = self.current.remove(key)? else { return Ok(None) };
        let (created, modified, value) = old.value();
        self.superseded.insert((key, modified), (created, next, value))?;
        Ok(Some((key, modified)))
    }
}

/// Whether a precondition holds of what was found under its key: the commits that made it and that wrote its value.
fn holds(precondition: &Precondition, found: Option<(u64, u64)>) -> bool {
    match precondition {
        Precondition::Absent(_) => found.is_none(),
        Precondition::Unchanged(_, revision) => found.is_some_and(|(_, modified)| modified == revision.0),
    }
}
