//! The data plane of managed HSMs and vaults: one request from the edge to the core and back.
//!
//! ```text
//! handle → network rules of what the host names → status URL? → authenticate (401 before anything else is judged)
//!        → token bucket of the caller → api-version → operation table → handler: parse, core, wire → audit → answer
//! ```
//! Handlers convert; they do not decide. Only the core authorizes.

mod asked;
mod attestation;
mod backup;
pub(crate) mod error;
mod headers;
mod import;
mod keys;
mod network;
mod product;
mod rbac;
mod release;
mod rotation;
mod security_domain;
mod settings;
mod turned_away;
pub(crate) mod wire;

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use strongroom_api::operations::{self, AuditDurability, Match, Operation, OperationId};
use strongroom_api::path::RequestPath;
use strongroom_api::version::ApiVersion;
use strongroom_core::audit::{Event, Result as EventResult};
use strongroom_core::container::KeyContainer;
use strongroom_core::hsm::Hsm;
use strongroom_core::network::{Refusal, Verdict};
use strongroom_core::request::{Caller, Context, Request};
use strongroom_core::{Core, Error};
use strongroom_types::{HsmName, TenantId, VaultName};

use crate::audit_log::Strangers;
use crate::authentication::{AuthenticationError, Authenticator, Authorities};
use crate::backup_jobs::BackupJobs;
use crate::http::exchange::{Host, Inbound, Outbound, Peer, Plane, performed, with_header};
use crate::http::host::Suffixes;
use crate::http::planes::Handle;
use crate::statements::Statements;
pub(crate) use asked::Asked;
use asked::AskedBefore;
pub(crate) use error::ApiError;
use headers::NetworkInfos;
pub use network::{Gate, SubnetListener};
use product::Named;
pub(crate) use product::Product;
use turned_away::TurnedAway;

/// The data plane of all managed HSMs and vaults of a deployment.
pub struct DataPlane {
    core: Arc<Core>,
    authenticator: Arc<Authenticator>,
    tenant: TenantId,
    /// What stands behind a name in key identifiers.
    suffixes: Suffixes,
    strangers: Arc<Strangers>,
    release: ReleaseParts,
    gate: Gate,
    turned_away: TurnedAway,
    asked_before: AskedBefore,
    network_infos: NetworkInfos,
}

/// What keys leave with: who may vouch for where they go, what signs what is said about them, and what backs them up.
#[derive(Debug)]
pub struct ReleaseParts {
    /// Attestation authorities that are trusted here.
    pub authorities: Authorities,
    /// The signer of statements.
    pub statements: Statements,
    /// What copies them out, and back, all together.
    pub jobs: Arc<BackupJobs>,
}

/// One request at work: what handlers get.
pub(crate) struct Call<'a> {
    pub(crate) inbound: &'a Inbound,
    pub(crate) request: &'a Request,
    pub(crate) product: Product,
    /// What the host names, as a container of keys.
    pub(crate) keys: &'a KeyContainer<'a>,
    hsm: Option<&'a Hsm<'a>>,
    pub(crate) version: ApiVersion,
    pub(crate) asked: &'a Asked,
    /// `https://host[:port]` that key identifiers begin with.
    pub(crate) canonical_url: String,
    pub(crate) core: &'a Core,
    pub(crate) release: &'a ReleaseParts,
}

/// A handler at work.
type Handling<'a> = Pin<Box<dyn Future<Output = Result<Outbound, ApiError>> + Send + 'a>>;

impl<'a> Call<'a> {
    /// What the host names, as a managed HSM.
    ///
    /// # Errors
    /// [`ApiError::RouteNotFound`] if it is none: the table gives such an operation to no other container.
    pub(crate) fn hsm(&self) -> Result<&'a Hsm<'a>, ApiError> {
        self.hsm.ok_or(ApiError::RouteNotFound)
    }
}

#[async_trait]
impl Handle for DataPlane {
    async fn handle(&self, inbound: Inbound) -> Outbound {
        let answer = self.respond(&inbound).await;
        let answer = Product::of(&inbound).with_headers(&inbound, answer);
        let now = self.core.barrier().clock().now();
        headers::dress(answer, &inbound, now.millis().saturating_sub(inbound.received.millis()))
    }

    fn is_full_for(&self, host: &Host, peer: Peer, path: &str, headers: &HeaderMap) -> bool {
        self.core.is_full() && self.turned_away.knows(host, peer, path, headers)
    }
}

