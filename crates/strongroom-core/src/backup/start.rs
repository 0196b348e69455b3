//! Starting a job, and asking how far it is.

use strongroom_types::{DataAction, KeyName, Scope, Timestamp};

use crate::backup::format::{check_folder, folder_name};
use crate::backup::job::{JobId, JobKind, JobRecord, JobStatus, Progress, RunningMark};
use crate::backup::target::{TargetCredential, check_container, check_signature};
use crate::barrier::{Stored, Transaction};
use crate::container::Permit;
use crate::guard::{Guard, HsmState};
use crate::hsm::Hsm;
use crate::layout;
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// What somebody wants done.
pub struct JobOrder {
    kind: OrderedKind,
    /// That of the kind, checked.
    folder: Option<String>,
    container: String,
    credential: TargetCredential,
}

/// What an order is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderedKind {
    /// A full backup into a new folder.
    Backup,
    /// A look whether one could be made.
    BackupCheck,
    /// A full restore from a folder.
    Restore {
        /// Where the backup lies in its container.
        folder: String,
    },
    /// A look whether that could be done.
    RestoreCheck {
        /// Where the backup lies in its container.
        folder: String,
    },
    /// The restore of one key from a folder.
    RestoreKey {
        /// Where the backup lies in its container.
        folder: String,
        /// Its name.
        key: KeyName,
    },
}

impl JobOrder {
    /// An order for a container.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for what is no address of a container, no folder, or no signature.
    pub fn new(kind: OrderedKind, container: &str, credential: TargetCredential) -> Result<Self> {
        let folder_parameter = match &kind {
            OrderedKind::RestoreKey { .. } => "folder",
            OrderedKind::Backup
            | OrderedKind::BackupCheck
            | OrderedKind::Restore { .. }
            | OrderedKind::RestoreCheck { .. } => "folderToRestore",
        };
        let folder = kind.folder().map(|folder| check_folder(folder_parameter, folder)).transpose()?;
        let credential = match credential {
            TargetCredential::SharedAccessSignature(signature) => {
                TargetCredential::SharedAccessSignature(check_signature(&signature)?)
            }
            other @ (TargetCredential::None | TargetCredential::ManagedIdentity(_)) => other,
        };
        Ok(Self { kind, folder, container: check_container(container)?, credential })
    }
}

impl OrderedKind {
    fn folder(&self) -> Option<&str> {
        match self {
            Self::Backup | Self::BackupCheck => None,
            Self::Restore { folder } | Self::RestoreCheck { folder } | Self::RestoreKey { folder, .. } => Some(folder),
        }
    }

    fn job_kind(&self) -> JobKind {
        match self {
            Self::Backup => JobKind::Backup,
            Self::BackupCheck => JobKind::BackupCheck,
            Self::Restore { .. } => JobKind::Restore,
            Self::RestoreCheck { .. } => JobKind::RestoreCheck,
            Self::RestoreKey { key, .. } => JobKind::RestoreKey(key.clone()),
        }
    }

    fn action(&self) -> DataAction {
        if self.job_kind().is_backup() { DataAction::BackupStart } else { DataAction::RestoreStart }
    }
}

