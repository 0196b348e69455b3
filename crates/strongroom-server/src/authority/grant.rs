//! The token endpoint (RFC 6749 §3.2) and its grants.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use strongroom_core::audit::Result as EventResult;
use strongroom_core::identity::record::{Principal, PrincipalState};
use strongroom_core::identity::{AccessTokenOrder, IdentityError, IssuedToken};
use strongroom_core::request::Request;
use uuid::Uuid;

use crate::authentication::counted;
use crate::authority::Authority;
use crate::authority::device::Poll;
use crate::authority::form::Form;
use crate::authority::public_clients::{self, PublicClient};
use crate::authority::recording::{caller_of, record, request};
use crate::authority::refusal::Refusal;
use crate::authority::scope::Wanted;
use crate::http::exchange::{Inbound, Outbound, json as json_answer, with_header};

/// A successful answer (RFC 6749 §5.1). `expires_in` is a number: some clients refuse text (components.md §0, rule 5).
#[derive(Serialize)]
struct Answer<'a> {
    token_type: &'static str,
    expires_in: i64,
    ext_expires_in: i64,
    expires_on: i64,
    not_before: i64,
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    access_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_info: Option<String>,
}

/// What a user's answer has besides the access token.
struct UserParts<'a> {
    refresh_token: Option<&'a str>,
    id_token: Option<&'a str>,
    client_info: Option<String>,
}

impl Authority {
    /// Answers a token request.
    pub(super) async fn token(&self, inbound: &Inbound) -> Result<Outbound, Refusal> {
        self.client_failures
            .check(&counted(inbound.peer.remote.ip()), inbound.received)
            .map_err(Refusal::TooManyFailures)?;
        let form = Form::read(inbound)?;
        match form.require("grant_type")? {
            "client_credentials" => self.client_credentials(inbound, &form).await,
            "refresh_token" => self.refresh(inbound, &form).await,
            DEVICE_CODE_GRANT | "device_code" => self.device_code(inbound, &form).await,
            other => Err(Refusal::UnsupportedGrant(other.chars().take(GRANT_SHOWN_MAX).collect())),
        }
    }

    /// A program on its own behalf (RFC 6749 §4.4).
    async fn client_credentials(&self, inbound: &Inbound, form: &Form) -> Result<Outbound, Refusal> {
        if form.get("scope").is_none() && form.get("resource").is_none() {
            return Err(Refusal::MissingParameter("scope"));
        }
        let principal = self.authenticate_client(inbound, form).await?;
        let wanted = Wanted::read(form, &self.names)?;
        let client_id = principal.client_id().unwrap_or_default();
        let token = self.access_token(inbound, &principal, client_id, &wanted).await?;
        let caller = caller_of(&self.directory, &principal, Some(client_id.to_string()));
        let caller = caller.ok_or(Refusal::Unavailable(IdentityError::NotFounded))?;
        let request = request(inbound, "ServicePrincipalSignIn", caller);
        record(
            self.directory.core(),
            &request,
            EventResult::success(200),
            Some(format!("audience {}", wanted.audience)),
        );
        let parts = UserParts { refresh_token: None, id_token: None, client_info: None };
        Ok(answer(&token, &wanted, &parts))
    }

    /// A person, once the code has been entered on the device page (RFC 8628 §3.4).
    async fn device_code(&self, inbound: &Inbound, form: &Form) -> Result<Outbound, Refusal> {
        let client = public_client(form)?;
        // Version 1 of the endpoint calls it `code`.
        let code = form.get("device_code").or(form.get("code")).ok_or(Refusal::MissingParameter("device_code"))?;
        let (user, scope) = match self.devices.poll(code, client, inbound.received) {
            Poll::Approved { user, scope } => (user, scope),
            Poll::Pending => return Err(Refusal::AuthorizationPending),
            Poll::Declined => return Err(Refusal::AuthorizationDeclined),
            Poll::Expired => return Err(Refusal::DeviceCodeExpired),
            Poll::Unknown => return Err(Refusal::UnknownDeviceCode),
        };
        let principal = self.directory.principal(user).await?.ok_or(Refusal::UserDisabled)?.value;
        if principal.state == PrincipalState::Disabled {
            return Err(Refusal::UserDisabled);
        }
        let wanted = Wanted::of(&scope, form.get("resource"), &self.names)?;
        let request = self.user_request(inbound, "UserSignIn", &principal, client)?;
        let refresh_token = if wanted.offline_access {
            Some(self.directory.sign_in(&request, user, client.client_id).await?.refresh_token)
        } else {
            None
        };
        record(self.directory.core(), &request, EventResult::success(200), None);
        let refresh_token = refresh_token.as_ref().map(|token| token.expose().as_str());
        self.user_answer(inbound, form, &principal, client, &wanted, refresh_token).await
    }

