//! The actions that the management plane asks for.

use std::fmt;

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)+) => {
        /// An action of Azure RBAC: what an operation of the management plane asks the caller's roles for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action { $($(#[$doc])* $variant,)+ }

        impl Action {
            /// Every action, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that role definitions hold patterns for.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

actions! {
    /// Show a subscription.
    SubscriptionRead => "Microsoft.Resources/subscriptions/read",
    /// List the regions.
    LocationsRead => "Microsoft.Resources/subscriptions/locations/read",
    /// Show resource providers.
    ProvidersRead => "Microsoft.Resources/subscriptions/providers/read",
    /// List resources of any type.
    ResourcesRead => "Microsoft.Resources/subscriptions/resources/read",
    /// Register the Key Vault provider.
    KeyVaultRegister => "Microsoft.KeyVault/register/action",
    /// Register the Managed Identity provider.
    ManagedIdentityRegister => "Microsoft.ManagedIdentity/register/action",
    /// Show a resource group.
    GroupRead => "Microsoft.Resources/subscriptions/resourceGroups/read",
    /// Make or change a resource group.
    GroupWrite => "Microsoft.Resources/subscriptions/resourceGroups/write",
    /// Remove a resource group.
    GroupDelete => "Microsoft.Resources/subscriptions/resourceGroups/delete",
    /// Show a managed HSM.
    HsmRead => "Microsoft.KeyVault/managedHSMs/read",
    /// Make, change or recover a managed HSM.
    HsmWrite => "Microsoft.KeyVault/managedHSMs/write",
    /// Soft-delete a managed HSM.
    HsmDelete => "Microsoft.KeyVault/managedHSMs/delete",
    /// Show the private link resources of a managed HSM.
    HsmPrivateLinkResourcesRead => "Microsoft.KeyVault/managedHSMs/privateLinkResources/read",
    /// Show the private endpoint connections of a managed HSM.
    HsmPrivateEndpointConnectionsRead => "Microsoft.KeyVault/managedHSMs/privateEndpointConnections/read",
    /// Approve or reject private endpoint connections of a managed HSM.
    HsmPrivateEndpointConnectionsWrite => "Microsoft.KeyVault/managedHSMs/privateEndpointConnections/write",
    /// Remove private endpoint connections of a managed HSM.
    HsmPrivateEndpointConnectionsDelete => "Microsoft.KeyVault/managedHSMs/privateEndpointConnections/delete",
    /// Make private endpoints to a managed HSM that are approved at once.
    HsmConnectionsApprove => "Microsoft.KeyVault/managedHSMs/privateEndpointConnectionsApproval/action",
    /// Show the keys of a managed HSM.
    HsmKeyRead => "Microsoft.KeyVault/managedHSMs/keys/read",
    /// Make a key of a managed HSM.
    HsmKeyWrite => "Microsoft.KeyVault/managedHSMs/keys/write",
    /// Show the versions of a key of a managed HSM.
    HsmKeyVersionRead => "Microsoft.KeyVault/managedHSMs/keys/versions/read",
    /// List deleted managed HSMs.
    DeletedHsmsRead => "Microsoft.KeyVault/deletedManagedHsms/read",
    /// Show a deleted managed HSM.
    DeletedHsmRead => "Microsoft.KeyVault/locations/deletedManagedHsms/read",
    /// Remove a deleted managed HSM for good.
    DeletedHsmPurge => "Microsoft.KeyVault/locations/deletedManagedHsms/purge/action",
    /// Poll a long-running operation on a managed HSM.
    HsmOperationRead => "Microsoft.KeyVault/locations/managedHsmOperationResults/read",
    /// Ask whether a name for a managed HSM is free.
    HsmNameCheck => "Microsoft.KeyVault/checkMhsmNameAvailability/read",
    /// Show a vault.
    VaultRead => "Microsoft.KeyVault/vaults/read",
    /// Make, change or recover a vault.
    VaultWrite => "Microsoft.KeyVault/vaults/write",
    /// Soft-delete a vault.
    VaultDelete => "Microsoft.KeyVault/vaults/delete",
    /// Change the access policies of a vault.
    VaultPoliciesWrite => "Microsoft.KeyVault/vaults/accessPolicies/write",
    /// Show the private link resources of a vault.
    VaultPrivateLinkResourcesRead => "Microsoft.KeyVault/vaults/privateLinkResources/read",
    /// Show the private endpoint connections of a vault.
    VaultPrivateEndpointConnectionsRead => "Microsoft.KeyVault/vaults/privateEndpointConnections/read",
    /// Approve or reject private endpoint connections of a vault.
    VaultPrivateEndpointConnectionsWrite => "Microsoft.KeyVault/vaults/privateEndpointConnections/write",
    /// Remove private endpoint connections of a vault.
    VaultPrivateEndpointConnectionsDelete => "Microsoft.KeyVault/vaults/privateEndpointConnections/delete",
    /// Make private endpoints to a vault that are approved at once.
    VaultConnectionsApprove => "Microsoft.KeyVault/vaults/privateEndpointConnectionsApproval/action",
    /// Ask whether a name for a vault is free.
    VaultNameCheck => "Microsoft.KeyVault/checkNameAvailability/read",
    /// List deleted vaults.
    DeletedVaultsRead => "Microsoft.KeyVault/deletedVaults/read",
    /// Show a deleted vault.
    DeletedVaultRead => "Microsoft.KeyVault/locations/deletedVaults/read",
    /// Remove a deleted vault for good.
    DeletedVaultPurge => "Microsoft.KeyVault/locations/deletedVaults/purge/action",
    /// Show a user-assigned identity.
    IdentityRead => "Microsoft.ManagedIdentity/userAssignedIdentities/read",
    /// Make or change a user-assigned identity.
    IdentityWrite => "Microsoft.ManagedIdentity/userAssignedIdentities/write",
    /// Remove a user-assigned identity.
    IdentityDelete => "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
    /// Give a user-assigned identity to a resource.
    IdentityAssign => "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
    /// Show a federated credential of a user-assigned identity.
    FederatedCredentialRead => "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
    /// Make or change a federated credential of a user-assigned identity: who may, may act as the identity.
    FederatedCredentialWrite => "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
    /// End a federated credential of a user-assigned identity.
    FederatedCredentialDelete => "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
    /// Register the Storage provider.
    StorageRegister => "Microsoft.Storage/register/action",
    /// Show a storage account.
    StorageAccountRead => "Microsoft.Storage/storageAccounts/read",
    /// Make or change a storage account.
    StorageAccountWrite => "Microsoft.Storage/storageAccounts/write",
    /// Remove a storage account.
    StorageAccountDelete => "Microsoft.Storage/storageAccounts/delete",
    /// Show the shared key of a storage account.
    StorageAccountListKeys => "Microsoft.Storage/storageAccounts/listKeys/action",
    /// Ask whether a name for a storage account is free.
    StorageNameCheck => "Microsoft.Storage/checkNameAvailability/read",
    /// Register the Network provider.
    NetworkRegister => "Microsoft.Network/register/action",
    /// Show a virtual network.
    VirtualNetworkRead => "Microsoft.Network/virtualNetworks/read",
    /// Make or change a virtual network.
    VirtualNetworkWrite => "Microsoft.Network/virtualNetworks/write",
    /// Remove a virtual network.
    VirtualNetworkDelete => "Microsoft.Network/virtualNetworks/delete",
    /// Show a subnet.
    SubnetRead => "Microsoft.Network/virtualNetworks/subnets/read",
    /// Make or change a subnet.
    SubnetWrite => "Microsoft.Network/virtualNetworks/subnets/write",
    /// Remove a subnet.
    SubnetDelete => "Microsoft.Network/virtualNetworks/subnets/delete",
    /// Put a private endpoint into a subnet.
    SubnetJoin => "Microsoft.Network/virtualNetworks/subnets/join/action",
    /// Show a private endpoint.
    PrivateEndpointRead => "Microsoft.Network/privateEndpoints/read",
    /// Make or change a private endpoint.
    PrivateEndpointWrite => "Microsoft.Network/privateEndpoints/write",
    /// Remove a private endpoint.
    PrivateEndpointDelete => "Microsoft.Network/privateEndpoints/delete",
    /// Show role definitions.
    RoleDefinitionRead => "Microsoft.Authorization/roleDefinitions/read",
    /// Make or change a custom role.
    RoleDefinitionWrite => "Microsoft.Authorization/roleDefinitions/write",
    /// Remove a custom role.
    RoleDefinitionDelete => "Microsoft.Authorization/roleDefinitions/delete",
    /// Show role assignments.
    RoleAssignmentRead => "Microsoft.Authorization/roleAssignments/read",
    /// Assign a role.
    RoleAssignmentWrite => "Microsoft.Authorization/roleAssignments/write",
    /// Take a role away.
    RoleAssignmentDelete => "Microsoft.Authorization/roleAssignments/delete",
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
