//! The operations of the management plane: a table (management-plane.md §1, az-cli.md §4, §6).
//!
//! A row says what a path means, which action it asks for and where. The dispatcher authorizes by the row, and the core
//! checks that the permit is for what it is about to do: a wrong row is refused, never a hole.

use strongroom_api::path::{Captures, PathPattern, RequestPath};
use strongroom_core::identity::FederatedSpecification;
use strongroom_core::pools::{
    Action, GroupName, HsmId, IdentityId, IdentityName, NetworkName, PrivateEndpointId, ResourceScope,
    StorageAccountId, StorageAccountName, VaultId, VirtualNetworkId,
};
use strongroom_types::{HsmName, KeyName, VaultName};
use uuid::Uuid;

use crate::arm::error::ArmError;

/// One row.
pub(crate) struct Operation {
    pub(crate) id: OperationId,
    pub(crate) method: &'static str,
    pub(crate) path: Path,
    /// What the caller's roles must allow.
    pub(crate) access: Access,
    /// The operation in the audit log.
    pub(crate) audit_name: &'static str,
    /// The status of success, unless the handler finds another.
    pub(crate) success: u16,
}

/// What a row's pattern is matched with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path {
    /// The whole path.
    Whole(PathPattern),
    /// What follows the last `/providers/Microsoft.Authorization`; what comes before is a scope of any depth.
    Authorization(PathPattern),
}

/// What the caller's roles must allow.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// Nothing: the answer holds only what everybody with a token of the tenant may know.
    Anybody,
    /// An action on what the path names.
    On(Action, Target),
    /// An action there or on something below: lists, which show only what the caller may read.
    Within(Action, Target),
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Subscription,
    Group,
    Hsm,
    HsmKey,
    DeletedHsm,
    Vault,
    DeletedVault,
    Identity,
    StorageAccount,
    VirtualNetwork,
    Subnet,
    PrivateEndpoint,
    FederatedCredential,
    /// The scope before `/providers/Microsoft.Authorization`.
    Scope,
}

/// A request's path, told apart.
#[derive(Debug)]
pub(crate) struct Route {
    whole: RequestPath,
    authorization: Option<(String, RequestPath)>,
}

/// What the path of a request named.
#[derive(Debug, Default)]
pub(crate) struct Place {
    captures: Captures,
    scope: String,
}

