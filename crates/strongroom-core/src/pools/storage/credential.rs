//! The token with which a managed HSM goes to a storage account: issued to a user-assigned identity of the HSM, after
//! Azure RBAC has said that this identity may.
//!
//! The blob store itself may know nothing of our roles (protocols.md §9), so what is refused here must not be asked
//! there.

use std::fmt;

use strongroom_types::{PrincipalId, TenantId};

use crate::blobs::BlobCredential;
use crate::identity::record::{Principal, PrincipalState};
use crate::identity::{AccessTokenOrder, IssuerForm};
use crate::managed_hsm::ManagedHsm;
use crate::pools::storage::{BlobEndpoint, ContainerName, StorageAccountId};
use crate::pools::{self, Pools, ResourceScope, Rights};

/// What is to be done with the blobs of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobAccess {
    /// Read them: a restore.
    Read,
    /// Write new ones, and read what was written: a backup.
    Write,
}

/// Why a managed HSM gets no token for a container. Each text says what helps.
#[derive(Debug, thiserror::Error)]
pub enum StorageCredentialError {
    /// The address is none of a container.
    #[error("{address} is not the address of a container: {problem}")]
    AddressNotValid {
        /// What was given, shortened.
        address: String,
        /// What is wrong with it.
        problem: super::EndpointError,
    },
    /// No account has its blobs there.
    #[error(
        "a managed identity is used only with a storage account of this deployment, and none has its blobs at {address}: \
         make one with `az storage account create` under a name that [[storage_account]] in the configuration binds to \
         that address, or use a SAS token"
    )]
    NoAccount {
        /// What was given, shortened.
        address: String,
    },
    /// The token would travel in the clear.
    #[error("the token of a managed identity goes to https:// addresses only: {account} has its blobs at {endpoint}")]
    NotHttps {
        /// The account.
        account: String,
        /// Where its blobs lie.
        endpoint: BlobEndpoint,
    },
    /// The HSM has no identity that could ask.
    #[error(
        "managed HSM {hsm} has no user-assigned identity: give it one with `az keyvault update-hsm --hsm-name {hsm} \
         --mi-user-assigned IDENTITY-ID`"
    )]
    NoIdentity {
        /// The HSM.
        hsm: String,
    },
    /// None of the HSM's identities has the role.
    #[error("{}", Missing(identities, role, scope))]
    RoleMissing {
        /// The identities of the HSM, by their resource ids and object ids.
        identities: Vec<(String, Option<PrincipalId>)>,
        /// The role that would do.
        role: &'static str,
        /// The account.
        scope: Box<ResourceScope>,
    },
    /// The management plane or the directory failed.
    #[error(transparent)]
    Pools(#[from] pools::Error),
}

/// Which identities lack which role, and the command that gives it to the first one.
struct Missing<'a>(&'a [(String, Option<PrincipalId>)], &'a str, &'a ResourceScope);

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(identities, role, scope) = self;
        let names: Vec<_> = identities.iter().map(|(id, _)| id.rsplit('/').next().unwrap_or(id)).collect();
        write!(f, "the managed identity {} does not have the role '{role}' on {scope}", names.join(", "))?;
        match identities.iter().find_map(|(_, principal)| *principal) {
            Some(principal) => write!(
                f,
                ": assign it with `az role assignment create --assignee-object-id {principal} --assignee-principal-type \
                 ServicePrincipal --role \"{role}\" --scope {scope}`"
            ),
            None => f.write_str(": none of these identities exists any more, or all of them are disabled"),
        }
    }
}

impl BlobAccess {
    fn data_actions(self) -> &'static [&'static str] {
        match self {
            Self::Read => &[BLOBS_READ],
            Self::Write => &[BLOBS_READ, BLOBS_WRITE],
        }
    }

    /// The built-in role that is enough and no more.
    fn role(self) -> &'static str {
        match self {
            Self::Read => "Storage Blob Data Reader",
            Self::Write => "Storage Blob Data Contributor",
        }
    }
}

