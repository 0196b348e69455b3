//! Federated credentials of user-assigned identities.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::identity::FederatedSpecification;
use strongroom_core::identity::record::FederatedCredential;
use strongroom_core::pools::{IdentityId, Permit};

use crate::arm::Call;
use crate::arm::error::ArmError;
use crate::arm::wire::{self, list_of};
use crate::http::exchange::{Outbound, json as answer};

#[derive(Deserialize)]
struct Body {
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    issuer: Option<String>,
    subject: Option<String>,
    audiences: Option<Vec<String>>,
    claims_matching_expression: Option<Value>,
}

/// `GET …/federatedIdentityCredentials`.
pub(super) async fn list(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let id = call.place.identity_id()?;
    let all = call.arm.pools.federated_credentials(permit, &id).await?;
    Ok(list_of(all.iter().map(|found| credential(&id, found)).collect()))
}

/// `GET …/federatedIdentityCredentials/{name}`.
pub(super) async fn get(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let id = call.place.identity_id()?;
    let found = call.arm.pools.federated_credential(permit, &id, call.place.federated()?).await?;
    Ok(answer(StatusCode::OK, &credential(&id, &found)))
}

/// `PUT …/federatedIdentityCredentials/{name}`: 201 if it is new.
pub(super) async fn put(call: &mut Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let Body { properties } = wire::body(call.inbound)?;
    let Properties { issuer, subject, audiences, claims_matching_expression } = properties;
    if claims_matching_expression.is_some() {
        let problem = "expressions over claims are not supported; use subject";
        return Err(strongroom_core::pools::Error::bad_property("properties.claimsMatchingExpression", problem).into());
    }
    let (id, name) = (call.place.identity_id()?, call.place.federated()?);
    let text = Option::unwrap_or_default;
    let specification =
        FederatedSpecification::new(name, &text(issuer), &text(subject), &audiences.unwrap_or_default())
            .map_err(strongroom_core::pools::Error::from)?;
    let there = call.arm.pools.federated_credential_is_there(permit, &id, name).await?;
    call.request.context.success_status = if there { 200 } else { 201 };
    let written = call.arm.pools.put_federated_credential(call.request, permit, &id, &specification).await?;
    let status = if written.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, &credential(&id, &written.credential)))
}

/// `DELETE …/federatedIdentityCredentials/{name}`: 204 if there was none.
pub(super) async fn delete(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let id = call.place.identity_id()?;
    let name = call.place.federated()?;
    let removed = call.arm.pools.delete_federated_credential(call.request, permit, &id, name).await?;
    Ok(wire::removed(removed))
}

fn credential(identity: &IdentityId, credential: &FederatedCredential) -> Value {
    // What Azure Resource Manager has no member for stays in the directory: its id and description.
    let FederatedCredential { id: _, name, issuer, subject, audience, description: _ } = credential;
    json!({
        "id": identity.credential_scope(name).as_str(),
        "name": name,
        "type": IdentityId::CREDENTIAL_TYPE,
        "properties": {"issuer": issuer, "subject": subject, "audiences": [audience]},
    })
}
