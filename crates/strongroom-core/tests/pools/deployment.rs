//! A founded deployment, and short ways to do things in it.

use std::sync::Arc;

use strongroom_core::identity::{Directory, Foundation};
use strongroom_core::pools::{
    Action, AssignmentSpecification, CreateMode, GroupName, HsmId, HsmSpecification, HsmView, Permit, Pools,
    PrincipalType, Progress, Reach, Removed, ResourceScope, Result, RetentionDays, RoleAssignment, Subscription,
    VaultId, VaultPlan, VaultSpecification, VaultView, Written, machine_identity_id, sku, subscription_id,
};
use strongroom_core::request::{Caller, Request};
use strongroom_core::vault::{AuthorizationModel, VaultSku};
use strongroom_testkit::{TestCore, core_in_memory, core_on, draw_uuid, program, request_of};
use strongroom_types::PrincipalId;
use uuid::Uuid;

pub(crate) struct Deployment {
    pub(crate) test: TestCore,
    pub(crate) directory: Arc<Directory>,
    pub(crate) pools: Pools,
    pub(crate) foundation: Foundation,
    pub(crate) subscription: Subscription,
}

impl Deployment {
    pub(crate) async fn new() -> Self {
        Self::over(core_in_memory().await.unwrap()).await
    }

    pub(crate) async fn on(store: Arc<dyn strongroom_store::Kv>) -> Self {
        Self::over(core_on(store).await.unwrap()).await
    }

    pub(crate) async fn over(test: TestCore) -> Self {
        let core = Arc::clone(&test.core);
        let directory = Arc::new(Directory::new(Arc::clone(&core), "https://login.localhost:8443".into()).unwrap());
        let request = Request::internal(draw_uuid().unwrap(), strongroom_testkit::START, "Found", String::new());
        let machine = machine_identity_id(subscription_id(core.deployment().id));
        let foundation = directory.found(&request, &machine).await.unwrap();
        let pools = Pools::new(core, Arc::clone(&directory));
        let request = Request::internal(draw_uuid().unwrap(), strongroom_testkit::START, "Found", String::new());
        let subscription = pools.found(&request, &foundation).await.unwrap();
        Self { test, directory, pools, foundation, subscription }
    }

    pub(crate) fn administrator(&self) -> Caller {
        self.program(self.foundation.administrator.object_id)
    }

    pub(crate) fn program(&self, principal: PrincipalId) -> Caller {
        program(self.foundation.tenant, principal)
    }

    pub(crate) fn somebody(&self) -> Caller {
        self.program(PrincipalId::from_uuid(draw_uuid().unwrap()))
    }

    pub(crate) fn request(&self, caller: &Caller) -> Request {
        use strongroom_core::ports::Clock;
        request_of(caller.clone(), self.test.clock.now()).unwrap()
    }

    pub(crate) fn root(&self) -> ResourceScope {
        ResourceScope::subscription(self.subscription.id)
    }

    pub(crate) fn group(&self, name: &str) -> GroupName {
        name.parse().unwrap_or_else(|_| panic!("{name}"))
    }

    pub(crate) async fn permit(&self, caller: &Caller, action: Action, scope: &ResourceScope) -> Result<Permit> {
        self.pools.authorize(&self.request(caller), action, scope, Reach::Scope).await
    }

    pub(crate) async fn list_permit(&self, caller: &Caller, action: Action, scope: &ResourceScope) -> Result<Permit> {
        self.pools.authorize(&self.request(caller), action, scope, Reach::ScopeOrBelow).await
    }

    pub(crate) async fn assign(
        &self,
        by: &Caller,
        to: PrincipalId,
        role: Uuid,
        scope: &ResourceScope,
    ) -> Result<RoleAssignment> {
        let permit = self.permit(by, Action::RoleAssignmentWrite, scope).await?;
        let specification = AssignmentSpecification {
            principal: to,
            principal_type: PrincipalType::ServicePrincipal,
            role,
            description: None,
        };
        let name = draw_uuid().unwrap();
        self.pools.assign_role(&self.request(by), &permit, name, specification).await.map(Written::into_inner)
    }

    pub(crate) fn hsm_id(&self, name: &str) -> HsmId {
        HsmId { subscription: self.subscription.id, group: self.group("strongroom"), name: name.parse().unwrap() }
    }

    pub(crate) fn specification(&self) -> HsmSpecification {
        HsmSpecification {
            location: Some("local".parse().unwrap()),
            sku: Some(sku("B", "Standard_B1").unwrap()),
            tenant: Some(self.foundation.tenant),
            initial_administrators: Some(vec![self.foundation.administrator.object_id]),
            retention: Some(RetentionDays::new(7).unwrap()),
            ..HsmSpecification::default()
        }
    }

