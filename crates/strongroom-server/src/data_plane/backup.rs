//! Handlers of full backup and restore: extract, call, convert (data-plane.md §3).

use std::sync::Arc;

use http::StatusCode;
use strongroom_api::backup as api;
use strongroom_core::Error;
use strongroom_core::backup::{JobKind, JobOrder, JobState, JobStatus, OrderedKind, Progress, TargetCredential};

use super::wire::{self, required};
use super::{ApiError, Call};
use crate::http::exchange::{Outbound, json, with_header};

type Answer = Result<Outbound, ApiError>;

pub(super) async fn start(call: &Call<'_>) -> Answer {
    let parameters: api::StorageParameters = wire::body(&call.inbound.body)?;
    order(call, OrderedKind::Backup, parameters).await
}

pub(super) async fn check(call: &Call<'_>) -> Answer {
    let parameters: api::StorageParameters = wire::body(&call.inbound.body)?;
    order(call, OrderedKind::BackupCheck, parameters).await
}

pub(super) async fn restore(call: &Call<'_>) -> Answer {
    let (folder, parameters) = source(call)?;
    order(call, OrderedKind::Restore { folder }, parameters).await
}

pub(super) async fn check_restore(call: &Call<'_>) -> Answer {
    let (folder, parameters) = source(call)?;
    order(call, OrderedKind::RestoreCheck { folder }, parameters).await
}

pub(super) async fn restore_key(call: &Call<'_>) -> Answer {
    let asked: api::KeyRestoreParameters = wire::body(&call.inbound.body)?;
    let (key, folder) = (wire::key_name(call)?, required("folder", asked.folder)?);
    let parameters = required("sasTokenParameters", asked.sas_token_parameters)?;
    order(call, OrderedKind::RestoreKey { folder, key }, parameters).await
}

pub(super) async fn status(call: &Call<'_>) -> Answer {
    Ok(show(&call.hsm()?.backup_status(call.request, job_id(call)).await?))
}

pub(super) async fn restore_status(call: &Call<'_>) -> Answer {
    Ok(show(&call.hsm()?.restore_status(call.request, job_id(call)).await?))
}

fn job_id<'a>(call: &Call<'a>) -> &'a str {
    call.asked.captures.get("job-id").unwrap_or_default()
}

fn source(call: &Call<'_>) -> Result<(String, api::StorageParameters), ApiError> {
    let asked: api::RestoreParameters = wire::body(&call.inbound.body)?;
    let folder = required("folderToRestore", asked.folder_to_restore)?;
    Ok((folder, required("sasTokenParameters", asked.sas_token_parameters)?))
}

async fn order(call: &Call<'_>, kind: OrderedKind, parameters: api::StorageParameters) -> Answer {
    let api::StorageParameters { storage_resource_uri, token, use_managed_identity } = parameters;
    let container = required("storageResourceUri", storage_resource_uri)?;
    let credential = match (token, use_managed_identity.unwrap_or_default()) {
        (Some(_), true) => {
            return Err(Error::bad_parameter("token", "and useManagedIdentity exclude each other").into());
        }
        (Some(token), false) => TargetCredential::SharedAccessSignature(token),
        (None, true) => TargetCredential::ManagedIdentity(Arc::clone(call.release.jobs.credentials())),
        (None, false) => TargetCredential::None,
    };
    let order = JobOrder::new(kind, &container, credential)?;
    let job = call.hsm()?.start_job(call.request, &order).await?;
    call.release.jobs.wake();
    let answer = json_of(StatusCode::ACCEPTED, &job);
    let answer = with_header(answer, "azure-asyncoperation", &status_url(call, &job));
    Ok(with_header(answer, "retry-after", RETRY_AFTER))
}

/// A URL of this call's own host: clients ask it as it stands, or make it from the job's id.
fn status_url(call: &Call<'_>, job: &JobStatus) -> String {
    let version = call.inbound.query_parameter("api-version").unwrap_or_default();
    let target = if job.kind.is_backup() { "backup" } else { "restore" };
    format!("{}/{target}/{}/pending?api-version={version}", call.inbound.base_url(), job.id)
}

fn show(job: &JobStatus) -> Outbound {
    let answer = json_of(StatusCode::OK, job);
    if job.state == JobState::InProgress { with_header(answer, "retry-after", RETRY_AFTER) } else { answer }
}

fn json_of(status: StatusCode, job: &JobStatus) -> Outbound {
    let operation = operation(job);
    if !job.kind.is_backup() {
        return json(status, &operation);
    }
    let written = job.kind == JobKind::Backup && job.state == JobState::Succeeded;
    let azure_storage_blob_container_uri = written.then(|| job.folder.clone());
    json(status, &api::FullBackupOperation { operation, azure_storage_blob_container_uri })
}

fn operation(job: &JobStatus) -> api::RestoreOperation {
    let (status, error) = match &job.state {
        JobState::InProgress => ("InProgress", None),
        JobState::Succeeded => ("Succeeded", None),
        JobState::Failed { code, message } => {
            let error = api::OperationError { code: code.clone(), message: message.clone(), innererror: None };
            ("Failed", Some(error))
        }
    };
    let Progress { keys, parts } = job.progress;
    let done = (keys, parts) != (0, 0) && error.is_none();
    api::RestoreOperation {
        status,
        status_details: done.then(|| format!("{keys} keys, {parts} parts")),
        error,
        start_time: job.started.seconds(),
        end_time: job.ended.map(strongroom_types::Timestamp::seconds),
        job_id: job.id.to_string(),
    }
}

/// Never 0: the clients take 0 for absent, and wait for long.
const RETRY_AFTER: &str = "1";
