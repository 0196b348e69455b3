//! The management plane: Azure Resource Manager's shapes over [`strongroom_core::pools`].
//!
//! ```text
//! handle → /metadata/endpoints? → api-version → authenticate → operation table → authorize (core)
//!        → handler: parse, core, wire → audit → answer
//! ```
//! Handlers convert; they do not decide. Only the core authorizes, by the action and target of the table's row, before
//! anything is looked up. A write that lost a race is authorized again from the start.
//!
//! Read first: [`Arm::handle`], the table in `operations.rs`.

mod dispatch;
pub(crate) mod error;
mod federated;
mod filter;
mod groups;
mod hsms;
mod identities;
mod jobs;
mod keys;
mod metadata;
mod networks;
mod operations;
mod private_links;
mod roles;
mod storage;
mod subscriptions;
mod vaults;
mod versions;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{StatusCode, header};
use strongroom_api::error::ErrorBody;
use strongroom_core::audit::{Event, Result as EventResult};
use strongroom_core::pools::Pools;
use strongroom_core::request::{Caller, Context, Request};

use crate::arm::error::ArmError;
use crate::arm::jobs::LastSweep;
use crate::arm::operations::{Match, Operation, Place, Route};
use crate::authentication::{Audience, AuthenticationError, Authenticator};
use crate::data_plane::SubnetListener;
use crate::http::exchange::{Inbound, Outbound, json, performed, retryable, with_header};
use crate::http::host::Suffixes;

pub use crate::arm::storage::{StorageKeyError, StorageKeys, shared_key_in};

/// The management plane of a deployment.
pub struct Arm {
    pools: Arc<Pools>,
    authenticator: Arc<Authenticator>,
    /// What stands behind the names of HSMs and vaults.
    suffixes: Suffixes,
    storage_keys: StorageKeys,
    /// The addresses of this machine that are subnets'.
    networks: Vec<SubnetListener>,
    last_sweep: LastSweep,
}

/// One request at work: what handlers get.
struct Call<'a> {
    arm: &'a Arm,
    inbound: &'a Inbound,
    request: &'a mut Request,
    place: &'a Place,
}

impl std::fmt::Debug for Arm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arm").field("suffixes", &self.suffixes).finish_non_exhaustive()
    }
}

impl Arm {
    /// A management plane. The URIs of HSMs and vaults are rendered below `suffixes`.
    pub fn new(pools: Arc<Pools>, authenticator: Arc<Authenticator>, suffixes: Suffixes) -> Self {
        let (storage_keys, last_sweep) = (StorageKeys::default(), LastSweep::default());
        Self { pools, authenticator, suffixes, storage_keys, networks: Vec::new(), last_sweep }
    }

    /// The same with shared keys of storage accounts.
    #[must_use]
    pub fn with_storage_keys(self, storage_keys: StorageKeys) -> Self {
        Self { storage_keys, ..self }
    }

    /// The same on a machine that has addresses in subnets: private endpoints tell them.
    #[must_use]
    pub fn listening_for(self, networks: Vec<SubnetListener>) -> Self {
        Self { networks, ..self }
    }

    /// Answers one request.
    pub async fn handle(&self, inbound: Inbound) -> Outbound {
        let route = match Route::parse(inbound.path()) {
            Ok(route) => route,
            Err(error) => return error.answer(inbound.id).0,
        };
        if inbound.method == http::Method::GET && route.is(metadata::PATH) {
            return metadata::endpoints(&inbound);
        }
        if let Err(error) = versions::check(inbound.query_parameter(API_VERSION).as_deref(), route.namespace()) {
            return error.answer(inbound.id).0;
        }
        match self.authenticator.authenticate(&inbound, Audience::Management, inbound.received).await {
            Ok(caller) => self.answer(&inbound, &route, caller).await,
            Err(error) => self.refuse_stranger(&inbound, &error),
        }
    }

    /// Answers a request whose bearer is known, and records it.
    async fn answer(&self, inbound: &Inbound, route: &Route, caller: Arc<Caller>) -> Outbound {
        let matched = find(inbound, route);
        let row = matched.as_ref().ok().map(|(row, _)| *row);
        let mut request = Request::new(inbound.id, caller, inbound.received, context(inbound, row));
        let result = match matched {
            Ok((row, place)) => dispatch::perform(self, inbound, &mut request, row, &place).await,
            Err(error) => Err(error),
        };
        let (answer, ended) = match result {
            Ok(answer) => {
                let status = answer.status().as_u16();
                (answer, EventResult::success(status))
            }
            Err(error) => error.answer(request.id),
        };
        let barrier = self.pools.core().barrier();
        if !request.is_recorded() {
            barrier.audit().submit(&Event::of(&request, &ended, barrier.clock().now(), None));
        }
        performed(answer, request.context.operation)
    }

    /// 401 with the challenge of the management plane, the same whatever the path.
    fn refuse_stranger(&self, inbound: &Inbound, error: &AuthenticationError) -> Outbound {
        let refuse = |status, code: &str| {
            let message = format!("Authentication failed: {error}.");
            json(status, &ErrorBody::new(code, message))
        };
        match error {
            AuthenticationError::Unavailable(_) => {
                tracing::error!(request_id = %inbound.id, error = error as &dyn std::error::Error, "nobody can be authenticated");
                retryable(refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"), false)
            }
            AuthenticationError::TooManyFailures { retry_after_seconds } => {
                let answer = refuse(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests");
                with_header(answer, header::RETRY_AFTER.as_str(), &retry_after_seconds.to_string())
            }
            AuthenticationError::Missing | AuthenticationError::Token(_) => {
                let tenant = self.pools.tenant().map(|tenant| tenant.to_string()).unwrap_or_default();
                let challenge = format!(
                    "Bearer authorization_uri=\"https://login.{}/{tenant}\", error=\"invalid_token\", \
                     error_description=\"{error}\"",
                    inbound.host.domain
                );
                let answer = refuse(StatusCode::UNAUTHORIZED, "AuthenticationFailed");
                with_header(answer, header::WWW_AUTHENTICATE.as_str(), &challenge)
            }
        }
    }
}

fn find(inbound: &Inbound, route: &Route) -> Result<(&'static Operation, Place), ArmError> {
    match route.find(inbound.method.as_str()) {
        Match::Operation(row, place) => Ok((row, place)),
        Match::MethodNotAllowed => Err(ArmError::MethodNotAllowed),
        Match::NotFound => Err(match route.namespace() {
            Some(namespace) if !subscriptions::is_known(namespace) => {
                ArmError::NamespaceUnknown(namespace.chars().take(NAMESPACE_SHOWN_MAX).collect())
            }
            _ => ArmError::RouteNotFound,
        }),
    }
}

fn context(inbound: &Inbound, row: Option<&'static Operation>) -> Context {
    let (operation, success) = row.map_or(("Unknown", 200), |row| (row.audit_name, row.success));
    inbound.context(operation, inbound.path(), success)
}

const API_VERSION: &str = "api-version";
/// Characters of an unknown namespace that an error repeats.
const NAMESPACE_SHOWN_MAX: usize = 128;
