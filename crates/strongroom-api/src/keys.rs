//! Models of the key operations (REST: Keys).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_types::Secret;

use crate::attestation::KeyAttestation;

/// Body of `POST /keys/{name}/create`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct KeyCreateParameters {
    /// Type of key.
    pub kty: Option<String>,
    /// Bits of an RSA modulus or a symmetric key.
    pub key_size: Option<u32>,
    /// Curve of an EC key.
    pub crv: Option<String>,
    /// Exponent of an RSA key.
    pub public_exponent: Option<u64>,
    /// What the key may do.
    pub key_ops: Option<Vec<String>>,
    /// Attributes.
    pub attributes: Option<KeyAttributesParameters>,
    /// Tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// Policy of secure key release.
    pub release_policy: Option<KeyReleasePolicy>,
}

/// Body of `PUT /keys/{name}`.
#[derive(Debug, Default, Deserialize)]
pub struct KeyImportParameters {
    /// Whether a hardware key is asked for; the capital letter is the wire's.
    #[serde(rename = "Hsm")]
    pub hsm: Option<bool>,
    /// The key.
    pub key: Option<JsonWebKeyParameters>,
    /// Attributes.
    pub attributes: Option<KeyAttributesParameters>,
    /// Tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// Policy of secure key release.
    pub release_policy: Option<KeyReleasePolicy>,
}

/// A key as clients send it, in parts or wrapped (RFC 7517, RFC 7518 §6); binary members are base64url.
#[derive(Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "RFC 7518 §6.2 and §6.3 name the numbers")]
pub struct JsonWebKeyParameters {
    /// Type of key.
    pub kty: Option<String>,
    /// What the key may do.
    pub key_ops: Option<Vec<String>>,
    /// Curve.
    pub crv: Option<String>,
    pub n: Option<String>,
    pub e: Option<String>,
    pub d: Option<Secret<String>>,
    pub p: Option<Secret<String>>,
    pub q: Option<Secret<String>>,
    pub dp: Option<Secret<String>>,
    pub dq: Option<Secret<String>>,
    pub qi: Option<Secret<String>>,
    pub x: Option<String>,
    pub y: Option<String>,
    /// A symmetric key.
    pub k: Option<Secret<String>>,
    /// A wrapped key: a [`KeyTransferBlob`].
    pub key_hsm: Option<String>,
}

/// A wrapped key with what opens it, the content of a `.byok` file.
#[derive(Debug, Default, Deserialize)]
pub struct KeyTransferBlob {
    /// `1.0.0`.
    pub schema_version: Option<String>,
    /// How it is wrapped, and for which key.
    pub header: Option<KeyTransferHeader>,
    /// The wrapped key, base64url.
    pub ciphertext: Option<String>,
}

/// The header of a [`KeyTransferBlob`].
#[derive(Debug, Default, Deserialize)]
pub struct KeyTransferHeader {
    /// The key exchange key: its identifier with version.
    pub kid: Option<String>,
    /// `dir`.
    pub alg: Option<String>,
    /// `CKM_RSA_AES_KEY_WRAP`.
    pub enc: Option<String>,
}

/// Body of `PATCH /keys/{name}/{version}`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct KeyUpdateParameters {
    /// What the key may do.
    pub key_ops: Option<Vec<String>>,
    /// Attributes.
    pub attributes: Option<KeyAttributesParameters>,
    /// Tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// Policy of secure key release.
    pub release_policy: Option<KeyReleasePolicy>,
}

/// `release_policy`, both ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReleasePolicy {
    /// Media type of the policy.
    #[serde(rename = "contentType")]
    pub content_type: Option<String>,
    /// The policy, base64url.
    pub data: Option<String>,
    /// Whether it can never be changed again.
    pub immutable: Option<bool>,
}

/// `attributes` as clients send them; read-only members are ignored.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct KeyAttributesParameters {
    /// Whether the key may be used.
    pub enabled: Option<bool>,
    /// Not before, unix seconds.
    pub nbf: Option<i64>,
    /// Expiry, unix seconds.
    pub exp: Option<i64>,
    /// Whether the key may be released.
    pub exportable: Option<bool>,
    /// The key of an external key manager that this one would stand for.
    pub external_key: Option<serde_json::Value>,
}

