//! The record of a backup or restore, and what is shown of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strongroom_types::{HsmName, InstanceId, KeyName, NodeId, ParseError, PrincipalId, Timestamp};
use uuid::Uuid;

use crate::backup::BackupRules;
use crate::backup::target::CredentialKind;
use crate::barrier::{Record, Stored};
use crate::pools::BlobAccess;
use crate::{Core, Result, layout};

/// Names a job; 32 hexadecimal digits, drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(#[serde(with = "uuid::serde::simple")] Uuid);

impl JobId {
    pub(super) fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = ParseError::new("job id", "32 hexadecimal digits");
        if text.len() != 32 {
            return Err(error);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| error)
    }
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobKind {
    /// Writes a full backup.
    Backup,
    /// Looks whether one could be written.
    BackupCheck,
    /// Puts the whole HSM back.
    Restore,
    /// Looks whether that could be done.
    RestoreCheck,
    /// Puts one key back.
    RestoreKey(KeyName),
}

impl JobKind {
    /// Whether it belongs to the backups, and not to the restores.
    pub fn is_backup(&self) -> bool {
        match self {
            Self::Backup | Self::BackupCheck => true,
            Self::Restore | Self::RestoreCheck | Self::RestoreKey(_) => false,
        }
    }

    pub(super) fn access(&self) -> BlobAccess {
        if self.is_backup() { BlobAccess::Write } else { BlobAccess::Read }
    }

    /// `operationName` of its end in the audit log.
    pub(super) fn audit_name(&self) -> &'static str {
        match self {
            Self::Backup => "BackupEnd",
            Self::BackupCheck => "BackupCheckEnd",
            Self::Restore => "RestoreEnd",
            Self::RestoreCheck => "RestoreCheckEnd",
            Self::RestoreKey(_) => "KeyRestoreFromBackupEnd",
        }
    }
}

/// How much of a job is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Keys that were written or read.
    pub keys: u64,
    /// Parts that were written or read.
    pub parts: u64,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    Succeeded,
    Failed { code: String, message: String },
}

/// A job as it is stored. Its credential lies apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    pub(super) id: JobId,
    pub(super) kind: JobKind,
    pub(super) container: String,
    pub(super) credential: CredentialKind,
    pub(super) folder: String,
    pub(super) started: Timestamp,
    pub(super) started_by: PrincipalId,
    /// Whether who started it was an administrator of the HSM then.
    pub(super) by_administrator: bool,
    /// Who works on it.
    pub(super) owner: Option<NodeId>,
    /// When the owner last said so.
    pub(super) renewed: Timestamp,
    /// Counted from 1; 0 before the first.
    pub(super) attempt: u32,
    /// How often the blob store did not answer.
    pub(super) faults: u32,
    /// How often the store forgot the revision that was copied.
    #[serde(default)]
    pub(super) overtaken: u32,
    /// Not to be tried again before.
    pub(super) resume: Timestamp,
    /// The generation that a restore writes.
    pub(super) generation: Option<u32>,
    pub(super) progress: Progress,
    pub(super) outcome: Option<Outcome>,
    pub(super) ended: Option<Timestamp>,
}

impl Record for JobRecord {
    const FORMAT: u16 = 1;
}

/// Which job of an instance is under way: made by the commit that starts it, gone with the commit that ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunningMark {
    pub(super) hsm: HsmName,
    pub(super) instance: InstanceId,
    pub(super) job: JobId,
}

impl Record for RunningMark {
    const FORMAT: u16 = 1;
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// There is something left to do.
    InProgress,
    /// Done.
    Succeeded,
    /// Not done, and nothing of it is left.
    Failed {
        /// The kind of failure, for programs.
        code: String,
        /// The reason, for people. It holds no credential.
        message: String,
    },
}

/// A job as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// Which job.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// How far it is.
    pub state: JobState,
    /// How much is done.
    pub progress: Progress,
    /// When it was asked for.
    pub started: Timestamp,
    /// When it ended, if it has.
    pub ended: Option<Timestamp>,
    /// Address of container and folder.
    pub folder: String,
}

impl JobRecord {
    /// Whether the job has not ended, and is still worked on by the owner and in the attempt that `before` names.
    pub(super) fn is_still(&self, before: &Self) -> bool {
        self.outcome.is_none() && (self.owner, self.attempt) == (before.owner, before.attempt)
    }

    /// What is shown of it at a time: its end not too early.
    pub(super) fn show(&self, now: Timestamp, rules: BackupRules) -> JobStatus {
        let earliest = self.started.plus_seconds(i64::from(rules.earliest_end_seconds));
        let state = match &self.outcome {
            Some(Outcome::Succeeded) if now >= earliest => JobState::Succeeded,
            Some(Outcome::Failed { code, message }) if now >= earliest => {
                JobState::Failed { code: code.clone(), message: message.clone() }
            }
            Some(_) | None => JobState::InProgress,
        };
        let ended = self.ended.filter(|_| state != JobState::InProgress).map(|ended| ended.max(earliest));
        JobStatus {
            id: self.id,
            kind: self.kind.clone(),
            state,
            progress: self.progress,
            started: self.started,
            ended,
            folder: format!("{}/{}", self.container, self.folder),
        }
    }
}

impl Core {
    pub(super) async fn job_record(&self, instance: InstanceId, id: JobId) -> Result<Option<Stored<JobRecord>>> {
        self.barrier().read(self.barrier().deployment(), &layout::job(instance, id)).await
    }

    pub(super) async fn running_mark(&self, instance: InstanceId) -> Result<Option<Stored<RunningMark>>> {
        self.barrier().read(self.barrier().deployment(), &layout::running_job(instance)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_is_32_digits() {
        let id = JobId::from_random([0xab; 16]);
        let text = id.to_string();
        assert_eq!((text.len(), text.parse()), (32, Ok(id)));
        assert!("ab".repeat(15).parse::<JobId>().is_err());
        assert!(format!("{{{}", &text[1..]).parse::<JobId>().is_err());
    }
}
