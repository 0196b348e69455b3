//! User-assigned managed identities.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::pools::{IdentitySpecification, Permit, UserAssignedIdentity};

use crate::arm::Call;
use crate::arm::error::ArmError;
use crate::arm::wire::{self, TagsBody, list_of};
use crate::http::exchange::{Outbound, json as answer};

#[derive(Deserialize)]
struct Body {
    location: Option<String>,
    tags: Option<TagsBody>,
}

/// `GET …/userAssignedIdentities` of a subscription.
pub(super) async fn list(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let identities = call.arm.pools.identities(permit, call.place.subscription()?, None).await?;
    Ok(list_of(identities.iter().map(identity).collect()))
}

/// `GET …/userAssignedIdentities` of a group.
pub(super) async fn list_of_group(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let group = call.place.group()?;
    let identities = call.arm.pools.identities(permit, call.place.subscription()?, Some(&group)).await?;
    Ok(list_of(identities.iter().map(identity).collect()))
}

/// `GET …/userAssignedIdentities/{name}`.
pub(super) async fn get(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (subscription, group, name) = (call.place.subscription()?, call.place.group()?, call.place.identity()?);
    let found = call.arm.pools.identity(permit, subscription, &group, &name).await?;
    Ok(answer(StatusCode::OK, &identity(&found)))
}

/// `PUT …/userAssignedIdentities/{name}`: 201 if it is new.
pub(super) async fn put(call: &mut Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let body: Body = wire::body(call.inbound)?;
    let specification =
        IdentitySpecification { location: wire::location(body.location)?, tags: wire::tags(body.tags)? };
    let (subscription, group, name) = (call.place.subscription()?, call.place.group()?, call.place.identity()?);
    let there = call.arm.pools.identity_is_there(permit, subscription, &group, &name).await?;
    call.request.context.success_status = if there { 200 } else { 201 };
    let written = call.arm.pools.put_identity(call.request, permit, subscription, &group, &name, specification).await?;
    Ok(wire::written(&written, identity))
}

/// `DELETE …/userAssignedIdentities/{name}`: 204 if there was none.
pub(super) async fn delete(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (subscription, group, name) = (call.place.subscription()?, call.place.group()?, call.place.identity()?);
    let removed = call.arm.pools.delete_identity(call.request, permit, subscription, &group, &name).await?;
    Ok(wire::removed(removed))
}

fn identity(identity: &UserAssignedIdentity) -> Value {
    let properties = json!({
        "tenantId": identity.tenant,
        "principalId": identity.principal,
        "clientId": identity.client_id,
    });
    wire::with_members(wire::identity_resource(identity), json!({"properties": properties}))
}
