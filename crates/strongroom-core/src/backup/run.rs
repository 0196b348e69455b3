//! Working on jobs: who works on one, how it is tried again, and how it ends.
//!
//! A job belongs to the node and the attempt that its record names. Every commit of its work depends on that record being
//! as it was read, so whoever has lost a job can change nothing any more. An attempt that is cut off is begun anew.

use std::sync::Arc;

use strongroom_store::{HISTORY_REVISIONS, StoreError};
use strongroom_types::{HsmName, InstanceId, NodeId};

use crate::backup::StorageCredentials;
use crate::backup::format::BackupProblem;
use crate::backup::history::History;
use crate::backup::job::{JobId, JobKind, JobRecord, Outcome, Progress, RunningMark};
use crate::barrier::{Stored, Transaction};
use crate::blobs::BlobError;
use crate::guard::{Guard, HsmState};
use crate::hsm::Hsm;
use crate::layout;
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Core, Error, Result};

/// A node that works on jobs.
#[derive(Clone)]
pub struct Worker {
    /// Which one: a job that it has left at an earlier stop is its own still.
    pub id: NodeId,
    /// A job whose owner has not been heard of for so many seconds is taken over; 0 where nobody else can be at work.
    pub takeover_seconds: u32,
    /// Who gives out tokens for storage; none where jobs use no managed identities.
    pub credentials: Option<Arc<dyn StorageCredentials>>,
}

/// A job that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunningJob {
    /// The HSM.
    pub hsm: HsmName,
    /// That life of the name.
    pub instance: InstanceId,
    /// The job.
    pub job: JobId,
}

/// What a run left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// Nothing: the job has ended, well or not.
    Ended,
    /// It is to be run again later: somebody else works on it, or it waits.
    Later,
}

/// A job at work.
pub(super) struct Claim<'a> {
    pub(super) core: &'a Core,
    pub(super) hsm: Hsm<'a>,
    pub(super) job: Stored<JobRecord>,
    pub(super) credentials: Option<Arc<dyn StorageCredentials>>,
}

/// What becomes of a job whose work has failed.
enum Verdict {
    /// It ends.
    Fail { code: &'static str, message: String },
    /// The blob store did not answer: it is tried again some times.
    TryAgain { message: String },
    /// It is begun anew at once.
    BeginAnew,
    /// The store forgot the revision that a backup was copied from: it is begun anew at once, a few times.
    Overtaken,
    /// It is tried again after a while: nothing of it is at fault.
    Later,
}

impl Core {
    /// The jobs that have not ended: what [`Core::run_job`] is to be called for.
    pub async fn running_jobs(&self) -> Result<Vec<RunningJob>> {
        let barrier = self.barrier();
        let all = barrier.all::<RunningMark>(barrier.deployment(), layout::RUNNING_JOBS).await?;
        let running = |RunningMark { hsm, instance, job }| RunningJob { hsm, instance, job };
        Ok(all.into_iter().map(|stored| running(stored.value)).collect())
    }

    /// Works on a job until it ends, or until it must wait. May be called by several at the same time, and again after a
    /// crash; dropping the future is as a crash.
    ///
    /// # Errors
    /// What is not the job's fault, such as a store that cannot be reached; the job stays and is to be run again.
    pub async fn run_job(&self, worker: &Worker, running: &RunningJob) -> Result<Ran> {
        let claim = match retry_on_conflict!(self.claim(worker, running)) {
            Ok(claim) => claim,
            Err(Error::Conflict) => return Ok(Ran::Later),
            Err(error) => return Err(error),
        };
        match claim {
            Claimed::Ours(mut claim) => {
                let worked = Box::pin(claim.work()).await;
                match worked {
                    Ok(()) => Ok(Ran::Ended),
                    Err(error) => self.after_failure(claim.job, error).await,
                }
            }
            Claimed::NotNow => Ok(Ran::Later),
            Claimed::Ended => Ok(Ran::Ended),
        }
    }

