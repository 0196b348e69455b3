//! From the wire to the core's types and back. Values that need no context are built by the types themselves.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;
use strongroom_api::keys as api;
use strongroom_api::path::Captures;
use strongroom_api::version::ApiVersion;
use strongroom_core::Error;
use strongroom_core::keys::{
    CreateKey, DeletedKey, Key, KeyAttributes, KeyIdentifier, KeyReference, PageToken, ReleasePolicy, ReleaseTerms,
    Tags, UpdateKey,
};
use strongroom_crypto::{KeySpecification, PublicKey};
use strongroom_types::{
    Algorithm, CurveName, KeyName, KeyOperation, KeyOperations, KeyType, ParseError, Protection, RsaSize,
    SymmetricSize, Timestamp,
};

use super::{ApiError, Call, Product};

/// Parses a JSON body. What is missing or of the wrong type is named; the content is not repeated.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "has a member of the wrong type",
            _ => "is not JSON",
        };
        ApiError::BadBody(format!("The request body {what} (line {}, column {})", error.line(), error.column()))
    })
}

/// The refusal of a parameter that does not parse.
pub(super) fn bad(parameter: &'static str) -> impl Fn(ParseError) -> ApiError {
    move |error| ApiError::Core(Error::bad_parameter(parameter, error.to_string()))
}

/// A member that must be there.
pub(super) fn required<T>(parameter: &'static str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::Core(Error::bad_parameter(parameter, "is required")))
}

/// Base64url, with or without padding (some clients send it).
pub(super) fn binary(parameter: &'static str, text: &str) -> Result<Vec<u8>, ApiError> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    LENIENT.decode(text).map_err(|_| ApiError::Core(Error::bad_parameter(parameter, "is not base64url")))
}

/// Base64url without padding.
pub(super) fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `alg`: one that the request's api-version has.
pub(super) fn algorithm(call: &Call<'_>, alg: Option<String>) -> Result<Algorithm, ApiError> {
    let algorithm = required("alg", alg)?.parse().map_err(bad("alg"))?;
    let since = ApiVersion::first_with(algorithm);
    if call.version < since {
        return Err(Error::bad_parameter("alg", format!("{algorithm} needs api-version {since} or later")).into());
    }
    Ok(algorithm)
}

/// The key name of the path.
pub(super) fn key_name(call: &Call<'_>) -> Result<KeyName, ApiError> {
    match &call.asked.key {
        Some(key) => Ok(key.name.clone()),
        None => name_of(&call.asked.captures),
    }
}

/// The key name and version of the path.
pub(super) fn key_reference(call: &Call<'_>) -> Result<KeyReference, ApiError> {
    match &call.asked.key {
        Some(key) => Ok(key.clone()),
        None => key_of(&call.asked.captures),
    }
}

/// The key name and version that a path names.
pub(super) fn key_of(captures: &Captures) -> Result<KeyReference, ApiError> {
    let name = name_of(captures)?;
    let version = match captures.get("key-version") {
        None => None,
        // What is no version at all names none that exists.
        Some(text) => Some(text.parse().map_err(|_| Error::KeyNotFound { name: name.clone(), version: None })?),
    };
    Ok(KeyReference { name, version })
}

fn name_of(captures: &Captures) -> Result<KeyName, ApiError> {
    captures.get("key-name").unwrap_or_default().parse().map_err(bad("key-name"))
}

/// What is asked of a new key.
pub(super) fn create_key(call: &Call<'_>, parameters: api::KeyCreateParameters) -> Result<CreateKey, ApiError> {
    let api::KeyCreateParameters { kty, key_size, crv, public_exponent, key_ops, attributes, tags, release_policy } =
        parameters;
    let kty = required("kty", kty)?;
    Ok(CreateKey {
        protection: Protection::from_wire(&kty),
        specification: specification(&kty, key_size, crv, public_exponent)?,
        operations: key_ops.map(key_operations).transpose()?,
        release: release_terms(release_policy, attributes.as_ref())?,
        attributes: key_attributes(attributes)?,
        tags: Tags::new(tags.unwrap_or_default(), call.keys.limits())?,
    })
}

/// What is to change of a key.
pub(super) fn update_key(call: &Call<'_>, parameters: api::KeyUpdateParameters) -> Result<UpdateKey, ApiError> {
    let api::KeyUpdateParameters { key_ops, attributes, tags, release_policy } = parameters;
    Ok(UpdateKey {
        operations: key_ops.map(key_operations).transpose()?,
        release: release_terms(release_policy, attributes.as_ref())?,
        attributes: key_attributes(attributes)?,
        tags: tags.map(|tags| Tags::new(tags, call.keys.limits())).transpose()?,
    })
}

