//! The directory itself: its foundation and its look-ups.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use strongroom_types::{PrincipalId, TenantId, Timestamp};
use uuid::Uuid;

use crate::barrier::{Barrier, Kept, Record, Stored};
use crate::identity::credential::CredentialHasher;
use crate::identity::record::{
    Index, ManagedIdentity, Principal, PrincipalKind, PrincipalState, ServicePrincipal, Tenant,
};
use crate::identity::signing::Keyring;
use crate::identity::{IdentityError, Result, layout};
use crate::request::Request;
use crate::{Core, Error};

/// The directory of a deployment.
pub struct Directory {
    core: Arc<Core>,
    authority_url: String,
    tenant: OnceLock<Tenant>,
    pub(super) hasher: CredentialHasher,
    pub(super) keyring: ArcSwap<Keyring>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("tenant", &self.tenant.get()).finish_non_exhaustive()
    }
}

/// What the first start has made, and every later start finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foundation {
    /// The tenant.
    pub tenant: TenantId,
    /// The service principal that owns the deployment.
    pub administrator: ProgramIds,
    /// The managed identity `machine`.
    pub machine: ProgramIds,
}

/// How a program is called: in tokens and in role assignments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramIds {
    /// What it calls itself (`appid`).
    pub client_id: Uuid,
    /// What roles are assigned to (`oid`).
    pub object_id: PrincipalId,
}

impl Directory {
    /// The directory of a core. `authority_url` is the canonical `https://login.<domain>[:port]`, without a slash at the
    /// end: issuers begin with it.
    ///
    /// # Errors
    /// [`IdentityError::Core`] if the key for credential hashes cannot be derived.
    pub fn new(core: Arc<Core>, authority_url: String) -> Result<Self> {
        let hasher = CredentialHasher::new(core.deployment().root())?;
        Ok(Self { core, authority_url, tenant: OnceLock::new(), hasher, keyring: ArcSwap::default() })
    }

    /// Makes the tenant, its administrator, the managed identity `machine` and the first token-signing key, or finds
    /// them. Call it at every start, before anything else.
    ///
    /// # Errors
    /// [`IdentityError::Core`] if the store fails.
    pub async fn found(&self, request: &Request, machine_resource_id: &str) -> Result<Foundation> {
        if self.read::<Tenant>(layout::TENANT).await?.is_none() {
            match self.found_tenant(request, machine_resource_id).await {
                // Another node was faster: what it made is as good.
                Ok(()) | Err(IdentityError::Core(Error::Conflict)) => {}
                Err(error) => return Err(error),
            }
        }
        let tenant = self.read::<Tenant>(layout::TENANT).await?.ok_or(IdentityError::NotFounded)?.value;
        let tenant = *self.tenant.get_or_init(|| tenant);
        self.refresh_keyring().await?;
        Ok(Foundation {
            tenant: tenant.id,
            administrator: self.program_ids(tenant.administrator).await?,
            machine: self.program_ids(tenant.machine).await?,
        })
    }

    /// The tenant.
    ///
    /// # Errors
    /// [`IdentityError::NotFounded`] before [`Directory::found`].
    pub fn tenant(&self) -> Result<Tenant> {
        self.tenant.get().copied().ok_or(IdentityError::NotFounded)
    }

    /// The issuer of our tokens: `https://login.<domain>[:port]/<tenant>/v2.0`.
    ///
    /// # Errors
    /// [`IdentityError::NotFounded`] before [`Directory::found`].
    pub fn issuer(&self) -> Result<String> {
        Ok(format!("{}/{}/v2.0", self.authority_url, self.tenant()?.id))
    }

    /// A principal by its object id.
    pub async fn principal(&self, object_id: PrincipalId) -> Result<Option<Stored<Principal>>> {
        self.read(&layout::principal(object_id)).await
    }

    /// Principals by their object ids, in that order; ids that name none are left out (Graph `getByIds`).
    pub async fn principals(&self, object_ids: &[PrincipalId]) -> Result<Vec<Principal>> {
        let mut found = Vec::new();
        for object_id in object_ids {
            found.extend(self.principal(*object_id).await?.map(|stored| stored.value));
        }
        Ok(found)
    }

    /// At most `limit` principals of any kind in the order of their object ids, behind one of them.
    pub async fn principals_after(&self, after: Option<PrincipalId>, limit: usize) -> Result<Vec<Principal>> {
        let (barrier, after) = (self.barrier(), after.map(layout::principal));
        let page = barrier.page(barrier.deployment(), layout::PRINCIPALS, after.as_deref(), limit, None).await?;
        Ok(page.records.into_iter().map(|stored| stored.value).collect())
    }

    /// A service principal or managed identity by its client id.
    pub async fn by_client_id(&self, client_id: Uuid) -> Result<Option<Stored<Principal>>> {
        self.by_index(&layout::client(client_id)).await
    }

    /// A user by its name, in any case.
    pub async fn by_user_principal_name(&self, name: &str) -> Result<Option<Stored<Principal>>> {
        self.by_index(&layout::user_name(name)).await
    }

    /// A managed identity by its ARM resource id, in any case.
    pub async fn by_resource_id(&self, resource_id: &str) -> Result<Option<Stored<Principal>>> {
        self.by_index(&layout::resource(resource_id)).await
    }

    /// The core the directory lives in.
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(super) fn barrier(&self) -> &Barrier {
        self.core.barrier()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.barrier().clock().now()
    }

