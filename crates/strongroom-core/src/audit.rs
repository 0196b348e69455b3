//! Audit events: one for each request, success or not, in the field names of Azure's `AuditEvent`
//! (management-plane.md §10).
//!
//! The event of a change is part of the change's own commit ([`crate::barrier::Transaction::commit`]); all other events
//! go to the sink directly. Plaintext, key material and secrets are never part of an event.

use serde::{Deserialize, Serialize};
use strongroom_types::Timestamp;
use uuid::Uuid;

use crate::request::{CallerKind, Request};

/// One line of the audit log. The log adds the sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The request's id; unique, and what a copy from the outbox is recognised by.
    pub event_id: Uuid,
    /// When the request had arrived, RFC 3339 with milliseconds.
    pub time: String,
    /// The ARM resource the request was about.
    pub resource_id: String,
    /// The operation, such as `KeySign`.
    pub operation_name: String,
    /// The `api-version`.
    pub operation_version: String,
    /// Always `AuditEvent`.
    pub category: String,
    /// `Success` or `Failed`.
    pub result_type: String,
    /// The error code, or `OK`.
    pub result_signature: String,
    /// The error message as the client saw it; empty for success.
    pub result_description: String,
    /// Milliseconds from arrival to the decision.
    pub duration_ms: u64,
    /// The peer's address.
    pub caller_ip_address: String,
    /// The client's id of the request.
    pub correlation_id: String,
    /// Who asked; absent if no token was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The rest.
    pub properties: Properties,
}

/// Who asked, as the verified token said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Issuer.
    pub iss: String,
    /// Tenant.
    pub tid: String,
    /// Object id.
    pub oid: String,
    /// Client id of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appid: Option<String>,
    /// `user` or `app`.
    pub idtyp: String,
    /// Name, if the token had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upn: Option<String>,
}

/// What Azure keeps under `properties`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Properties {
    /// The status of the answer.
    pub http_status_code: u16,
    /// Path and query.
    pub request_uri: String,
    /// The `User-Agent`.
    pub client_info: String,
    /// What the request was about, in the operation's own words: a key id, an algorithm, thumbprints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Result {
    /// The status of the answer.
    pub status: u16,
    /// The error code, or `OK`.
    pub code: String,
    /// The message the client saw; empty for success.
    pub message: String,
}

impl Event {
    /// The event of a request with a known caller.
    pub fn of(request: &Request, result: Result, decided: Timestamp, detail: Option<String>) -> Self {
        let (caller, context) = (&request.caller, &request.context);
        Self {
            event_id: request.id,
            time: rfc3339(request.received),
            resource_id: context.resource_id.clone(),
            operation_name: context.operation.to_owned(),
            operation_version: context.operation_version.clone(),
            category: "AuditEvent".to_owned(),
            result_type: if result.status < 400 { "Success" } else { "Failed" }.to_owned(),
            result_signature: result.code,
            result_description: result.message,
            duration_ms: u64::try_from(decided.millis() - request.received.millis()).unwrap_or(0),
            caller_ip_address: context.client_address.map(|address| address.to_string()).unwrap_or_default(),
            correlation_id: context.correlation_id.clone(),
            identity: Some(Identity {
                iss: caller.issuer.clone(),
                tid: caller.tenant.to_string(),
                oid: caller.principal.to_string(),
                appid: caller.application.clone(),
                idtyp: match caller.kind {
                    CallerKind::User => "user",
                    CallerKind::Application => "app",
                }
                .to_owned(),
                upn: caller.name.clone(),
            }),
            properties: Properties {
                http_status_code: result.status,
                request_uri: context.uri.clone(),
                client_info: context.user_agent.clone(),
                detail,
            },
        }
    }
}

/// A timestamp as RFC 3339 text in UTC with milliseconds; times outside the years 0000 to 9999 print as the epoch.
pub fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.millis())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}