impl Pools {
    /// A token for a container of a storage account, issued to one of the HSM's identities that may do this there.
    ///
    /// # Errors
    /// [`StorageCredentialError`].
    pub async fn storage_credential(
        &self,
        hsm: &ManagedHsm,
        container: &str,
        access: BlobAccess,
    ) -> Result<BlobCredential, StorageCredentialError> {
        let (account, name) = self.account_of(container).await?;
        let scope = account.container_scope(&name);
        let tenant = self.tenant()?;
        let ids = hsm.identity.iter().flat_map(|identity| &identity.user_assigned);
        let mut identities = Vec::new();
        // The rights as of now, not as of an earlier request: a role taken away counts at once.
        let rights = self.core.azure_rights().current(self.barrier()).await.map_err(pools::Error::from)?.rights;
        for id in ids {
            let principal = self.directory.by_resource_id(id).await.map_err(pools::Error::from)?;
            let usable = principal.map(|stored| stored.value).filter(|one| one.state == PrincipalState::Enabled);
            if let Some(principal) = usable.as_ref().filter(|one| may(&rights, one, tenant, access, &scope)) {
                return Ok(self.storage_token(principal).await?);
            }
            identities.push((id.clone(), usable.map(|principal| principal.object_id)));
        }
        if identities.is_empty() {
            return Err(StorageCredentialError::NoIdentity { hsm: hsm.name.to_string() });
        }
        let scope = Box::new(account.scope());
        Err(StorageCredentialError::RoleMissing { identities, role: access.role(), scope })
    }

    /// The account of ours that an address belongs to.
    async fn account_of(&self, address: &str) -> Result<(StorageAccountId, ContainerName), StorageCredentialError> {
        // A signature pasted behind the address must not come back in an error.
        let without_query = address.split(['?', '#']).next().unwrap_or_default();
        let shown = || without_query.chars().filter(|c| !c.is_control()).take(ADDRESS_SHOWN_MAX).collect();
        let (endpoint, container) = BlobEndpoint::split(address)
            .map_err(|problem| StorageCredentialError::AddressNotValid { address: shown(), problem })?;
        for configured in self.storage_endpoints.iter().filter(|configured| configured.blob == endpoint) {
            let Some(account) = self.find_account(&configured.name).await? else { continue };
            if !endpoint.is_https() {
                let account = configured.name.to_string();
                return Err(StorageCredentialError::NotHttps { account, endpoint });
            }
            return Ok((account.value.id(), container));
        }
        Err(StorageCredentialError::NoAccount { address: shown() })
    }

    async fn storage_token(&self, principal: &Principal) -> pools::Result<BlobCredential> {
        let client_id = principal.client_id().ok_or(crate::Error::Internal("a managed identity has no client id"))?;
        let order = AccessTokenOrder { principal, client_id, audience: STORAGE_RESOURCE, form: IssuerForm::V1 };
        let token = self.directory.issue_access_token(order, self.barrier().clock().now()).await?;
        Ok(BlobCredential::Bearer(token.text))
    }
}

/// Managed identities are principals of the directory's own tenant, whatever tenant the HSM serves.
fn may(rights: &Rights, principal: &Principal, tenant: TenantId, access: BlobAccess, scope: &ResourceScope) -> bool {
    let bearers: Vec<_> = [principal.object_id].into_iter().chain(principal.groups.iter().copied()).collect();
    access.data_actions().iter().all(|action| rights.allows_data(tenant, &bearers, action, scope))
}

/// The audience of tokens for blob stores.
const STORAGE_RESOURCE: &str = "https://storage.azure.com";
const BLOBS_READ: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
const BLOBS_WRITE: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write";
/// Characters of an address that an error repeats.
const ADDRESS_SHOWN_MAX: usize = 256;