/// What was found for a method and a path.
pub(crate) enum Match {
    Operation(&'static Operation, Place),
    MethodNotAllowed,
    NotFound,
}

macro_rules! operations {
    ($($id:ident: $method:ident $kind:ident $path:literal, $access:expr, $audit:literal, $success:literal;)+) => {
        /// The name of a row.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum OperationId { $($id,)+ }

        /// Every operation.
        pub(crate) const OPERATIONS: &[Operation] = &[$(Operation {
            id: OperationId::$id,
            method: stringify!($method),
            path: Path::$kind(PathPattern::new($path)),
            access: $access,
            audit_name: $audit,
            success: $success,
        },)+];
    };
}

use Access::{Anybody, On, Within};
use Action as A;
use Target as T;

operations! {
    ListTenants: GET Whole "/tenants", Anybody, "TenantList", 200;
    ListSubscriptions: GET Whole "/subscriptions", Anybody, "SubscriptionList", 200;
    GetSubscription: GET Whole "/subscriptions/{subscription}", Within(A::SubscriptionRead, T::Subscription), "SubscriptionGet", 200;
    ListLocations: GET Whole "/subscriptions/{subscription}/locations", Within(A::LocationsRead, T::Subscription), "LocationList", 200;
    ListProviders: GET Whole "/subscriptions/{subscription}/providers", Within(A::ProvidersRead, T::Subscription), "ProviderList", 200;
    GetProvider: GET Whole "/subscriptions/{subscription}/providers/{namespace}", Within(A::ProvidersRead, T::Subscription), "ProviderGet", 200;
    RegisterKeyVault: POST Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/register", On(A::KeyVaultRegister, T::Subscription), "ProviderRegister", 200;
    RegisterManagedIdentity: POST Whole "/subscriptions/{subscription}/providers/Microsoft.ManagedIdentity/register", On(A::ManagedIdentityRegister, T::Subscription), "ProviderRegister", 200;
    RegisterStorage: POST Whole "/subscriptions/{subscription}/providers/Microsoft.Storage/register", On(A::StorageRegister, T::Subscription), "ProviderRegister", 200;
    RegisterNetwork: POST Whole "/subscriptions/{subscription}/providers/Microsoft.Network/register", On(A::NetworkRegister, T::Subscription), "ProviderRegister", 200;
    ListResources: GET Whole "/subscriptions/{subscription}/resources", Within(A::ResourcesRead, T::Subscription), "ResourceList", 200;

    ListGroups: GET Whole "/subscriptions/{subscription}/resourceGroups", Within(A::GroupRead, T::Subscription), "ResourceGroupList", 200;
    GetGroup: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}", On(A::GroupRead, T::Group), "ResourceGroupGet", 200;
    HeadGroup: HEAD Whole "/subscriptions/{subscription}/resourceGroups/{group}", On(A::GroupRead, T::Group), "ResourceGroupHead", 204;
    PutGroup: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}", On(A::GroupWrite, T::Group), "ResourceGroupPut", 200;
    DeleteGroup: DELETE Whole "/subscriptions/{subscription}/resourceGroups/{group}", On(A::GroupDelete, T::Group), "ResourceGroupDelete", 200;

    ListHsms: GET Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/managedHSMs", Within(A::HsmRead, T::Subscription), "ManagedHsmList", 200;
    ListHsmsOfGroup: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs", Within(A::HsmRead, T::Group), "ManagedHsmList", 200;
    GetHsm: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}", On(A::HsmRead, T::Hsm), "ManagedHsmGet", 200;
    PutHsm: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}", On(A::HsmWrite, T::Hsm), "ManagedHsmPut", 200;
    PatchHsm: PATCH Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}", On(A::HsmWrite, T::Hsm), "ManagedHsmPatch", 200;
    DeleteHsm: DELETE Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}", On(A::HsmDelete, T::Hsm), "ManagedHsmDelete", 202;
    ListRegions: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}/regions", On(A::HsmRead, T::Hsm), "ManagedHsmRegionList", 200;
    ListPrivateLinkResources: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}/privateLinkResources", On(A::HsmPrivateLinkResourcesRead, T::Hsm), "ManagedHsmPrivateLinkResourceList", 200;
    ListPrivateEndpointConnections: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}/privateEndpointConnections", On(A::HsmPrivateEndpointConnectionsRead, T::Hsm), "ManagedHsmPrivateEndpointConnectionList", 200;
    GetHsmConnection: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}/privateEndpointConnections/{connection}", On(A::HsmPrivateEndpointConnectionsRead, T::Hsm), "ManagedHsmPrivateEndpointConnectionGet", 200;
    PutHsmConnection: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}/privateEndpointConnections/{connection}", On(A::HsmPrivateEndpointConnectionsWrite, T::Hsm), "ManagedHsmPrivateEndpointConnectionPut", 200;
    DeleteHsmConnection: DELETE Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}/privateEndpointConnections/{connection}", On(A::HsmPrivateEndpointConnectionsDelete, T::Hsm), "ManagedHsmPrivateEndpointConnectionDelete", 200;
    ListHsmKeys: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}/keys", On(A::HsmKeyRead, T::Hsm), "ManagedHsmKeyList", 200;
    GetHsmKey: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}/keys/{key}", On(A::HsmKeyRead, T::HsmKey), "ManagedHsmKeyGet", 200;
    PutHsmKey: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}/keys/{key}", On(A::HsmKeyWrite, T::HsmKey), "ManagedHsmKeyPut", 200;
    ListHsmKeyVersions: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}/keys/{key}/versions", On(A::HsmKeyVersionRead, T::HsmKey), "ManagedHsmKeyVersionList", 200;
    GetHsmKeyVersion: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{hsm}/keys/{key}/versions/{version}", On(A::HsmKeyVersionRead, T::HsmKey), "ManagedHsmKeyVersionGet", 200;
    CheckHsmName: POST Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/checkMhsmNameAvailability", Within(A::HsmNameCheck, T::Subscription), "ManagedHsmNameCheck", 200;
    ListDeletedHsms: GET Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/deletedManagedHSMs", Within(A::DeletedHsmsRead, T::Subscription), "ManagedHsmDeletedList", 200;
    GetDeletedHsm: GET Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{location}/deletedManagedHSMs/{hsm}", On(A::DeletedHsmRead, T::DeletedHsm), "ManagedHsmDeletedGet", 200;
    PurgeHsm: POST Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{location}/deletedManagedHSMs/{hsm}/purge", On(A::DeletedHsmPurge, T::DeletedHsm), "ManagedHsmPurge", 202;
    GetHsmOperation: GET Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{location}/managedHsmOperationResults/{operation}", Within(A::HsmOperationRead, T::Subscription), "ManagedHsmOperationGet", 200;
    ListVaults: GET Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/vaults", Within(A::VaultRead, T::Subscription), "VaultList", 200;
    ListVaultsOfGroup: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults", Within(A::VaultRead, T::Group), "VaultList", 200;
    GetVault: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}", On(A::VaultRead, T::Vault), "VaultGet", 200;
    PutVault: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}", On(A::VaultWrite, T::Vault), "VaultPut", 200;
    PatchVault: PATCH Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}", On(A::VaultWrite, T::Vault), "VaultPatch", 200;
    DeleteVault: DELETE Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}", On(A::VaultDelete, T::Vault), "VaultDelete", 200;
    PutVaultPolicies: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}/accessPolicies/{change}", On(A::VaultPoliciesWrite, T::Vault), "VaultAccessPoliciesPut", 200;
    ListVaultPrivateLinkResources: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}/privateLinkResources", On(A::VaultPrivateLinkResourcesRead, T::Vault), "VaultPrivateLinkResourceList", 200;
    ListVaultConnections: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}/privateEndpointConnections", On(A::VaultPrivateEndpointConnectionsRead, T::Vault), "VaultPrivateEndpointConnectionList", 200;
    GetVaultConnection: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}/privateEndpointConnections/{connection}", On(A::VaultPrivateEndpointConnectionsRead, T::Vault), "VaultPrivateEndpointConnectionGet", 200;
    PutVaultConnection: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}/privateEndpointConnections/{connection}", On(A::VaultPrivateEndpointConnectionsWrite, T::Vault), "VaultPrivateEndpointConnectionPut", 200;
    DeleteVaultConnection: DELETE Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}/privateEndpointConnections/{connection}", On(A::VaultPrivateEndpointConnectionsDelete, T::Vault), "VaultPrivateEndpointConnectionDelete", 200;
    CheckVaultName: POST Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/checkNameAvailability", Within(A::VaultNameCheck, T::Subscription), "VaultNameCheck", 200;
    ListDeletedVaults: GET Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/deletedVaults", Within(A::DeletedVaultsRead, T::Subscription), "VaultDeletedList", 200;
    GetDeletedVault: GET Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{vault}", On(A::DeletedVaultRead, T::DeletedVault), "VaultDeletedGet", 200;
    PurgeVault: POST Whole "/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{vault}/purge", On(A::DeletedVaultPurge, T::DeletedVault), "VaultPurge", 200;

    ListIdentities: GET Whole "/subscriptions/{subscription}/providers/Microsoft.ManagedIdentity/userAssignedIdentities", Within(A::IdentityRead, T::Subscription), "UserAssignedIdentityList", 200;
    ListIdentitiesOfGroup: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities", Within(A::IdentityRead, T::Group), "UserAssignedIdentityList", 200;
    GetIdentity: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}", On(A::IdentityRead, T::Identity), "UserAssignedIdentityGet", 200;
    PutIdentity: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}", On(A::IdentityWrite, T::Identity), "UserAssignedIdentityPut", 200;
    DeleteIdentity: DELETE Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}", On(A::IdentityDelete, T::Identity), "UserAssignedIdentityDelete", 200;
    ListFederatedCredentials: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}/federatedIdentityCredentials", On(A::FederatedCredentialRead, T::Identity), "FederatedIdentityCredentialList", 200;
    GetFederatedCredential: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}/federatedIdentityCredentials/{federated}", On(A::FederatedCredentialRead, T::FederatedCredential), "FederatedIdentityCredentialGet", 200;
    PutFederatedCredential: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}/federatedIdentityCredentials/{federated}", On(A::FederatedCredentialWrite, T::FederatedCredential), "FederatedIdentityCredentialPut", 200;
    DeleteFederatedCredential: DELETE Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}/federatedIdentityCredentials/{federated}", On(A::FederatedCredentialDelete, T::FederatedCredential), "FederatedIdentityCredentialDelete", 200;

    ListStorageAccounts: GET Whole "/subscriptions/{subscription}/providers/Microsoft.Storage/storageAccounts", Within(A::StorageAccountRead, T::Subscription), "StorageAccountList", 200;
    ListStorageAccountsOfGroup: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts", Within(A::StorageAccountRead, T::Group), "StorageAccountList", 200;
    GetStorageAccount: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}", On(A::StorageAccountRead, T::StorageAccount), "StorageAccountGet", 200;
    PutStorageAccount: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}", On(A::StorageAccountWrite, T::StorageAccount), "StorageAccountPut", 200;
    PatchStorageAccount: PATCH Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}", On(A::StorageAccountWrite, T::StorageAccount), "StorageAccountPatch", 200;
    ListStorageAccountKeys: POST Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/listKeys", On(A::StorageAccountListKeys, T::StorageAccount), "StorageAccountListKeys", 200;
    DeleteStorageAccount: DELETE Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}", On(A::StorageAccountDelete, T::StorageAccount), "StorageAccountDelete", 200;
    CheckStorageAccountName: POST Whole "/subscriptions/{subscription}/providers/Microsoft.Storage/checkNameAvailability", Within(A::StorageNameCheck, T::Subscription), "StorageAccountNameCheck", 200;

    ListVirtualNetworks: GET Whole "/subscriptions/{subscription}/providers/Microsoft.Network/virtualNetworks", Within(A::VirtualNetworkRead, T::Subscription), "VirtualNetworkList", 200;
    ListVirtualNetworksOfGroup: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks", Within(A::VirtualNetworkRead, T::Group), "VirtualNetworkList", 200;
    GetVirtualNetwork: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}", On(A::VirtualNetworkRead, T::VirtualNetwork), "VirtualNetworkGet", 200;
    PutVirtualNetwork: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}", On(A::VirtualNetworkWrite, T::VirtualNetwork), "VirtualNetworkPut", 200;
    ListSubnets: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets", On(A::SubnetRead, T::VirtualNetwork), "SubnetList", 200;
    GetSubnet: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}", On(A::SubnetRead, T::Subnet), "SubnetGet", 200;
    PutSubnet: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}", On(A::SubnetWrite, T::Subnet), "SubnetPut", 200;
    ListPrivateEndpoints: GET Whole "/subscriptions/{subscription}/providers/Microsoft.Network/privateEndpoints", Within(A::PrivateEndpointRead, T::Subscription), "PrivateEndpointList", 200;
    ListPrivateEndpointsOfGroup: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/privateEndpoints", Within(A::PrivateEndpointRead, T::Group), "PrivateEndpointList", 200;
    GetPrivateEndpoint: GET Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/privateEndpoints/{endpoint}", On(A::PrivateEndpointRead, T::PrivateEndpoint), "PrivateEndpointGet", 200;
    PutPrivateEndpoint: PUT Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/privateEndpoints/{endpoint}", On(A::PrivateEndpointWrite, T::PrivateEndpoint), "PrivateEndpointPut", 200;
    DeletePrivateEndpoint: DELETE Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/privateEndpoints/{endpoint}", On(A::PrivateEndpointDelete, T::PrivateEndpoint), "PrivateEndpointDelete", 200;
    DeleteSubnet: DELETE Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}", On(A::SubnetDelete, T::Subnet), "SubnetDelete", 200;
    DeleteVirtualNetwork: DELETE Whole "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}", On(A::VirtualNetworkDelete, T::VirtualNetwork), "VirtualNetworkDelete", 200;

    ListRoleDefinitions: GET Authorization "/roleDefinitions", On(A::RoleDefinitionRead, T::Scope), "RoleDefinitionList", 200;
    GetRoleDefinition: GET Authorization "/roleDefinitions/{role}", On(A::RoleDefinitionRead, T::Scope), "RoleDefinitionGet", 200;
    PutRoleDefinition: PUT Authorization "/roleDefinitions/{role}", On(A::RoleDefinitionWrite, T::Scope), "RoleDefinitionPut", 201;
    DeleteRoleDefinition: DELETE Authorization "/roleDefinitions/{role}", On(A::RoleDefinitionDelete, T::Scope), "RoleDefinitionDelete", 200;
    ListRoleAssignments: GET Authorization "/roleAssignments", On(A::RoleAssignmentRead, T::Scope), "RoleAssignmentList", 200;
    GetRoleAssignment: GET Authorization "/roleAssignments/{assignment}", On(A::RoleAssignmentRead, T::Scope), "RoleAssignmentGet", 200;
    PutRoleAssignment: PUT Authorization "/roleAssignments/{assignment}", On(A::RoleAssignmentWrite, T::Scope), "RoleAssignmentPut", 201;
    DeleteRoleAssignment: DELETE Authorization "/roleAssignments/{assignment}", On(A::RoleAssignmentDelete, T::Scope), "RoleAssignmentDelete", 200;
}