/// Body of encrypt, decrypt, sign, wrapkey and unwrapkey; binary members are base64url.
#[derive(Clone, Default, Deserialize)]
pub struct KeyOperationsParameters {
    /// Algorithm.
    pub alg: Option<String>,
    /// Plaintext, ciphertext, digest or key.
    pub value: Option<String>,
    /// Initialization vector.
    pub iv: Option<String>,
    /// Additional authenticated data.
    pub aad: Option<String>,
    /// Authentication tag.
    pub tag: Option<String>,
}

/// Body of verify; binary members are base64url.
#[derive(Clone, Default, Deserialize)]
pub struct KeyVerifyParameters {
    /// Algorithm.
    pub alg: Option<String>,
    /// What was signed.
    pub digest: Option<String>,
    /// The signature.
    pub value: Option<String>,
}

/// Body of `POST /keys/restore`.
#[derive(Clone, Default, Deserialize)]
pub struct KeyRestoreParameters {
    /// What `POST /keys/{name}/backup` answered, base64url.
    pub value: Option<String>,
}

/// The answer of `POST /keys/{name}/backup`.
#[derive(Clone, Serialize)]
pub struct BackupKeyResult {
    /// The sealed key, base64url; nobody but the service reads it.
    pub value: String,
}

/// Body of `POST /rng`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct GetRandomBytesRequest {
    /// How many bytes.
    pub count: Option<i64>,
}

/// A key with its attributes. Members are in alphabetical order, as the service sends them.
#[derive(Debug, Clone, Serialize)]
pub struct KeyBundle {
    /// Attributes.
    pub attributes: KeyAttributes,
    /// The key itself.
    pub key: JsonWebKey,
    /// Policy of secure key release, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_policy: Option<KeyReleasePolicy>,
    /// Tags; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
}

/// A soft-deleted key.
#[derive(Debug, Clone, Serialize)]
pub struct DeletedKeyBundle {
    /// Unix seconds.
    #[serde(rename = "deletedDate")]
    pub deleted_date: i64,
    /// Where it can be recovered.
    #[serde(rename = "recoveryId")]
    pub recovery_id: String,
    /// Unix seconds.
    #[serde(rename = "scheduledPurgeDate")]
    pub scheduled_purge_date: i64,
    /// The key.
    #[serde(flatten)]
    pub bundle: KeyBundle,
}

/// `attributes` as they are shown.
#[derive(Debug, Clone, Serialize)]
pub struct KeyAttributes {
    /// Key attestation, only where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation: Option<KeyAttestation>,
    /// Unix seconds.
    pub created: i64,
    /// Whether the key may be used.
    pub enabled: bool,
    /// Expiry, unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// Whether the key may be released.
    pub exportable: bool,
    /// What protects the key of a vault; a managed HSM does not send it.
    #[serde(rename = "hsmPlatform", skip_serializing_if = "Option::is_none")]
    pub hsm_platform: Option<&'static str>,
    /// Bits of the key; shown since 2026-04-01.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_size: Option<u32>,
    /// Not before, unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Days the key is kept after deletion.
    #[serde(rename = "recoverableDays")]
    pub recoverable_days: u32,
    /// What deletion means.
    #[serde(rename = "recoveryLevel")]
    pub recovery_level: &'static str,
    /// Unix seconds.
    pub updated: i64,
}

/// The public part of a key (RFC 7517); binary members are base64url.
#[derive(Debug, Clone, Serialize)]
pub struct JsonWebKey {
    /// Curve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crv: Option<&'static str>,
    /// RSA exponent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// What the key may do.
    pub key_ops: Vec<&'static str>,
    /// Identifier: a URL with the version.
    pub kid: String,
    /// Type.
    pub kty: &'static str,
    /// RSA modulus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// EC coordinate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// EC coordinate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
}

/// An entry of a list.
#[derive(Debug, Clone, Serialize)]
pub struct KeyItem {
    /// Attributes.
    pub attributes: KeyAttributes,
    /// Identifier: without version, but in lists of versions.
    pub kid: String,
    /// Tags; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
}

/// An entry of the list of deleted keys.
#[derive(Debug, Clone, Serialize)]
pub struct DeletedKeyItem {
    /// Unix seconds.
    #[serde(rename = "deletedDate")]
    pub deleted_date: i64,
    /// Where it can be recovered.
    #[serde(rename = "recoveryId")]
    pub recovery_id: String,
    /// Unix seconds.
    #[serde(rename = "scheduledPurgeDate")]
    pub scheduled_purge_date: i64,
    /// The key.
    #[serde(flatten)]
    pub item: KeyItem,
}

