//! Keys of a managed HSM as resources (management-plane.md §1): shown, and made where there are none.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::Error;
use strongroom_core::keys::{
    CreateKey, Key, KeyAttributes, KeyPage, KeyReference, PageRequest, PageToken, ReleaseTerms, Tags,
};
use strongroom_core::pools::Permit;
use strongroom_crypto::KeySpecification;
use strongroom_types::{KeyOperation, Protection, Timestamp};

use crate::arm::error::ArmError;
use crate::arm::wire::{TagsBody, body, list_of};
use crate::arm::{API_VERSION, Call};
use crate::data_plane::{ApiError, wire};
use crate::http::exchange::{Outbound, json as answer};

/// The body of PUT.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KeyBody {
    properties: Option<KeyProperties>,
    tags: Option<TagsBody>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct KeyProperties {
    attributes: Attributes,
    kty: Option<String>,
    key_ops: Option<Vec<String>>,
    key_size: Option<u32>,
    curve_name: Option<String>,
    rotation_policy: Option<Value>,
    #[serde(rename = "release_policy")]
    release_policy: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attributes {
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
    exportable: Option<bool>,
}

/// `GET …/managedHSMs/{name}/keys`.
pub(super) async fn list(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let page = call.arm.pools.hsm_keys(permit, &call.place.hsm()?, page(call)?).await?;
    shown(call, page, |key| resource(call, key))
}

/// `GET …/keys/{key}`.
pub(super) async fn get(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let key = call.arm.pools.hsm_key(permit, &call.place.hsm()?, &call.place.key()?).await?;
    Ok(answer(StatusCode::OK, &resource(call, &key)?))
}

/// `PUT …/keys/{key}`: makes one, or answers with the one that is there.
pub(super) async fn put(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let wanted = wanted(call, body(call.inbound)?)?;
    let (id, name) = (call.place.hsm()?, call.place.key()?);
    let key = call.arm.pools.create_hsm_key(permit, call.request, &id, &name, wanted).await?;
    Ok(answer(StatusCode::OK, &resource(call, &key)?))
}

/// `GET …/keys/{key}/versions`.
pub(super) async fn list_versions(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (id, name) = (call.place.hsm()?, call.place.key()?);
    let page = call.arm.pools.hsm_key_versions(permit, &id, &name, page(call)?).await?;
    shown(call, page, |key| version_resource(call, key))
}

/// `GET …/keys/{key}/versions/{version}`.
pub(super) async fn get_version(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let name = call.place.key()?;
    // What is no version at all names none that exists.
    let version =
        call.place.text("version").parse().map_err(|_| Error::KeyNotFound { name: name.clone(), version: None })?;
    let reference = KeyReference { name, version: Some(version) };
    let key = call.arm.pools.hsm_key_version(permit, &call.place.hsm()?, &reference).await?;
    Ok(answer(StatusCode::OK, &version_resource(call, &key)?))
}

fn wanted(call: &Call<'_>, body: KeyBody) -> Result<CreateKey, ArmError> {
    let properties = body.properties.ok_or_else(|| Error::bad_parameter("properties", "is required"))?;
    let KeyProperties { attributes, kty, key_ops, key_size, curve_name, rotation_policy, release_policy } = properties;
    let elsewhere = |parameter| Err(Error::bad_parameter(parameter, "is set on the data plane only").into());
    if rotation_policy.is_some() {
        return elsewhere("rotationPolicy");
    }
    if release_policy.is_some() || attributes.exportable.unwrap_or(false) {
        return elsewhere("release_policy");
    }
    let kty = kty.ok_or_else(|| Error::bad_parameter("kty", "is required"))?;
    Ok(CreateKey {
        protection: Protection::from_wire(&kty),
        specification: wire::specification(&kty, key_size, curve_name, None).map_err(core)?,
        operations: key_ops.map(wire::key_operations).transpose().map_err(core)?,
        attributes: KeyAttributes {
            enabled: attributes.enabled,
            not_before: attributes.nbf.map(Timestamp::from_seconds),
            expires: attributes.exp.map(Timestamp::from_seconds),
        },
        tags: Tags::new(body.tags.unwrap_or_default(), call.arm.pools.core().limits())?,
        release: ReleaseTerms::default(),
    })
}

/// What the data plane says of a key's parameters, said here.
fn core(error: ApiError) -> ArmError {
    match error {
        ApiError::Core(error) => error.into(),
        _ => ArmError::BodyNotValid("a member has the wrong type".to_owned()),
    }
}

fn page(call: &Call<'_>) -> Result<PageRequest, ArmError> {
    let token = call.inbound.query_parameter("$skiptoken").map(|text| text.parse::<PageToken>()).transpose();
    Ok(PageRequest::new(
        token.map_err(|_| ArmError::QueryNotValid("$skiptoken"))?,
        None,
        call.arm.pools.core().limits(),
    )?)
}

fn shown(
    call: &Call<'_>,
    page: KeyPage<Key>,
    show: impl Fn(&Key) -> Result<Value, ArmError>,
) -> Result<Outbound, ArmError> {
    let value: Vec<_> = page.entries.iter().map(show).collect::<Result<_, _>>()?;
    let Some(next) = page.next else { return Ok(list_of(value)) };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair(API_VERSION, &call.inbound.query_parameter(API_VERSION).unwrap_or_default())
        .append_pair("$skiptoken", &next.to_string())
        .finish();
    let next = format!("{}{}?{query}", call.inbound.base_url(), call.inbound.path());
    Ok(answer(StatusCode::OK, &json!({"value": value, "nextLink": next})))
}

fn resource(call: &Call<'_>, key: &Key) -> Result<Value, ArmError> {
    let id = call.place.hsm()?.key_scope(&key.name);
    Ok(json!({
        "id": id.as_str(),
        "name": key.name,
        "type": "Microsoft.KeyVault/managedHSMs/keys",
        "tags": key.tags.as_map(),
        "properties": properties(call, key)?,
    }))
}

fn version_resource(call: &Call<'_>, key: &Key) -> Result<Value, ArmError> {
    let id = call.place.hsm()?.key_scope(&key.name).child("versions", &key.version.to_string());
    Ok(json!({
        "id": id.as_str(),
        "name": key.version,
        "type": "Microsoft.KeyVault/managedHSMs/keys/versions",
        "tags": key.tags.as_map(),
        "properties": properties(call, key)?,
    }))
}

fn properties(call: &Call<'_>, key: &Key) -> Result<Value, ArmError> {
    let uri =
        format!("https://{}.{}/keys/{}", call.place.hsm()?.name.folded(), call.arm.suffixes.managed_hsm, key.name);
    let (size, curve) = match key.specification {
        KeySpecification::Rsa(size) => (Some(size.bits()), None),
        KeySpecification::Oct(size) => (Some(size.bits()), None),
        KeySpecification::Ec(curve) => (None, Some(curve.as_str())),
    };
    let mut attributes = json!({
        "created": key.created.seconds(),
        "enabled": key.enabled,
        "exportable": key.release.is_exportable(),
        "recoveryLevel": key.recovery_level.as_str(),
        "updated": key.updated.seconds(),
    });
    add(&mut attributes, "nbf", key.not_before.map(Timestamp::seconds));
    add(&mut attributes, "exp", key.expires.map(Timestamp::seconds));
    let mut properties = json!({
        "attributes": attributes,
        "keyOps": key.operations.iter().map(KeyOperation::as_str).collect::<Vec<_>>(),
        "keyUri": uri,
        "keyUriWithVersion": format!("{uri}/{}", key.version),
        "kty": key.key_type().as_str(),
    });
    add(&mut properties, "keySize", size);
    add(&mut properties, "curveName", curve);
    Ok(properties)
}

/// Adds a member that is absent where there is no value.
fn add<T: Into<Value>>(object: &mut Value, name: &str, value: Option<T>) {
    if let (Some(members), Some(value)) = (object.as_object_mut(), value) {
        members.insert(name.to_owned(), value.into());
    }
}