impl Hsm<'_> {
    /// Starts a job: a record that [`Core::run_job`](crate::Core::run_job) works off. A full restore stops everything
    /// else on the HSM from this commit on.
    ///
    /// # Errors
    /// [`Error::JobInProgress`]; [`Error::NoFreshBackup`] for a full restore without a backup of the target;
    /// [`Error::Blob`] for a place this deployment does not go to.
    pub async fn start_job(&self, request: &Request, order: &JobOrder) -> Result<JobStatus> {
        self.authorize(request, order.kind.action(), &Scope::Root).await?;
        self.check_audit()?;
        // What can be known at once is said at once.
        let access = order.kind.job_kind().access();
        self.core().open_target(self.record(), &order.container, &order.credential, access).await?;
        retry_on_conflict!(self.try_start_job(request, order))
    }

    /// How far a backup is.
    ///
    /// # Errors
    /// [`Error::JobNotFound`].
    pub async fn backup_status(&self, request: &Request, id: &str) -> Result<JobStatus> {
        self.job_status(request, DataAction::BackupStatus, id).await
    }

    /// How far a restore is, of the whole or of one key.
    ///
    /// # Errors
    /// [`Error::JobNotFound`].
    pub async fn restore_status(&self, request: &Request, id: &str) -> Result<JobStatus> {
        self.job_status(request, DataAction::RestoreStatus, id).await
    }

    async fn job_status(&self, request: &Request, action: DataAction, id: &str) -> Result<JobStatus> {
        self.authorize_while_restoring(request, action).await?;
        let not_found = || Error::JobNotFound { job: id.chars().take(ID_SHOWN_MAX).collect() };
        let job = id.parse().map_err(|_| not_found())?;
        let found = self.core().job_record(self.instance(), job).await?.ok_or_else(not_found)?;
        if found.value.kind.is_backup() != (action == DataAction::BackupStatus) {
            return Err(not_found());
        }
        Ok(found.value.show(self.core().barrier().clock().now(), self.core().backup_rules()))
    }

    async fn try_start_job(&self, request: &Request, order: &JobOrder) -> Result<JobStatus> {
        let permit = self.authorize(request, order.kind.action(), &Scope::Root).await?;
        let (core, instance) = (self.core(), self.instance());
        if let Some(mark) = core.running_mark(instance).await? {
            return Err(Error::JobInProgress { job: mark.value.job });
        }
        let job = self.new_job(request, &permit, order)?;
        let barrier = core.barrier();
        let detail = format!("job {}, folder {} in {}", job.id, job.folder, job.container);
        let mut transaction = permit.transaction().detail(detail);
        if job.kind == JobKind::Restore {
            self.check_fresh_backup(request.received).await?;
            begin_restoring(&mut transaction, &permit)?;
        }
        let mark = RunningMark { hsm: self.record().name.clone(), instance, job: job.id };
        transaction.create(barrier.deployment(), layout::running_job(instance), &mark)?;
        transaction.create(barrier.deployment(), layout::job(instance, job.id), &job)?;
        if let TargetCredential::SharedAccessSignature(signature) = &order.credential {
            let key = layout::job_credential(instance, job.id);
            transaction.create_secret(barrier.deployment(), key, signature.expose().as_bytes());
        }
        transaction.commit(request).await?;
        Ok(job.show(request.received, core.backup_rules()))
    }

    fn new_job(&self, request: &Request, permit: &Permit<'_>, order: &JobOrder) -> Result<JobRecord> {
        let (kind, now) = (order.kind.job_kind(), request.received);
        let folder = order.folder.clone().unwrap_or_else(|| folder_name(&self.record().name, now));
        Ok(JobRecord {
            id: JobId::from_random(permit.barrier().entropy().sixteen()?),
            kind,
            container: order.container.clone(),
            credential: order.credential.kind(),
            folder,
            started: now,
            started_by: request.caller.principal,
            by_administrator: permit.rights().is_administrator(&request.caller),
            owner: None,
            renewed: now,
            attempt: 0,
            faults: 0,
            overtaken: 0,
            resume: now,
            generation: None,
            progress: Progress::default(),
            outcome: None,
            ended: None,
        })
    }

    /// The rule of the published runbook: what a restore replaces must have been backed up just before.
    async fn check_fresh_backup(&self, now: Timestamp) -> Result<()> {
        let Some(minutes) = self.core().backup_rules().fresh_target_backup_minutes else { return Ok(()) };
        let history = self.core().backup_history(self.instance()).await?;
        let fresh = |backup: Timestamp| backup.plus_seconds(i64::from(minutes) * 60) >= now;
        if history.last_backup.is_some_and(fresh) { Ok(()) } else { Err(Error::NoFreshBackup { minutes }) }
    }
}

/// Adds the state in which nothing else answers to the commit that starts a restore.
fn begin_restoring(transaction: &mut Transaction<'_>, permit: &Permit<'_>) -> Result<()> {
    let guard: &Stored<Guard> = permit.guard();
    let restoring = Guard { state: HsmState::Restoring, ..guard.value.clone() };
    transaction.replace(permit.barrier().deployment(), guard, &restoring)
}

/// Characters of an unknown job id that an error repeats.
const ID_SHOWN_MAX: usize = 64;
