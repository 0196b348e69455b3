//! Directory objects on the wire.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::{Value, json};
use strongroom_core::audit::rfc3339;
use strongroom_core::identity::record::{ClientCertificate, Principal, PrincipalKind, PrincipalState};
use uuid::Uuid;

use super::credentials::password_credentials;
use crate::http::exchange::{Outbound, json as json_answer};

/// As what an object is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// What everybody may see.
    Plain,
    /// A program with what is known of its credentials.
    ServicePrincipal,
    /// An application with what is known of its credentials.
    Application,
}

/// A list that fits one page.
pub(super) fn list(value: Vec<Value>) -> Outbound {
    json_answer(StatusCode::OK, &json!({ "value": value }))
}

/// The name of an object's type.
pub(super) fn type_name(principal: &Principal) -> &'static str {
    match principal.kind {
        PrincipalKind::ServicePrincipal(_) | PrincipalKind::ManagedIdentity(_) => "servicePrincipal",
        PrincipalKind::User(_) => "user",
        PrincipalKind::Group(_) => "group",
    }
}

/// An object of a list of mixed types says which it is.
pub(super) fn typed_object(principal: &Principal) -> Value {
    let mut value = object(principal, Shape::Plain);
    if let Some(members) = value.as_object_mut() {
        let name = format!("#microsoft.graph.{}", type_name(principal));
        members.insert("@odata.type".to_owned(), Value::String(name));
    }
    value
}

/// A directory object.
pub(super) fn object(principal: &Principal, shape: Shape) -> Value {
    let Principal { object_id, display_name, state, groups: _, created, kind } = principal;
    let (id, created) = (object_id.to_string(), rfc3339(*created));
    let enabled = *state == PrincipalState::Enabled;
    match kind {
        PrincipalKind::ServicePrincipal(_) | PrincipalKind::ManagedIdentity(_) => program(principal, shape),
        PrincipalKind::User(user) => {
            json!({"id": id, "displayName": display_name, "accountEnabled": enabled, "createdDateTime": created,
                "userPrincipalName": user.user_principal_name})
        }
        PrincipalKind::Group(group) => {
            json!({"id": id, "displayName": display_name, "createdDateTime": created, "securityEnabled": true,
                "mailEnabled": false, "mailNickname": group.mail_nickname})
        }
    }
}

fn program(principal: &Principal, shape: Shape) -> Value {
    let Principal { object_id, display_name, state, groups: _, created, kind } = principal;
    let client_id = principal.client_id().map(|id| id.to_string());
    let mut value = json!({"id": object_id, "displayName": display_name, "createdDateTime": rfc3339(*created),
        "appId": client_id});
    let more = match shape {
        Shape::Application => json!({"identifierUris": [], "signInAudience": "AzureADMyOrg"}),
        Shape::Plain | Shape::ServicePrincipal => json!({
            "accountEnabled": *state == PrincipalState::Enabled,
            "servicePrincipalNames": [client_id],
            "servicePrincipalType": match kind {
                PrincipalKind::ManagedIdentity(_) => "ManagedIdentity",
                _ => "Application",
            },
        }),
    };
    let credentials = match shape {
        Shape::Plain => Value::Null,
        Shape::ServicePrincipal | Shape::Application => json!({
            "passwordCredentials": password_credentials(principal),
            "keyCredentials": key_credentials(principal),
        }),
    };
    for extra in [more, credentials] {
        if let (Some(members), Value::Object(extra)) = (value.as_object_mut(), extra) {
            members.extend(extra);
        }
    }
    value
}

fn key_credentials(principal: &Principal) -> Vec<Value> {
    let known = principal.service_principal().map(|program| program.certificates.as_slice()).unwrap_or_default();
    let show = |known: &ClientCertificate| {
        json!({
            "keyId": key_id(known), "type": "AsymmetricX509Cert", "usage": "Verify", "key": null, "displayName": null,
            "customKeyIdentifier": URL_SAFE_NO_PAD.decode(&known.thumbprint_sha1).ok().map(|sha1| STANDARD.encode(sha1)),
            "endDateTime": rfc3339(known.expires),
        })
    };
    known.iter().map(show).collect()
}

/// What names a certificate: the first half of its SHA-256, as a GUID made by hashing (RFC 9562 §5.8).
pub(super) fn key_id(certificate: &ClientCertificate) -> Uuid {
    let mut bytes = [0; 16];
    let digest = URL_SAFE_NO_PAD.decode(&certificate.thumbprint_sha256).unwrap_or_default();
    bytes.iter_mut().zip(digest).for_each(|(byte, digit)| *byte = digit);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
