//! Why Graph does not do what it was asked for, and how that looks.

use http::StatusCode;
use serde_json::json;
use strongroom_core::Error;
use strongroom_core::identity::IdentityError;
use strongroom_store::StoreError;

use crate::authentication::AuthenticationError;
use crate::authority::refusal::is_outcome_unknown;
use crate::http::exchange::{
    Inbound, OUTCOME_UNKNOWN, Outbound, TOO_LARGE, json as json_answer, retryable, with_header,
};

/// Why Graph does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum GraphError {
    #[error("Access token validation failure: {0}.")]
    NotAuthenticated(AuthenticationError),
    #[error("Insufficient privileges to complete the operation.")]
    Denied,
    #[error("Resource not found for the segment '{0}'.")]
    RouteNotFound(String),
    #[error("Resource '{0}' does not exist or one of its queried reference-property objects are not present.")]
    NotFound(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("Another object with the same value for property {0} already exists.")]
    NameTaken(&'static str),
    #[error("{0} belongs to the deployment and cannot be removed.")]
    Protected(String),
    #[error("The limit of {limit} {what} is reached.")]
    LimitReached { what: &'static str, limit: usize },
    #[error("The directory cannot be used at the moment.")]
    Unavailable(#[source] IdentityError),
    #[error("{OUTCOME_UNKNOWN}.")]
    OutcomeUnknown(#[source] IdentityError),
}

impl GraphError {
    /// A request that is wrong.
    pub(super) fn bad_request(problem: impl Into<String>) -> Self {
        Self::BadRequest(problem.into())
    }

    /// Nothing has this id or name.
    pub(super) fn not_found(key: &str) -> Self {
        Self::NotFound(key.chars().filter(|c| !c.is_control()).take(KEY_SHOWN_MAX).collect())
    }

    /// Status and code.
    pub(super) fn row(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotAuthenticated(AuthenticationError::TooManyFailures { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")
            }
            Self::NotAuthenticated(AuthenticationError::Unavailable(_))
            | Self::Unavailable(_)
            | Self::OutcomeUnknown(_) => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            Self::NotAuthenticated(_) => (StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken"),
            Self::Denied | Self::Protected(_) => (StatusCode::FORBIDDEN, "Authorization_RequestDenied"),
            Self::LimitReached { .. } => (StatusCode::FORBIDDEN, "Directory_QuotaExceeded"),
            Self::RouteNotFound(_) | Self::NotFound(_) => (StatusCode::NOT_FOUND, "Request_ResourceNotFound"),
            Self::BadRequest(_) | Self::NameTaken(_) => (StatusCode::BAD_REQUEST, "Request_BadRequest"),
        }
    }

    /// The answer.
    pub(super) fn answer(&self, inbound: &Inbound) -> Outbound {
        let (status, code) = self.row();
        if let Self::Unavailable(error)
        | Self::OutcomeUnknown(error)
        | Self::NotAuthenticated(AuthenticationError::Unavailable(error)) = self
        {
            tracing::error!(request = %inbound.id, %error, "the directory cannot answer");
        }
        let answer = json_answer(status, &json!({"error": {"code": code, "message": self.to_string()}}));
        match self {
            Self::NotAuthenticated(AuthenticationError::TooManyFailures { retry_after_seconds }) => {
                with_header(answer, "retry-after", &retry_after_seconds.to_string())
            }
            Self::NotAuthenticated(AuthenticationError::Missing | AuthenticationError::Token(_)) => {
                with_header(answer, "www-authenticate", "Bearer")
            }
            _ => retryable(answer, matches!(self, Self::OutcomeUnknown(_))),
        }
    }
}

impl From<IdentityError> for GraphError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::NameTaken { what } => Self::NameTaken(what),
            IdentityError::BadParameter { parameter, problem } => Self::BadRequest(format!("{parameter}: {problem}.")),
            IdentityError::PrincipalNotFound => Self::NotFound("the principal".to_owned()),
            IdentityError::Protected => Self::Protected("The principal".to_owned()),
            IdentityError::GroupNotEmpty => Self::bad_request("The group still has members: remove them first."),
            IdentityError::LimitReached { what, limit } => Self::LimitReached { what, limit },
            IdentityError::Core(Error::Store(StoreError::TooLarge { .. })) => {
                Self::bad_request(format!("{TOO_LARGE}."))
            }
            error if is_outcome_unknown(&error) => Self::OutcomeUnknown(error),
            other => Self::Unavailable(other),
        }
    }
}

impl From<Error> for GraphError {
    fn from(error: Error) -> Self {
        IdentityError::from(error).into()
    }
}

/// Characters of an unknown id that an error repeats.
const KEY_SHOWN_MAX: usize = 128;

#[cfg(test)]
mod tests;
