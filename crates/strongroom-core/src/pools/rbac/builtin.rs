//! The built-in roles (management-plane.md §9): a table.

use uuid::{Uuid, uuid};

use crate::pools::rbac::definition::{Permission, RoleDefinition, RoleKind};

/// A role everybody can assign and nobody can change.
pub struct BuiltInRole {
    /// The same GUID everywhere.
    pub id: Uuid,
    /// `roleName`.
    pub name: &'static str,
    /// `description`.
    pub description: &'static str,
    actions: &'static [&'static str],
    not_actions: &'static [&'static str],
    data_actions: &'static [&'static str],
    grants: Option<&'static [Uuid]>,
}

/// The role that may do everything.
pub const OWNER: Uuid = uuid!("8e3af657-a8ff-443c-a75c-2fe8c4bcb635");
/// The role that may see everything.
pub const READER: Uuid = uuid!("acdd72a7-3385-48ef-bd42-f606fba81ae7");

impl BuiltInRole {
    /// The role as all roles are shown and evaluated.
    pub fn definition(&self) -> RoleDefinition {
        let Self { id, name, description, actions, not_actions, data_actions, grants } = self;
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        RoleDefinition {
            id: *id,
            name: (*name).to_owned(),
            description: (*description).to_owned(),
            kind: RoleKind::BuiltIn,
            permissions: vec![Permission {
                actions: owned(actions),
                not_actions: owned(not_actions),
                data_actions: owned(data_actions),
                not_data_actions: Vec::new(),
            }],
            assignable_scopes: Vec::new(),
            grants: *grants,
            times: None,
        }
    }
}

const NONE: &[&str] = &[];

/// What the vault roles with data rights may do on the management plane.
const VAULT_METADATA: &[&str] = &[
    "Microsoft.Authorization/*/read",
    "Microsoft.Insights/alertRules/*",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Support/*",
    "Microsoft.KeyVault/checkNameAvailability/read",
    "Microsoft.KeyVault/deletedVaults/read",
    "Microsoft.KeyVault/locations/*/read",
    "Microsoft.KeyVault/vaults/*/read",
    "Microsoft.KeyVault/operations/read",
];

