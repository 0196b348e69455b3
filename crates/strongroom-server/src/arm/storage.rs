//! Storage accounts (az-cli.md §6): names over blob stores that lie elsewhere. What could only be set there is refused
//! here, so that nobody believes it to be set.

mod keys;
mod wire;

use http::{StatusCode, header};
use serde_json::json;
use strongroom_core::pools::{Permit, StorageAccountView};

use crate::arm::Call;
use crate::arm::error::ArmError;
use crate::arm::storage::wire::{AccountBody, account};
use crate::arm::wire::{NameBody, body, name_availability, page, removed};
use crate::http::exchange::{Outbound, json as answer, with_header};

pub use keys::{StorageKeyError, StorageKeys, shared_key_in};

/// `GET …/storageAccounts` of a subscription.
pub(super) async fn list(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let views = call.arm.pools.storage_accounts(permit, call.place.subscription()?, None).await?;
    paged(call, &views)
}

/// `GET …/storageAccounts` of a group.
pub(super) async fn list_of_group(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let group = call.place.group()?;
    let views = call.arm.pools.storage_accounts(permit, call.place.subscription()?, Some(&group)).await?;
    paged(call, &views)
}

fn paged(call: &Call<'_>, views: &[StorageAccountView]) -> Result<Outbound, ArmError> {
    page(call, views, |view| view.account.name.as_str(), account)
}

/// `GET …/storageAccounts/{name}`.
pub(super) async fn get(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let view = call.arm.pools.storage_account(permit, &call.place.storage_account()?).await?;
    Ok(answer(StatusCode::OK, &account(&view)))
}

/// `PUT …/storageAccounts/{name}`: 200, also if it is new; clients take no 201 (az-cli.md §6).
pub(super) async fn put(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let specification = body::<AccountBody>(call.inbound)?.into_specification()?;
    let id = call.place.storage_account()?;
    let written = call.arm.pools.put_storage_account(call.request, permit, &id, specification).await?;
    Ok(answer(StatusCode::OK, &account(&written.into_inner())))
}

/// `PATCH …/storageAccounts/{name}`.
pub(super) async fn patch(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let specification = body::<AccountBody>(call.inbound)?.into_specification()?;
    let id = call.place.storage_account()?;
    let view = call.arm.pools.patch_storage_account(call.request, permit, &id, specification).await?;
    Ok(answer(StatusCode::OK, &account(&view)))
}

/// `DELETE …/storageAccounts/{name}`: 204 if there is none. What lies in the blob store stays there.
pub(super) async fn delete(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let id = call.place.storage_account()?;
    Ok(removed(call.arm.pools.delete_storage_account(call.request, permit, &id).await?))
}

/// `POST …/storageAccounts/{name}/listKeys`. Clients expect two keys; there is one, under both names.
pub(super) async fn list_keys(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let view = call.arm.pools.storage_account_for_keys(permit, &call.place.storage_account()?).await?;
    let name = view.account.name;
    let key = call.arm.storage_keys.read(&name).await?;
    let key = key.ok_or_else(|| ArmError::StorageKeyNotConfigured(name.to_string()))?;
    let shown = |name: &str| json!({"keyName": name, "value": key.expose(), "permissions": "FULL"});
    let answer = answer(StatusCode::OK, &json!({"keys": [shown("key1"), shown("key2")]}));
    Ok(with_header(answer, header::CACHE_CONTROL.as_str(), "no-store"))
}

/// `POST …/checkNameAvailability`.
pub(super) async fn check_name(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let name = body::<NameBody>(call.inbound)?.name;
    let available = call.arm.pools.check_storage_account_name(permit, call.place.subscription()?, &name).await?;
    Ok(name_availability(&available, &wire::NAME_WORDS))
}