impl DataPlane {
    /// A data plane over a core. Challenges name the tenant of the HSM or vault, or `tenant` where there is none; key
    /// identifiers are rendered below `suffixes`; requests without a caller are counted by `strangers`; `gate` knows where
    /// requests come from.
    pub fn new(
        core: Arc<Core>,
        authenticator: Arc<Authenticator>,
        tenant: TenantId,
        suffixes: Suffixes,
        strangers: Arc<Strangers>,
        release: ReleaseParts,
        gate: Gate,
    ) -> Self {
        let (turned_away, asked_before) = (TurnedAway::default(), AskedBefore::default());
        let network_infos = NetworkInfos::default();
        Self {
            core,
            authenticator,
            tenant,
            suffixes,
            strangers,
            release,
            gate,
            turned_away,
            asked_before,
            network_infos,
        }
    }

    async fn respond(&self, inbound: &Inbound) -> Outbound {
        let named = match self.named(inbound).await {
            Ok(named) => Some(named),
            Err(ApiError::Core(Error::HsmNotFound)) => None,
            // What cannot be read has rules that cannot be read.
            Err(error) => return error.answer(inbound.id, Product::of(inbound)).0,
        };
        let verdict = match &named {
            Some(named) => named.keys().record().network.judge(&self.gate.origin(inbound.peer)),
            None => Verdict::Allowed,
        };
        match &verdict {
            Verdict::Refused(refusal) => return self.refuse_address(inbound, refusal),
            Verdict::TrustedServiceOnly(_) => {}
            Verdict::Allowed => {
                // Boxed: few requests are one, and none of the others has room for it.
                if let Some(operation) = inbound.query_parameter(security_domain::OPERATION_PARAMETER)
                    && let Some(answer) = Box::pin(self.answer_status_url(inbound, named.as_ref(), &operation)).await
                {
                    return answer;
                }
            }
        }
        match self.authenticator.authenticate(inbound, Product::of(inbound).audience(), inbound.received).await {
            Ok(caller) => self.answer(inbound, caller, named.as_ref(), verdict).await,
            Err(error) => self.refuse(inbound, named.as_ref(), &error),
        }
    }

    /// 403 before any token is read: the address is refused, and no service bypasses the rules.
    fn refuse_address(&self, inbound: &Inbound, refusal: &Refusal) -> Outbound {
        let code = error::network_code(refusal.by);
        self.strangers.saw(inbound.peer.remote.ip(), inbound.path(), code, inbound.received);
        let error = ApiError::Core(Error::RefusedByNetwork(Box::new(refusal.clone())));
        error.answer(inbound.id, Product::of(inbound)).0
    }

    /// The status of a security-domain download or upload, asked by its unguessable URL and without a token: some clients lose
    /// their token between the case of a name they typed and the lower case of the URL (az-cli.md §7, pitfall 1).
    async fn answer_status_url(
        &self,
        inbound: &Inbound,
        named: Option<&Named<'_>>,
        operation: &str,
    ) -> Option<Outbound> {
        let path = RequestPath::parse(inbound.path()).ok()?;
        let Match::Operation(row, _) = operations::find(inbound.method.as_str(), &path) else { return None };
        let asked = security_domain::StatusOf::of(row.id)?;
        let answer = security_domain::status_by_url(self, named?.hsm()?, inbound, row, asked, operation).await;
        Some(performed(answer, row.audit_name))
    }

    async fn answer(
        &self,
        inbound: &Inbound,
        caller: Arc<Caller>,
        named: Option<&Named<'_>>,
        verdict: Verdict,
    ) -> Outbound {
        let asked = self.asked_before.find(inbound);
        let row = asked.as_ref().ok().map(|asked| asked.row);
        let refusal = self.gate.refusal(verdict, &caller);
        let request = Request::new(inbound.id, caller, inbound.received, context(inbound, named, row));
        let asked = self.core.admit(&request.caller).map_err(ApiError::Core).and(asked);
        let result = match (refusal, asked) {
            (Some(refusal), _) => Err(ApiError::Core(Error::RefusedByNetwork(Box::new(refusal)))),
            (None, Ok(asked)) => self.perform(inbound, named, &request, &asked).await,
            (None, Err(error)) => Err(error),
        };
        match &result {
            Err(ApiError::Core(Error::ForeignTenant)) => return self.challenge(inbound, named),
            Err(ApiError::Core(Error::Throttled)) if self.core.is_full() => {
                self.turned_away.note(&inbound.host, inbound.peer, inbound.path(), &inbound.headers);
            }
            Ok(_) | Err(_) => {}
        }
        let answer = self.record(inbound, &request, row, result).await;
        self.network_infos.dress(performed(answer, request.context.operation), inbound.peer)
    }

