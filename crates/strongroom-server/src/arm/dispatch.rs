//! From a row of the table to its handler.

use strongroom_core::pools::{Permit, Reach};
use strongroom_core::request::Request;
use strongroom_core::retry::ATTEMPTS_MAX;

use crate::arm::error::ArmError;
use crate::arm::operations::{Access, Operation, OperationId as Id, Place};
use crate::arm::{
    Arm, Call, federated, groups, hsms, identities, keys, networks, private_links, roles, storage, subscriptions,
    vaults,
};
use crate::http::exchange::{Inbound, Outbound};

/// Does an operation. What lost a race is authorized again from the start (protocols.md §4).
pub(super) async fn perform(
    arm: &Arm,
    inbound: &Inbound,
    request: &mut Request,
    row: &'static Operation,
    place: &Place,
) -> Result<Outbound, ArmError> {
    let mut attempts_left = ATTEMPTS_MAX;
    loop {
        let mut call = Call { arm, inbound, request: &mut *request, place };
        match attempt(&mut call, row).await {
            Err(error) if error.is_conflict() && attempts_left > 1 => attempts_left -= 1,
            other => return other,
        }
    }
}

async fn attempt(call: &mut Call<'_>, row: &'static Operation) -> Result<Outbound, ArmError> {
    let (action, target, reach) = match row.access {
        Access::Anybody => return open(call, row.id).await,
        Access::On(action, target) => (action, target, Reach::Scope),
        Access::Within(action, target) => (action, target, Reach::ScopeOrBelow),
    };
    let scope = call.place.scope(target)?;
    let permit = call.arm.pools.authorize(call.request, action, &scope, reach).await?;
    permitted(call, &permit, row.id).await
}

/// The operations that need no right.
async fn open(call: &Call<'_>, id: Id) -> Result<Outbound, ArmError> {
    match id {
        Id::ListTenants => subscriptions::tenants(call),
        Id::ListSubscriptions => subscriptions::list(call).await,
        _ => Err(strongroom_core::Error::Internal("an operation without an action").into()),
    }
}

async fn permitted(call: &mut Call<'_>, permit: &Permit, id: Id) -> Result<Outbound, ArmError> {
    match id {
        Id::ListTenants | Id::ListSubscriptions => open(call, id).await,
        Id::GetSubscription => subscriptions::get(call, permit).await,
        Id::ListLocations => subscriptions::locations(call),
        Id::ListProviders => subscriptions::providers(call),
        Id::GetProvider => subscriptions::provider(call),
        Id::RegisterKeyVault => subscriptions::registered(call, "Microsoft.KeyVault"),
        Id::RegisterNetwork => subscriptions::registered(call, "Microsoft.Network"),
        Id::RegisterManagedIdentity => subscriptions::registered(call, "Microsoft.ManagedIdentity"),
        Id::RegisterStorage => subscriptions::registered(call, "Microsoft.Storage"),
        Id::ListResources => subscriptions::resources(call, permit).await,
        Id::ListGroups => groups::list(call, permit).await,
        Id::GetGroup => groups::get(call, permit).await,
        Id::HeadGroup => groups::head(call, permit).await,
        Id::PutGroup => groups::put(call, permit).await,
        Id::DeleteGroup => groups::delete(call, permit).await,
        Id::ListHsms => hsms::list(call, permit).await,
        Id::ListHsmsOfGroup => hsms::list_of_group(call, permit).await,
        Id::GetHsm => hsms::get(call, permit).await,
        Id::PutHsm => hsms::put(call, permit).await,
        Id::PatchHsm => hsms::patch(call, permit).await,
        Id::DeleteHsm => hsms::delete(call, permit).await,
        Id::ListRegions => hsms::regions(call, permit).await,
        Id::ListHsmKeys => keys::list(call, permit).await,
        Id::GetHsmKey => keys::get(call, permit).await,
        Id::PutHsmKey => keys::put(call, permit).await,
        Id::ListHsmKeyVersions => keys::list_versions(call, permit).await,
        Id::GetHsmKeyVersion => keys::get_version(call, permit).await,
        Id::CheckHsmName => hsms::check_name(call, permit).await,
        Id::ListDeletedHsms => hsms::list_deleted(call, permit).await,
        Id::GetDeletedHsm => hsms::get_deleted(call, permit).await,
        Id::PurgeHsm => hsms::purge(call, permit).await,
        Id::GetHsmOperation => hsms::operation(call, permit).await,
        Id::ListVaults => vaults::list(call, permit).await,
        Id::ListVaultsOfGroup => vaults::list_of_group(call, permit).await,
        Id::GetVault => vaults::get(call, permit).await,
        Id::PutVault => vaults::put(call, permit).await,
        Id::PatchVault => vaults::patch(call, permit).await,
        Id::DeleteVault => vaults::delete(call, permit).await,
        Id::PutVaultPolicies => vaults::put_policies(call, permit).await,
        Id::CheckVaultName => vaults::check_name(call, permit).await,
        Id::ListDeletedVaults => vaults::list_deleted(call, permit).await,
        Id::GetDeletedVault => vaults::get_deleted(call, permit).await,
        Id::PurgeVault => vaults::purge(call, permit).await,
        Id::ListStorageAccounts => storage::list(call, permit).await,
        Id::ListStorageAccountsOfGroup => storage::list_of_group(call, permit).await,
        Id::GetStorageAccount => storage::get(call, permit).await,
        Id::PutStorageAccount => storage::put(call, permit).await,
        Id::PatchStorageAccount => storage::patch(call, permit).await,
        Id::ListStorageAccountKeys => storage::list_keys(call, permit).await,
        Id::DeleteStorageAccount => storage::delete(call, permit).await,
        Id::CheckStorageAccountName => storage::check_name(call, permit).await,
        Id::ListRoleDefinitions => roles::list_definitions(call, permit),
        Id::GetRoleDefinition => roles::get_definition(call, permit),
        Id::PutRoleDefinition => roles::put_definition(call, permit).await,
        Id::DeleteRoleDefinition => roles::delete_definition(call, permit).await,
        Id::ListRoleAssignments => roles::list_assignments(call, permit).await,
        Id::GetRoleAssignment => roles::get_assignment(call, permit),
        Id::PutRoleAssignment => roles::put_assignment(call, permit).await,
        Id::DeleteRoleAssignment => roles::delete_assignment(call, permit).await,
        _ => identified(call, permit, id).await,
    }
}

