//! Handlers of the key operations: extract, call, convert.

use http::StatusCode;
use strongroom_api::keys as api;
use strongroom_core::Error;
use strongroom_core::keys::{CipherInput, Encrypted, KeyPage, PageRequest};
use strongroom_types::Secret;

use super::wire::{self, binary, required, text};
use super::{ApiError, Call, import};
use crate::http::exchange::{Outbound, empty, json};

type Answer = Result<Outbound, ApiError>;

pub(super) async fn create(call: &Call<'_>) -> Answer {
    let name = wire::key_name(call)?;
    let wanted = wire::create_key(call, wire::body(&call.inbound.body)?)?;
    let key = call.keys.create_key(call.request, &name, wanted).await?;
    Ok(json(StatusCode::OK, &wire::key_bundle(call, &key)))
}

pub(super) async fn import(call: &Call<'_>) -> Answer {
    let name = wire::key_name(call)?;
    let wanted = import::import_key(call, wire::body(&call.inbound.body)?)?;
    let key = call.keys.import_key(call.request, &name, wanted).await?;
    Ok(json(StatusCode::OK, &wire::key_bundle(call, &key)))
}

pub(super) async fn get(call: &Call<'_>) -> Answer {
    let key = call.keys.key(call.request, &wire::key_reference(call)?).await?;
    Ok(json(StatusCode::OK, &wire::key_bundle(call, &key)))
}

pub(super) async fn list(call: &Call<'_>) -> Answer {
    let page = page_request(call)?;
    let limit = page.limit;
    let KeyPage { entries, next } = call.keys.keys(call.request, page).await?;
    let items = entries.iter().map(|key| wire::key_item(call, key)).collect();
    Ok(json(StatusCode::OK, &wire::page(call, items, next, limit)))
}

pub(super) async fn list_versions(call: &Call<'_>) -> Answer {
    let page = page_request(call)?;
    let limit = page.limit;
    let KeyPage { entries, next } = call.keys.key_versions(call.request, &wire::key_name(call)?, page).await?;
    let items = entries.iter().map(|key| wire::version_item(call, key)).collect();
    Ok(json(StatusCode::OK, &wire::page(call, items, next, limit)))
}

pub(super) async fn update(call: &Call<'_>) -> Answer {
    let change = wire::update_key(call, wire::body(&call.inbound.body)?)?;
    let key = call.keys.update_key(call.request, &wire::key_reference(call)?, &change).await?;
    Ok(json(StatusCode::OK, &wire::key_bundle(call, &key)))
}

pub(super) async fn delete(call: &Call<'_>) -> Answer {
    let deleted = call.keys.delete_key(call.request, &wire::key_name(call)?).await?;
    Ok(json(StatusCode::OK, &wire::deleted_key_bundle(call, &deleted)))
}

pub(super) async fn list_deleted(call: &Call<'_>) -> Answer {
    let page = page_request(call)?;
    let limit = page.limit;
    let KeyPage { entries, next } = call.keys.deleted_keys(call.request, page).await?;
    let items = entries.iter().map(|deleted| wire::deleted_key_item(call, deleted)).collect();
    Ok(json(StatusCode::OK, &wire::page(call, items, next, limit)))
}

pub(super) async fn get_deleted(call: &Call<'_>) -> Answer {
    let deleted = call.keys.deleted_key(call.request, &wire::key_name(call)?).await?;
    Ok(json(StatusCode::OK, &wire::deleted_key_bundle(call, &deleted)))
}

pub(super) async fn recover(call: &Call<'_>) -> Answer {
    let key = call.keys.recover_key(call.request, &wire::key_name(call)?).await?;
    Ok(json(StatusCode::OK, &wire::key_bundle(call, &key)))
}

