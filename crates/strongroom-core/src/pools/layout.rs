//! Where the records of the management plane lie in the store. Names are folded before they come here.
//!
//! ```text
//! d/guard                                        version and digest of all Azure role assignments and custom roles
//! d/subscription/<guid>
//! d/group/<subscription>/<name>                  resource groups
//! d/user-assigned-identity/<subscription>/<group>/<name>
//! d/storage-account/<name>                       names are global
//! d/azure-role/assignment/<guid>
//! d/azure-role/definition/<guid>                 custom roles; the built-in ones are a table
//! d/virtual-network/<name>                       names are unique in the deployment
//! d/private-endpoint/<subscription>/<group>/<name>
//! d/purged-vault/<instance>                      purged vaults whose keys a job removes
//! d/operation/<guid>                             long-running operations that are not finished
//! d/operation-result/<guid>                      finished ones, kept for a while
//! ```

use strongroom_types::InstanceId;
use uuid::Uuid;

/// The management guard.
pub(crate) const GUARD: &str = "d/guard";

/// Prefix of subscriptions.
pub(super) const SUBSCRIPTIONS: &str = "d/subscription/";

/// A subscription.
pub(super) fn subscription(id: Uuid) -> String {
    format!("{SUBSCRIPTIONS}{id}")
}

/// Prefix of a subscription's resource groups.
pub(super) fn resource_groups(subscription: Uuid) -> String {
    format!("d/group/{subscription}/")
}

/// A resource group.
pub(super) fn resource_group(subscription: Uuid, folded_name: &str) -> String {
    format!("{}{folded_name}", resource_groups(subscription))
}

/// Prefix of a subscription's user-assigned identities.
pub(super) fn identities(subscription: Uuid) -> String {
    format!("d/user-assigned-identity/{subscription}/")
}

/// Prefix of a group's user-assigned identities.
pub(super) fn group_identities(subscription: Uuid, folded_group: &str) -> String {
    format!("{}{folded_group}/", identities(subscription))
}

/// A user-assigned identity.
pub(super) fn identity(subscription: Uuid, folded_group: &str, folded_name: &str) -> String {
    format!("{}{folded_name}", group_identities(subscription, folded_group))
}

/// Prefix of storage accounts.
pub(super) const STORAGE_ACCOUNTS: &str = "d/storage-account/";

/// A storage account.
pub(super) fn storage_account(name: &str) -> String {
    format!("{STORAGE_ACCOUNTS}{name}")
}

/// Prefix of virtual networks.
pub(super) const VIRTUAL_NETWORKS: &str = "d/virtual-network/";

/// A virtual network.
pub(super) fn virtual_network(folded_name: &str) -> String {
    format!("{VIRTUAL_NETWORKS}{folded_name}")
}

/// Prefix of private endpoints.
pub(super) const PRIVATE_ENDPOINTS: &str = "d/private-endpoint/";

/// Prefix of a subscription's private endpoints.
pub(super) fn private_endpoints(subscription: Uuid) -> String {
    format!("{PRIVATE_ENDPOINTS}{subscription}/")
}

/// A private endpoint.
pub(super) fn private_endpoint(subscription: Uuid, folded_group: &str, folded_name: &str) -> String {
    format!("{}{folded_group}/{folded_name}", private_endpoints(subscription))
}

/// Prefix of Azure role assignments.
pub(super) const ROLE_ASSIGNMENTS: &str = "d/azure-role/assignment/";

/// An Azure role assignment.
pub(super) fn role_assignment(name: Uuid) -> String {
    format!("{ROLE_ASSIGNMENTS}{name}")
}

/// Prefix of custom role definitions.
pub(super) const ROLE_DEFINITIONS: &str = "d/azure-role/definition/";

/// A custom role definition.
pub(super) fn role_definition(id: Uuid) -> String {
    format!("{ROLE_DEFINITIONS}{id}")
}

/// Prefix of purged vaults.
pub(super) const PURGED_VAULTS: &str = "d/purged-vault/";

/// A purged vault.
pub(super) fn purged_vault(instance: InstanceId) -> String {
    format!("{PURGED_VAULTS}{instance}")
}

/// Prefix of operations that are not finished.
pub(super) const OPERATIONS: &str = "d/operation/";

/// An operation that is not finished.
pub(super) fn operation(id: Uuid) -> String {
    format!("{OPERATIONS}{id}")
}

/// Prefix of finished operations.
pub(super) const OPERATION_RESULTS: &str = "d/operation-result/";

/// A finished operation.
pub(super) fn operation_result(id: Uuid) -> String {
    format!("{OPERATION_RESULTS}{id}")
}