/// What a body says about release: `attributes.exportable` and `release_policy`.
pub(super) fn release_terms(
    policy: Option<api::KeyReleasePolicy>,
    attributes: Option<&api::KeyAttributesParameters>,
) -> Result<ReleaseTerms, ApiError> {
    let parse = |policy: api::KeyReleasePolicy| -> Result<ReleasePolicy, ApiError> {
        let api::KeyReleasePolicy { content_type, data, immutable } = policy;
        let data = binary("release_policy", &required("release_policy", data)?)?;
        Ok(ReleasePolicy::new(content_type, immutable.unwrap_or(false), &data)?)
    };
    Ok(ReleaseTerms {
        exportable: attributes.and_then(|attributes| attributes.exportable),
        policy: policy.map(parse).transpose()?,
    })
}

/// Type and size of a new key.
pub(crate) fn specification(
    kty: &str,
    key_size: Option<u32>,
    crv: Option<String>,
    public_exponent: Option<u64>,
) -> Result<KeySpecification, ApiError> {
    let key_type = KeyType::from_wire(kty).map_err(bad("kty"))?;
    // Clients send 0 for "not given".
    let (key_size, public_exponent) = (key_size.filter(|it| *it != 0), public_exponent.filter(|it| *it != 0));
    if let Some(exponent) = public_exponent.filter(|exponent| *exponent != u64::from(RSA_EXPONENT)) {
        let problem = format!("only {RSA_EXPONENT} is supported by this release, not {exponent}");
        return Err(Error::bad_parameter("public_exponent", problem).into());
    }
    match key_type {
        KeyType::RsaHsm => {
            let size = key_size.map_or(Ok(RsaSize::Bits2048), RsaSize::try_from).map_err(bad("key_size"))?;
            Ok(KeySpecification::Rsa(size))
        }
        KeyType::EcHsm => {
            let curve = crv.map_or(Ok(CurveName::P256), |crv| CurveName::from_wire(&crv)).map_err(bad("crv"))?;
            Ok(KeySpecification::Ec(curve))
        }
        KeyType::OctHsm => {
            let size = key_size.map_or(Ok(SymmetricSize::Bits256), SymmetricSize::try_from).map_err(bad("key_size"))?;
            Ok(KeySpecification::Oct(size))
        }
    }
}

pub(crate) fn key_operations(key_ops: Vec<String>) -> Result<KeyOperations, ApiError> {
    key_ops.iter().map(|text| text.parse::<KeyOperation>()).collect::<Result<_, _>>().map_err(bad("key_ops"))
}

pub(super) fn key_attributes(attributes: Option<api::KeyAttributesParameters>) -> Result<KeyAttributes, ApiError> {
    let api::KeyAttributesParameters { enabled, nbf, exp, exportable: _, external_key } =
        attributes.unwrap_or_default();
    if external_key.is_some() {
        let problem =
            "keys of an external key manager are not supported: a managed HSM of strongroom holds its keys itself";
        return Err(Error::bad_parameter("external_key", problem).into());
    }
    Ok(KeyAttributes {
        enabled,
        not_before: nbf.map(Timestamp::from_seconds),
        expires: exp.map(Timestamp::from_seconds),
    })
}

/// A key as it is shown.
pub(super) fn key_bundle(call: &Call<'_>, key: &Key) -> api::KeyBundle {
    api::KeyBundle {
        attributes: attributes(call, key),
        key: json_web_key(call, key),
        release_policy: key.release.policy().map(release_policy),
        tags: tags(key),
    }
}

/// A deleted key as it is shown.
pub(super) fn deleted_key_bundle(call: &Call<'_>, deleted: &DeletedKey) -> api::DeletedKeyBundle {
    api::DeletedKeyBundle {
        deleted_date: deleted.deleted.seconds(),
        recovery_id: recovery_id(call, &deleted.key),
        scheduled_purge_date: deleted.scheduled_purge.seconds(),
        bundle: key_bundle(call, &deleted.key),
    }
}

/// An entry of a list of keys: its identifier has no version.
pub(super) fn key_item(call: &Call<'_>, key: &Key) -> api::KeyItem {
    api::KeyItem {
        attributes: attributes(call, key),
        kid: format!("{}/keys/{}", call.canonical_url, key.name),
        tags: tags(key),
    }
}