/// The roles that Key Vault Data Access Administrator may assign and take away, and no others.
const VAULT_DATA_ROLES: &[Uuid] = &[
    uuid!("00482a5a-887f-4fb3-b363-3b7fe8e74483"),
    uuid!("a4417e6f-fecd-4de8-b567-7b0420556985"),
    uuid!("14b46e9e-c2b7-41b4-b07b-48a6ebf60603"),
    uuid!("e147488a-f6f5-4113-8e2d-b22465e65bf6"),
    uuid!("12338af0-0e69-4776-bea7-57ae8d297424"),
    uuid!("21090545-7ca7-4776-b22c-e363652d74d2"),
    uuid!("b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
    uuid!("4633458b-17de-408a-b874-0445c86b69e6"),
    uuid!("db79e9a7-68ee-4b58-9aeb-b90e7c24fcba"),
    uuid!("08bbd89e-9f13-488c-ac41-acfcb10c90ab"),
];

/// Every built-in role.
pub const BUILT_IN_ROLES: &[BuiltInRole] = &[
    BuiltInRole {
        id: OWNER,
        name: "Owner",
        description: "Manages everything, and who may do what.",
        actions: &["*"],
        not_actions: NONE,
        data_actions: NONE,
        grants: None,
    },
    BuiltInRole {
        id: uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c"),
        name: "Contributor",
        description: "Manages everything, but not who may do what.",
        actions: &["*"],
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
            "Microsoft.Blueprint/blueprintAssignments/write",
            "Microsoft.Blueprint/blueprintAssignments/delete",
            "Microsoft.Compute/galleries/share/action",
            "Microsoft.Purview/consents/write",
            "Microsoft.Purview/consents/delete",
            "Microsoft.Resources/deploymentStacks/manageDenySetting/action",
            "Microsoft.Subscription/cancel/action",
            "Microsoft.Subscription/enable/action",
        ],
        data_actions: NONE,
        grants: None,
    },
    BuiltInRole {
        id: READER,
        name: "Reader",
        description: "Sees everything and changes nothing.",
        actions: &["*/read"],
        not_actions: NONE,
        data_actions: NONE,
        grants: None,
    },
    BuiltInRole {
        id: uuid!("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"),
        name: "User Access Administrator",
        description: "Manages who may do what.",
        actions: &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
        not_actions: NONE,
        data_actions: NONE,
        grants: None,
    },
    BuiltInRole {
        id: uuid!("18500a29-7fe2-46b2-a342-b16a415e101d"),
        name: "Managed HSM contributor",
        description: "Manages managed HSMs, without any right on their keys.",
        actions: &[
            "Microsoft.KeyVault/managedHSMs/*",
            "Microsoft.KeyVault/deletedManagedHsms/read",
            "Microsoft.KeyVault/locations/deletedManagedHsms/read",
            "Microsoft.KeyVault/locations/deletedManagedHsms/purge/action",
            "Microsoft.KeyVault/locations/managedHsmOperationResults/read",
        ],
        not_actions: NONE,
        data_actions: NONE,
        grants: None,
    },
    BuiltInRole {
        id: uuid!("b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),
        name: "Storage Blob Data Owner",
        description: "Has full access to blobs and containers, access control included.",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/*",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        not_actions: NONE,
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
        name: "Storage Blob Data Contributor",
        description: "Reads, writes and deletes blobs and containers.",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/write",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        not_actions: NONE,
        data_actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/move/action",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
        ],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
        name: "Storage Blob Data Reader",
        description: "Reads blobs and containers.",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        not_actions: NONE,
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("f25e0fa2-a7c8-4377-a976-54943a77a395"),
        name: "Key Vault Contributor",
        description: "Manages vaults, without any right on what they hold.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.KeyVault/*",
            "Microsoft.ResourceHealth/availabilityStatuses/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Support/*",
        ],
        not_actions: &[
            "Microsoft.KeyVault/locations/deletedVaults/purge/action",
            "Microsoft.KeyVault/hsmPools/*",
            "Microsoft.KeyVault/managedHsms/*",
        ],
        data_actions: NONE,
        grants: None,
    },
    BuiltInRole {
        id: uuid!("00482a5a-887f-4fb3-b363-3b7fe8e74483"),
        name: "Key Vault Administrator",
        description: "Does everything with keys, secrets and certificates of a vault.",
        actions: VAULT_METADATA,
        not_actions: NONE,
        data_actions: &["Microsoft.KeyVault/vaults/*"],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("21090545-7ca7-4776-b22c-e363652d74d2"),
        name: "Key Vault Reader",
        description: "Reads the metadata of vaults and of what they hold, never values.",
        actions: VAULT_METADATA,
        not_actions: NONE,
        data_actions: &["Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/vaults/secrets/readMetadata/action"],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("a68e7c17-0ab2-4c09-9a58-125dae29748c"),
        name: "Key Vault Purge Operator",
        description: "Removes deleted vaults for good.",
        actions: &[
            "Microsoft.KeyVault/locations/deletedVaults/read",
            "Microsoft.KeyVault/locations/deletedVaults/purge/action",
            "Microsoft.KeyVault/locations/operationResults/read",
        ],
        not_actions: NONE,
        data_actions: NONE,
        grants: None,
    },
    BuiltInRole {
        id: uuid!("14b46e9e-c2b7-41b4-b07b-48a6ebf60603"),
        name: "Key Vault Crypto Officer",
        description: "Does everything with the keys of a vault.",
        actions: VAULT_METADATA,
        not_actions: NONE,
        data_actions: &["Microsoft.KeyVault/vaults/keys/*", "Microsoft.KeyVault/vaults/keyrotationpolicies/*"],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("12338af0-0e69-4776-bea7-57ae8d297424"),
        name: "Key Vault Crypto User",
        description: "Does cryptography with the keys of a vault.",
        actions: NONE,
        not_actions: NONE,
        data_actions: &[
            "Microsoft.KeyVault/vaults/keys/read",
            "Microsoft.KeyVault/vaults/keys/update/action",
            "Microsoft.KeyVault/vaults/keys/backup/action",
            "Microsoft.KeyVault/vaults/keys/encrypt/action",
            "Microsoft.KeyVault/vaults/keys/decrypt/action",
            "Microsoft.KeyVault/vaults/keys/wrap/action",
            "Microsoft.KeyVault/vaults/keys/unwrap/action",
            "Microsoft.KeyVault/vaults/keys/sign/action",
            "Microsoft.KeyVault/vaults/keys/verify/action",
        ],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("e147488a-f6f5-4113-8e2d-b22465e65bf6"),
        name: "Key Vault Crypto Service Encryption User",
        description: "Reads the metadata of keys, wraps and unwraps with them.",
        actions: &[
            "Microsoft.EventGrid/eventSubscriptions/write",
            "Microsoft.EventGrid/eventSubscriptions/read",
            "Microsoft.EventGrid/eventSubscriptions/delete",
        ],
        not_actions: NONE,
        data_actions: &[
            "Microsoft.KeyVault/vaults/keys/read",
            "Microsoft.KeyVault/vaults/keys/wrap/action",
            "Microsoft.KeyVault/vaults/keys/unwrap/action",
        ],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("08bbd89e-9f13-488c-ac41-acfcb10c90ab"),
        name: "Key Vault Crypto Service Release User",
        description: "Releases keys to attested environments.",
        actions: NONE,
        not_actions: NONE,
        data_actions: &["Microsoft.KeyVault/vaults/keys/release/action"],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
        name: "Key Vault Secrets Officer",
        description: "Does everything with the secrets of a vault.",
        actions: VAULT_METADATA,
        not_actions: NONE,
        data_actions: &["Microsoft.KeyVault/vaults/secrets/*"],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("4633458b-17de-408a-b874-0445c86b69e6"),
        name: "Key Vault Secrets User",
        description: "Reads the values of secrets.",
        actions: NONE,
        not_actions: NONE,
        data_actions: &[
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("a4417e6f-fecd-4de8-b567-7b0420556985"),
        name: "Key Vault Certificates Officer",
        description: "Does everything with the certificates of a vault.",
        actions: VAULT_METADATA,
        not_actions: NONE,
        data_actions: &[
            "Microsoft.KeyVault/vaults/certificatecas/*",
            "Microsoft.KeyVault/vaults/certificates/*",
            "Microsoft.KeyVault/vaults/certificatecontacts/write",
        ],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("db79e9a7-68ee-4b58-9aeb-b90e7c24fcba"),
        name: "Key Vault Certificate User",
        description: "Reads certificates with their keys.",
        actions: NONE,
        not_actions: NONE,
        data_actions: &[
            "Microsoft.KeyVault/vaults/certificates/read",
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            "Microsoft.KeyVault/vaults/keys/read",
        ],
        grants: None,
    },
    BuiltInRole {
        id: uuid!("8b54135c-b56d-4d72-a534-26097cfdc8d8"),
        name: "Key Vault Data Access Administrator",
        description: "Assigns the vault roles, and no others.",
        actions: &[
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/subscriptions/read",
            "Microsoft.Management/managementGroups/read",
            "Microsoft.Support/*",
            "Microsoft.KeyVault/vaults/*/read",
        ],
        not_actions: NONE,
        data_actions: NONE,
        grants: Some(VAULT_DATA_ROLES),
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::pools::Action;

    fn allowed(name: &str) -> BTreeSet<&'static str> {
        let role = BUILT_IN_ROLES.iter().find(|role| role.name == name).unwrap().definition();
        Action::ALL.iter().map(|action| action.as_str()).filter(|action| role.allows(action)).collect()
    }

    #[test]
    fn ids_and_names_are_unique_and_what_may_be_granted_exists() {
        let ids: BTreeSet<_> = BUILT_IN_ROLES.iter().map(|role| role.id).collect();
        let names: BTreeSet<_> = BUILT_IN_ROLES.iter().map(|role| role.name).collect();
        assert_eq!((ids.len(), names.len()), (BUILT_IN_ROLES.len(), BUILT_IN_ROLES.len()));
        assert!(VAULT_DATA_ROLES.iter().all(|id| ids.contains(id)));
    }

    #[test]
    fn an_owner_may_everything_and_a_contributor_everything_but_roles() {
        let all: BTreeSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(allowed("Owner"), all);
        let missing: BTreeSet<_> = all.difference(&allowed("Contributor")).copied().collect();
        let roles = [
            "Microsoft.Authorization/roleAssignments/delete",
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleDefinitions/delete",
            "Microsoft.Authorization/roleDefinitions/write",
        ];
        assert_eq!(missing, BTreeSet::from(roles));
    }

    #[test]
    fn a_reader_changes_nothing() {
        assert!(allowed("Reader").iter().all(|action| action.ends_with("/read")));
        assert!(allowed("Reader").contains("Microsoft.KeyVault/managedHSMs/read"));
    }

    #[test]
    fn a_vault_contributor_manages_no_managed_hsm() {
        let actions = allowed("Key Vault Contributor");
        assert!(!actions.iter().any(|action| action.starts_with("Microsoft.KeyVault/managedHSMs/")));
        assert!(actions.contains("Microsoft.KeyVault/vaults/read"));
    }

    #[test]
    fn a_managed_hsm_contributor_manages_hsms_and_nothing_else() {
        let actions = allowed("Managed HSM contributor");
        assert!(actions.contains("Microsoft.KeyVault/managedHSMs/write"));
        assert!(actions.contains("Microsoft.KeyVault/locations/deletedManagedHsms/purge/action"));
        assert!(actions.iter().all(|action| action.starts_with("Microsoft.KeyVault/")), "{actions:?}");
    }
}
