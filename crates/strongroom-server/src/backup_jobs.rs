//! Works on backups and restores beside everything else, each in a task of its own and some at a time; also on those that a
//! stop or a crash has left.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_core::backup::{RunningJob, StorageCredentials, Worker};
use strongroom_core::{Core, Error};
use tokio::sync::{Notify, Semaphore};

use crate::membership::Membership;
use crate::tasks::Tasks;

/// The backups and restores of a deployment, as far as this node works on them.
pub struct BackupJobs {
    core: Arc<Core>,
    credentials: Arc<dyn StorageCredentials>,
    at_work: Mutex<HashSet<RunningJob>>,
    /// When this node last said that it lives, in milliseconds; the epoch before the first time.
    kept: AtomicI64,
    places: Semaphore,
    wake: Notify,
}

/// A job that has a task. However the task ends, by a panic too, the next look may give it another one.
struct AtWork {
    jobs: Arc<BackupJobs>,
    job: RunningJob,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.jobs.at_work().remove(&self.job);
    }
}

impl std::fmt::Debug for BackupJobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupJobs").field("core", &self.core).finish_non_exhaustive()
    }
}

impl BackupJobs {
    /// Jobs over a core. `credentials` gives tokens for storage to managed identities.
    pub fn new(core: Arc<Core>, credentials: Arc<dyn StorageCredentials>) -> Self {
        let places = Semaphore::new(AT_ONCE_MAX);
        Self { core, credentials, at_work: Mutex::default(), kept: AtomicI64::new(0), places, wake: Notify::new() }
    }

    /// Who gives out tokens for storage.
    pub(crate) fn credentials(&self) -> &Arc<dyn StorageCredentials> {
        &self.credentials
    }

    /// A job was started: it need not wait for the next look.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Looks for jobs until the process stops, while this node serves.
    pub(crate) fn begin(self: Arc<Self>, tasks: &Tasks, membership: Membership) {
        let own = tasks.clone();
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = own.stopping() => return,
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(LOOK_PERIOD) => {}
                }
                if membership.is_serving() {
                    self.look(&own).await;
                }
            }
        });
    }

    async fn look(self: &Arc<Self>, tasks: &Tasks) {
        let jobs = match self.core.running_jobs().await {
            Ok(jobs) => jobs,
            Err(error) => return tracing::warn!(%error, "backups and restores cannot be looked for"),
        };
        if jobs.is_empty() {
            return;
        }
        self.keep().await;
        for job in jobs {
            if !self.at_work().insert(job.clone()) {
                continue;
            }
            let (at_work, own) = (AtWork { jobs: Arc::clone(self), job }, tasks.clone());
            tasks.spawn(async move {
                // A job that is dropped goes on after the next start.
                tokio::select! {
                    () = own.stopping() => {}
                    () = at_work.jobs.run(&at_work.job) => {}
                }
            });
        }
    }

    /// Says that this node lives, now and then while there are jobs.
    async fn keep(&self) {
        let now = self.core.barrier().clock().now().millis();
        // A clock that was set back does not let it be silent either.
        if (0..KEEP_MILLIS).contains(&now.saturating_sub(self.kept.load(Ordering::Acquire))) {
            return;
        }
        if let Err(error) = self.core.keep_jobs().await {
            tracing::warn!(%error, "other nodes cannot be told that this one works on its jobs");
            return;
        }
        self.kept.store(now, Ordering::Release);
        if let Err(error) = self.core.forget_job_owners().await {
            tracing::warn!(%error, "nodes that have worked on jobs and are gone cannot be forgotten");
        }
    }

    async fn run(&self, job: &RunningJob) {
        // Nobody closes it.
        let Ok(_place) = self.places.acquire().await else { return };
        let credentials = Some(Arc::clone(&self.credentials));
        // What this node has left at an earlier stop it takes up at once: its folder is in use by one process at a time.
        let worker = Worker { id: self.core.barrier().node(), takeover_seconds: TAKEOVER_SECONDS, credentials };
        match self.core.run_job(&worker, job).await {
            // A sealed HSM waits for its quorum, which may take long.
            Ok(_) | Err(Error::Sealed) => {}
            Err(error) => tracing::warn!(hsm = %job.hsm, job = %job.job, %error, "a backup or restore goes on later"),
        }
    }

    fn at_work(&self) -> MutexGuard<'_, HashSet<RunningJob>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Jobs worked on at once: each holds a few parts of a backup in memory. The others wait for their turn.
const AT_ONCE_MAX: usize = 8;
/// How often a node with jobs says that it lives.
const KEEP_MILLIS: i64 = 15_000;
/// How long the owner of a job may be silent before another node takes the job over. Whoever is overtaken can change nothing
/// any more: this is patience, not safety.
const TAKEOVER_SECONDS: u32 = 90;
/// How often jobs are looked for that nobody has told of: those of an earlier start, and those that wait.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
