//! Issuing tokens: access tokens for programs and people, id tokens for people. RS256, in the shapes of Entra ID.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use strongroom_crypto::digest::sha256;
use strongroom_types::{Algorithm, Secret, Timestamp};
use uuid::Uuid;

use crate::Error;
use crate::identity::record::Principal;
use crate::identity::{Directory, Result};
use crate::ports::Lane;

/// An access token to be issued.
#[derive(Debug, Clone, Copy)]
pub struct AccessTokenOrder<'a> {
    /// Whom it speaks for.
    pub principal: &'a Principal,
    /// The program that will use it (`appid`).
    pub client_id: Uuid,
    /// What it is for (`aud`), as the program spelled it.
    pub audience: &'a str,
    /// Which issuer it names.
    pub form: IssuerForm,
}

/// Which of the two issuer names a token carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerForm {
    /// `https://login.<domain>[:port]/<tenant>/v2.0`: everything of ours.
    V2,
    /// `https://sts.windows.net/<tenant>/`: storage services look for exactly that (components.md §1). None of our planes
    /// takes such a token.
    V1,
}

/// A token that was just signed.
#[derive(Debug)]
pub struct IssuedToken {
    /// The compact form (RFC 7515 §7.1).
    pub text: Secret<String>,
    /// When it was issued (`iat`, `nbf`).
    pub issued: Timestamp,
    /// When it ends (`exp`).
    pub expires: Timestamp,
    /// How long it lives, in seconds.
    pub lifetime_seconds: i64,
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'static str,
    alg: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct AccessClaims<'a> {
    aud: &'a str,
    iss: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    appid: String,
    azp: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    idtyp: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    oid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scp: Option<&'static str>,
    sub: String,
    tid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    upn: Option<&'a str>,
    uti: String,
    ver: &'static str,
}

#[derive(Serialize)]
struct IdClaims<'a> {
    aud: String,
    iss: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    name: &'a str,
    oid: String,
    preferred_username: &'a str,
    sub: String,
    tid: String,
    upn: &'a str,
    ver: &'static str,
}

impl Directory {
    /// Issues an access token. It lives [`ACCESS_TOKEN_SECONDS`].
    ///
    /// # Errors
    /// [`crate::identity::IdentityError::NotFounded`] before [`Directory::found`].
    pub async fn issue_access_token(&self, order: AccessTokenOrder<'_>, now: Timestamp) -> Result<IssuedToken> {
        let AccessTokenOrder { principal, client_id, audience, form } = order;
        let tenant = self.tenant()?.id;
        let (iss, ver) = match form {
            IssuerForm::V2 => (self.issuer()?, "2.0"),
            IssuerForm::V1 => (format!("https://sts.windows.net/{tenant}/"), "1.0"),
        };
        let user = principal.user();
        let claims = AccessClaims {
            aud: audience,
            iss,
            iat: now.seconds(),
            nbf: now.seconds(),
            exp: now.seconds() + ACCESS_TOKEN_SECONDS,
            appid: client_id.to_string(),
            azp: client_id.to_string(),
            groups: principal.groups.iter().map(ToString::to_string).collect(),
            idtyp: if user.is_some() { "user" } else { "app" },
            name: user.map(|_| principal.display_name.as_str()),
            oid: principal.object_id.to_string(),
            scp: user.map(|_| "user_impersonation"),
            sub: principal.object_id.to_string(),
            tid: tenant.to_string(),
            upn: user.map(|user| user.user_principal_name.as_str()),
            uti: URL_SAFE_NO_PAD.encode(self.barrier().entropy().sixteen()?),
            ver,
        };
        self.sign(&claims, now).await
    }

    /// Issues an id token for a program a user signs in to (OpenID Connect Core §2). It is no access token: its audience
    /// is the program.
    ///
    /// # Errors
    /// [`Error::Internal`] for a principal that is no user.
    pub async fn issue_id_token(&self, principal: &Principal, client_id: Uuid, now: Timestamp) -> Result<IssuedToken> {
        let user = principal.user().ok_or(Error::Internal("an id token for a program"))?;
        let claims = IdClaims {
            aud: client_id.to_string(),
            iss: self.issuer()?,
            iat: now.seconds(),
            nbf: now.seconds(),
            exp: now.seconds() + ACCESS_TOKEN_SECONDS,
            name: &principal.display_name,
            oid: principal.object_id.to_string(),
            preferred_username: &user.user_principal_name,
            sub: principal.object_id.to_string(),
            tid: self.tenant()?.id.to_string(),
            upn: &user.user_principal_name,
            ver: "2.0",
        };
        self.sign(&claims, now).await
    }

    async fn sign<T: Serialize + Sync>(&self, claims: &T, now: Timestamp) -> Result<IssuedToken> {
        let (kid, key) = self.signer(now).await?;
        let mut text = Secret::new(encode(&Header { typ: "JWT", alg: "RS256", kid: &kid })?);
        text.expose_mut().push('.');
        text.expose_mut().push_str(&encode(claims)?);
        let digest = sha256(text.expose().as_bytes());
        let signature = self.core().run(Lane::Fast, move || key.sign(Algorithm::Rs256, &digest)).await??;
        text.expose_mut().push('.');
        text.expose_mut().push_str(&URL_SAFE_NO_PAD.encode(signature));
        let issued = Timestamp::from_seconds(now.seconds());
        Ok(IssuedToken {
            text,
            issued,
            expires: issued.plus_seconds(ACCESS_TOKEN_SECONDS),
            lifetime_seconds: ACCESS_TOKEN_SECONDS,
        })
    }
}

fn encode<T: Serialize>(part: &T) -> Result<String> {
    let json = serde_json::to_vec(part).map_err(|_| Error::Internal("a token does not encode"))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// How long our tokens live.
pub const ACCESS_TOKEN_SECONDS: i64 = 3600;
