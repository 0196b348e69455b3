//! Passwords and certificates of applications.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::audit::rfc3339;
use strongroom_core::identity::record::{ClientCertificate, Principal};
use strongroom_types::Timestamp;
use uuid::Uuid;

use super::error::GraphError;
use super::wire::key_id;
use super::{Call, body};
use crate::authority::certificate::client_certificate;
use crate::http::exchange::{Outbound, empty, json as json_answer, with_header};

/// A certificate, as clients send it. What the certificate itself says is taken from there alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyCredential {
    /// Names one that is there, if there is no `key`.
    key_id: Option<String>,
    /// The certificate, DER in base64, maybe in lines.
    key: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    usage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddPassword {
    password_credential: Option<PasswordCredential>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PasswordCredential {
    start_date_time: Option<String>,
    end_date_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemovePassword {
    key_id: String,
}

/// The certificates that come with their keys.
pub(super) fn new_certificates(credentials: &[KeyCredential]) -> Result<Vec<ClientCertificate>, GraphError> {
    let with_key = credentials.iter().filter_map(|credential| Some((credential, credential.key.as_deref()?)));
    with_key.map(|(credential, key)| credential.certificate(key)).collect()
}

impl KeyCredential {
    fn certificate(&self, key: &str) -> Result<ClientCertificate, GraphError> {
        let is = |given: &Option<String>, expected: &str| given.as_deref().is_none_or(|given| given == expected);
        if !is(&self.kind, "AsymmetricX509Cert") || !is(&self.usage, "Verify") {
            return Err(GraphError::bad_request("keyCredentials: only AsymmetricX509Cert for Verify is supported."));
        }
        let key: String = key.split_ascii_whitespace().collect();
        let der = STANDARD.decode(key).map_err(|_| GraphError::bad_request("keyCredentials: key is not base64."))?;
        client_certificate(&der).map_err(|error| GraphError::BadRequest(format!("keyCredentials: {error}.")))
    }
}

/// The certificates of an application that credentials without a key name, by SHA-256.
pub(super) fn kept_certificates(
    application: &Principal,
    credentials: &[KeyCredential],
) -> Result<Vec<String>, GraphError> {
    let known = application.service_principal().map(|program| program.certificates.as_slice()).unwrap_or_default();
    let without_key = credentials.iter().filter(|credential| credential.key.is_none());
    let named = without_key.map(|credential| {
        let wanted = credential.key_id.as_deref().and_then(|id| id.parse::<Uuid>().ok());
        let found = known.iter().find(|known| Some(key_id(known)) == wanted);
        found.map(|found| found.thumbprint_sha256.clone())
    });
    let missing =
        || GraphError::bad_request("keyCredentials: there is neither a key nor the keyId of one that is there.");
    named.collect::<Option<_>>().ok_or_else(missing)
}

impl Call<'_> {
    /// Makes a secret, and shows it: here and never again.
    pub(super) async fn add_password(&self) -> Result<Outbound, GraphError> {
        let given =
            if self.inbound.body.is_empty() { None } else { body::<AddPassword>(self.inbound)?.password_credential };
        let now = self.inbound.received;
        let start = time("startDateTime", given.as_ref().and_then(|given| given.start_date_time.as_deref()))?;
        if start.is_some_and(|start| start > now.plus_seconds(START_SKEW_SECONDS)) {
            return Err(GraphError::bad_request("startDateTime: a secret counts from now on."));
        }
        let end = time("endDateTime", given.as_ref().and_then(|given| given.end_date_time.as_deref()))?;
        let end = end.unwrap_or_else(|| now.plus_days(PASSWORD_DAYS));
        if end <= now {
            return Err(GraphError::bad_request("endDateTime: it is over already."));
        }
        let application = self.application().await?;
        let made = self.directory.add_client_secret(self.request, application.object_id, Some(end)).await?;
        let answer = json!({
            "keyId": made.id, "secretText": made.secret.expose(), "hint": made.hint, "displayName": null,
            "startDateTime": rfc3339(now), "endDateTime": rfc3339(end),
        });
        Ok(with_header(json_answer(StatusCode::OK, &answer), "cache-control", "no-store"))
    }

    pub(super) async fn remove_password(&self) -> Result<Outbound, GraphError> {
        let RemovePassword { key_id } = body(self.inbound)?;
        let application = self.application().await?;
        let secrets = application.service_principal().map(|program| program.secrets.as_slice()).unwrap_or_default();
        let known = secrets.iter().find(|known| key_id.parse() == Ok(known.id));
        let known = known.ok_or_else(|| GraphError::bad_request("keyId: there is no such password."))?;
        self.directory.revoke_client_secret(self.request, application.object_id, known.id).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }
}

fn time(property: &str, text: Option<&str>) -> Result<Option<Timestamp>, GraphError> {
    let parse = |text: &str| text.parse::<jiff::Timestamp>().map(|time| Timestamp::from_seconds(time.as_second()));
    let bad = |_| GraphError::BadRequest(format!("{property}: a time such as 2027-01-31T00:00:00Z is expected."));
    text.map(parse).transpose().map_err(bad)
}

/// A password, without itself.
pub(super) fn password_credentials(principal: &Principal) -> Vec<Value> {
    let secrets = principal.service_principal().map(|program| program.secrets.as_slice()).unwrap_or_default();
    let show = |secret: &strongroom_core::identity::record::ClientSecret| {
        json!({
            "keyId": secret.id, "hint": secret.hint, "displayName": secret.node, "secretText": null,
            "startDateTime": rfc3339(secret.created), "endDateTime": secret.expires.map(rfc3339),
        })
    };
    secrets.iter().map(show).collect()
}

/// How long a secret lives if nobody says: two years, as in Graph.
const PASSWORD_DAYS: u32 = 730;
/// How far ahead a client's clock may be.
const START_SKEW_SECONDS: i64 = 300;
