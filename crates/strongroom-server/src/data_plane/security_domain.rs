//! Handlers of the security-domain calls (security-domain.md §1).

use http::StatusCode;
use serde::Deserialize;
use strongroom_api::operations::{Operation, OperationId};
use strongroom_api::security_domain::{self as api, OperationStatus};
use strongroom_core::Error;
use strongroom_core::activation::{Download, DownloadStatus};
use strongroom_core::audit::{Event, Result as EventResult};
use strongroom_core::epochs::DomainState;
use strongroom_core::guard::HsmState;
use strongroom_core::hsm::Hsm;
use strongroom_core::recovery::UploadStatus;
use strongroom_core::request::Request;
use strongroom_security_domain::{CertificateJwk, Custodians};
use strongroom_types::Timestamp;
use uuid::Uuid;

use super::wire::{self, required};
use super::{ApiError, Call, DataPlane, Product};
use crate::http::exchange::{Inbound, Outbound, json, with_header};

/// The query parameter of a status URL that stands for a token.
pub(super) const OPERATION_PARAMETER: &str = "operation";

/// What the log of strangers says of a status URL with an operation that is not known.
const UNKNOWN_OPERATION: &str = "UnknownOperation";

/// Which of the two status URLs was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusOf {
    Download,
    Upload,
}

impl StatusOf {
    /// The one an operation asks, if it asks for a status.
    pub(super) fn of(id: OperationId) -> Option<Self> {
        match id {
            OperationId::DownloadSecurityDomainPending => Some(Self::Download),
            OperationId::UploadSecurityDomainPending => Some(Self::Upload),
            _ => None,
        }
    }
}

/// Body of `POST /securitydomain/download`.
#[derive(Deserialize)]
struct DownloadRequest {
    certificates: Option<Vec<CertificateJwk>>,
    required: Option<i64>,
}

/// Body of `POST /securitydomain/upload`.
#[derive(Deserialize)]
struct UploadRequest {
    value: Option<String>,
}

pub(super) async fn download(call: &Call<'_>) -> Result<Outbound, ApiError> {
    let download = call.hsm()?.download_security_domain(call.request, custodians(call)?).await?;
    Ok(downloaded(call, download))
}

/// Ours: a download with a new root under the next epoch. Its status is asked as that of any download.
pub(super) async fn rotate(call: &Call<'_>) -> Result<Outbound, ApiError> {
    let download = call.hsm()?.rotate_security_domain(call.request, custodians(call)?).await?;
    Ok(downloaded(call, download))
}

/// Ours: what an administrator may know of the security domain.
pub(super) async fn get(call: &Call<'_>) -> Result<Outbound, ApiError> {
    Ok(json(StatusCode::OK, &of_domain(call.hsm()?.security_domain(call.request).await?)))
}

fn custodians(call: &Call<'_>) -> Result<Custodians, ApiError> {
    let asked: DownloadRequest = wire::body(&call.inbound.body)?;
    let certificates = required("certificates", asked.certificates)?;
    Ok(Custodians::parse(&certificates, required("required", asked.required)?).map_err(Error::from)?)
}

fn downloaded(call: &Call<'_>, download: Download) -> Outbound {
    let answer = json(StatusCode::ACCEPTED, &api::SecurityDomainObject { value: download.file });
    with_status_url(call, answer, "download", download.operation)
}

pub(super) async fn download_status(call: &Call<'_>) -> Result<Outbound, ApiError> {
    Ok(show(of_download(call.hsm()?.download_status(call.request).await?)))
}

pub(super) async fn transfer_key(call: &Call<'_>) -> Result<Outbound, ApiError> {
    let transfer_key = call.hsm()?.transfer_key(call.request).await?;
    Ok(json(StatusCode::OK, &api::TransferKey { key_format: "jwk", transfer_key }))
}

pub(super) async fn upload(call: &Call<'_>) -> Result<Outbound, ApiError> {
    let asked: UploadRequest = wire::body(&call.inbound.body)?;
    let operation = call.hsm()?.upload_security_domain(call.request, required("value", asked.value)?).await?;
    // It is done; but the answer that clients know says so at the first poll.
    let answer = json(StatusCode::ACCEPTED, &of_upload(UploadStatus::InProgress));
    Ok(with_status_url(call, answer, "upload", operation))
}

pub(super) async fn upload_status(call: &Call<'_>) -> Result<Outbound, ApiError> {
    Ok(show(of_upload(call.hsm()?.upload_status(call.request).await?)))
}

