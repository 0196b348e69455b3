//! What the authority refuses with: the error codes that clients of Entra ID know and print.

use http::StatusCode;
use serde::Serialize;
use strongroom_core::Error;
use strongroom_core::identity::IdentityError;
use strongroom_core::identity::token::TokenError;
use strongroom_types::Timestamp;
use uuid::Uuid;

use crate::authentication::TooSoon;
use crate::http::exchange::{Inbound, OUTCOME_UNKNOWN, Outbound, json, retryable, with_header};

/// Why the authority does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("The request body must contain the parameter '{0}'.")]
    MissingParameter(&'static str),
    #[error("The request body is not a form, is too long, or repeats a parameter.")]
    MalformedForm,
    #[error("Tenant '{0}' was not found here. Check the tenant id, or use the one in client.env.")]
    UnknownTenant(String),
    #[error("The application with identifier '{0}' was not found in the directory.")]
    UnknownClient(String),
    #[error("The client secret is not one of this application's. Send the secret itself, not its id.")]
    WrongSecret,
    #[error("The client secret has expired. Make a new one.")]
    SecretExpired,
    #[error("The request has neither a client_secret nor a client_assertion.")]
    NoCredential,
    #[error("The client assertion is not accepted: {0}.")]
    WrongAssertion(AssertionProblem),
    #[error("No federated credential of the application fits the issuer, subject and audience of the token.")]
    NoFederatedCredential,
    #[error("The application is disabled.")]
    ApplicationDisabled,
    #[error("The user account is disabled.")]
    UserDisabled,
    #[error("The resource '{0}' was not found here.")]
    UnknownResource(String),
    #[error("The scopes belong to different resources, or none of them names one.")]
    UnusableScope,
    #[error("The grant type '{0}' is not supported.")]
    UnsupportedGrant(String),
    #[error("The user has not entered the code yet.")]
    AuthorizationPending,
    #[error("The user has declined.")]
    AuthorizationDeclined,
    #[error("The code is not known here.")]
    UnknownDeviceCode,
    #[error("The code has expired. Start again.")]
    DeviceCodeExpired,
    #[error("The refresh token is not valid any more. Sign in again.")]
    RefreshTokenInvalid,
    #[error("There were too many failed attempts. Try again in {} seconds.", .0.seconds)]
    TooManyFailures(TooSoon),
    #[error("Too many sign-ins are in progress. Try again later.")]
    Busy,
    #[error("The directory cannot be used at the moment.")]
    Unavailable(#[source] IdentityError),
    #[error("{OUTCOME_UNKNOWN}.")]
    OutcomeUnknown(#[source] IdentityError),
}

/// What is wrong with a client assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AssertionProblem {
    #[error("client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer")]
    Type,
    #[error("{0}")]
    Token(TokenError),
    #[error("its header names no certificate of the application")]
    UnknownCertificate,
    #[error("the certificate has expired")]
    CertificateExpired,
    #[error("its audience is not the token endpoint")]
    Audience,
    #[error("it has been used before")]
    Replayed,
    #[error("it is valid for more than a day")]
    TooLong,
}

/// How a refusal looks on the wire (RFC 6749 §5.2, and Entra's own number).
struct Row {
    status: StatusCode,
    error: &'static str,
    number: u32,
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    error_description: String,
    error_codes: [u32; 1],
    timestamp: String,
    trace_id: Uuid,
    correlation_id: String,
}

impl Refusal {
    fn row(&self) -> Row {
        let (status, error, number) = match self {
            Self::MissingParameter(_) => (400, "invalid_request", 900_144),
            Self::MalformedForm => (400, "invalid_request", 90_010),
            Self::UnknownTenant(_) => (400, "invalid_request", 90_002),
            Self::UnknownClient(_) => (400, "unauthorized_client", 700_016),
            Self::WrongSecret => (401, "invalid_client", 7_000_215),
            Self::SecretExpired => (401, "invalid_client", 7_000_222),
            Self::NoCredential => (401, "invalid_client", 7_000_216),
            Self::WrongAssertion(problem) => (401, "invalid_client", problem.number()),
            Self::NoFederatedCredential => (401, "invalid_client", 70_021),
            Self::ApplicationDisabled => (400, "unauthorized_client", 7_000_112),
            Self::UserDisabled => (400, "invalid_grant", 50_057),
            Self::UnknownResource(_) => (400, "invalid_resource", 500_011),
            Self::UnusableScope => (400, "invalid_scope", 70_011),
            Self::UnsupportedGrant(_) => (400, "unsupported_grant_type", 70_003),
            Self::AuthorizationPending => (400, "authorization_pending", 70_016),
            Self::AuthorizationDeclined => (400, "authorization_declined", 65_004),
            Self::UnknownDeviceCode => (400, "bad_verification_code", 70_018),
            Self::DeviceCodeExpired => (400, "expired_token", 70_020),
            Self::RefreshTokenInvalid => (400, "invalid_grant", 70_008),
            Self::TooManyFailures(_) => (429, "temporarily_unavailable", 90_055),
            Self::Busy | Self::Unavailable(_) | Self::OutcomeUnknown(_) => (503, "temporarily_unavailable", 90_033),
        };
        Row { status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), error, number }
    }

    /// The code in audit events.
    pub(super) fn code(&self) -> String {
        format!("AADSTS{}", self.row().number)
    }

    /// Whether somebody tried a credential that is wrong; what is merely asked for wrongly does not count.
    pub(super) fn is_failed_attempt(&self) -> bool {
        matches!(
            self,
            Self::UnknownClient(_)
                | Self::WrongSecret
                | Self::WrongAssertion(_)
                | Self::NoFederatedCredential
                | Self::UnknownDeviceCode
                | Self::RefreshTokenInvalid
        )
    }

    /// The answer, with the ids that find the request in the logs.
    pub(super) fn answer(&self, inbound: &Inbound) -> Outbound {
        let Row { status, error, number } = self.row();
        let correlation_id = correlation_id(inbound);
        let (trace_id, timestamp) = (inbound.id, timestamp(inbound.received));
        let body = Body {
            error,
            error_description: format!(
                "AADSTS{number}: {self}\r\nTrace ID: {trace_id}\r\nCorrelation ID: {correlation_id}\r\nTimestamp: {timestamp}"
            ),
            error_codes: [number],
            timestamp,
            trace_id,
            correlation_id,
        };
        let answer = with_header(json(status, &body), "cache-control", "no-store");
        match self {
            Self::TooManyFailures(TooSoon { seconds }) => with_header(answer, "retry-after", &seconds.to_string()),
            _ => retryable(answer, matches!(self, Self::OutcomeUnknown(_))),
        }
    }
}

