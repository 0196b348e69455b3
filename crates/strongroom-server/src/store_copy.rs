//! `strongroom store copy`: a deployment moves into another store while no node serves it.
//!
//! Records are copied as they are, sealed; no key is needed. The deployment record comes last, so a store into which only a part
//! was copied serves nobody, and it comes when every other record was read back from both stores and compared. What
//! nodes say about themselves stays behind: it is the store's and not the deployment's.

mod walk;

use std::time::Duration;

use strongroom_cluster::REGISTRATIONS;
use strongroom_core::{deployment, layout};
use strongroom_store::{
    COMMIT_BYTES_MAX, COMMIT_OPERATIONS_MAX, Commit, Entry, Kv, Outcome, Precondition, Revision, StoreError, Write,
};

use self::walk::Walk;
use crate::config::{Settings, StorePlace};
use crate::serve::{self, Purpose, StartError};

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many records.
    pub records: u64,
    /// Bytes of their names and values.
    pub bytes: u64,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// So much is written.
    Copied(Copied),
    /// So much was read back and is the same.
    Compared(Copied),
}

/// Why a store was not copied. The store it was to be copied from is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of the two cannot be opened.
    #[error(transparent)]
    Open(StartError),
    /// Both are one.
    #[error("both configurations name the same store")]
    Same,
    /// There is nothing to copy.
    #[error("there is no deployment in the store to copy from")]
    NoDeployment,
    /// Nodes have it open, or ended without a word.
    #[error("the store to copy from is in use: nodes are registered there ({nodes})")]
    InUse {
        /// The store keys of their registrations.
        nodes: String,
    },
    /// It would be mixed with something else.
    #[error("the store to copy into is not empty")]
    NotEmpty,
    /// An earlier copy was cut off.
    #[error("an earlier copy into this store was cut off")]
    Unfinished,
    /// Somebody else began to copy into it, or served from it.
    #[error("somebody else writes to the store that is copied into")]
    Disturbed,
    /// It is not what was copied any more.
    #[error("the store to copy from was changed meanwhile: {key}")]
    Changed {
        /// A record that shows it.
        key: String,
    },
    /// What was read back is not what was written.
    #[error("the record {key} is not the same in both stores")]
    Different {
        /// Its store key.
        key: String,
    },
    /// A store failed.
    #[error("{which}: {source}")]
    Store {
        /// Which of the two.
        which: &'static str,
        /// What it said.
        #[source]
        source: StoreError,
    },
    /// The deployment record cannot be read.
    #[error(transparent)]
    Record(#[from] strongroom_core::Error),
}

impl CopyError {
    /// What went wrong, in one line.
    pub fn cause(&self) -> String {
        match self {
            Self::Open(error) => error.cause(),
            // Keys come from a store that nobody trusts, and go to a terminal.
            error => error.to_string().replace(char::is_control, " "),
        }
    }

    /// What to do about it, in one line.
    pub fn remedy(&self) -> String {
        match self {
            Self::Open(error) => return error.remedy(),
            Self::Same => "name another store with --to",
            Self::NoDeployment => "name the configuration of the deployment with --config",
            Self::InUse { .. } => {
                "stop every node in order; one that crashed is still registered: start it once more, and stop it"
            }
            Self::NotEmpty => "name an empty one with --to: another prefix in etcd, or another data folder",
            Self::Unfinished | Self::Disturbed | Self::Different { .. } => EMPTY_IT,
            Self::Changed { .. } => "stop every node in order, empty the store to copy into, and begin anew",
            Self::Store { which: TO, .. } => EMPTY_IT,
            Self::Store { .. } => "see that the store to copy from answers, empty the other one, and begin anew",
            Self::Record(_) => "serve it once to see what is wrong with it",
        }
        .to_owned()
    }
}

impl From<StartError> for CopyError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::NoDeployment => Self::NoDeployment,
            error => Self::Open(error),
        }
    }
}