impl Route {
    /// Tells a path apart.
    pub(crate) fn parse(path: &str) -> Result<Self, ArmError> {
        let parse = |path: &str| RequestPath::parse(path).map_err(|_| ArmError::PathMalformed);
        let whole = parse(path)?;
        let authorization = match split_authorization(path) {
            Some((scope, rest)) => Some((format!("/{}", parse(scope)?.segments().join("/")), parse(rest)?)),
            None => None,
        };
        Ok(Self { whole, authorization })
    }

    /// Whether the path has these segments and no others.
    pub(crate) fn is(&self, segments: &[&str]) -> bool {
        let own = self.whole.segments();
        own.len() == segments.len() && own.iter().zip(segments).all(|(own, other)| own.eq_ignore_ascii_case(other))
    }

    /// The provider that the path names last, such as `Microsoft.KeyVault`.
    pub(crate) fn namespace(&self) -> Option<&str> {
        let segments = self.whole.segments();
        let at = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"))?;
        segments.get(at + 1).map(String::as_str)
    }

    /// The row for a method.
    pub(crate) fn find(&self, method: &str) -> Match {
        let mut found = Match::NotFound;
        for operation in OPERATIONS {
            let Some(place) = self.place(&operation.path) else { continue };
            if operation.method == method {
                return Match::Operation(operation, place);
            }
            found = Match::MethodNotAllowed;
        }
        found
    }

