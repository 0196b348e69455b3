//! Models of full backup and restore (REST: Full Backup, Full Restore, Selective Key Restore).

use serde::{Deserialize, Serialize};
use strongroom_types::Secret;

/// A container, and what opens it: body of `POST /backup` and `/prebackup`, and part of the restores' (`SASTokenParameter`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageParameters {
    /// The address of the container.
    pub storage_resource_uri: Option<String>,
    /// A shared access signature, without the `?`.
    pub token: Option<Secret<String>>,
    /// Whether a managed identity of the HSM goes there.
    pub use_managed_identity: Option<bool>,
}

/// Body of `PUT /restore` and `/prerestore`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreParameters {
    /// Where the backup's container is.
    pub sas_token_parameters: Option<StorageParameters>,
    /// The folder of the backup within it.
    pub folder_to_restore: Option<String>,
}

/// Body of `PUT /keys/{name}/restore`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRestoreParameters {
    /// Where the backup's container is.
    pub sas_token_parameters: Option<StorageParameters>,
    /// The folder of the backup within it.
    pub folder: Option<String>,
}

/// How far a restore is. Members without a value are null, as the service writes them.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreOperation {
    /// `InProgress`, `Succeeded` or `Failed`; never empty.
    pub status: &'static str,
    /// Text for people.
    pub status_details: Option<String>,
    /// Why it failed.
    pub error: Option<OperationError>,
    /// Seconds since 1970.
    pub start_time: i64,
    /// Seconds since 1970; null until the end.
    pub end_time: Option<i64>,
    /// 32 hexadecimal digits.
    pub job_id: String,
}

/// How far a backup is.
#[derive(Debug, Clone, Serialize)]
pub struct FullBackupOperation {
    /// What it has in common with a restore.
    #[serde(flatten)]
    pub operation: RestoreOperation,
    /// Address of container and folder; null until it has succeeded.
    #[serde(rename = "azureStorageBlobContainerUri")]
    pub azure_storage_blob_container_uri: Option<String>,
}

/// Why a backup or restore failed.
#[derive(Debug, Clone, Serialize)]
pub struct OperationError {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// Always null.
    pub innererror: Option<()>,
}