pub(super) async fn purge(call: &Call<'_>) -> Answer {
    call.keys.purge_key(call.request, &wire::key_name(call)?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn back_up(call: &Call<'_>) -> Answer {
    let blob = call.keys.back_up_key(call.request, &wire::key_name(call)?).await?;
    Ok(json(StatusCode::OK, &api::BackupKeyResult { value: text(&blob) }))
}

pub(super) async fn restore(call: &Call<'_>) -> Answer {
    let parameters: api::KeyRestoreParameters = wire::body(&call.inbound.body)?;
    let blob = binary("value", &required("value", parameters.value)?)?;
    let key = call.keys.restore_key(call.request, &blob).await?;
    Ok(json(StatusCode::OK, &wire::key_bundle(call, &key)))
}

pub(super) async fn random(call: &Call<'_>) -> Answer {
    let asked: api::GetRandomBytesRequest = wire::body(&call.inbound.body)?;
    let count = usize::try_from(required("count", asked.count)?).unwrap_or(0);
    let bytes = call.hsm()?.random(call.request, count).await?;
    Ok(json(StatusCode::OK, &api::RandomBytes { value: text(&bytes) }))
}

pub(super) async fn sign(call: &Call<'_>) -> Answer {
    let parameters: api::KeyOperationsParameters = wire::body(&call.inbound.body)?;
    let algorithm = wire::algorithm(call, parameters.alg)?;
    let digest = binary("value", &required("value", parameters.value)?)?;
    let signed = call.keys.sign(call.request, &wire::key_reference(call)?, algorithm, digest).await?;
    let kid = wire::kid(call, &signed.key);
    let result = api::KeyOperationResult {
        aad: None,
        alg: algorithm.as_str(),
        iv: None,
        kid,
        tag: None,
        value: text(&signed.value),
    };
    Ok(json(StatusCode::OK, &result))
}

pub(super) async fn verify(call: &Call<'_>) -> Answer {
    let parameters: api::KeyVerifyParameters = wire::body(&call.inbound.body)?;
    let algorithm = wire::algorithm(call, parameters.alg)?;
    let digest = binary("digest", &required("digest", parameters.digest)?)?;
    let signature = binary("value", &required("value", parameters.value)?)?;
    let key = wire::key_reference(call)?;
    let value = call.keys.verify(call.request, &key, algorithm, digest, signature).await?;
    Ok(json(StatusCode::OK, &api::KeyVerifyResult { value }))
}

pub(super) async fn encrypt(call: &Call<'_>) -> Answer {
    let (alg, input) = cipher_input(call)?;
    let algorithm = wire::algorithm(call, alg)?;
    let aad = input.aad.as_deref().map(text);
    let made = call.keys.encrypt(call.request, &wire::key_reference(call)?, algorithm, input).await?;
    Ok(json(StatusCode::OK, &encrypted(call, algorithm.as_str(), made, aad)))
}

pub(super) async fn wrap(call: &Call<'_>) -> Answer {
    let (alg, input) = cipher_input(call)?;
    let algorithm = wire::algorithm(call, alg)?;
    let key = wire::key_reference(call)?;
    let made = call.keys.wrap_key(call.request, &key, algorithm, Secret::new(input.value)).await?;
    Ok(json(StatusCode::OK, &encrypted(call, algorithm.as_str(), made, None)))
}

pub(super) async fn decrypt(call: &Call<'_>) -> Answer {
    let (alg, input) = cipher_input(call)?;
    let algorithm = wire::algorithm(call, alg)?;
    let opened = call.keys.decrypt(call.request, &wire::key_reference(call)?, algorithm, input).await?;
    Ok(json(StatusCode::OK, &decrypted(wire::kid(call, &opened.key), algorithm.as_str(), opened.value.expose())))
}

pub(super) async fn unwrap(call: &Call<'_>) -> Answer {
    let (alg, input) = cipher_input(call)?;
    let algorithm = wire::algorithm(call, alg)?;
    let opened = call.keys.unwrap_key(call.request, &wire::key_reference(call)?, algorithm, input.value).await?;
    Ok(json(StatusCode::OK, &decrypted(wire::kid(call, &opened.key), algorithm.as_str(), opened.value.expose())))
}

fn cipher_input(call: &Call<'_>) -> Result<(Option<String>, CipherInput), ApiError> {
    let parameters: api::KeyOperationsParameters = wire::body(&call.inbound.body)?;
    let optional = |parameter, value: Option<String>| value.map(|text| binary(parameter, &text)).transpose();
    let input = CipherInput {
        value: binary("value", &required("value", parameters.value)?)?,
        iv: optional("iv", parameters.iv)?,
        tag: optional("tag", parameters.tag)?,
        aad: optional("aad", parameters.aad)?,
    };
    Ok((parameters.alg, input))
}

fn encrypted(call: &Call<'_>, alg: &'static str, made: Encrypted, aad: Option<String>) -> api::KeyOperationResult {
    let Encrypted { key, value, iv, tag } = made;
    api::KeyOperationResult {
        aad,
        alg,
        iv: iv.as_deref().map(text),
        kid: wire::kid(call, &key),
        tag: tag.as_deref().map(text),
        value: text(&value),
    }
}

fn decrypted(kid: String, alg: &'static str, value: &[u8]) -> api::KeyOperationResult {
    api::KeyOperationResult { aad: None, alg, iv: None, kid, tag: None, value: text(value) }
}

fn page_request(call: &Call<'_>) -> Result<PageRequest, ApiError> {
    let token = call.inbound.query_parameter("$skiptoken").map(|text| text.parse()).transpose();
    let token = token.map_err(wire::bad("$skiptoken"))?;
    let limit = call.inbound.query_parameter("maxresults").map(|text| text.parse::<usize>()).transpose();
    let limit = limit.map_err(|_| Error::bad_parameter("maxresults", "is not a number"))?;
    Ok(PageRequest::new(token, limit, call.keys.limits())?)
}