    async fn claim(&self, worker: &Worker, running: &RunningJob) -> Result<Claimed<'_>> {
        let RunningJob { hsm, instance, job } = running;
        let barrier = self.barrier();
        let Some(mark) = self.running_mark(*instance).await?.filter(|mark| mark.value.job == *job) else {
            return Ok(Claimed::Ended);
        };
        let guard = match self.guard(*instance).await {
            Err(Error::HsmNotFound) => return self.drop_mark(&mark).await,
            other => other?,
        };
        let stored = self.job_record(*instance, *job).await?;
        let stored = stored.ok_or(Error::Internal("a running job has no record"))?;
        let now = barrier.clock().now();
        let record = &stored.value;
        if record.resume > now || self.is_taken(record, worker).await? {
            return Ok(Claimed::NotNow);
        }
        let hsm = match self.hsm(hsm).await {
            Ok(hsm) if !guard.value.deleted && hsm.record().instance == *instance => hsm,
            Ok(_) | Err(Error::HsmNotFound) => {
                self.fail_job(&stored, "HsmDeleted", "the managed HSM was deleted").await?;
                return Ok(Claimed::Ended);
            }
            Err(error) => return Err(error),
        };
        // It waits for its quorum, which may take days: no attempt is lost by that. Other nodes may have it open.
        if self.is_sealed(*instance, &guard.value) {
            if record.owner == Some(worker.id) {
                self.rest(&stored, record.clone()).await?;
            }
            return Ok(Claimed::NotNow);
        }
        if record.attempt >= ATTEMPTS_MAX {
            let message = format!("the job was interrupted {ATTEMPTS_MAX} times");
            self.fail_job(&stored, "Interrupted", &message).await?;
            return Ok(Claimed::Ended);
        }
        let job = self.begin_attempt(worker, &mark, &guard, &stored).await?;
        let credentials = worker.credentials.clone();
        Ok(Claimed::Ours(Box::new(Claim { core: self, hsm, job, credentials })))
    }

    /// Makes the worker the owner, under a new attempt.
    async fn begin_attempt(
        &self,
        worker: &Worker,
        mark: &Stored<RunningMark>,
        guard: &Stored<Guard>,
        stored: &Stored<JobRecord>,
    ) -> Result<Stored<JobRecord>> {
        let (barrier, instance, now) = (self.barrier(), mark.value.instance, self.barrier().clock().now());
        let mut record = stored.value.clone();
        record.attempt += 1;
        (record.owner, record.renewed, record.progress) = (Some(worker.id), now, Progress::default());
        let mut transaction = barrier.transaction();
        transaction.expect(mark);
        let mut history = self.history(instance).await?;
        match &record.kind {
            JobKind::Restore => {
                history.value.abandoned.extend(record.generation);
                record.generation = Some(history.next_generation(&guard.value));
                history.stage(barrier, &mut transaction)?;
            }
            JobKind::Backup => {
                history.value.last_copy = Some(now);
                history.stage(barrier, &mut transaction)?;
            }
            JobKind::BackupCheck | JobKind::RestoreCheck | JobKind::RestoreKey(_) => {}
        }
        transaction.replace(barrier.deployment(), stored, &record)?;
        transaction.commit_step().await?;
        self.owned_job(instance, &record).await
    }

    /// The record of a job as it is now, if owner and attempt are still these.
    async fn owned_job(&self, instance: InstanceId, ours: &JobRecord) -> Result<Stored<JobRecord>> {
        let found = self.job_record(instance, ours.id).await?;
        found.filter(|found| found.value.is_still(ours)).ok_or(Error::Conflict)
    }