impl AssertionProblem {
    fn number(self) -> u32 {
        match self {
            Self::Token(TokenError::Expired | TokenError::NotYetValid) | Self::TooLong => 700_024,
            Self::Audience => 700_023,
            Self::Type | Self::Token(_) | Self::UnknownCertificate | Self::CertificateExpired | Self::Replayed => {
                700_027
            }
        }
    }
}

impl From<IdentityError> for Refusal {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::WrongSecret => Self::WrongSecret,
            IdentityError::SecretExpired => Self::SecretExpired,
            IdentityError::RefreshTokenInvalid => Self::RefreshTokenInvalid,
            IdentityError::Core(Error::Throttled) => Self::Busy,
            error if is_outcome_unknown(&error) => Self::OutcomeUnknown(error),
            other => Self::Unavailable(other),
        }
    }
}

/// Whether what was asked for may have been done already.
pub(super) fn is_outcome_unknown(error: &IdentityError) -> bool {
    matches!(error, IdentityError::Core(core) if core.is_outcome_unknown())
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::WrongAssertion(AssertionProblem::Token(error))
    }
}

/// The client's own id of the request if it is a GUID, otherwise ours.
pub(super) fn correlation_id(inbound: &Inbound) -> String {
    let given = inbound.header("client-request-id").and_then(|text| text.parse::<Uuid>().ok());
    given.unwrap_or(inbound.id).to_string()
}

/// `2026-11-23 23:42:00Z`.
fn timestamp(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.seconds())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%d %H:%M:%SZ")
        .to_string()
}

#[cfg(test)]
mod tests;
