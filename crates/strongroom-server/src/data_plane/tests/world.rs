//! A deployment with two activated HSMs behind the edge.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request as HttpRequest, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use strongroom_core::activation::DownloadStatus;
use strongroom_core::identity::{AccessTokenOrder, Directory, IssuerForm};
use strongroom_core::managed_hsm::ManagedHsm;
use strongroom_core::network::{TrustedService, TrustedServices};
use strongroom_core::pools::{Pools, machine_identity_id, subscription_id};
use strongroom_core::ports::Clock;
use strongroom_core::rbac::RoleDefinitionId;
use strongroom_core::request::Request;
use strongroom_core::throttle::Rates;
use strongroom_crypto::SystemEntropy;
use strongroom_testkit::{
    START, TestCore, add_hsm, core_in_memory, custodians, draw_uuid, managed_hsm, program, request_of,
};
use strongroom_types::{HsmName, PrincipalId, Scope, TenantId};
use tempfile::TempDir;

use crate::audit_log::Strangers;
use crate::authentication::{Authenticator, Authorities, OutsideIssuers, PublicAddress, PublicNames, Unlisted};
use crate::backup_jobs::BackupJobs;
use crate::data_plane::{DataPlane, Gate, ReleaseParts, SubnetListener};
use crate::http::edge::Edge;
use crate::http::exchange::{Inbound, Outbound, Peer, empty};
use crate::http::health::tests::starting_health;
use crate::http::host::{Domain, Hosts, Suffixes};
use crate::http::planes::{Handle, Planes, PublicPlanes};
use crate::http::proxies::Proxies;
use crate::statements::Statements;
use crate::tasks::TaskOwner;

/// The HSM that most tests ask.
pub(super) const HSM: &str = "right";
/// Another one of the same tenant.
pub(super) const OTHER: &str = "other";

pub(super) struct World {
    pub(super) test: TestCore,
    pub(super) tenant: TenantId,
    pub(super) administrator: PrincipalId,
    edge: Edge,
    directory: Arc<Directory>,
    /// A program that the gate of [`World::guarded`] calls a trusted service.
    pub(super) service: PrincipalId,
    _tasks: TaskOwner,
    folder: TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What it counts as in the metrics.
    pub(super) operation: &'static str,
}

impl World {
    /// Two active HSMs whose administrator is the deployment's.
    pub(super) async fn new() -> Self {
        Self::guarded(Vec::new(), None).await
    }

    /// The same with addresses that are subnets', behind proxies, and with a trusted service.
    pub(super) async fn guarded(subnets: Vec<SubnetListener>, proxies: Option<Proxies>) -> Self {
        Self::over(core_in_memory().await.unwrap(), subnets, proxies).await
    }

    /// The same where the operator limits who may ask how often.
    pub(super) async fn limited(rates: Rates) -> Self {
        let test = core_in_memory().await.unwrap().restarted_throttled(rates).await.unwrap();
        Self::over(test, Vec::new(), None).await
    }

    async fn over(test: TestCore, subnets: Vec<SubnetListener>, proxies: Option<Proxies>) -> Self {
        let core = Arc::clone(&test.core);
        let directory = Arc::new(Directory::new(Arc::clone(&core), "https://login.localhost:8443".into()).unwrap());
        let machine = machine_identity_id(subscription_id(core.deployment().id));
        let foundation = directory.found(&own(), &machine).await.unwrap();
        let (tenant, administrator) = (foundation.tenant, foundation.administrator.object_id);
        let address = PublicAddress { domain: "localhost".parse().unwrap(), port: 8443 };
        let names = Arc::new(PublicNames::new(address, Vec::new()));
        let outside = Arc::new(OutsideIssuers::none());
        let authenticator = Arc::new(Authenticator::new(Arc::clone(&directory), names, outside));
        let folder = tempfile::tempdir().unwrap();
        let strangers = Arc::new(Strangers::open(folder.path()).unwrap());
        let suffixes =
            Suffixes { managed_hsm: "managedhsm.localhost:8443".to_owned(), vault: "vault.localhost:8443".to_owned() };
        let authorities = Authorities::new(&[], Unlisted::Refused, &rustls::RootCertStore::empty()).unwrap();
        let statements = Statements::new(Arc::clone(&core), vec![Domain::localhost()]);
        // Made once, so that it is no event of a request.
        statements.signer(START).await.unwrap();
        let pools = Arc::new(Pools::new(Arc::clone(&core), Arc::clone(&directory)));
        let jobs = Arc::new(BackupJobs::new(Arc::clone(&core), pools));
        let release = ReleaseParts { authorities, statements, jobs };
        let service = directory.create_service_principal(&own(), "service").await.unwrap().object_id;
        let trusted = TrustedService { name: "service".to_owned(), principal: service, tenant: None };
        let gate = Gate::new(subnets, TrustedServices::new(&[trusted], tenant));
        let plane = DataPlane::new(Arc::clone(&core), authenticator, tenant, suffixes, strangers, release, gate);
        let (edge, tasks) = edge(Arc::new(plane), Arc::<strongroom_testkit::FakeClock>::clone(&test.clock));
        let edge = edge.behind(proxies.map(Arc::new));
        let world = Self { test, tenant, administrator, edge, directory, service, _tasks: tasks, folder };
        for name in [HSM, OTHER] {
            world.activate(name).await;
        }
        world.test.audit.take();
        world
    }

