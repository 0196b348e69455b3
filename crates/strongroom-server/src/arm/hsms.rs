//! Managed HSMs (management-plane.md §1 to §6, az-cli.md §4).

mod wire;

use http::{StatusCode, header};
use serde_json::json;
use strongroom_core::guard::HsmState;
use strongroom_core::pools::{Action, HsmId, HsmPlan, HsmView, LinkTarget, Operation, OperationState, Permit};

use crate::arm::error::ArmError;
use crate::arm::hsms::wire::HsmBody;
use crate::arm::private_links::private_link_resource;
use crate::arm::wire::{self as wire_of_all, NameBody, body, list_of, name_availability};
use crate::arm::{API_VERSION, Call};
use crate::http::exchange::{Outbound, empty, json as answer, with_header};

/// `GET …/managedHSMs` of a subscription.
pub(super) async fn list(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let views = call.arm.pools.hsms(permit, call.place.subscription()?, None).await?;
    page(call, &views)
}

/// `GET …/managedHSMs` of a group.
pub(super) async fn list_of_group(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let group = call.place.group()?;
    let views = call.arm.pools.hsms(permit, call.place.subscription()?, Some(&group)).await?;
    page(call, &views)
}

fn page(call: &Call<'_>, views: &[HsmView]) -> Result<Outbound, ArmError> {
    wire_of_all::page(
        call,
        views,
        |view| view.hsm.name.folded(),
        |view| wire::hsm(view, &call.arm.suffixes.managed_hsm),
    )
}

/// `GET …/managedHSMs/{name}`.
pub(super) async fn get(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let view = call.arm.pools.hsm(permit, &call.place.hsm()?).await?;
    Ok(shown(call, &view))
}

/// `PUT …/managedHSMs/{name}`: makes one (202), changes or recovers one (200).
pub(super) async fn put(call: &mut Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (mode, specification) = body::<HsmBody>(call.inbound)?.into_parts()?;
    let (pools, id) = (&call.arm.pools, call.place.hsm()?);
    let plan = pools.plan_hsm(permit, &id, mode).await?;
    let status = if matches!(plan, HsmPlan::Create) { StatusCode::ACCEPTED } else { StatusCode::OK };
    call.request.context.success_status = status.as_u16();
    match plan {
        HsmPlan::Create => {
            let (_, operation) = pools.create_hsm(call.request, permit, &id, specification).await?;
            Ok(accepted(call, &operation).await)
        }
        HsmPlan::Update(stored) => {
            let view = pools.update_hsm(call.request, permit, &stored, specification).await?;
            Ok(changed(call, view))
        }
        HsmPlan::Recover(stored) => {
            let view = pools.recover_hsm(call.request, permit, &stored).await?;
            Ok(changed(call, view))
        }
    }
}

/// `PATCH …/managedHSMs/{name}`.
pub(super) async fn patch(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (_, specification) = body::<HsmBody>(call.inbound)?.into_parts()?;
    let stored = call.arm.pools.hsm_to_patch(permit, &call.place.hsm()?).await?;
    let view = call.arm.pools.update_hsm(call.request, permit, &stored, specification).await?;
    Ok(changed(call, view))
}

/// `DELETE …/managedHSMs/{name}`: 204 if there is none.
pub(super) async fn delete(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    match call.arm.pools.delete_hsm(call.request, permit, &call.place.hsm()?).await? {
        Some(operation) => Ok(accepted(call, &operation).await),
        None => Ok(empty(StatusCode::NO_CONTENT)),
    }
}

/// `GET …/regions`: there is one.
pub(super) async fn regions(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let view = call.arm.pools.hsm(permit, &call.place.hsm()?).await?;
    let state = wire::provisioning_state(view.hsm.provisioning);
    Ok(list_of(vec![json!({"name": view.hsm.location, "provisioningState": state, "isPrimary": true})]))
}

