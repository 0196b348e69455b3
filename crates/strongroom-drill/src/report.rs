//! What a drill found: the payload that custodians sign.
//!
//! Times are RFC 3339 in UTC, durations seconds. It holds no secret: names of keys, and nothing of what they protect.

use serde::{Deserialize, Serialize};
use strongroom_types::Timestamp;

/// The report of one drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this shape: 1.
    pub format: u32,
    /// The program and its version.
    pub program: String,
    /// Whether every key was proved.
    pub outcome: Outcome,
    /// Who ran it, as they named themselves.
    pub operator: String,
    /// When it began.
    pub started: String,
    /// When the last key was proved.
    pub ended: String,
    /// What was restored.
    pub backup: Backup,
    /// With what it was opened.
    pub security_domain: SecurityDomain,
    /// RPO: what would have been lost.
    pub recovery_point: RecoveryPoint,
    /// RTO: how long it took.
    pub recovery_time: RecoveryTime,
    /// What came back.
    pub restored: Restored,
    /// Versions that did not answer their challenge.
    pub failures: Vec<Failure>,
}

/// How a drill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every version of every key answered.
    Passed,
    /// Some did not.
    Failed,
}

/// The backup that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// The container, without a credential.
    pub container: String,
    /// Its folder.
    pub folder: String,
    /// The managed HSM it was made of.
    pub managed_hsm: String,
    /// That HSM's instance id.
    pub instance: String,
    /// Bytes read.
    pub bytes: u64,
}

/// The security domain that opened it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityDomain {
    /// Its id.
    pub id: String,
    /// The epoch of the backup.
    pub epoch: u32,
    /// SHA-256 of the file, hexadecimal.
    pub file_sha256: String,
    /// How many custodians open it.
    pub quorum: u8,
    /// How many there are.
    pub custodians: u8,
    /// Those who took part; each has signed this report.
    pub present: Vec<Custodian>,
}

/// A custodian who took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Custodian {
    /// Whom the certificate names (RFC 4514).
    pub subject: String,
    /// SHA-256 of the certificate, base64url.
    #[serde(rename = "x5t#S256")]
    pub thumbprint: String,
}

/// How old the backup was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryPoint {
    /// The moment whose state the backup holds.
    pub backup_time: String,
    /// Seconds from then to the beginning of the drill: what was written in them would have been lost.
    pub age_seconds: i64,
}

/// How long the recovery took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryTime {
    /// From the beginning until every key was back and proved, in seconds.
    pub total_seconds: Seconds,
    /// Its parts, in their order.
    pub steps: Vec<Step>,
}

/// A part of the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was done.
    pub name: String,
    /// How long it took.
    pub seconds: Seconds,
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// Names of keys, deleted ones included.
    pub keys: u64,
    /// Versions of them.
    pub versions: u64,
    /// Versions that answered a challenge which their public key or check value confirms.
    pub proved: u64,
    /// Role assignments.
    pub role_assignments: u64,
    /// Custom role definitions.
    pub role_definitions: u64,
}

/// A version that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its key.
    pub key: String,
    /// The version.
    pub version: String,
    /// What was wrong.
    pub reason: String,
}

/// A duration in seconds with milliseconds, as text: JSON's numbers would lose what signatures must keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seconds(String);

impl Seconds {
    /// Of a number of milliseconds.
    pub fn from_millis(millis: i64) -> Self {
        let millis = millis.max(0);
        Self(format!("{}.{:03}", millis / 1000, millis % 1000))
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// As text, in UTC.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