/// The answer to a status URL. It reveals a status and nothing else. Who asks for an operation that is not known is a
/// stranger, and no event: otherwise anybody could fill the audit log.
pub(super) async fn status_by_url(
    plane: &DataPlane,
    hsm: &Hsm<'_>,
    inbound: &Inbound,
    row: &Operation,
    asked: StatusOf,
    operation: &str,
) -> Outbound {
    let DataPlane { core, strangers, .. } = plane;
    let mut request = Request::internal(inbound.id, inbound.received, row.audit_name, hsm.record().resource_id());
    request.context.client_address = Some(inbound.peer.remote.ip());
    let operation = Uuid::try_parse(operation).unwrap_or_default();
    let status = match asked {
        StatusOf::Download => hsm.confirm_download(&request, operation).await.map(of_download),
        StatusOf::Upload => hsm.upload_status_of(operation).await.map(of_upload),
    };
    match status {
        Ok(unknown) if unknown.status == OperationStatus::Failed && !request.is_recorded() => {
            strangers.saw(inbound.peer.remote.ip(), inbound.path(), UNKNOWN_OPERATION, inbound.received);
            show(unknown)
        }
        Ok(status) => {
            if !request.is_recorded() {
                let ended = EventResult::success(200);
                core.barrier().audit().submit(&Event::of(&request, &ended, core.barrier().clock().now(), None));
            }
            // Activation is on disk, and so is its event, before the client hears of it.
            match core.barrier().audit().flush().await {
                Ok(()) => show(status),
                Err(_) => ApiError::Core(Error::AuditUnavailable).answer(inbound.id, Product::ManagedHsm).0,
            }
        }
        Err(error) => ApiError::Core(error).answer(inbound.id, Product::ManagedHsm).0,
    }
}

/// A URL of this call's own host: clients ask it as it stands.
fn with_status_url(call: &Call<'_>, answer: Outbound, target: &str, operation: Uuid) -> Outbound {
    let version = call.inbound.query_parameter("api-version").unwrap_or_default();
    let base = call.inbound.base_url();
    let url = format!("{base}/securitydomain/{target}/pending?api-version={version}&{OPERATION_PARAMETER}={operation}");
    // Retry-After 1 and never 0: the SDK takes 0 for absent and waits 30 s.
    with_header(with_header(answer, "azure-asyncoperation", &url), "retry-after", "1")
}

fn of_domain(domain: DomainState) -> api::SecurityDomain {
    let DomainState {
        state,
        domain,
        epoch,
        oldest_epoch,
        required,
        custodians,
        policy,
        proved_until,
        unconfirmed,
        resealing,
    } = domain;
    let held = (required > 0).then_some(api::SecurityDomainCustodians { required, thumbprints: custodians });
    let rotation = resealing.map(|progress| api::SecurityDomainRotation {
        epoch: progress.epoch.number(),
        status: if progress.ended.is_some() { OperationStatus::Success } else { OperationStatus::InProgress },
        records: progress.records,
        began: progress.began.seconds(),
        ended: progress.ended.map(Timestamp::seconds),
    });
    api::SecurityDomain {
        state: match state {
            HsmState::Restoring => "Restoring",
            HsmState::NotActivated => "NotActivated",
            HsmState::Recovering => "Recovering",
            HsmState::Active => "Active",
        },
        domain_id: domain.map(|domain| domain.to_string()),
        epoch: epoch.number(),
        oldest_epoch: oldest_epoch.number(),
        custodians: held,
        download_policy: policy.as_str(),
        quorum_proved_until: proved_until.map(Timestamp::seconds),
        unconfirmed_download: unconfirmed,
        rotation,
    }
}

fn of_download(status: DownloadStatus) -> api::SecurityDomainOperationStatus {
    let (status, status_details) = match status {
        DownloadStatus::Success => (OperationStatus::Success, "The resource is active."),
        DownloadStatus::Replaced => (
            OperationStatus::Success,
            "The resource is active. The security domain was downloaded again: the custodians of earlier files can still \
             open those.",
        ),
        DownloadStatus::Waiting => (
            OperationStatus::InProgress,
            "The file is not confirmed yet: a rotation is by the status URL that came with its file, and none is while a \
             restore is under way.",
        ),
        DownloadStatus::Failed => (
            OperationStatus::Failed,
            "This download was superseded by a newer one or by a recovery, was lost in a restart, or was never made.",
        ),
    };
    api::SecurityDomainOperationStatus { status, status_details }
}

fn of_upload(status: UploadStatus) -> api::SecurityDomainOperationStatus {
    let (status, status_details) = match status {
        UploadStatus::InProgress => (OperationStatus::InProgress, "The Security Domain is being restored."),
        UploadStatus::Success => (OperationStatus::Success, "The resource is active."),
        UploadStatus::Proved => (
            OperationStatus::Success,
            "The resource is active. The quorum has proved itself: within an hour the security domain can be downloaded or \
             rotated once.",
        ),
        UploadStatus::Failed => (OperationStatus::Failed, "No recovery is under way: begin with init-recovery."),
    };
    api::SecurityDomainOperationStatus { status, status_details }
}

fn show(status: api::SecurityDomainOperationStatus) -> Outbound {
    let in_progress = status.status == OperationStatus::InProgress;
    let answer = json(StatusCode::OK, &status);
    if in_progress { with_header(answer, "retry-after", "1") } else { answer }
}
