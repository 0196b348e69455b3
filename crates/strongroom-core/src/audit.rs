//! Audit events: one for each request, success or not, in the field names of Azure's `AuditEvent`
//! (management-plane.md §10).
//!
//! The event of a change is part of the change's own commit ([`crate::barrier::Transaction::commit`]); all other events
//! go to the sink directly. Plaintext, key material and secrets are never part of an event.
//!
//! Texts of an event come from clients and have no bound of their own, so [`Event::of`] cuts each of them: whatever is
//! asked, the event makes one line of bounded length.

use std::borrow::Cow;

use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Serialize};
use strongroom_types::{PrincipalId, TenantId, Timestamp};
use uuid::Uuid;

use crate::request::{CallerKind, Request};

/// One line of the audit log. The log adds the sequence number. Its texts are those of the request it is of, which are not
/// copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<'a> {
    /// The request's id; unique, and what a copy from the outbox is recognised by.
    pub event_id: Uuid,
    /// When the request had arrived, RFC 3339 with milliseconds.
    pub time: String,
    /// The ARM resource the request was about.
    pub resource_id: Cow<'a, str>,
    /// The operation, such as `KeySign`.
    pub operation_name: Cow<'a, str>,
    /// The `api-version`.
    pub operation_version: Cow<'a, str>,
    /// Always `AuditEvent`.
    pub category: Cow<'a, str>,
    /// `Success` or `Failed`.
    pub result_type: Cow<'a, str>,
    /// The error code, or `OK`.
    pub result_signature: Cow<'a, str>,
    /// The error message as the client saw it; empty for success.
    pub result_description: Cow<'a, str>,
    /// Milliseconds from arrival to the decision.
    pub duration_ms: u64,
    /// The peer's address.
    pub caller_ip_address: String,
    /// The client's id of the request.
    pub correlation_id: Cow<'a, str>,
    /// Who asked; absent if no token was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity<'a>>,
    /// The rest.
    pub properties: Properties<'a>,
}

/// Who asked, as the verified token said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity<'a> {
    /// Issuer.
    pub iss: Cow<'a, str>,
    /// Tenant.
    pub tid: TenantId,
    /// Object id.
    pub oid: PrincipalId,
    /// Client id of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appid: Option<Cow<'a, str>>,
    /// `user` or `app`.
    pub idtyp: Cow<'a, str>,
    /// Name, if the token had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upn: Option<Cow<'a, str>>,
}

/// What Azure keeps under `properties`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Properties<'a> {
    /// The status of the answer.
    pub http_status_code: u16,
    /// Path and query.
    pub request_uri: Cow<'a, str>,
    /// The `User-Agent`.
    pub client_info: Cow<'a, str>,
    /// What the request was about, in the operation's own words: a key id, an algorithm, thumbprints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Cow<'a, str>>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Result {
    /// The status of the answer.
    pub status: u16,
    /// The error code, or `OK`.
    pub code: Cow<'static, str>,
    /// The message the client saw; empty for success.
    pub message: String,
}

impl Result {
    /// It did what was asked for.
    pub const fn success(status: u16) -> Self {
        Self { status, code: Cow::Borrowed("OK"), message: String::new() }
    }
}

impl<'a> Event<'a> {
    /// The event of a request with a known caller. A text that is too long is cut, and then ends with `…`.
    pub fn of(request: &'a Request, result: &'a Result, decided: Timestamp, detail: Option<&'a str>) -> Self {
        let (caller, context) = (&request.caller, &request.context);
        Self {
            event_id: request.id,
            time: rfc3339(request.received),
            resource_id: bounded(&context.resource_id, RESOURCE_ID_MAX),
            operation_name: context.operation.into(),
            operation_version: bounded(&context.operation_version, HEADER_TEXT_MAX),
            category: "AuditEvent".into(),
            result_type: if result.status < 400 { "Success" } else { "Failed" }.into(),
            result_signature: bounded(&result.code, HEADER_TEXT_MAX),
            result_description: bounded(&result.message, DESCRIPTION_MAX),
            duration_ms: u64::try_from(decided.millis() - request.received.millis()).unwrap_or(0),
            caller_ip_address: context.client_address.map(|address| address.to_string()).unwrap_or_default(),
            correlation_id: bounded(&context.correlation_id, HEADER_TEXT_MAX),
            identity: Some(Identity {
                iss: bounded(&caller.issuer, CLAIM_MAX),
                tid: caller.tenant,
                oid: caller.principal,
                appid: caller.application.as_deref().map(|text| bounded(text, CLAIM_MAX)),
                idtyp: match caller.kind {
                    CallerKind::User => "user",
                    CallerKind::Application => "app",
                }
                .into(),
                upn: caller.name.as_deref().map(|text| bounded(text, CLAIM_MAX)),
            }),
            properties: Properties {
                http_status_code: result.status,
                request_uri: bounded(&context.uri, URI_MAX),
                client_info: bounded(&context.user_agent, HEADER_TEXT_MAX),
                detail: detail.map(|text| bounded(text, DETAIL_MAX)),
            },
        }
    }
}

/// A timestamp as RFC 3339 text in UTC with milliseconds; times outside the years 0000 to 9999 print as the epoch.
pub fn rfc3339(time: Timestamp) -> String {
    const MILLISECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    let time = jiff::Timestamp::from_millisecond(time.millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    MILLISECONDS.timestamp_to_string(&time)
}

/// A text of at most so many characters.
fn bounded(text: &str, characters_max: usize) -> Cow<'_, str> {
    // Bytes are counted at once, and are never fewer than characters.
    if text.len() <= characters_max || text.chars().count() <= characters_max {
        return Cow::Borrowed(text);
    }
    let kept = text.chars().take(characters_max.saturating_sub(1));
    Cow::Owned(kept.chain(std::iter::once('…')).collect())
}

/// Characters of a resource id.
const RESOURCE_ID_MAX: usize = 4096;
/// Characters of a path with its query.
const URI_MAX: usize = 8192;
/// Characters of the message that the client saw.
const DESCRIPTION_MAX: usize = 2048;
/// Characters of what an operation says about itself. What is too long for one event is spread over several by who
/// makes them.
pub(crate) const DETAIL_MAX: usize = 16 * 1024;
/// Characters of a claim.
const CLAIM_MAX: usize = 1024;
/// Characters of a short text: a header, an `api-version`, an error code.
const HEADER_TEXT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        assert_eq!(bounded("abc", 3), "abc");
        assert_eq!(bounded("abcd", 3), "ab…");
        assert_eq!(bounded("äöü", 3), "äöü", "six bytes are three characters");
        assert_eq!(bounded("äöüß", 3), "äö…");
    }
}
