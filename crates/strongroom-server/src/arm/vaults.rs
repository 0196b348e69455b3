//! Vaults (management-plane.md §8).

mod wire;

use http::StatusCode;
use strongroom_core::pools::{Action, LinkTarget, Permit, PolicyChange, VaultPlan, VaultView};

use crate::arm::error::ArmError;
use crate::arm::private_links::private_link_resource;
use crate::arm::vaults::wire::{PoliciesBody, VaultBody};
use crate::arm::wire::{self as wire_of_all, NameBody, body, list_of, name_availability, removed};
use crate::arm::{API_VERSION, Call};
use crate::http::exchange::{Outbound, empty, json as answer};

/// `GET …/vaults` of a subscription.
pub(super) async fn list(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let views = call.arm.pools.vaults(permit, call.place.subscription()?, None).await?;
    page(call, &views)
}

/// `GET …/vaults` of a group.
pub(super) async fn list_of_group(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let group = call.place.group()?;
    let views = call.arm.pools.vaults(permit, call.place.subscription()?, Some(&group)).await?;
    page(call, &views)
}

fn page(call: &Call<'_>, views: &[VaultView]) -> Result<Outbound, ArmError> {
    wire_of_all::page(call, views, |view| view.vault.name.folded(), |view| wire::vault(view, &call.arm.suffixes.vault))
}

/// `GET …/vaults/{name}`.
pub(super) async fn get(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let view = call.arm.pools.vault(permit, &call.place.vault()?).await?;
    Ok(shown(call, &view))
}

/// `PUT …/vaults/{name}`: makes, changes or recovers one. It is ready when this is answered.
pub(super) async fn put(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (mode, specification) = body::<VaultBody>(call.inbound)?.into_parts()?;
    let (pools, id) = (&call.arm.pools, call.place.vault()?);
    let view = match pools.plan_vault(permit, &id, mode).await? {
        VaultPlan::Create => {
            let version = call.inbound.query_parameter(API_VERSION).unwrap_or_default();
            let model = wire::default_model(&version);
            pools.create_vault(call.request, permit, &id, specification, model).await?
        }
        VaultPlan::Update(stored) => pools.update_vault(call.request, permit, &stored, specification).await?,
        VaultPlan::Recover(stored) => pools.recover_vault(call.request, permit, &stored).await?,
    };
    Ok(shown(call, &view))
}

/// `PATCH …/vaults/{name}`.
pub(super) async fn patch(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (_, specification) = body::<VaultBody>(call.inbound)?.into_parts()?;
    let stored = call.arm.pools.vault_to_patch(permit, &call.place.vault()?).await?;
    let view = call.arm.pools.update_vault(call.request, permit, &stored, specification).await?;
    Ok(shown(call, &view))
}

/// `DELETE …/vaults/{name}`: 204 if there is none.
pub(super) async fn delete(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    Ok(removed(call.arm.pools.delete_vault(call.request, permit, &call.place.vault()?).await?))
}

/// `PUT …/accessPolicies/{add|replace|remove}`.
pub(super) async fn put_policies(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let change = PolicyChange::parse(call.place.text("change")).ok_or(ArmError::RouteNotFound)?;
    let policies = body::<PoliciesBody>(call.inbound)?.into_policies()?;
    let view = call.arm.pools.change_policies(call.request, permit, &call.place.vault()?, change, policies).await?;
    Ok(answer(StatusCode::OK, &wire::policies(&view)))
}

/// `GET …/privateLinkResources`.
pub(super) async fn private_link_resources(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let action = Action::VaultPrivateLinkResourcesRead;
    call.arm.pools.vault_for(permit, action, &call.place.vault()?).await?;
    Ok(list_of(vec![private_link_resource(call.arm, &link(call)?)]))
}

/// The vault of the path, as private endpoints lead to it.
pub(super) fn link(call: &Call<'_>) -> Result<LinkTarget, ArmError> {
    Ok(LinkTarget::Vault(call.place.vault()?))
}

/// `POST …/checkNameAvailability`.
pub(super) async fn check_name(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let name = body::<NameBody>(call.inbound)?.name;
    let availability = call.arm.pools.check_vault_name(permit, call.place.subscription()?, &name).await?;
    Ok(name_availability(&availability, &wire::NAME_WORDS))
}

/// `GET …/deletedVaults`.
pub(super) async fn list_deleted(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let deleted = call.arm.pools.deleted_vaults(permit, call.place.subscription()?).await?;
    Ok(list_of(deleted.iter().map(wire::deleted_vault).collect()))
}

/// `GET …/locations/{location}/deletedVaults/{name}`.
pub(super) async fn get_deleted(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (subscription, location, name) = (call.place.subscription()?, call.place.location()?, call.place.vault_name()?);
    let deleted = call.arm.pools.deleted_vault(permit, subscription, &location, &name).await?;
    Ok(answer(StatusCode::OK, &wire::deleted_vault(&deleted)))
}

/// `POST …/deletedVaults/{name}/purge`: the name is free when this is answered.
pub(super) async fn purge(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (subscription, location, name) = (call.place.subscription()?, call.place.location()?, call.place.vault_name()?);
    call.arm.pools.purge_vault(call.request, permit, subscription, &location, &name).await?;
    Ok(empty(StatusCode::OK))
}

fn shown(call: &Call<'_>, view: &VaultView) -> Outbound {
    answer(StatusCode::OK, &wire::vault(view, &call.arm.suffixes.vault))
}
