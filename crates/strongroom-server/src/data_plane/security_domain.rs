//! Handlers of the security-domain calls (security-domain.md §1).

use http::StatusCode;
use serde::Deserialize;
use strongroom_api::operations::{OPERATIONS, OperationId};
use strongroom_api::security_domain as api;
use strongroom_core::activation::DownloadStatus;
use strongroom_core::audit::{Event, Result as EventResult};
use strongroom_core::hsm::Hsm;
use strongroom_core::request::Request;
use strongroom_core::{Core, Error};
use strongroom_security_domain::{CertificateJwk, Custodians};
use uuid::Uuid;

use super::wire::{self, required};
use super::{ApiError, Call};
use crate::http::exchange::{Inbound, Outbound, json, with_header};

/// The query parameter of a status URL that stands for a token.
pub(super) const OPERATION_PARAMETER: &str = "operation";

/// Body of `POST /securitydomain/download`.
#[derive(Deserialize)]
struct DownloadRequest {
    certificates: Option<Vec<CertificateJwk>>,
    required: Option<i64>,
}

pub(super) async fn download(call: &Call<'_>) -> Result<Outbound, ApiError> {
    let asked: DownloadRequest = wire::body(&call.inbound.body)?;
    let certificates = required("certificates", asked.certificates)?;
    let custodians = Custodians::parse(&certificates, required("required", asked.required)?).map_err(Error::from)?;
    let download = call.hsm.download_security_domain(call.request, custodians).await?;
    let version = call.inbound.query_parameter("api-version").unwrap_or_default();
    let status_url = format!(
        "{}/securitydomain/download/pending?api-version={version}&{OPERATION_PARAMETER}={}",
        call.inbound.base_url(),
        download.operation
    );
    let answer = json(StatusCode::ACCEPTED, &api::SecurityDomainObject { value: download.file });
    // Retry-After 1 and never 0: the SDK takes 0 for absent and waits 30 s.
    Ok(with_header(with_header(answer, "azure-asyncoperation", &status_url), "retry-after", "1"))
}

pub(super) async fn status(call: &Call<'_>) -> Result<Outbound, ApiError> {
    let status = call.hsm.download_status(call.request).await?;
    Ok(show(status))
}

/// The answer to a status URL. It reveals a status and nothing else.
pub(super) async fn status_by_url(core: &Core, hsm: &Hsm<'_>, inbound: &Inbound, operation: &str) -> Outbound {
    let Ok(operation) = Uuid::try_parse(operation) else { return show(DownloadStatus::Failed) };
    let name = OPERATIONS
        .iter()
        .find(|row| row.id == OperationId::DownloadSecurityDomainPending)
        .map_or("Unknown", |row| row.audit_name);
    let mut request = Request::internal(inbound.id, inbound.received, name, hsm.record().resource_id());
    request.context.client_address = Some(inbound.peer.remote.ip());
    match hsm.confirm_download(&request, operation).await {
        Ok(status) => {
            if !request.is_recorded() {
                let ended = EventResult { status: 200, code: "OK".to_owned(), message: String::new() };
                core.barrier().audit().submit(Event::of(&request, ended, core.barrier().clock().now(), None));
            }
            // Activation is on disk, and so is its event, before the client hears of it.
            match core.barrier().audit().flush().await {
                Ok(()) => show(status),
                Err(_) => ApiError::Core(Error::AuditUnavailable).answer(inbound.id).0,
            }
        }
        Err(error) => ApiError::Core(error).answer(inbound.id).0,
    }
}

fn show(status: DownloadStatus) -> Outbound {
    let (status, status_details) = match status {
        DownloadStatus::Success => ("Success", "The resource is active."),
        DownloadStatus::Failed => ("Failed", "This download was superseded by a newer one, or never made."),
    };
    json(StatusCode::OK, &api::SecurityDomainOperationStatus { status, status_details })
}