    fn place(&self, path: &Path) -> Option<Place> {
        match path {
            Path::Whole(pattern) => {
                pattern.captures(&self.whole).map(|captures| Place { captures, scope: String::new() })
            }
            Path::Authorization(pattern) => {
                let (scope, rest) = self.authorization.as_ref()?;
                pattern.captures(rest).map(|captures| Place { captures, scope: scope.clone() })
            }
        }
    }
}

/// Splits at the last `/providers/Microsoft.Authorization`.
fn split_authorization(path: &str) -> Option<(&str, &str)> {
    let at = path.to_ascii_lowercase().rfind(AUTHORIZATION)?;
    let (scope, rest) = path.split_at_checked(at)?;
    Some((scope, rest.get(AUTHORIZATION.len()..)?))
}

impl Place {
    /// What the row's action must be allowed on.
    pub(crate) fn scope(&self, target: Target) -> Result<ResourceScope, ArmError> {
        Ok(match target {
            Target::Subscription => ResourceScope::subscription(self.subscription()?),
            Target::Group => ResourceScope::group(self.subscription()?, &self.group()?),
            Target::Hsm => self.hsm()?.scope(),
            Target::HsmKey => self.hsm()?.key_scope(&self.key()?),
            Target::DeletedHsm => {
                let name = self.hsm_name()?;
                HsmId::deleted_scope(self.subscription()?, self.location()?.as_str(), name.as_str())
            }
            Target::Vault => self.vault()?.scope(),
            Target::DeletedVault => {
                let name = self.vault_name()?;
                VaultId::deleted_scope(self.subscription()?, self.location()?.as_str(), name.as_str())
            }
            Target::StorageAccount => self.storage_account()?.scope(),
            Target::VirtualNetwork => self.virtual_network()?.scope(),
            Target::Subnet => self.virtual_network()?.subnet_scope(&self.subnet()?),
            Target::PrivateEndpoint => self.private_endpoint()?.scope(),
            Target::Identity => self.identity_id()?.scope(),
            Target::FederatedCredential => self.identity_id()?.credential_scope(self.federated()?),
            Target::Scope => self.scope.parse().map_err(|_| ArmError::ScopeNotValid)?,
        })
    }