/// One page of a list.
#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    /// Where the next page is; on the last one a managed HSM leaves it out.
    #[serde(rename = "nextLink", skip_serializing_if = "Option::is_none")]
    pub next_link: Option<NextLink>,
    /// The entries.
    pub value: Vec<T>,
}

/// `nextLink`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum NextLink {
    /// There is another page.
    At(String),
    /// There is none, as a vault says it: `null`.
    Null,
}

/// The answer of encrypt, decrypt, sign, wrapkey and unwrapkey; binary members are base64url.
#[derive(Clone, Serialize)]
pub struct KeyOperationResult {
    /// Additional authenticated data, as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aad: Option<String>,
    /// Algorithm.
    pub alg: &'static str,
    /// Initialization vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iv: Option<String>,
    /// The key that was used, with its version.
    pub kid: String,
    /// Authentication tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The result.
    pub value: String,
}

/// The answer of verify.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct KeyVerifyResult {
    /// Whether the signature is right.
    pub value: bool,
}

/// The answer of `POST /rng`.
#[derive(Clone, Serialize)]
pub struct RandomBytes {
    /// The bytes, base64url.
    pub value: String,
}

/// Body of `POST /keys/{name}/{version}/release`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct KeyReleaseParameters {
    /// The attestation token of the environment.
    pub target: Option<String>,
    /// The client's own value, signed along with the answer.
    pub nonce: Option<String>,
    /// How the key is wrapped.
    pub enc: Option<String>,
}

/// The answer of release.
#[derive(Debug, Clone, Serialize)]
pub struct KeyReleaseResult {
    /// A compact JWS over [`KeyReleasePayload`].
    pub value: String,
}

/// What the answer of release signs.
#[derive(Debug, Clone, Serialize)]
pub struct KeyReleasePayload {
    /// What was asked.
    pub request: KeyReleaseRequestEcho,
    /// What is answered.
    pub response: KeyReleaseResponse,
}

/// The request, as the answer of release repeats it.
#[derive(Debug, Clone, Serialize)]
pub struct KeyReleaseRequestEcho {
    /// The `api-version` of the request.
    #[serde(rename = "api-version")]
    pub api_version: String,
    /// How the key is wrapped.
    pub enc: &'static str,
    /// The key that was asked for.
    pub kid: String,
    /// The client's own value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// The released key.
#[derive(Debug, Clone, Serialize)]
pub struct KeyReleaseResponse {
    /// The key with its attributes.
    pub key: ReleasedKeyBundle,
}

/// A released key with its attributes.
#[derive(Debug, Clone, Serialize)]
pub struct ReleasedKeyBundle {
    /// Attributes.
    pub attributes: KeyAttributes,
    /// The key itself, of a software type: it has left.
    pub key: ReleasedJsonWebKey,
    /// The policy it was released under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_policy: Option<KeyReleasePolicy>,
    /// Tags; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
}

/// A JWK with the wrapped private part.
#[derive(Debug, Clone, Serialize)]
pub struct ReleasedJsonWebKey {
    /// The wrapped key: base64url of a [`WrappedKey`] as JSON.
    pub key_hsm: String,
    /// The public part.
    #[serde(flatten)]
    pub public: JsonWebKey,
}

/// A key wrapped for somebody else's key.
#[derive(Debug, Clone, Serialize)]
pub struct WrappedKey {
    /// The wrapped key, base64url.
    pub ciphertext: String,
    /// How it is wrapped, and for whom.
    pub header: WrappedKeyHeader,
    /// `1.0`.
    pub schema_version: &'static str,
}

/// How a key is wrapped, and for whom.
#[derive(Debug, Clone, Serialize)]
pub struct WrappedKeyHeader {
    /// `dir`.
    pub alg: &'static str,
    /// The key encryption algorithm.
    pub enc: &'static str,
    /// The recipient's key.
    pub kid: String,
}

/// Body of securewrapkey and secureunwrapkey; `value` and `target` are for the latter.
#[derive(Clone, Default, Deserialize)]
pub struct SecureKeyOperationParameters {
    /// Algorithm.
    pub alg: Option<String>,
    /// The wrapped key, base64url.
    pub value: Option<String>,
    /// The attestation token of the environment.
    pub target: Option<String>,
}

/// The answer of securewrapkey and secureunwrapkey.
#[derive(Debug, Clone, Serialize)]
pub struct SecureKeyOperationResult {
    /// Algorithm.
    pub alg: &'static str,
    /// The key that was used, with its version.
    pub kid: String,
    /// The wrapped key, base64url.
    pub value: String,
}