/// An entry of a list of versions.
pub(super) fn version_item(call: &Call<'_>, key: &Key) -> api::KeyItem {
    let identifier = KeyIdentifier { name: key.name.clone(), version: key.version };
    api::KeyItem { kid: kid(call, &identifier), ..key_item(call, key) }
}

/// An entry of the list of deleted keys.
pub(super) fn deleted_key_item(call: &Call<'_>, deleted: &DeletedKey) -> api::DeletedKeyItem {
    api::DeletedKeyItem {
        deleted_date: deleted.deleted.seconds(),
        recovery_id: recovery_id(call, &deleted.key),
        scheduled_purge_date: deleted.scheduled_purge.seconds(),
        item: key_item(call, &deleted.key),
    }
}

/// The identifier of a version.
pub(super) fn kid(call: &Call<'_>, key: &KeyIdentifier) -> String {
    [&call.canonical_url, "/keys/", key.name.as_str(), "/", &key.version.to_string()].concat()
}

/// A page, with the link to the next one on the request's own host.
pub(super) fn page<T>(call: &Call<'_>, value: Vec<T>, next: Option<PageToken>, limit: usize) -> api::Page<T> {
    let next_link = next.map(|token| {
        let version = call.inbound.query_parameter("api-version").unwrap_or_default();
        let path = call.inbound.path().trim_end_matches('/');
        let base = call.inbound.base_url();
        format!("{base}{path}?api-version={version}&$skiptoken={token}&maxresults={limit}")
    });
    let last = (call.product == Product::Vault).then_some(api::NextLink::Null);
    api::Page { next_link: next_link.map(api::NextLink::At).or(last), value }
}

fn recovery_id(call: &Call<'_>, key: &Key) -> String {
    format!("{}/deletedkeys/{}", call.canonical_url, key.name)
}

pub(super) fn attributes(call: &Call<'_>, key: &Key) -> api::KeyAttributes {
    api::KeyAttributes {
        attestation: None,
        created: key.created.seconds(),
        enabled: key.enabled,
        exp: key.expires.map(Timestamp::seconds),
        exportable: key.release.is_exportable(),
        hsm_platform: (call.product == Product::Vault).then_some(SOFTWARE_PLATFORM),
        key_size: (call.version >= ApiVersion::V2026_04_01).then(|| key.specification.bits()),
        nbf: key.not_before.map(Timestamp::seconds),
        recoverable_days: key.recoverable_days,
        recovery_level: key.recovery_level.as_str(),
        updated: key.updated.seconds(),
    }
}

pub(super) fn json_web_key(call: &Call<'_>, key: &Key) -> api::JsonWebKey {
    let identifier = KeyIdentifier { name: key.name.clone(), version: key.version };
    let bare = api::JsonWebKey {
        crv: None,
        e: None,
        key_ops: key.operations.iter().map(KeyOperation::as_str).collect(),
        kid: kid(call, &identifier),
        kty: key.kty(),
        n: None,
        x: None,
        y: None,
    };
    match &key.public_key {
        PublicKey::Rsa { n, e } => api::JsonWebKey { n: Some(text(n)), e: Some(text(e)), ..bare },
        PublicKey::Ec { curve, x, y } => {
            api::JsonWebKey { crv: Some(curve.as_str()), x: Some(text(x)), y: Some(text(y)), ..bare }
        }
        PublicKey::Oct => bare,
    }
}

/// A policy as it is shown: canonical, whatever the client wrote.
pub(super) fn release_policy(policy: &ReleasePolicy) -> api::KeyReleasePolicy {
    api::KeyReleasePolicy {
        content_type: Some(policy.content_type().to_owned()),
        data: Some(text(policy.canonical().as_bytes())),
        immutable: Some(policy.is_immutable()),
    }
}

pub(super) fn tags(key: &Key) -> Option<std::collections::BTreeMap<String, String>> {
    let tags = key.tags.as_map();
    (!tags.is_empty()).then(|| tags.clone())
}

/// `hsmPlatform` of keys that software protects: all of them here, whatever `kty` says.
const SOFTWARE_PLATFORM: &str = "0";
/// The only RSA exponent AWS-LC generates keys with.
const RSA_EXPONENT: u32 = 65_537;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_and_an_exponent_of_zero_are_not_given_and_another_exponent_is_refused() {
        let wanted = |exponent| specification("RSA-HSM", Some(0), None, Some(exponent));
        for exponent in [0, u64::from(RSA_EXPONENT)] {
            assert_eq!(wanted(exponent).ok(), Some(KeySpecification::Rsa(RsaSize::Bits2048)));
        }
        assert!(wanted(17).is_err());
    }
}