    pub(crate) fn subscription(&self) -> Result<Uuid, ArmError> {
        let text = self.text("subscription");
        let id = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
        id.ok_or_else(|| ArmError::SubscriptionIdNotValid(bounded(text)))
    }

    pub(crate) fn group(&self) -> Result<GroupName, ArmError> {
        self.name("group", "resource group", GroupName::EXPECTED)
    }

    pub(crate) fn hsm_name(&self) -> Result<HsmName, ArmError> {
        self.name("hsm", "managed HSM", HSM_NAME_EXPECTED)
    }

    pub(crate) fn hsm(&self) -> Result<HsmId, ArmError> {
        Ok(HsmId { subscription: self.subscription()?, group: self.group()?, name: self.hsm_name()? })
    }

    pub(crate) fn key(&self) -> Result<KeyName, ArmError> {
        self.name("key", "key", KEY_NAME_EXPECTED)
    }

    pub(crate) fn vault_name(&self) -> Result<VaultName, ArmError> {
        self.name("vault", "vault", HSM_NAME_EXPECTED)
    }

    pub(crate) fn vault(&self) -> Result<VaultId, ArmError> {
        Ok(VaultId { subscription: self.subscription()?, group: self.group()?, name: self.vault_name()? })
    }

    pub(crate) fn identity(&self) -> Result<IdentityName, ArmError> {
        self.name("identity", "user-assigned identity", IdentityName::EXPECTED)
    }

