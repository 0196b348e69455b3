//! Full backup and restore of a managed HSM, and the restore of one key out of a full backup (protocols.md §6).
//!
//! A backup is a folder of blobs: parts, and a manifest that comes last and without which there is no backup
//! (`docs/backup-format.md`). It is sealed under the security domain, so it opens in every HSM of that domain and nowhere
//! else. It shows the HSM as it was at one revision of the store, whatever is written meanwhile.
//!
//! A request only makes a job ([`JobOrder`], [`Hsm::start_job`](crate::hsm::Hsm::start_job)); [`Core::run_job`] does the
//! work, in steps that may run twice, on any node, after any crash. There is one at a time for each HSM. A restore checks
//! the whole backup before anything is touched, writes a new generation, and switches to it by one commit of the guard.
//! A job holds one page of names and two parts in memory, whatever the number of keys; its list of parts grows by some 100
//! bytes for each.
//!
//! Read first: [`JobOrder`], [`Manifest`], [`OpenBackup`]. Whoever has a container of blobs in hand and no blob store
//! (a drill in a scratch core, a test) gives the core [`OneContainer`], starts a job and calls [`Core::run_job`] until it
//! has ended; [`OpenBackup::keys`] and [`Hsm::key_passes`](crate::hsm::Hsm::key_passes) then prove the keys.
//!
//! A job that fails keeps its reason for who asks for its state ([`JobState::Failed`]); a backup that cannot be used is a
//! [`BackupProblem`].
//!
//! [`Core::run_job`]: crate::Core::run_job

mod check;
mod format;
mod history;
mod job;
mod manifest;
mod owner;
mod read;
mod restore;
mod restore_key;
mod rules;
mod run;
mod start;
mod target;
mod write;

pub use format::BackupProblem;
pub use history::SweptGeneration;
pub use job::{JobId, JobKind, JobState, JobStatus, Progress};
pub use manifest::{Counts, Manifest, Part, Source};
pub use read::{BackedUpKeyVersion, BackupKeys, OpenBackup};
pub use rules::BackupRules;
pub use run::{Ran, RunningJob, Worker};
pub use start::{JobOrder, OrderedKind};
pub use target::{OneContainer, StorageCredentials, TargetCredential};