    pub(crate) async fn create(&self, name: &str, specification: HsmSpecification) -> Result<HsmView> {
        let (id, caller) = (self.hsm_id(name), self.administrator());
        let permit = self.permit(&caller, Action::HsmWrite, &id.scope()).await?;
        let (view, _) = self.pools.create_hsm(&self.request(&caller), &permit, &id, specification).await?;
        self.run().await;
        Ok(view)
    }

    /// Creates an HSM and waits until it is made.
    pub(crate) async fn hsm(&self, name: &str) -> HsmView {
        self.create(name, self.specification()).await.unwrap();
        self.show(name).await.unwrap()
    }

    pub(crate) async fn show(&self, name: &str) -> Result<HsmView> {
        let id = self.hsm_id(name);
        let permit = self.permit(&self.administrator(), Action::HsmRead, &id.scope()).await?;
        self.pools.hsm(&permit, &id).await
    }

    pub(crate) async fn delete(&self, name: &str) {
        let (id, caller) = (self.hsm_id(name), self.administrator());
        let permit = self.permit(&caller, Action::HsmDelete, &id.scope()).await.unwrap();
        self.pools.delete_hsm(&self.request(&caller), &permit, &id).await.unwrap().unwrap();
    }

    pub(crate) async fn purge(&self, name: &str) -> Result<()> {
        let (id, caller) = (self.hsm_id(name), self.administrator());
        let location = "local".parse().unwrap();
        let scope = HsmId::deleted_scope(id.subscription, "local", name);
        let permit = self.permit(&caller, Action::DeletedHsmPurge, &scope).await?;
        self.pools.purge_hsm(&self.request(&caller), &permit, id.subscription, &location, &id.name).await?;
        Ok(())
    }

    /// Advances every operation to its end.
    pub(crate) async fn run(&self) {
        for id in self.pools.unfinished_operations().await.unwrap() {
            while self.pools.advance(id).await.unwrap() == Progress::Running {}
        }
    }
}

/// Vaults.
impl Deployment {
    pub(crate) fn vault_id(&self, name: &str) -> VaultId {
        VaultId { subscription: self.subscription.id, group: self.group("strongroom"), name: name.parse().unwrap() }
    }

    pub(crate) fn vault_specification(&self) -> VaultSpecification {
        VaultSpecification {
            location: Some("local".parse().unwrap()),
            sku: Some(VaultSku::Standard),
            tenant: Some(self.foundation.tenant),
            retention: Some(RetentionDays::new(7).unwrap()),
            ..VaultSpecification::default()
        }
    }

    pub(crate) async fn create_vault(&self, name: &str, specification: VaultSpecification) -> Result<VaultView> {
        let (id, caller) = (self.vault_id(name), self.administrator());
        let permit = self.permit(&caller, Action::VaultWrite, &id.scope()).await?;
        let model = AuthorizationModel::AzureRbac;
        self.pools.create_vault(&self.request(&caller), &permit, &id, specification, model).await
    }

    pub(crate) async fn update_vault(
        &self,
        by: &Caller,
        name: &str,
        specification: VaultSpecification,
    ) -> Result<VaultView> {
        let id = self.vault_id(name);
        let permit = self.permit(by, Action::VaultWrite, &id.scope()).await?;
        let stored = self.pools.vault_to_patch(&permit, &id).await?;
        self.pools.update_vault(&self.request(by), &permit, &stored, specification).await
    }

    pub(crate) async fn delete_vault(&self, name: &str) -> Removed {
        let (id, caller) = (self.vault_id(name), self.administrator());
        let permit = self.permit(&caller, Action::VaultDelete, &id.scope()).await.unwrap();
        self.pools.delete_vault(&self.request(&caller), &permit, &id).await.unwrap()
    }

    pub(crate) async fn recover_vault(&self, name: &str) -> Result<VaultView> {
        let (id, caller) = (self.vault_id(name), self.administrator());
        let permit = self.permit(&caller, Action::VaultWrite, &id.scope()).await?;
        match self.pools.plan_vault(&permit, &id, CreateMode::Recover).await? {
            VaultPlan::Recover(stored) => self.pools.recover_vault(&self.request(&caller), &permit, &stored).await,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn purge_vault(&self, name: &str) -> Result<()> {
        let (id, caller) = (self.vault_id(name), self.administrator());
        let scope = VaultId::deleted_scope(id.subscription, "local", name);
        let permit = self.permit(&caller, Action::DeletedVaultPurge, &scope).await?;
        let location = "local".parse().unwrap();
        self.pools.purge_vault(&self.request(&caller), &permit, id.subscription, &location, &id.name).await
    }
}