    pub(crate) fn storage_account(&self) -> Result<StorageAccountId, ArmError> {
        let name = self.name("account", "storage account", StorageAccountName::EXPECTED)?;
        Ok(StorageAccountId { subscription: self.subscription()?, group: self.group()?, name })
    }

    pub(crate) fn virtual_network(&self) -> Result<VirtualNetworkId, ArmError> {
        let name = self.name("network", "virtual network", NetworkName::EXPECTED)?;
        Ok(VirtualNetworkId { subscription: self.subscription()?, group: self.group()?, name })
    }

    pub(crate) fn subnet(&self) -> Result<NetworkName, ArmError> {
        self.name("subnet", "subnet", NetworkName::EXPECTED)
    }

    pub(crate) fn private_endpoint(&self) -> Result<PrivateEndpointId, ArmError> {
        let name = self.name("endpoint", "private endpoint", NetworkName::EXPECTED)?;
        Ok(PrivateEndpointId { subscription: self.subscription()?, group: self.group()?, name })
    }

    pub(crate) fn identity_id(&self) -> Result<IdentityId, ArmError> {
        Ok(IdentityId { subscription: self.subscription()?, group: self.group()?, name: self.identity()? })
    }

    /// The name of a federated credential.
    pub(crate) fn federated(&self) -> Result<&str, ArmError> {
        let text = self.text("federated");
        if FederatedSpecification::is_name(text) {
            return Ok(text);
        }
        Err(name_not_valid("federated identity credential", text, FederatedSpecification::NAME_EXPECTED))
    }

