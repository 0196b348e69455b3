//! Resource groups.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::pools::{GroupSpecification, Permit, ResourceGroup};

use crate::arm::Call;
use crate::arm::error::ArmError;
use crate::arm::wire::{self, TagsBody, list_of};
use crate::http::exchange::{Outbound, empty, json as answer};

#[derive(Deserialize)]
struct Body {
    location: Option<String>,
    tags: Option<TagsBody>,
}

/// `GET …/resourceGroups`.
pub(super) async fn list(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let groups = call.arm.pools.groups(permit, call.place.subscription()?).await?;
    Ok(list_of(groups.iter().map(group).collect()))
}

/// `GET …/resourceGroups/{group}`.
pub(super) async fn get(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let found = call.arm.pools.group(permit, call.place.subscription()?, &call.place.group()?).await?;
    Ok(answer(StatusCode::OK, &group(&found)))
}

/// `HEAD …/resourceGroups/{group}`: 204 if it is there.
pub(super) async fn head(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    call.arm.pools.group(permit, call.place.subscription()?, &call.place.group()?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `PUT …/resourceGroups/{group}`: 201 if it is new.
pub(super) async fn put(call: &mut Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let body: Body = wire::body(call.inbound)?;
    let specification = GroupSpecification { location: wire::location(body.location)?, tags: wire::tags(body.tags)? };
    let (subscription, name) = (call.place.subscription()?, call.place.group()?);
    let there = call.arm.pools.group_is_there(permit, subscription, &name).await?;
    call.request.context.success_status = if there { 200 } else { 201 };
    let written = call.arm.pools.put_group(call.request, permit, subscription, &name, specification).await?;
    Ok(wire::written(&written, group))
}

/// `DELETE …/resourceGroups/{group}`: only an empty one goes.
pub(super) async fn delete(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (subscription, name) = (call.place.subscription()?, call.place.group()?);
    call.arm.pools.delete_group(call.request, permit, subscription, &name).await?;
    Ok(empty(StatusCode::OK))
}

fn group(group: &ResourceGroup) -> Value {
    json!({
        "id": group.scope().as_str(),
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "tags": group.tags,
        "properties": {"provisioningState": "Succeeded"},
    })
}