    pub(super) async fn read<T: Record>(&self, key: &str) -> Result<Option<Stored<T>>> {
        Ok(self.barrier().read(self.barrier().deployment(), key).await?)
    }

    pub(super) async fn read_kept<V: Kept>(&self, key: &str) -> Result<Option<Arc<V>>> {
        Ok(self.barrier().read_kept(self.barrier().deployment(), key).await?)
    }

    pub(super) async fn existing(&self, object_id: PrincipalId) -> Result<Stored<Principal>> {
        self.principal(object_id).await?.ok_or(IdentityError::PrincipalNotFound)
    }

    pub(super) fn draw_uuid(&self) -> Result<Uuid> {
        Ok(uuid::Builder::from_random_bytes(self.barrier().entropy().sixteen()?).into_uuid())
    }

    async fn by_index(&self, key: &str) -> Result<Option<Stored<Principal>>> {
        let Some(index) = self.read_kept::<Stored<Index>>(key).await? else { return Ok(None) };
        self.principal(index.value.object_id).await
    }

    async fn program_ids(&self, object_id: PrincipalId) -> Result<ProgramIds> {
        let principal = self.existing(object_id).await?.value;
        let client_id = principal.client_id().ok_or(IdentityError::PrincipalNotFound)?;
        Ok(ProgramIds { client_id, object_id })
    }

    async fn found_tenant(&self, request: &Request, machine_resource_id: &str) -> Result<()> {
        let (administrator, machine) = (self.draw_principal_id()?, self.draw_principal_id()?);
        let tenant =
            Tenant { id: TenantId::from_uuid(self.draw_uuid()?), created: request.received, administrator, machine };
        let mut transaction = self.barrier().transaction();
        transaction.create(self.barrier().deployment(), layout::TENANT.to_owned(), &tenant)?;
        let program = ServicePrincipal {
            client_id: self.draw_uuid()?,
            secrets: Vec::new(),
            certificates: Vec::new(),
            federated: Vec::new(),
        };
        let program = PrincipalKind::ServicePrincipal(program);
        self.stage_principal(&mut transaction, &new_principal(administrator, "administrator", program, request))?;
        let (client_id, resource_id) = (self.draw_uuid()?, machine_resource_id.to_owned());
        let identity = ManagedIdentity { client_id, resource_id, federated: Vec::new() };
        let identity = PrincipalKind::ManagedIdentity(identity);
        self.stage_principal(&mut transaction, &new_principal(machine, "machine", identity, request))?;
        self.stage_first_signing_key(&mut transaction, request.received).await?;
        transaction.detail(format!("tenant {}", tenant.id)).commit(request).await?;
        Ok(())
    }
}

fn new_principal(object_id: PrincipalId, name: &str, kind: PrincipalKind, request: &Request) -> Principal {
    Principal {
        object_id,
        display_name: name.to_owned(),
        state: PrincipalState::Enabled,
        groups: Vec::new(),
        created: request.received,
        kind,
    }
}

/// Repeats a change that lost a race, each time from its reading on.
///
/// # Errors
/// The last error; [`Error::Conflict`] only after [`ATTEMPTS`] lost races.
pub(super) async fn repeat_on_conflict<T, F>(change: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for _ in 1..ATTEMPTS {
        match change().await {
            Err(IdentityError::Core(Error::Conflict)) => {}
            result => return result,
        }
    }
    change().await
}

/// How often a change is tried that loses races.
const ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::test_support::{MACHINE, directory, directory_on, request};

    #[tokio::test]
    async fn founding_twice_finds_what_the_first_made() {
        let (first, foundation) = directory().await;
        assert_eq!(first.found(&request(), MACHINE).await.unwrap(), foundation);
        let again = directory_on(Arc::clone(first.core()));
        assert!(matches!(again.tenant(), Err(IdentityError::NotFounded)));
        assert_eq!(again.found(&request(), "/another").await.unwrap(), foundation);
        assert_eq!(again.tenant().unwrap(), first.tenant().unwrap());
    }

    #[tokio::test]
    async fn principals_are_found_by_object_id_client_id_and_resource_id_in_any_case() {
        let (directory, foundation) = directory().await;
        let machine = directory.by_resource_id(&MACHINE.to_uppercase()).await.unwrap().unwrap().value;
        assert_eq!(machine.object_id, foundation.machine.object_id);
        let found = directory.by_client_id(foundation.administrator.client_id).await.unwrap().unwrap().value;
        assert_eq!(found.object_id, foundation.administrator.object_id);
        let unknown = PrincipalId::from_uuid(Uuid::from_u128(9));
        let ids = [unknown, foundation.machine.object_id, foundation.administrator.object_id];
        let names: Vec<_> = directory.principals(&ids).await.unwrap().into_iter().map(|p| p.display_name).collect();
        assert_eq!(names, ["machine", "administrator"]);
    }

    #[tokio::test]
    async fn two_nodes_that_found_at_once_end_with_one_tenant() {
        let core = crate::identity::test_support::core().await;
        let (one, two) = (directory_on(Arc::clone(&core)), directory_on(core));
        let (request_one, request_two) = (request(), request());
        let (first, second) = tokio::join!(one.found(&request_one, MACHINE), two.found(&request_two, MACHINE));
        assert_eq!(first.unwrap(), second.unwrap());
    }
}
