//! An HSM to try things on.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use strongroom_core::activation::DownloadStatus;
use strongroom_core::hsm::Hsm;
use strongroom_core::keys::{CreateKey, KeyAttributes, KeyReference, ReleasePolicy, ReleaseTerms, Tags};
use strongroom_core::managed_hsm::ManagedHsm;
use strongroom_core::ports::Clock;
use strongroom_core::rbac::RoleDefinitionId;
pub(crate) use strongroom_core::rbac::{CRYPTO_OFFICER, CRYPTO_USER};
use strongroom_core::request::Request;
use strongroom_crypto::KeySpecification;
use strongroom_security_domain::Custodians;
use strongroom_store::{Kv, MemoryStore};
use strongroom_testkit::{
    MemoryRoot, TestCore, add_hsm, core_on, core_under, custodians, draw_uuid, managed_hsm, program, request_of,
};
use strongroom_types::{CurveName, HsmName, PrincipalId, Protection, Scope, TenantId};
use uuid::Uuid;

pub(crate) const CRYPTO_SERVICE_RELEASE: RoleDefinitionId =
    RoleDefinitionId(Uuid::from_u128(0x21dbd100_6940_42c2_9190_5d6cb909625c));

/// A deployment with one HSM.
pub(crate) struct World {
    pub(crate) test: TestCore,
    pub(crate) store: Arc<dyn Kv>,
    pub(crate) tenant: TenantId,
    pub(crate) administrator: PrincipalId,
    pub(crate) name: HsmName,
}

