//! Key attestation: `attributes.attestation`, and the statements in it, whose format is ours
//! (docs/key-attestation-format.md).

use serde::Serialize;

use crate::keys::JsonWebKey;

/// `attributes.attestation`; binary members are base64url.
#[derive(Debug, Clone, Serialize)]
pub struct KeyAttestation {
    /// The certificates that prove the statements, PEM, leaf first.
    #[serde(rename = "certificatePemFile")]
    pub certificate_pem_file: String,
    /// The statement on the private or symmetric key.
    #[serde(rename = "privateKeyAttestation")]
    pub private_key_attestation: String,
    /// The statement on the public key; absent for symmetric keys.
    #[serde(rename = "publicKeyAttestation", skip_serializing_if = "Option::is_none")]
    pub public_key_attestation: Option<String>,
    /// [`FORMAT`].
    pub version: &'static str,
}

/// A statement on one half of a key: the payload of a compact JWS of type [`TYPE`].
#[derive(Debug, Clone, Serialize)]
pub struct KeyStatement {
    /// [`FORMAT`].
    pub format: &'static str,
    /// Which half.
    pub part: KeyPart,
    /// When it was made, unix seconds.
    pub iat: i64,
    /// Which key.
    pub key: StatedKey,
    /// Where it is.
    pub hsm: StatedHsm,
    /// Its past; on the private half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<StatedHistory>,
    /// What keeps it; on the private half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protection: Option<StatedProtection>,
    /// The public key; on the public half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwk: Option<JsonWebKey>,
}

/// Half of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPart {
    /// The private or symmetric key.
    Private,
    /// The public key.
    Public,
}

/// The key a statement is about.
#[derive(Debug, Clone, Serialize)]
pub struct StatedKey {
    /// Its identifier, with the version.
    pub kid: String,
    /// Its type.
    pub kty: &'static str,
    /// The thumbprint of the public key (RFC 7638, SHA-256); absent for symmetric keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<String>,
    /// What it may do now.
    pub key_ops: Vec<&'static str>,
    /// Whether it may be used now.
    pub enabled: bool,
    /// When it was made or taken in, unix seconds.
    pub created: i64,
    /// Whether it may be released to attested environments.
    pub exportable: bool,
    /// SHA-256 of the canonical release policy, base64url, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_policy_sha256: Option<String>,
    /// Whether that policy can never be changed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_policy_immutable: Option<bool>,
}

/// The HSM a statement is about.
#[derive(Debug, Clone, Serialize)]
pub struct StatedHsm {
    /// Its name.
    pub name: String,
    /// Its ARM resource id.
    pub resource_id: String,
    /// This life of its name; a recovered HSM has another one.
    pub instance: String,
    /// The security domain whose quorum can rebuild its root.
    pub security_domain: String,
    /// The epoch of that root.
    pub epoch: u32,
    /// The deployment it belongs to.
    pub deployment: String,
}

/// A key's past, as far as this instance knows it.
#[derive(Debug, Clone, Serialize)]
pub struct StatedHistory {
    /// `generated` or `imported`.
    pub origin: &'static str,
    /// How often it was released.
    pub releases: u64,
    /// When a key backup that holds it was last made, unix seconds; absent if none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backed_up: Option<i64>,
    /// When it came out of a key backup, unix seconds; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<i64>,
}

/// What keeps a key.
#[derive(Debug, Clone, Serialize)]
pub struct StatedProtection {
    /// Always `software-process`: key material is in the clear in the memory of the running server.
    pub boundary: &'static str,
    /// What opens the stored keys after a restart: the root provider in use.
    pub root_provider: &'static str,
    /// Always empty: no certification is claimed.
    pub certifications: [&'static str; 0],
}

/// `version` of key attestations and `format` of their statements.
pub const FORMAT: &str = "strongroom-1";
/// `typ` of the statements.
pub const TYPE: &str = "strongroom-key-attestation+jwt";