/// Copies the deployment of one configuration into the store of another.
///
/// # Errors
/// [`CopyError`].
pub async fn copy(from: &Settings, to: &Settings, progress: impl FnMut(Progress)) -> Result<Copied, CopyError> {
    if from.store == to.store && (from.store != StorePlace::Embedded || from.data_dir == to.data_dir) {
        return Err(CopyError::Same);
    }
    let source = serve::hold(from, Purpose::Look).await?;
    // Before the other one is made.
    let deployment = check_source(source.store.as_ref()).await?;
    let target = serve::hold(to, Purpose::Fill).await?;
    let copied = transfer(source.store.as_ref(), &deployment, target.store.as_ref(), progress).await;
    let closed = target.store.close().await;
    let copied = copied?;
    closed.map_err(of_target)?;
    source.store.close().await.map_err(of_source)?;
    Ok(copied)
}

/// Copies everything, compares everything, and makes the copy a deployment: the one of that record, in which nobody works.
async fn transfer(
    from: &dyn Kv,
    deployment: &Entry,
    to: &dyn Kv,
    mut progress: impl FnMut(Progress),
) -> Result<Copied, CopyError> {
    check_target(to).await?;
    let begun = begin(to).await?;
    let (copied, at) = write_all(from, to, &mut progress).await?;
    compare(from, to, at, &mut progress).await?;
    finish(to, begun, deployment::moved(&deployment.value, at)?).await?;
    Ok(copied)
}

/// The deployment record, if nobody works on the store.
async fn check_source(from: &dyn Kv) -> Result<Entry, CopyError> {
    let deployment = from.get(layout::DEPLOYMENT).await.map_err(of_source)?.ok_or(CopyError::NoDeployment)?;
    let registered = from.range(REGISTRATIONS, None, NODES_SHOWN, None).await.map_err(of_source)?;
    if registered.entries.is_empty() {
        return Ok(deployment);
    }
    let nodes: Vec<String> = registered.entries.into_iter().map(|entry| entry.key).collect();
    Err(CopyError::InUse { nodes: nodes.join(", ") })
}

async fn check_target(to: &dyn Kv) -> Result<(), CopyError> {
    if to.get(layout::COPYING).await.map_err(of_target)?.is_some() {
        return Err(CopyError::Unfinished);
    }
    let found = to.range("", None, 1, None).await.map_err(of_target)?;
    if found.entries.is_empty() { Ok(()) } else { Err(CopyError::NotEmpty) }
}

/// Says in the target that a copy is under way.
async fn begin(to: &dyn Kv) -> Result<Revision, CopyError> {
    let copying = layout::COPYING.to_owned();
    let commit = Commit {
        preconditions: vec![Precondition::Absent(copying.clone()), Precondition::Absent(layout::DEPLOYMENT.to_owned())],
        writes: vec![Write::Put(copying, Vec::new())],
    };
    match to.commit(commit).await.map_err(of_target)? {
        Outcome::Committed(revision) => Ok(revision),
        Outcome::Conflict => Err(CopyError::Disturbed),
    }
}

/// Writes every record of the source as it is at one revision, which it says.
async fn write_all(
    from: &dyn Kv,
    to: &dyn Kv,
    progress: &mut impl FnMut(Progress),
) -> Result<(Copied, Revision), CopyError> {
    let mut walk = Walk::begin(from).await.map_err(of_source)?;
    let (mut copied, mut batch, mut bytes) = (Copied::default(), Vec::new(), 0);
    while let Some(Entry { key, value, .. }) = walk.next().await.map_err(of_source)? {
        let more = key.len() + value.len();
        if batch.len() == COMMIT_OPERATIONS_MAX || bytes + more > COMMIT_BYTES_MAX {
            put(to, std::mem::take(&mut batch)).await?;
            bytes = 0;
            progress(Progress::Copied(copied));
        }
        copied.count(more);
        bytes += more;
        batch.push(Write::Put(key, value));
    }
    put(to, batch).await?;
    progress(Progress::Copied(copied));
    Ok((copied, walk.revision()))
}

