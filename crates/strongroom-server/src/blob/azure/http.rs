//! The connection to a blob store: bounded answers, and errors that say what happened without what was sent.

use std::error::Error;
use std::fmt;

use ::http::StatusCode;
use async_trait::async_trait;
use http_body_util::{BodyExt, Limited as LimitedBody};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::Client;
use strongroom_core::blobs::BlobError;

use crate::blob::BLOB_BYTES_MAX;

/// A client that reads no more than a blob may have.
#[derive(Debug, Clone)]
pub(super) struct Limited {
    client: Client,
}

impl Limited {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }
}

impl HttpConnector for Limited {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Limited {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = self.client.call(request).await?.into_parts();
        if !parts.status.is_success() {
            return Err(HttpError::new(HttpErrorKind::Unknown, Answered::of(&parts)));
        }
        let body = LimitedBody::new(body, BLOB_BYTES_MAX + 1).map_err(|error| match error.downcast::<HttpError>() {
            Ok(error) => *error,
            Err(_) => HttpError::new(HttpErrorKind::Decode, TooMuch),
        });
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// An answer that is no success. Its body is not read: the code stands in a header.
#[derive(Debug, Clone)]
struct Answered {
    status: StatusCode,
    /// Such as `AuthorizationPermissionMismatch`.
    code: Option<String>,
}

impl Answered {
    fn of(parts: &::http::response::Parts) -> Self {
        let code = parts.headers.get("x-ms-error-code").and_then(|code| code.to_str().ok());
        let plain = |code: &&str| code.len() <= CODE_MAX && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Self { status: parts.status, code: code.filter(plain).map(str::to_owned) }
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{} {code}", self.status.as_u16()),
            None => write!(f, "{}", self.status),
        }
    }
}

impl Error for Answered {}

/// The body of an answer does not end.
#[derive(Debug, Clone, Copy)]
struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it answers with more than {BLOB_BYTES_MAX} bytes")
    }
}

impl Error for TooMuch {}

/// Why one attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The blob store answered with an error.
    Answered(StatusCode, Option<String>),
    /// It did not answer, or not to the end.
    Connection(String),
}

impl Failure {
    /// Finds out from the chain of causes. No text of it is one that `object_store` made from a request.
    pub(super) fn of(error: &object_store::Error) -> Self {
        let first: &(dyn Error + 'static) = error;
        let causes = || std::iter::successors(Some(first), |error| (*error).source());
        if let Some(Answered { status, code }) = causes().find_map(|cause| cause.downcast_ref::<Answered>()) {
            return Self::Answered(*status, code.clone());
        }
        let kind = causes().find_map(|cause| cause.downcast_ref::<HttpError>()).map(HttpError::kind);
        let happened = match kind {
            Some(HttpErrorKind::Timeout) => "it did not answer in time",
            Some(HttpErrorKind::Connect) => "no connection could be made",
            Some(HttpErrorKind::Request | HttpErrorKind::Interrupted) => "the connection was cut",
            _ => "the answer could not be read",
        };
        // The innermost cause is the operating system's or TLS's, and knows no URL.
        let innermost = causes().last().filter(|_| kind.is_some()).map(ToString::to_string).unwrap_or_default();
        let shown: String = innermost.chars().filter(|c| !c.is_control()).take(CAUSE_SHOWN_MAX).collect();
        Self::Connection(if shown.is_empty() { happened.to_owned() } else { format!("{happened} ({shown})") })
    }

    /// Whether another attempt may end otherwise.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Connection(_) => true,
            Self::Answered(status, _) => {
                let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(status);
                status.is_server_error() || busy
            }
        }
    }

    /// What it means for a blob.
    pub(super) fn into_error(self, path: &str) -> BlobError {
        let may_pass = self.may_pass();
        let (status, code) = match self {
            Self::Connection(problem) => return BlobError::Unavailable(problem),
            Self::Answered(status, code) => (status, code),
        };
        let shown = Answered { status, code: code.clone() }.to_string();
        match (status, code.as_deref()) {
            (StatusCode::NOT_FOUND, Some("ContainerNotFound")) => BlobError::NotFound("the container".to_owned()),
            (StatusCode::NOT_FOUND, _) => BlobError::NotFound(path.to_owned()),
            (StatusCode::PRECONDITION_FAILED, _) | (StatusCode::CONFLICT, None | Some("BlobAlreadyExists")) => {
                BlobError::AlreadyExists(path.to_owned())
            }
            _ if status.is_redirection() => BlobError::NotAllowed(format!(
                "the blob store answers with a redirect ({shown}), which is not followed"
            )),
            _ if may_pass => BlobError::Unavailable(format!("it answers {shown}")),
            _ => BlobError::Refused(shown),
        }
    }
}

/// Longest code of an error that is repeated.
const CODE_MAX: usize = 64;
/// Characters of a cause that are repeated.
const CAUSE_SHOWN_MAX: usize = 160;