/// `GET …/privateLinkResources`.
pub(super) async fn private_link_resources(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let action = Action::HsmPrivateLinkResourcesRead;
    call.arm.pools.hsm_for(permit, action, &call.place.hsm()?).await?;
    Ok(list_of(vec![private_link_resource(call.arm, &link(call)?)]))
}

/// The HSM of the path, as private endpoints lead to it.
pub(super) fn link(call: &Call<'_>) -> Result<LinkTarget, ArmError> {
    Ok(LinkTarget::ManagedHsm(call.place.hsm()?))
}

/// `POST …/checkMhsmNameAvailability`.
pub(super) async fn check_name(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let name = body::<NameBody>(call.inbound)?.name;
    let availability = call.arm.pools.check_hsm_name(permit, call.place.subscription()?, &name).await?;
    Ok(name_availability(&availability, &wire::NAME_WORDS))
}

/// `GET …/deletedManagedHSMs`.
pub(super) async fn list_deleted(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let deleted = call.arm.pools.deleted_hsms(permit, call.place.subscription()?).await?;
    Ok(list_of(deleted.iter().map(wire::deleted_hsm).collect()))
}

/// `GET …/locations/{location}/deletedManagedHSMs/{name}`.
pub(super) async fn get_deleted(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (subscription, location, name) = (call.place.subscription()?, call.place.location()?, call.place.hsm_name()?);
    let deleted = call.arm.pools.deleted_hsm(permit, subscription, &location, &name).await?;
    Ok(answer(StatusCode::OK, &wire::deleted_hsm(&deleted)))
}

/// `POST …/deletedManagedHSMs/{name}/purge`.
pub(super) async fn purge(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (subscription, location, name) = (call.place.subscription()?, call.place.location()?, call.place.hsm_name()?);
    let operation = call.arm.pools.purge_hsm(call.request, permit, subscription, &location, &name).await?;
    Ok(accepted(call, &operation).await)
}

/// `GET …/managedHsmOperationResults/{id}`: 202 until it is done, then 200 with the HSM that was made, or 204.
pub(super) async fn operation(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let id = call.place.guid("operation")?;
    let (operation, hsm) = call.arm.pools.operation(permit, call.place.subscription()?, id).await?;
    Ok(match (operation.state, operation.kind, hsm) {
        (OperationState::Running, _, _) => pending(call, &operation),
        (OperationState::Succeeded, strongroom_core::pools::OperationKind::Create, Some(view)) => shown(call, &view),
        (OperationState::Succeeded, _, _) => empty(StatusCode::NO_CONTENT),
    })
}

fn shown(call: &Call<'_>, view: &HsmView) -> Outbound {
    answer(StatusCode::OK, &wire::hsm(view, &call.arm.suffixes.managed_hsm))
}

/// After a change. Clients wait until it says Succeeded, and it is done: that the HSM waits for a security domain is for
/// GET to say.
fn changed(call: &Call<'_>, view: HsmView) -> Outbound {
    let state = view.state.map(|state| if state == HsmState::Recovering { HsmState::NotActivated } else { state });
    shown(call, &HsmView { state, sealed: false, ..view })
}

/// 202 for an operation that was just asked for. Its first step is done at once.
async fn accepted(call: &Call<'_>, operation: &Operation) -> Outbound {
    if operation.state == OperationState::Running {
        call.arm.begin(operation.id).await;
    }
    pending(call, operation)
}

/// 202 without a body, and where to ask next (management-plane.md §2).
fn pending(call: &Call<'_>, operation: &Operation) -> Outbound {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair(API_VERSION, &version(call)).finish();
    let HsmId { subscription, .. } = operation.hsm;
    let location = format!(
        "{}/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{}/managedHsmOperationResults/{}?{query}",
        call.inbound.base_url(),
        operation.location.normalized(),
        operation.id
    );
    let answer = with_header(empty(StatusCode::ACCEPTED), header::LOCATION.as_str(), &location);
    with_header(answer, header::RETRY_AFTER.as_str(), "1")
}

fn version(call: &Call<'_>) -> String {
    call.inbound.query_parameter(API_VERSION).unwrap_or_default().into_owned()
}