/// The operations of `Microsoft.ManagedIdentity`.
async fn identified(call: &mut Call<'_>, permit: &Permit, id: Id) -> Result<Outbound, ArmError> {
    match id {
        Id::ListIdentities => identities::list(call, permit).await,
        Id::ListIdentitiesOfGroup => identities::list_of_group(call, permit).await,
        Id::GetIdentity => identities::get(call, permit).await,
        Id::PutIdentity => identities::put(call, permit).await,
        Id::DeleteIdentity => identities::delete(call, permit).await,
        Id::ListFederatedCredentials => federated::list(call, permit).await,
        Id::GetFederatedCredential => federated::get(call, permit).await,
        Id::PutFederatedCredential => federated::put(call, permit).await,
        Id::DeleteFederatedCredential => federated::delete(call, permit).await,
        _ => networked(call, permit, id).await,
    }
}

/// The operations of `Microsoft.Network`, and the other ends of private endpoints.
async fn networked(call: &mut Call<'_>, permit: &Permit, id: Id) -> Result<Outbound, ArmError> {
    match id {
        Id::ListPrivateLinkResources => hsms::private_link_resources(call, permit).await,
        Id::ListPrivateEndpointConnections => private_links::connections(call, permit, &hsms::link(call)?).await,
        Id::GetHsmConnection => private_links::get_connection(call, permit, &hsms::link(call)?).await,
        Id::PutHsmConnection => private_links::put_connection(call, permit, &hsms::link(call)?).await,
        Id::DeleteHsmConnection => private_links::delete_connection(call, permit, &hsms::link(call)?).await,
        Id::ListVaultPrivateLinkResources => vaults::private_link_resources(call, permit).await,
        Id::ListVaultConnections => private_links::connections(call, permit, &vaults::link(call)?).await,
        Id::GetVaultConnection => private_links::get_connection(call, permit, &vaults::link(call)?).await,
        Id::PutVaultConnection => private_links::put_connection(call, permit, &vaults::link(call)?).await,
        Id::DeleteVaultConnection => private_links::delete_connection(call, permit, &vaults::link(call)?).await,
        Id::ListVirtualNetworks => networks::list(call, permit).await,
        Id::ListVirtualNetworksOfGroup => networks::list_of_group(call, permit).await,
        Id::GetVirtualNetwork => networks::get(call, permit).await,
        Id::PutVirtualNetwork => networks::put(call, permit).await,
        Id::DeleteVirtualNetwork => networks::delete(call, permit).await,
        Id::ListSubnets => networks::list_subnets(call, permit).await,
        Id::GetSubnet => networks::get_subnet(call, permit).await,
        Id::PutSubnet => networks::put_subnet(call, permit).await,
        Id::DeleteSubnet => networks::delete_subnet(call, permit).await,
        Id::ListPrivateEndpoints => private_links::list(call, permit).await,
        Id::ListPrivateEndpointsOfGroup => private_links::list_of_group(call, permit).await,
        Id::GetPrivateEndpoint => private_links::get(call, permit).await,
        Id::PutPrivateEndpoint => private_links::put(call, permit).await,
        Id::DeletePrivateEndpoint => private_links::delete(call, permit).await,
        _ => Err(strongroom_core::Error::Internal("an operation without a handler").into()),
    }
}