    async fn perform(
        &self,
        inbound: &Inbound,
        named: Option<&Named<'_>>,
        request: &Request,
        asked: &Asked,
    ) -> Result<Outbound, ApiError> {
        let named = named.ok_or(ApiError::Core(Error::HsmNotFound))?;
        let product = Product::of(inbound);
        let canonical_url = ["https://", &named.keys().record().label, ".", self.suffix(product)].concat();
        let (core, release) = (self.core.as_ref(), &self.release);
        let (keys, hsm, version) = (named.keys(), named.hsm(), asked.version);
        let call = Call { inbound, request, product, keys, hsm, version, asked, canonical_url, core, release };
        handler(asked.row.id, &call).await
    }

    /// Records the event, and answers. An event that must be durable first is waited for.
    async fn record(
        &self,
        inbound: &Inbound,
        request: &Request,
        row: Option<&'static Operation>,
        result: Result<Outbound, ApiError>,
    ) -> Outbound {
        let product = Product::of(inbound);
        let (answer, ended) = match result {
            Ok(answer) => {
                let status = answer.status().as_u16();
                (answer, EventResult::success(status))
            }
            Err(error) => error.answer(request.id, product),
        };
        let audit = self.core.barrier().audit();
        if !request.is_recorded() {
            audit.submit(&Event::of(request, &ended, self.core.barrier().clock().now(), None));
        }
        if row.is_some_and(|row| row.audit == AuditDurability::BeforeAnswer) && audit.flush().await.is_err() {
            return ApiError::Core(Error::AuditUnavailable).answer(request.id, product).0;
        }
        answer
    }

    /// What the host names.
    async fn named(&self, inbound: &Inbound) -> Result<Named<'_>, ApiError> {
        let not_found = |_| ApiError::Core(Error::HsmNotFound);
        match &inbound.host.plane {
            Plane::ManagedHsm(label) => {
                let name: HsmName = label.parse().map_err(not_found)?;
                Ok(Named::ManagedHsm(Box::new(self.core.hsm(&name).await?)))
            }
            Plane::Vault(label) => {
                let name: VaultName = label.parse().map_err(not_found)?;
                Ok(Named::Vault(Box::new(self.core.vault(&name).await?)))
            }
            _ => Err(ApiError::Core(Error::HsmNotFound)),
        }
    }

    fn suffix(&self, product: Product) -> &str {
        match product {
            Product::ManagedHsm => &self.suffixes.managed_hsm,
            Product::Vault => &self.suffixes.vault,
        }
    }

    /// The answer to a request without a caller: a challenge, unless it must not be repeated at once.
    fn refuse(&self, inbound: &Inbound, named: Option<&Named<'_>>, error: &AuthenticationError) -> Outbound {
        let reason = match error {
            AuthenticationError::Missing => "NoToken",
            AuthenticationError::Token(_) => "InvalidToken",
            AuthenticationError::TooManyFailures { .. } => "TooManyFailures",
            AuthenticationError::Unavailable(_) => "DirectoryUnavailable",
        };
        let product = Product::of(inbound);
        self.strangers.saw(inbound.peer.remote.ip(), inbound.path(), reason, inbound.received);
        match error {
            AuthenticationError::Missing | AuthenticationError::Token(_) => self.challenge(inbound, named),
            AuthenticationError::TooManyFailures { retry_after_seconds } => {
                let answer = ApiError::Core(Error::Throttled).answer(inbound.id, product).0;
                with_header(answer, "retry-after", &retry_after_seconds.to_string())
            }
            AuthenticationError::Unavailable(cause) => {
                tracing::error!(request_id = %inbound.id, %cause, "the directory cannot be read");
                ApiError::DirectoryUnavailable.answer(inbound.id, product).0
            }
        }
    }

    /// 401 with the challenge that tells clients where to get a token (data-plane.md §4): the same whatever the path and
    /// the fault of the token. The resource is the parent domain of the request's own host, with its port.
    fn challenge(&self, inbound: &Inbound, named: Option<&Named<'_>>) -> Outbound {
        let tenant = named.map_or(self.tenant, |named| named.keys().record().tenant);
        let (product, domain) = (Product::of(inbound), &inbound.host.domain);
        let challenge = format!(
            "Bearer authorization=\"https://login.{domain}/{tenant}\", resource=\"https://{}.{domain}\"",
            product.label()
        );
        match product {
            Product::ManagedHsm => headers::challenge(inbound, &challenge),
            Product::Vault => with_header(product::unauthorized(), "www-authenticate", &challenge),
        }
    }
}

