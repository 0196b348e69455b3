//! Handlers of what leaves: release of keys, and statements about them.

use http::StatusCode;
use strongroom_api::keys as api;
use strongroom_core::Error;
use strongroom_core::keys::{Encrypted, ReleaseOrder, ReleasedKey};
use strongroom_types::{Algorithm, KeyEncryptionAlgorithm, Protection};

use super::wire::{self, required, text};
use super::{ApiError, Call};
use crate::http::exchange::{Outbound, json};

type Answer = Result<Outbound, ApiError>;

pub(super) async fn release(call: &Call<'_>) -> Answer {
    let api::KeyReleaseParameters { target, nonce, enc } = wire::body(&call.inbound.body)?;
    if nonce.as_ref().is_some_and(|nonce| nonce.len() > NONCE_BYTES_MAX) {
        return Err(Error::bad_parameter("nonce", format!("has at most {NONCE_BYTES_MAX} bytes")).into());
    }
    let encryption = match enc {
        None => KeyEncryptionAlgorithm::CkmRsaAesKeyWrap,
        Some(enc) => enc.parse().map_err(wire::bad("enc"))?,
    };
    let order = ReleaseOrder { target: required("target", target)?, encryption };
    // Before the key is opened: what cannot be signed is not released, and not recorded as released.
    let signer = call.release.statements.signer(call.request.received).await?;
    let reference = wire::key_reference(call)?;
    let released = call.keys.release_key(call.request, &reference, &order, &call.release.authorities).await?;
    let payload = payload(call, released, encryption, nonce)?;
    let value = call.core.sign_statement(&signer, "JWT", &payload).await?;
    Ok(json(StatusCode::OK, &api::KeyReleaseResult { value }))
}

pub(super) async fn secure_wrap(call: &Call<'_>) -> Answer {
    let api::SecureKeyOperationParameters { alg, .. } = wire::body(&call.inbound.body)?;
    let algorithm = wire::algorithm(call, alg)?;
    let made = call.hsm()?.secure_wrap_key(call.request, &wire::key_reference(call)?, algorithm).await?;
    Ok(secure_result(call, algorithm, &made))
}

pub(super) async fn secure_unwrap(call: &Call<'_>) -> Answer {
    let api::SecureKeyOperationParameters { alg, value, target } = wire::body(&call.inbound.body)?;
    let algorithm = wire::algorithm(call, alg)?;
    let wrapped = wire::binary("value", &required("value", value)?)?;
    let target = required("target", target)?;
    let (key, authorities) = (wire::key_reference(call)?, &call.release.authorities);
    let made = call.hsm()?.secure_unwrap_key(call.request, &key, algorithm, wrapped, &target, authorities).await?;
    Ok(secure_result(call, algorithm, &made))
}

fn secure_result(call: &Call<'_>, algorithm: Algorithm, made: &Encrypted) -> Outbound {
    let (alg, kid) = (algorithm.as_str(), wire::kid(call, &made.key));
    json(StatusCode::OK, &api::SecureKeyOperationResult { alg, kid, value: text(&made.value) })
}

/// What is signed about a released key (data-plane.md "Secure key release").
fn payload(
    call: &Call<'_>,
    released: ReleasedKey,
    encryption: KeyEncryptionAlgorithm,
    nonce: Option<String>,
) -> Result<api::KeyReleasePayload, ApiError> {
    let ReleasedKey { key, recipient, ciphertext } = released;
    let enc = encryption.as_str();
    let wrapped = api::WrappedKey {
        ciphertext: text(&ciphertext),
        header: api::WrappedKeyHeader { alg: "dir", enc, kid: recipient },
        schema_version: "1.0",
    };
    let wrapped = serde_json::to_vec(&wrapped).map_err(|_| Error::Internal("a wrapped key does not encode"))?;
    // What has left is no key of hardware any more.
    let kty = key.key_type().kty(Protection::Software);
    let public = api::JsonWebKey { kty, ..wire::json_web_key(call, &key) };
    let kid = public.kid.clone();
    let api_version = call.inbound.query_parameter("api-version").unwrap_or_default().into_owned();
    Ok(api::KeyReleasePayload {
        request: api::KeyReleaseRequestEcho { api_version, enc, kid, nonce },
        response: api::KeyReleaseResponse {
            key: api::ReleasedKeyBundle {
                attributes: wire::attributes(call, &key),
                key: api::ReleasedJsonWebKey { key_hsm: text(&wrapped), public },
                release_policy: key.release.policy().map(wire::release_policy),
                tags: wire::tags(&key),
            },
        },
    })
}

/// Bytes of the client's own value.
const NONCE_BYTES_MAX: usize = 1024;
