//! Where the directory's records lie: all below `d/directory/`, all sealed under the deployment key.
//!
//! Names that people choose become a hash, so that they fit every store key whatever they are.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_crypto::digest::sha256;
use strongroom_types::PrincipalId;
use uuid::Uuid;

use crate::layout::written;

/// The tenant.
pub(super) const TENANT: &str = "d/directory/tenant";
/// The list of token-signing keys.
pub(super) const SIGNING_KEYS: &str = "d/directory/signing-keys";
/// Prefix of all principals.
pub(super) const PRINCIPALS: &str = "d/directory/principal/";

/// A principal of any kind.
pub(super) fn principal(object_id: PrincipalId) -> String {
    written(format_args!("{PRINCIPALS}{object_id}"))
}

/// Points from a client id to an object id.
pub(super) fn client(client_id: Uuid) -> String {
    format!("d/directory/client/{client_id}")
}

/// Points from a user's name to an object id.
pub(super) fn user_name(user_principal_name: &str) -> String {
    format!("d/directory/user-name/{}", folded_hash(user_principal_name))
}

/// Points from the resource id of a managed identity to an object id.
pub(super) fn resource(resource_id: &str) -> String {
    format!("d/directory/resource/{}", folded_hash(resource_id))
}

/// The private part of a token-signing key.
pub(super) fn signing_material(kid: &str) -> String {
    format!("d/directory/signing-material/{kid}")
}

/// Prefix of a user's sign-ins.
pub(super) fn sign_ins(user: PrincipalId) -> String {
    format!("d/directory/sign-in/{user}/")
}

/// One sign-in of a user, which a refresh token continues.
pub(super) fn sign_in(user: PrincipalId, id: Uuid) -> String {
    format!("{}{id}", sign_ins(user))
}

fn folded_hash(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(name.to_lowercase().as_bytes()))
}