    /// The HSM is gone for good, and everything of the job with it but this mark.
    async fn drop_mark(&self, mark: &Stored<RunningMark>) -> Result<Claimed<'_>> {
        let mut transaction = self.barrier().transaction();
        transaction.delete(mark);
        transaction.commit_step().await?;
        Ok(Claimed::Ended)
    }

    async fn after_failure(&self, job: Stored<JobRecord>, error: Error) -> Result<Ran> {
        let record = &job.value;
        match verdict(&error) {
            Verdict::Fail { code, message } => {
                if code == INTERNAL {
                    tracing::error!(job = %record.id, %error, "a backup or restore failed");
                }
                self.fail_job(&job, code, &message).await?;
                Ok(Ran::Ended)
            }
            Verdict::TryAgain { message } if record.faults + 1 >= FAULTS_MAX => {
                self.fail_job(&job, "BlobStoreUnavailable", &message).await?;
                Ok(Ran::Ended)
            }
            Verdict::TryAgain { .. } => {
                let wait = FIRST_WAIT_SECONDS << record.faults;
                let resume = self.barrier().clock().now().plus_seconds(wait);
                self.rest(&job, JobRecord { faults: record.faults + 1, resume, ..record.clone() }).await
            }
            Verdict::BeginAnew => self.rest(&job, record.clone()).await,
            Verdict::Overtaken if record.overtaken + 1 >= OVERTAKEN_MAX => {
                let message = format!(
                    "{OVERTAKEN_MAX} times, more than {HISTORY_REVISIONS} changes came while a copy was made, and the store \
                     keeps no more: start again when less is written"
                );
                self.fail_job(&job, "TooManyChanges", &message).await?;
                Ok(Ran::Ended)
            }
            Verdict::Overtaken => {
                self.rest(&job, JobRecord { overtaken: record.overtaken + 1, ..record.clone() }).await
            }
            Verdict::Later => {
                let resume = self.barrier().clock().now().plus_seconds(LATER_SECONDS);
                // If the store is what fails, the job stays as it is.
                let _ = self.rest(&job, JobRecord { resume, ..record.clone() }).await;
                Err(error)
            }
        }
    }

    /// Lets go of a job that is to be tried again.
    async fn rest(&self, job: &Stored<JobRecord>, record: JobRecord) -> Result<Ran> {
        let barrier = self.barrier();
        let current = barrier.read::<JobRecord>(barrier.deployment(), &job.key).await?;
        let Some(owned) = current.filter(|found| found.value.is_still(&record)) else { return Ok(Ran::Later) };
        let mut transaction = barrier.transaction();
        transaction.replace(barrier.deployment(), &owned, &JobRecord { owner: None, ..record })?;
        match transaction.commit_step().await {
            Ok(_) | Err(Error::Conflict) => Ok(Ran::Later),
            Err(error) => Err(error),
        }
    }

    /// Ends a job badly. A restore gives the HSM back as it was.
    async fn fail_job(&self, job: &Stored<JobRecord>, code: &str, message: &str) -> Result<()> {
        retry_on_conflict!(self.try_fail_job(job, code, message))
    }

    async fn try_fail_job(&self, job: &Stored<JobRecord>, code: &str, message: &str) -> Result<()> {
        let barrier = self.barrier();
        let instance = instance_of(&job.key)?;
        let Some(current) = barrier.read::<JobRecord>(barrier.deployment(), &job.key).await? else { return Ok(()) };
        let found = &current.value;
        if !found.is_still(&job.value) {
            return Ok(());
        }
        let mut history = self.history(instance).await?;
        history.value.abandoned.extend(found.generation);
        let request = self.job_request(found.kind.audit_name(), String::new())?;
        let mut transaction = barrier.transaction().detail(format!("job {} failed, {code}: {message}", found.id));
        let guard = self.guard(instance).await?;
        if found.kind == JobKind::Restore && guard.value.state == HsmState::Restoring {
            let before = Guard { state: HsmState::Active, ..guard.value.clone() };
            transaction.replace(barrier.deployment(), &guard, &before)?;
        }
        let message = message.chars().take(MESSAGE_CHARACTERS_MAX).collect();
        let outcome = Outcome::Failed { code: code.to_owned(), message };
        self.stage_end(&mut transaction, instance, &current, history, outcome).await?;
        transaction.commit(&request).await?;
        Ok(())
    }

    /// Adds the end of a job to a commit: its credential is erased, and the next one may start.
    pub(super) async fn stage_end(
        &self,
        transaction: &mut Transaction<'_>,
        instance: InstanceId,
        job: &Stored<JobRecord>,
        mut history: History,
        outcome: Outcome,
    ) -> Result<()> {
        let barrier = self.barrier();
        let mark = self.running_mark(instance).await?.filter(|mark| mark.value.job == job.value.id);
        transaction.delete(&mark.ok_or(Error::Conflict)?);
        transaction.discard(layout::job_credential(instance, job.value.id));
        let ended = Some(barrier.clock().now());
        let record = JobRecord { outcome: Some(outcome), ended, owner: None, ..job.value.clone() };
        transaction.replace(barrier.deployment(), job, &record)?;
        history.push_ended(transaction, job.value.id);
        history.stage(barrier, transaction)
    }

    /// The request under which a job changes something.
    pub(super) fn job_request(&self, operation: &'static str, resource_id: String) -> Result<Request> {
        let id = uuid::Builder::from_random_bytes(self.barrier().entropy().sixteen()?).into_uuid();
        Ok(Request::internal(id, self.barrier().clock().now(), operation, resource_id))
    }
}

enum Claimed<'a> {
    Ours(Box<Claim<'a>>),
    NotNow,
    Ended,
}

