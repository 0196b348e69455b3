//! The one thread that writes: it makes everything that waits durable in one step.

use std::sync::Arc;

use redb::Database;
use tokio::sync::{mpsc, oneshot, watch};

use super::engine::{Engine, Trouble};
use super::tables::Tables;
use crate::{Commit, Outcome, Revision, StoreError, Write};

/// What the thread is asked for.
pub(super) enum Request {
    /// A commit that waits, and whom to tell.
    Commit(Commit, Answer),
    /// Finish what waits in front of this and end.
    Close,
}

type Answer = oneshot::Sender<Result<Outcome, StoreError>>;

/// The state of the thread.
pub(super) struct Writer {
    engine: Arc<Engine>,
    queue: mpsc::Receiver<Request>,
    committed: watch::Sender<Revision>,
}

impl Writer {
    pub(super) fn new(engine: Arc<Engine>, queue: mpsc::Receiver<Request>, committed: watch::Sender<Revision>) -> Self {
        Self { engine, queue, committed }
    }

    /// Writes until it is told to close or nobody can ask any more, then closes the database.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        while let Some(first) = self.queue.blocking_recv() {
            let (commits, answers) = self.gather(first);
            if commits.is_empty() {
                continue;
            }
            let outcomes = self.write(&commits);
            for (position, answer) in answers.into_iter().enumerate() {
                let outcome = match &outcomes {
                    Ok(outcomes) => outcomes.get(position).copied().ok_or_else(super::engine::closed),
                    Err(failure) => Err(failure.error()),
                };
                // Whoever asked may have gone; the commit stands all the same.
                let _ = answer.send(outcome);
            }
        }
        self.engine.close()
    }

    /// Takes what waits, up to the limits of a group.
    fn gather(&mut self, first: Request) -> (Vec<Commit>, Vec<Answer>) {
        let (mut commits, mut answers) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Commit(commit, answer) => {
                    bytes += commit.bytes();
                    commits.push(commit);
                    answers.push(answer);
                }
                // Nothing new gets in; what waits already is still received.
                Request::Close => self.queue.close(),
            }
            let full = commits.len() >= GROUP_COMMITS_MAX || bytes >= GROUP_BYTES_MAX;
            next = if full { None } else { self.queue.try_recv().ok() };
        }
        (commits, answers)
    }

    fn write(&self, commits: &[Commit]) -> Result<Vec<Outcome>, Failure> {
        if self.engine.reopen_if_waiting().map_err(Failure::from)? {
            // A commit whose outcome was not known may be found now; watchers have not been told of it.
            self.committed.send_replace(self.revision_on_disk()?);
        }
        let mut applied = None;
        let history = self.engine.history();
        let written = self.engine.run(|database| write_group(database, commits, history, &mut applied));
        match (written, applied) {
            (Ok(()), Some(group)) if group.changed => {
                let writes = commits.iter().flat_map(|commit| &commit.writes);
                match self.engine.publish(group.revision, writes.map(Write::key)) {
                    Ok(()) => Ok(self.announce(group)),
                    Err(trouble) => self.recover(trouble, Some(group)),
                }
            }
            (Ok(()), Some(group)) => Ok(group.outcomes),
            (Ok(()), None) => Ok(Vec::new()),
            (Err(trouble), applied) => self.recover(trouble, applied),
        }
    }

    fn announce(&self, group: Group) -> Vec<Outcome> {
        if group.changed {
            self.committed.send_replace(group.revision);
        }
        group.outcomes
    }

    /// Finds out what became of a group that could not be written, and whether the next one can be.
    fn recover(&self, trouble: Trouble, applied: Option<Group>) -> Result<Vec<Outcome>, Failure> {
        let full = trouble.is_full();
        let error = self.engine.explain(trouble);
        if !full || self.engine.sync_failed() {
            self.engine.stop(&error.to_string());
            return Err(Failure::from(error));
        }
        tracing::warn!("the disk is full; opening the store again");
        let reopened = self.engine.reopen();
        let Some(group) = applied else { return Err(Failure::Full) };
        // redb may or may not have finished a commit that failed: the revision on disk says which. Until it can be read
        // nobody knows, so this is not `Full`, which promises that nothing was written.
        reopened.map_err(|error| Failure::Unavailable(format!("the outcome is not known: {error}")))?;
        if group.revision == self.revision_on_disk()? { Ok(self.announce(group)) } else { Err(Failure::Full) }
    }

    /// Reads which commit a file that was opened again holds, and goes no further if that is less than was acknowledged.
    fn revision_on_disk(&self) -> Result<Revision, Failure> {
        let revision = self.engine.read(|snapshot| Ok(snapshot.revision())).map_err(Failure::from)?;
        let acknowledged = *self.committed.borrow();
        if revision < acknowledged {
            let reason = format!("the file holds revision {revision} but {acknowledged} was acknowledged");
            self.engine.stop(&reason);
            return Err(Failure::Unavailable(reason));
        }
        Ok(revision)
    }
}

/// A group of commits that was applied and waits to become durable.
struct Group {
    outcomes: Vec<Outcome>,
    revision: Revision,
    changed: bool,
}

/// Why a group failed, for each that was in it.
enum Failure {
    Full,
    Damaged { path: String, detail: String },
    Unavailable(String),
}

impl Failure {
    fn error(&self) -> StoreError {
        match self {
            Self::Full => StoreError::Full,
            Self::Damaged { path, detail } => StoreError::Damaged { path: path.clone(), detail: detail.clone() },
            Self::Unavailable(reason) => StoreError::Unavailable(reason.clone()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            StoreError::Damaged { path, detail } => Self::Damaged { path, detail },
            StoreError::Unavailable(reason) => Self::Unavailable(reason),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// Puts all commits into one durable transaction, each judged on those before it.
///
/// `applied` is set as soon as only durability is missing, so that it is known even if that fails.
fn write_group(
    database: &Database,
    commits: &[Commit],
    history: u64,
    applied: &mut Option<Group>,
) -> Result<(), Trouble> {
    let transaction = database.begin_write()?;
    let group = {
        let mut tables = Tables::open(&transaction)?;
        let before = tables.revision();
        let outcomes = commits.iter().map(|commit| tables.apply(commit)).collect::<Result<_, _>>()?;
        let changed = tables.revision() > before;
        if changed {
            tables.finish(before, history)?;
        }
        Group { outcomes, revision: Revision(tables.revision()), changed }
    };
    let changed = group.changed;
    *applied = Some(group);
    if changed {
        transaction.commit()?
    } else {
        transaction.abort()?
    }
    Ok(())
}

/// Most commits that are made durable in one step.
const GROUP_COMMITS_MAX: usize = 64;
/// Bytes of keys and values after which no further commit joins a group.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