    async fn activate(&self, name: &str) {
        let record = managed_hsm(name.parse().unwrap(), self.tenant, self.administrator).unwrap();
        add_hsm(&self.test.core, &record, &own()).await.unwrap();
        let hsm = self.test.core.hsm(&record.name).await.unwrap();
        let download = hsm.download_security_domain(&self.administration(), custodians().unwrap()).await.unwrap();
        let status = hsm.confirm_download(&self.administration(), download.operation).await.unwrap();
        assert_eq!(status, DownloadStatus::Success);
    }

    /// A request of the administrator, past the edge.
    pub(super) fn administration(&self) -> Request {
        request_of(program(self.tenant, self.administrator), self.test.clock.now()).unwrap()
    }

    /// A new program of the tenant, with a token for HSMs.
    pub(super) async fn program(&self, name: &str) -> (PrincipalId, String) {
        let principal = self.directory.create_service_principal(&own(), name).await.unwrap().object_id;
        (principal, self.token(principal).await)
    }

    /// A token for HSMs.
    pub(super) async fn token(&self, principal: PrincipalId) -> String {
        let principal = self.directory.principal(principal).await.unwrap().unwrap().value;
        let order = AccessTokenOrder {
            principal: &principal,
            client_id: principal.client_id().unwrap(),
            audience: "https://managedhsm.localhost:8443",
            form: IssuerForm::V2,
        };
        self.directory.issue_access_token(order, START).await.unwrap().text.expose().clone()
    }

    /// A new group of the directory.
    pub(super) async fn group(&self, name: &str) -> PrincipalId {
        self.directory.create_group(&own(), name).await.unwrap()
    }

    pub(super) async fn join(&self, group: PrincipalId, member: PrincipalId) {
        self.directory.add_member(&own(), group, member).await.unwrap();
    }

    pub(super) async fn leave(&self, group: PrincipalId, member: PrincipalId) {
        self.directory.remove_member(&own(), group, member).await.unwrap();
    }

    /// Gives a role on one of the HSMs.
    pub(super) async fn assign(&self, hsm: &str, principal: PrincipalId, role: RoleDefinitionId, scope: &str) {
        let (name, scope): (HsmName, Scope) = (hsm.parse().unwrap(), scope.parse().unwrap());
        let hsm = self.test.core.hsm(&name).await.unwrap();
        let assignment = draw_uuid().unwrap();
        hsm.create_role_assignment(&self.administration(), &scope, assignment, role, principal).await.unwrap();
    }

    /// Sends a request to [`HSM`]. The target is path and query; no token is sent if it is empty.
    pub(super) async fn send(&self, token: &str, method: &str, target: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send_raw(token, method, target, &[], body).await
    }

    /// Changes the record of an HSM, as the management plane does.
    pub(super) async fn change(&self, hsm: &str, change: impl FnOnce(&mut ManagedHsm)) {
        let (core, name): (_, HsmName) = (&self.test.core, hsm.parse().unwrap());
        let stored = core.managed_hsm(&name).await.unwrap().unwrap();
        let mut changed = stored.value.clone();
        change(&mut changed);
        let mut transaction = core.barrier().transaction();
        transaction.replace(core.barrier().deployment(), &stored, &changed).unwrap();
        transaction.commit(&own()).await.unwrap();
        self.test.audit.take();
    }

    /// The same with more headers, and any body.
    pub(super) async fn send_raw(
        &self,
        token: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Answer {
        let peer = Peer { remote: "192.0.2.7:50000".parse().unwrap(), local: SocketAddr::from(([127, 0, 0, 1], 8443)) };
        self.send_over(peer, token, method, target, headers, body).await
    }

    /// The same over any connection; a host among the headers is sent instead of [`HSM`]'s.
    pub(super) async fn send_over(
        &self,
        peer: Peer,
        token: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Answer {
        let mut request = HttpRequest::builder().method(method).uri(target);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header(header::HOST, format!("{HSM}.managedhsm.localhost:8443"));
        }
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(self.edge.serve(request.body(Full::new(Bytes::from(body))).unwrap(), peer).await).await
    }
}

impl World {
    /// What the log of requests without a caller says so far.
    pub(super) fn strangers(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("unauthenticated-0.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(super) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

fn edge(plane: Arc<dyn Handle>, clock: Arc<dyn Clock>) -> (Edge, TaskOwner) {
    let planes = PublicPlanes {
        hosts: Hosts::new(vec![Domain::localhost()]),
        authority: Arc::new(Elsewhere),
        management: Arc::new(Elsewhere),
        graph: Arc::new(Elsewhere),
        keys: plane,
    };
    let owner = TaskOwner::new();
    let health = Arc::new(starting_health());
    let edge = Edge::new(Planes::Public(Box::new(planes)), health, clock, Arc::new(SystemEntropy), owner.tasks());
    (edge, owner)
}

/// The planes that these tests are not about.
struct Elsewhere;

#[async_trait]
impl Handle for Elsewhere {
    async fn handle(&self, _inbound: Inbound) -> Outbound {
        empty(StatusCode::IM_A_TEAPOT)
    }
}

async fn read(outbound: Outbound) -> Answer {
    let operation = crate::metrics::operation(&outbound);
    let (parts, body) = outbound.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body, operation }
}

fn own() -> Request {
    Request::internal(draw_uuid().unwrap(), START, "Test", String::new())
}