/// Writes a batch. Doing it twice is as good as once, so a store that was away for a moment is asked again.
async fn put(to: &dyn Kv, writes: Vec<Write>) -> Result<(), CopyError> {
    let commit = Commit { preconditions: Vec::new(), writes };
    let mut attempts_left = ATTEMPTS;
    loop {
        attempts_left -= 1;
        match to.commit(commit.clone()).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_)) if attempts_left > 0 => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(of_target(error)),
        }
    }
}

/// Reads both stores as they are now. The source must be as it was when it was copied, and the target the same.
async fn compare(
    from: &dyn Kv,
    to: &dyn Kv,
    at: Revision,
    progress: &mut impl FnMut(Progress),
) -> Result<(), CopyError> {
    let mut source = Walk::begin(from).await.map_err(of_source)?;
    let mut target = Walk::begin(to).await.map_err(of_target)?;
    let mut compared = Copied::default();
    loop {
        let ours = source.next().await.map_err(of_source)?;
        let theirs = target.next().await.map_err(of_target)?;
        if let Some(entry) = ours.as_ref().filter(|entry| entry.modified > at) {
            return Err(CopyError::Changed { key: entry.key.clone() });
        }
        match (ours, theirs) {
            (None, None) => break,
            (Some(ours), Some(theirs)) if ours.key == theirs.key && ours.value == theirs.value => {
                compared.count(ours.key.len() + ours.value.len());
                if compared.records % PROGRESS_RECORDS == 0 {
                    progress(Progress::Compared(compared));
                }
            }
            (Some(entry), _) | (None, Some(entry)) => return Err(CopyError::Different { key: entry.key }),
        }
    }
    // Whoever came meanwhile is registered, or has left a newer deployment record.
    let deployment = check_source(from).await?;
    if deployment.modified > at {
        return Err(CopyError::Changed { key: deployment.key });
    }
    progress(Progress::Compared(compared));
    Ok(())
}

/// Makes the copy a deployment, and looks whether it is.
async fn finish(to: &dyn Kv, begun: Revision, deployment: Vec<u8>) -> Result<(), CopyError> {
    let key = layout::DEPLOYMENT.to_owned();
    let commit = Commit {
        preconditions: vec![
            Precondition::Unchanged(layout::COPYING.to_owned(), begun),
            Precondition::Absent(key.clone()),
        ],
        writes: vec![Write::Delete(layout::COPYING.to_owned()), Write::Put(key.clone(), deployment.clone())],
    };
    match to.commit(commit).await {
        Ok(Outcome::Committed(_)) | Err(StoreError::OutcomeUnknown(_)) => {}
        Ok(Outcome::Conflict) => return Err(CopyError::Disturbed),
        Err(error) => return Err(of_target(error)),
    }
    let written = to.get(&key).await.map_err(of_target)?;
    if written.is_some_and(|entry| entry.value == deployment) { Ok(()) } else { Err(CopyError::Different { key }) }
}

impl Copied {
    fn count(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

fn of_source(source: StoreError) -> CopyError {
    CopyError::Store { which: FROM, source }
}

fn of_target(source: StoreError) -> CopyError {
    CopyError::Store { which: TO, source }
}

const FROM: &str = "the store to copy from";
const TO: &str = "the store to copy into";
const EMPTY_IT: &str = "empty the store to copy into (in etcd: `etcdctl del --prefix PREFIX/`; in a data folder: remove store.redb), and \
                        begin anew; the other one is as it was";
/// Registrations that an error names.
const NODES_SHOWN: usize = 16;
/// How often a batch is written while the store is away for a moment.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
const PROGRESS_RECORDS: u64 = 10_000;

#[cfg(test)]
mod tests;