    /// A person again, without being asked (RFC 6749 §6).
    async fn refresh(&self, inbound: &Inbound, form: &Form) -> Result<Outbound, Refusal> {
        let client = public_client(form)?;
        let token = form.require("refresh_token")?;
        let wanted = Wanted::read(form, &self.names)?;
        let claimed = self.directory.refresh_token_owner(token).await?;
        let request = self.user_request(inbound, "UserTokenRefresh", &claimed, client)?;
        let continued = match self.directory.continue_sign_in(&request, client.client_id, token).await {
            Err(IdentityError::PrincipalDisabled) => return Err(Refusal::UserDisabled),
            other => other?,
        };
        record(self.directory.core(), &request, EventResult::success(200), None);
        let refresh_token = continued.refresh_token.as_ref().map(|token| token.expose().as_str());
        self.user_answer(inbound, form, &continued.user, client, &wanted, refresh_token).await
    }

    async fn user_answer(
        &self,
        inbound: &Inbound,
        form: &Form,
        user: &Principal,
        client: &PublicClient,
        wanted: &Wanted,
        refresh_token: Option<&str>,
    ) -> Result<Outbound, Refusal> {
        let token = self.access_token(inbound, user, client.client_id, wanted).await?;
        let id_token = if wanted.openid {
            Some(self.directory.issue_id_token(user, client.client_id, inbound.received).await?)
        } else {
            None
        };
        let (uid, utid) = (user.object_id, self.directory.tenant()?.id);
        let client_info =
            || URL_SAFE_NO_PAD.encode(json!({"uid": uid.to_string(), "utid": utid.to_string()}).to_string());
        let parts = UserParts {
            refresh_token,
            id_token: id_token.as_ref().map(|token| token.text.expose().as_str()),
            client_info: (form.get("client_info") == Some("1")).then(client_info),
        };
        Ok(answer(&token, wanted, &parts))
    }

    fn user_request(
        &self,
        inbound: &Inbound,
        operation: &'static str,
        user: &Principal,
        client: &PublicClient,
    ) -> Result<Request, Refusal> {
        let caller = caller_of(&self.directory, user, Some(client.client_id.to_string()));
        Ok(request(inbound, operation, caller.ok_or(Refusal::Unavailable(IdentityError::NotFounded))?))
    }

    async fn access_token(
        &self,
        inbound: &Inbound,
        principal: &Principal,
        client_id: Uuid,
        wanted: &Wanted,
    ) -> Result<IssuedToken, Refusal> {
        let order = AccessTokenOrder { principal, client_id, audience: &wanted.audience, form: wanted.issuer_form() };
        Ok(self.directory.issue_access_token(order, inbound.received).await?)
    }
}

/// The program a person signs in to.
pub(super) fn public_client(form: &Form) -> Result<&'static PublicClient, Refusal> {
    let client_id = form.require("client_id")?;
    let unknown = || Refusal::UnknownClient(client_id.chars().take(CLIENT_ID_SHOWN_MAX).collect());
    public_clients::find(client_id).ok_or_else(unknown)
}

fn answer(token: &IssuedToken, wanted: &Wanted, parts: &UserParts<'_>) -> Outbound {
    let body = Answer {
        token_type: "Bearer",
        expires_in: token.lifetime_seconds,
        ext_expires_in: token.lifetime_seconds,
        expires_on: token.expires.seconds(),
        not_before: token.issued.seconds(),
        resource: &wanted.audience,
        scope: Some(wanted.scope.as_str()).filter(|scope| !scope.is_empty()),
        access_token: token.text.expose(),
        refresh_token: parts.refresh_token,
        id_token: parts.id_token,
        client_info: parts.client_info.clone(),
    };
    let answer = with_header(json_answer(StatusCode::OK, &body), "cache-control", "no-store");
    with_header(answer, "pragma", "no-cache")
}

/// RFC 8628 §3.4.
pub(super) const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Characters of an unknown grant type that are repeated in the refusal.
const GRANT_SHOWN_MAX: usize = 64;
/// Characters of an unknown client id that are repeated in the refusal.
const CLIENT_ID_SHOWN_MAX: usize = 64;