impl Claim<'_> {
    async fn work(&mut self) -> Result<()> {
        match self.job.value.kind.clone() {
            JobKind::Backup => self.back_up().await,
            JobKind::BackupCheck => self.check_backup().await,
            JobKind::Restore => self.restore().await,
            JobKind::RestoreCheck => self.check_restore().await,
            JobKind::RestoreKey(name) => self.restore_key(&name).await,
        }
    }

    pub(super) fn instance(&self) -> InstanceId {
        self.hsm.record().instance
    }

    /// Says that the job is being worked on, and how far it is.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not ours any more.
    pub(super) async fn renew(&mut self, progress: Progress) -> Result<()> {
        let barrier = self.core.barrier();
        let record = JobRecord { progress, renewed: barrier.clock().now(), ..self.job.value.clone() };
        let mut transaction = barrier.transaction();
        transaction.replace(barrier.deployment(), &self.job, &record)?;
        transaction.commit_step().await?;
        self.job = self.core.owned_job(self.instance(), &record).await?;
        Ok(())
    }

    /// Ends the job well, where nothing but that is to be committed.
    pub(super) async fn end(&mut self, detail: String, note: impl Fn(&mut History)) -> Result<()> {
        let core = self.core;
        let mut history = core.history(self.instance()).await?;
        note(&mut history);
        let mut transaction = core.barrier().transaction().detail(format!("job {}: {detail}", self.job.value.id));
        core.stage_end(&mut transaction, self.instance(), &self.job, history, Outcome::Succeeded).await?;
        transaction.commit(&self.request(self.job.value.kind.audit_name())?).await?;
        Ok(())
    }

    pub(super) fn request(&self, operation: &'static str) -> Result<Request> {
        self.core.job_request(operation, self.hsm.record().resource_id())
    }
}

fn verdict(error: &Error) -> Verdict {
    let fail = |code| Verdict::Fail { code, message: error.to_string() };
    match error {
        Error::Blob(BlobError::Unavailable(_)) => Verdict::TryAgain { message: error.to_string() },
        Error::Blob(BlobError::NotFound(_)) => fail("BlobNotFound"),
        Error::Blob(BlobError::AlreadyExists(_)) => fail("BlobExists"),
        Error::Blob(BlobError::Refused(_)) => fail("BlobStoreRefused"),
        Error::Blob(BlobError::Malformed(_) | BlobError::NotAllowed(_)) | Error::BadParameter { .. } => {
            fail("BadRequest")
        }
        Error::Blob(BlobError::TooLarge { .. }) => fail("BackupInvalid"),
        Error::Backup(BackupProblem::NoManifest { .. }) => fail("BackupNotFound"),
        Error::Backup(BackupProblem::NoSuchKey { .. }) => fail("KeyNotFound"),
        Error::Backup(_) => fail("BackupInvalid"),
        Error::RestoreNeedsAdministrator { .. } => fail("AccessDenied"),
        Error::KeyDeleted { .. } | Error::NewerVersions { .. } => fail("Conflict"),
        Error::LimitReached { .. } => fail("LimitReached"),
        Error::Store(StoreError::Full) => fail("StoreFull"),
        Error::Store(StoreError::Compacted(_)) => Verdict::Overtaken,
        Error::Conflict => Verdict::BeginAnew,
        Error::Store(_)
        | Error::Sealed
        | Error::AuditUnavailable
        | Error::Throttled
        | Error::HsmNotFound
        | Error::Restoring
        | Error::NotActivated => Verdict::Later,
        _ => Verdict::Fail { code: INTERNAL, message: "the server failed; its log names the cause".to_owned() },
    }
}

/// The instance that a job's store key names.
fn instance_of(key: &str) -> Result<InstanceId> {
    let instance = key.split('/').nth(1).and_then(|text| text.parse().ok());
    instance.ok_or(Error::Internal("a job's store key names no instance"))
}

const INTERNAL: &str = "InternalError";
/// How often a job is begun.
const ATTEMPTS_MAX: u32 = 100;
/// How often the store may forget the revision that a backup is copied from.
const OVERTAKEN_MAX: u32 = 4;
/// How long a job waits for what was in its way, such as a full queue.
const LATER_SECONDS: i64 = 30;
/// How often the blob store may not answer, its own tries apart.
const FAULTS_MAX: u32 = 4;
/// How long the first wait for it is; each next one is twice as long.
const FIRST_WAIT_SECONDS: i64 = 2;
/// Characters of a failure's message that are kept.
const MESSAGE_CHARACTERS_MAX: usize = 1000;