impl World {
    /// With an HSM that is not activated.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ManagedHsm)) -> Self {
        Self::on(Arc::new(MemoryStore::new()), change).await
    }

    async fn on(store: Arc<dyn Kv>, change: impl FnOnce(&mut ManagedHsm)) -> Self {
        Self::with_core(core_on(store).await.unwrap(), change).await
    }

    /// Under a root of the test's choice.
    pub(crate) async fn under(root: MemoryRoot) -> Self {
        Self::under_on(root, Arc::new(MemoryStore::new())).await
    }

    /// The same on a store of the test's choice.
    pub(crate) async fn under_on(root: MemoryRoot, store: Arc<dyn Kv>) -> Self {
        Self::with_core(core_under(root, store).await.unwrap(), |_| {}).await
    }

    async fn with_core(test: TestCore, change: impl FnOnce(&mut ManagedHsm)) -> Self {
        let world = Self {
            store: Arc::clone(&test.store),
            test,
            tenant: TenantId::from_uuid(draw_uuid().unwrap()),
            administrator: PrincipalId::from_uuid(draw_uuid().unwrap()),
            name: "hsm1".parse().unwrap(),
        };
        world.add_hsm("hsm1", change).await;
        world
    }

    pub(crate) async fn add_hsm(&self, name: &str, change: impl FnOnce(&mut ManagedHsm)) {
        let mut hsm = managed_hsm(name.parse().unwrap(), self.tenant, self.administrator).unwrap();
        change(&mut hsm);
        add_hsm(&self.test.core, &hsm, &self.administration()).await.unwrap();
    }

    pub(crate) async fn hsm(&self) -> Hsm<'_> {
        self.test.core.hsm(&self.name).await.unwrap()
    }

    pub(crate) fn custodians(&self) -> Custodians {
        custodians().unwrap()
    }

    /// A request of the initial administrator.
    pub(crate) fn administration(&self) -> Request {
        self.request(self.administrator)
    }

    pub(crate) fn request(&self, principal: PrincipalId) -> Request {
        request_of(program(self.tenant, principal), self.test.clock.now()).unwrap()
    }

    /// Answers the security-domain file.
    pub(crate) async fn activate(&self) -> String {
        let hsm = self.hsm().await;
        let download = hsm.download_security_domain(&self.administration(), self.custodians()).await.unwrap();
        let status = hsm.confirm_download(&self.administration(), download.operation).await.unwrap();
        assert_eq!(status, DownloadStatus::Success);
        download.file
    }

    /// An activated HSM whose administrator also holds Crypto User and Crypto Officer.
    pub(crate) async fn active() -> Self {
        Self::active_with(|_| {}).await
    }

    pub(crate) async fn active_with(change: impl FnOnce(&mut ManagedHsm)) -> Self {
        let world = Self::with(change).await;
        world.make_usable().await;
        world
    }

    /// The same on a store of the test's choice, with the security-domain file.
    pub(crate) async fn usable_on(store: Arc<dyn Kv>) -> (Self, String) {
        let world = Self::on(store, |_| {}).await;
        let file = world.activate().await;
        world.grant_keys().await;
        (world, file)
    }

    /// Such an HSM on a store of the test's choice.
    pub(crate) async fn active_on(store: Arc<dyn Kv>) -> Self {
        let world = Self::on(store, |_| {}).await;
        world.make_usable().await;
        world
    }

    async fn make_usable(&self) {
        self.activate().await;
        self.grant_keys().await;
    }

    /// Gives the administrator Crypto User and Crypto Officer.
    pub(crate) async fn grant_keys(&self) {
        for role in [CRYPTO_USER, CRYPTO_OFFICER] {
            self.assign(self.administrator, role, "/").await;
        }
    }

    /// The server is stopped and started again.
    pub(crate) async fn restart(&mut self) {
        self.test = self.test.restarted().await.unwrap();
    }

    /// Another node that has the same store and root.
    pub(crate) async fn another_node(&self) -> Self {
        Self {
            test: self.test.another_node().await.unwrap(),
            store: Arc::clone(&self.store),
            tenant: self.tenant,
            administrator: self.administrator,
            name: self.name.clone(),
        }
    }

    /// The same node on a store that the deployment was moved to.
    pub(crate) async fn moved_to(&self, store: &Arc<dyn Kv>) -> Self {
        Self {
            test: self.test.moved_to(Arc::clone(store)).await.unwrap(),
            store: Arc::clone(store),
            tenant: self.tenant,
            administrator: self.administrator,
            name: self.name.clone(),
        }
    }

    /// The request of a job.
    pub(crate) fn job(&self, operation: &'static str) -> Request {
        Request::internal(draw_uuid().unwrap(), self.test.clock.now(), operation, String::new())
    }

    pub(crate) async fn assign(&self, principal: PrincipalId, role: RoleDefinitionId, scope: &str) -> Uuid {
        let (name, scope): (_, Scope) = (draw_uuid().unwrap(), scope.parse().unwrap());
        let hsm = self.hsm().await;
        hsm.create_role_assignment(&self.administration(), &scope, name, role, principal).await.unwrap();
        name
    }

    /// Makes a P-256 key.
    pub(crate) async fn ec_key(&self, name: &str) -> KeyReference {
        self.create(name, ec()).await
    }

    pub(crate) async fn create(&self, name: &str, wanted: CreateKey) -> KeyReference {
        let name = name.parse().unwrap();
        let key = self.hsm().await.create_key(&self.administration(), &name, wanted).await.unwrap();
        KeyReference { name: key.name, version: Some(key.version) }
    }

    /// Every store key there is.
    pub(crate) async fn store_keys(&self) -> Vec<String> {
        let page = self.store.range("", None, 1000, None).await.unwrap();
        page.entries.into_iter().map(|entry| entry.key).collect()
    }
}

/// Goes on with a future once; what comes of it if it waits for nothing.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    // Without the budget of the test's own task, which has nothing to do with it.
    pin!(tokio::task::unconstrained(future)).poll(&mut Context::from_waker(Waker::noop()))
}

/// What is asked of a P-256 key.
pub(crate) fn ec() -> CreateKey {
    CreateKey {
        specification: KeySpecification::Ec(CurveName::P256),
        protection: Protection::Hsm,
        operations: None,
        attributes: KeyAttributes::default(),
        tags: Tags::default(),
        release: ReleaseTerms::default(),
    }
}

/// What is asked of a P-256 key that may be released to environments of which `authority` says `"trusted": true`.
pub(crate) fn exportable(authority: &str, immutable: bool) -> CreateKey {
    let text = format!(
        r#"{{"version":"1.0","anyOf":[{{"authority":"{authority}","allOf":[{{"claim":"trusted","equals":true}}]}}]}}"#
    );
    let policy = ReleasePolicy::new(None, immutable, text.as_bytes()).unwrap();
    CreateKey { release: ReleaseTerms { exportable: Some(true), policy: Some(policy) }, ..ec() }
}

/// A principal nobody has heard of.
pub(crate) fn stranger() -> PrincipalId {
    PrincipalId::from_uuid(draw_uuid().unwrap())
}