/// The handler of an operation. It is boxed, so that a request takes the room of its own and not that of the largest.
fn handler<'c>(id: OperationId, call: &'c Call<'_>) -> Handling<'c> {
    match id {
        OperationId::CreateKey => Box::pin(keys::create(call)),
        OperationId::ImportKey => Box::pin(keys::import(call)),
        OperationId::GetKey => Box::pin(keys::get(call)),
        OperationId::ListKeys => Box::pin(keys::list(call)),
        OperationId::ListKeyVersions => Box::pin(keys::list_versions(call)),
        OperationId::UpdateKey => Box::pin(keys::update(call)),
        OperationId::DeleteKey => Box::pin(keys::delete(call)),
        OperationId::RotateKey => Box::pin(rotation::rotate(call)),
        OperationId::GetKeyRotationPolicy => Box::pin(rotation::get_policy(call)),
        OperationId::UpdateKeyRotationPolicy => Box::pin(rotation::set_policy(call)),
        OperationId::BackupKey => Box::pin(keys::back_up(call)),
        OperationId::RestoreKey => Box::pin(keys::restore(call)),
        OperationId::Encrypt => Box::pin(keys::encrypt(call)),
        OperationId::Decrypt => Box::pin(keys::decrypt(call)),
        OperationId::Sign => Box::pin(keys::sign(call)),
        OperationId::Verify => Box::pin(keys::verify(call)),
        OperationId::WrapKey => Box::pin(keys::wrap(call)),
        OperationId::UnwrapKey => Box::pin(keys::unwrap(call)),
        OperationId::GetKeyAttestation => Box::pin(attestation::get(call)),
        OperationId::ReleaseKey => Box::pin(release::release(call)),
        OperationId::SecureWrapKey => Box::pin(release::secure_wrap(call)),
        OperationId::SecureUnwrapKey => Box::pin(release::secure_unwrap(call)),
        OperationId::GetRandomBytes => Box::pin(keys::random(call)),
        OperationId::ListDeletedKeys => Box::pin(keys::list_deleted(call)),
        OperationId::GetDeletedKey => Box::pin(keys::get_deleted(call)),
        OperationId::RecoverDeletedKey => Box::pin(keys::recover(call)),
        OperationId::PurgeDeletedKey => Box::pin(keys::purge(call)),
        OperationId::ListRoleDefinitions => Box::pin(rbac::list_definitions(call)),
        OperationId::GetRoleDefinition => Box::pin(rbac::get_definition(call)),
        OperationId::PutRoleDefinition => Box::pin(rbac::put_definition(call)),
        OperationId::DeleteRoleDefinition => Box::pin(rbac::delete_definition(call)),
        OperationId::ListRoleAssignments => Box::pin(rbac::list_assignments(call)),
        OperationId::GetRoleAssignment => Box::pin(rbac::get_assignment(call)),
        OperationId::CreateRoleAssignment => Box::pin(rbac::create_assignment(call)),
        OperationId::DeleteRoleAssignment => Box::pin(rbac::delete_assignment(call)),
        OperationId::ListSettings => Box::pin(settings::list(call)),
        OperationId::GetSetting => Box::pin(settings::get(call)),
        OperationId::UpdateSetting => Box::pin(settings::update(call)),
        OperationId::DownloadSecurityDomain => Box::pin(security_domain::download(call)),
        OperationId::DownloadSecurityDomainPending => Box::pin(security_domain::download_status(call)),
        OperationId::GetTransferKey => Box::pin(security_domain::transfer_key(call)),
        OperationId::UploadSecurityDomain => Box::pin(security_domain::upload(call)),
        OperationId::UploadSecurityDomainPending => Box::pin(security_domain::upload_status(call)),
        OperationId::GetSecurityDomain => Box::pin(security_domain::get(call)),
        OperationId::RotateSecurityDomain => Box::pin(security_domain::rotate(call)),
        OperationId::FullBackup => Box::pin(backup::start(call)),
        OperationId::PreFullBackup => Box::pin(backup::check(call)),
        OperationId::FullBackupStatus => Box::pin(backup::status(call)),
        OperationId::FullRestore => Box::pin(backup::restore(call)),
        OperationId::PreFullRestore => Box::pin(backup::check_restore(call)),
        OperationId::SelectiveKeyRestore => Box::pin(backup::restore_key(call)),
        OperationId::RestoreStatus => Box::pin(backup::restore_status(call)),
    }
}

fn context(inbound: &Inbound, named: Option<&Named<'_>>, row: Option<&'static Operation>) -> Context {
    let resource_id = match named {
        Some(named) => Arc::clone(&named.keys().record().resource_id),
        None => inbound.host.authority.as_str().into(),
    };
    let (operation, success) = row.map_or(("Unknown", 200), |row| (row.audit_name, row.success));
    inbound.context(operation, resource_id, success)
}
