//! The body of an import, from the wire to the core: a key in parts, or the content of a `.byok` file.

use strongroom_api::keys as api;
use strongroom_core::Error;
use strongroom_core::keys::{ImportKey, ImportSource, KeyReference, Tags};
use strongroom_crypto::{KeyParts, RsaParts, WrappedKind};
use strongroom_types::{CurveName, KeyType, Protection, Secret};

use super::wire::{self, bad, binary, required};
use super::{ApiError, Call};

/// What is asked of a key that comes from elsewhere.
pub(super) fn import_key(call: &Call<'_>, parameters: api::KeyImportParameters) -> Result<ImportKey, ApiError> {
    let api::KeyImportParameters { hsm, key, attributes, tags, release_policy } = parameters;
    let mut key = required("key", key)?;
    Ok(ImportKey {
        protection: protection(hsm, &key),
        operations: key.key_ops.take().map(wire::key_operations).transpose()?,
        source: source(call, key)?,
        release: wire::release_terms(release_policy, attributes.as_ref())?,
        attributes: wire::key_attributes(attributes)?,
        tags: Tags::new(tags.unwrap_or_default(), call.keys.limits())?,
    })
}

/// The form that is asked for, by `Hsm`, by `kty`, or because the key comes wrapped.
fn protection(hsm: Option<bool>, key: &api::JsonWebKeyParameters) -> Protection {
    if hsm == Some(true) || key.key_hsm.is_some() {
        return Protection::Hsm;
    }
    Protection::from_wire(key.kty.as_deref().unwrap_or_default())
}

fn source(call: &Call<'_>, mut key: api::JsonWebKeyParameters) -> Result<ImportSource, ApiError> {
    let key_type = KeyType::from_wire(&required("kty", key.kty.take())?).map_err(bad("kty"))?;
    match key.key_hsm.take() {
        Some(blob) => wrapped(call, key_type, &key, &blob),
        None => Ok(ImportSource::Parts(parts(key_type, key)?)),
    }
}

fn parts(key_type: KeyType, key: api::JsonWebKeyParameters) -> Result<KeyParts, ApiError> {
    let api::JsonWebKeyParameters { kty: _, key_ops: _, crv, n, e, d, p, q, dp, dq, qi, x, y, k, key_hsm: _ } = key;
    match key_type {
        KeyType::RsaHsm => Ok(KeyParts::Rsa(RsaParts {
            n: public("n", n)?,
            e: public("e", e)?,
            d: private("d", d)?,
            p: private("p", p)?,
            q: private("q", q)?,
            dp: private("dp", dp)?,
            dq: private("dq", dq)?,
            qi: private("qi", qi)?,
        })),
        KeyType::EcHsm => Ok(KeyParts::Ec {
            curve: CurveName::from_wire(&required("crv", crv)?).map_err(bad("crv"))?,
            x: public("x", x)?,
            y: public("y", y)?,
            d: private("d", d)?,
        }),
        KeyType::OctHsm => Ok(KeyParts::Oct { k: private("k", k)? }),
    }
}

fn public(parameter: &'static str, text: Option<String>) -> Result<Vec<u8>, ApiError> {
    binary(parameter, &required(parameter, text)?)
}

fn private(parameter: &'static str, text: Option<Secret<String>>) -> Result<Secret<Vec<u8>>, ApiError> {
    binary(parameter, required(parameter, text)?.expose()).map(Secret::new)
}

/// A wrapped key: JSON in base64url, the content of a `.byok` file (data-plane.md §9).
fn wrapped(
    call: &Call<'_>,
    key_type: KeyType,
    key: &api::JsonWebKeyParameters,
    blob: &str,
) -> Result<ImportSource, ApiError> {
    let refuse = |problem| Err(Error::bad_parameter("key_hsm", problem).into());
    let api::JsonWebKeyParameters { d, p, q, dp, dq, qi, k, .. } = key;
    if [d, p, q, dp, dq, qi, k].iter().any(|member| member.is_some()) {
        return refuse("a key comes either wrapped or in parts, not both".to_owned());
    }
    if blob.len() > BLOB_CHARACTERS_MAX {
        return refuse(format!("has more than {BLOB_CHARACTERS_MAX} characters"));
    }
    let Ok(blob) = serde_json::from_slice::<api::KeyTransferBlob>(&binary("key_hsm", blob)?) else {
        return refuse("is not the content of a .byok file: a JSON object with header and ciphertext".to_owned());
    };
    let api::KeyTransferBlob { schema_version, header, ciphertext } = blob;
    let api::KeyTransferHeader { kid, alg, enc } = required("key_hsm.header", header)?;
    if schema_version.is_some_and(|version| !SCHEMA_VERSIONS.contains(&version.as_str())) {
        return refuse(format!("schema_version must be one of {}", SCHEMA_VERSIONS.join(", ")));
    }
    if alg.as_deref() != Some("dir") || enc.as_deref() != Some("CKM_RSA_AES_KEY_WRAP") {
        return refuse("header.alg must be dir and header.enc CKM_RSA_AES_KEY_WRAP".to_owned());
    }
    let kind = match (key_type, &key.crv) {
        (KeyType::RsaHsm, _) => WrappedKind::Rsa,
        (KeyType::EcHsm, curve) => {
            WrappedKind::Ec(curve.as_deref().map(CurveName::from_wire).transpose().map_err(bad("crv"))?)
        }
        (KeyType::OctHsm, _) => WrappedKind::Oct,
    };
    Ok(ImportSource::Wrapped {
        exchange_key: exchange_key(call, &required("key_hsm.header.kid", kid)?)?,
        kind,
        wrapped: binary("key_hsm.ciphertext", &required("key_hsm.ciphertext", ciphertext)?)?,
    })
}

/// The key exchange key: an identifier of this HSM, with version.
fn exchange_key(call: &Call<'_>, kid: &str) -> Result<KeyReference, ApiError> {
    let bases = [call.canonical_url.clone(), call.inbound.base_url()];
    let path = bases.iter().find_map(|base| {
        let (host, path) = kid.split_at_checked(base.len())?;
        host.eq_ignore_ascii_case(base).then_some(path)
    });
    let parsed = path.and_then(|path| {
        let (name, version) = path.strip_prefix("/keys/")?.split_once('/')?;
        Some(KeyReference { name: name.parse().ok()?, version: Some(version.parse().ok()?) })
    });
    let problem = || format!("must name a key of this HSM with its version: {}/keys/NAME/VERSION", call.canonical_url);
    parsed.ok_or_else(|| Error::bad_parameter("key_hsm.header.kid", problem()).into())
}

/// Characters of `key_hsm`: several times what the largest key, RSA of 4096 bits, takes.
const BLOB_CHARACTERS_MAX: usize = 16 * 1024;
/// What tools write; all mean the same.
const SCHEMA_VERSIONS: [&str; 2] = ["1.0.0", "1.0"];