    pub(crate) fn location(&self) -> Result<strongroom_core::pools::Location, ArmError> {
        self.name("location", "location", strongroom_core::pools::Location::EXPECTED)
    }

    /// A GUID in the path.
    pub(crate) fn guid(&self, placeholder: &str) -> Result<Uuid, ArmError> {
        let text = self.text(placeholder);
        let id = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
        id.ok_or_else(|| ArmError::GuidNotValid(bounded(text)))
    }

    pub(crate) fn text(&self, placeholder: &str) -> &str {
        self.captures.get(placeholder).unwrap_or_default()
    }

    fn name<T: std::str::FromStr>(
        &self,
        placeholder: &str,
        what: &'static str,
        expected: &'static str,
    ) -> Result<T, ArmError> {
        let text = self.text(placeholder);
        text.parse().map_err(|_| name_not_valid(what, text, expected))
    }
}

fn name_not_valid(what: &'static str, text: &str, expected: &'static str) -> ArmError {
    strongroom_core::pools::Error::NameNotValid { what, name: bounded(text), expected }.into()
}

fn bounded(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

const AUTHORIZATION: &str = "/providers/microsoft.authorization";
const KEY_NAME_EXPECTED: &str = "1 to 127 letters, digits and hyphens";
const HSM_NAME_EXPECTED: &str = "3 to 24 letters, digits and hyphens, beginning with a letter, ending with a letter or a \
     digit, without two hyphens in a row";
/// Characters of a wrong name that an error repeats.
const SHOWN_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_a_path_of_its_own_for_its_method() {
        for (index, row) in OPERATIONS.iter().enumerate() {
            let text = |path: &Path| match path {
                Path::Whole(pattern) => format!("whole {}", pattern.as_str()),
                Path::Authorization(pattern) => format!("authorization {}", pattern.as_str()),
            };
            let same = |other: &&Operation| other.method == row.method && text(&other.path) == text(&row.path);
            assert_eq!(OPERATIONS.iter().position(|other| same(&other)), Some(index), "{:?}", row.id);
        }
    }

    #[test]
    fn a_scope_of_any_depth_comes_before_the_authorization_provider() {
        let hsm = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg\
                   /providers/Microsoft.KeyVault/managedHSMs/one";
        for scope in ["/subscriptions/00000000-0000-0000-0000-000000000001", hsm] {
            let path = format!("{scope}/providers/microsoft.authorization/roleAssignments/x");
            let Match::Operation(row, place) = Route::parse(&path).unwrap().find("PUT") else { panic!("{path}") };
            assert_eq!((row.id, place.text("assignment")), (OperationId::PutRoleAssignment, "x"));
            assert_eq!(place.scope(Target::Scope).unwrap().as_str(), scope);
        }
    }

    #[test]
    fn a_known_path_with_another_method_is_told_from_an_unknown_path() {
        assert!(matches!(Route::parse("/tenants").unwrap().find("POST"), Match::MethodNotAllowed));
        assert!(matches!(Route::parse("/tenants/x").unwrap().find("GET"), Match::NotFound));
    }

    #[test]
    fn the_namespace_is_the_last_provider() {
        let namespace = |path| Route::parse(path).unwrap().namespace().map(str::to_owned);
        assert_eq!(namespace("/subscriptions/s/providers/A/t/n/providers/B/u"), Some("B".to_owned()));
        assert_eq!(namespace("/subscriptions/s"), None);
    }
}
