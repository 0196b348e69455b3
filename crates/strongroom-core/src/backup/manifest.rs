//! What a backup says of itself.

use serde::{Deserialize, Serialize};
use strongroom_types::{DeploymentId, HsmName, InstanceId, Timestamp};

use crate::backup::JobId;
use crate::barrier::Record;

/// The manifest of a backup. Security domain and epoch stand in front of it and are authenticated with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The job that made it.
    pub job: JobId,
    /// Which attempt of that job.
    pub attempt: u32,
    /// Whose backup it is.
    pub source: Source,
    /// The generation that was read.
    pub generation: u32,
    /// The version of the rights it holds.
    pub rights_version: u64,
    /// The revision of the store that was read.
    pub revision: u64,
    /// When that was.
    pub made: Timestamp,
    /// What it holds.
    pub counts: Counts,
    /// Its parts, in their order.
    pub parts: Vec<Part>,
}

impl Record for Manifest {
    const FORMAT: u16 = 1;
}

/// Where a backup comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The HSM's name then.
    pub name: HsmName,
    /// That life of the name.
    pub instance: InstanceId,
}

/// How much there is of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Keys that live.
    pub keys: u64,
    /// Keys that are soft-deleted.
    pub deleted_keys: u64,
    /// Versions of both.
    pub versions: u64,
    /// Role assignments.
    pub role_assignments: u64,
    /// Custom role definitions.
    pub role_definitions: u64,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The blob's name within the folder.
    pub name: String,
    /// Bytes of the blob.
    pub bytes: u64,
    /// SHA-256 of the blob, base64url.
    pub sha256: String,
}
