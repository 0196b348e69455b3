//! From verified claims to a [`Caller`].

use std::sync::Arc;

use serde::Deserialize;
use strongroom_types::{PrincipalId, TenantId, Timestamp};

use crate::barrier::{Kept, Stored};
use crate::identity::record::{Principal, PrincipalKind, PrincipalState};
use crate::identity::token::{Claims, ParsedToken, SKEW_SECONDS, TokenError, VerifiedToken};
use crate::identity::{Directory, IdentityError, layout};
use crate::request::{Caller, CallerKind};

/// Which claims of an outside issuer say what (`[[issuer]] claims`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimNames {
    /// The bearer's object id, a GUID.
    pub oid: String,
    /// The bearer's groups, GUIDs; others are left out.
    pub groups: String,
    /// A name to show in logs.
    pub name: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { oid: "oid".to_owned(), groups: "groups".to_owned(), name: "preferred_username".to_owned() }
    }
}

impl ClaimNames {
    /// The caller that an outside issuer vouches for. The tenant is the issuer's by configuration; a token cannot choose
    /// it, and one that names another is refused.
    ///
    /// # Errors
    /// [`TokenError::MissingClaim`], [`TokenError::WrongTenant`].
    pub fn caller(&self, claims: &Claims, tenant: TenantId, now: Timestamp) -> Result<Caller, TokenError> {
        let principal =
            claims.text(&self.oid).and_then(|text| text.parse().ok()).ok_or(TokenError::MissingClaim("oid"))?;
        if claims.text("tid").is_some_and(|tid| tid.parse() != Ok(tenant)) {
            return Err(TokenError::WrongTenant);
        }
        Ok(Caller {
            tenant,
            principal,
            groups: self.groups(claims, now),
            application: claims.text("appid").or(claims.text("azp")).map(bounded),
            kind: outside_kind(claims),
            issuer: claims.text("iss").unwrap_or_default().to_owned(),
            name: claims.text(&self.name).or(claims.text("upn")).map(bounded),
        })
    }

    /// Groups of an outside token live until `exp`, at most an hour from its issue (protocols.md §8).
    fn groups(&self, claims: &Claims, now: Timestamp) -> Vec<PrincipalId> {
        let fresh = |issued: Timestamp| now <= issued.plus_seconds(OUTSIDE_GROUPS_SECONDS + SKEW_SECONDS);
        if !claims.time("iat").is_some_and(fresh) {
            return Vec::new();
        }
        claims.texts(&self.groups).into_iter().take(OUTSIDE_GROUPS_MAX).filter_map(|text| text.parse().ok()).collect()
    }
}

impl Directory {
    /// Proves that one of our own keys signed a token of our own issuer.
    ///
    /// # Errors
    /// [`TokenError`] inside [`OwnTokenError::Token`]; [`OwnTokenError::Directory`] if the store fails.
    pub async fn verify_own(&self, token: ParsedToken<'_>, now: Timestamp) -> Result<Claims, OwnTokenError> {
        if token.unproved_claims().text("iss") != Some(self.issuer()?.as_str()) {
            return Err(TokenError::UnknownIssuer.into());
        }
        let kid = token.header().kid.clone().ok_or(TokenError::UnknownKey)?;
        let mut ring = self.keyring.load_full();
        if ring.verifier(&kid, now).is_none() {
            // Another node may have made it since.
            ring = self.refresh_keyring().await?;
        }
        let key = ring.verifier(&kid, now).ok_or(TokenError::UnknownKey)?;
        Ok(key.verify(token, now)?)
    }

    /// Whether a key of ours is still published; a remembered token dies with its key.
    pub fn publishes(&self, kid: &str, now: Timestamp) -> bool {
        self.keyring.load().verifier(kid, now).is_some()
    }

    /// The caller that one of our own tokens speaks for, with state and groups as the directory has them now.
    ///
    /// # Errors
    /// [`TokenError::BearerGone`] if the principal has been removed or disabled.
    pub async fn own_caller(&self, token: &VerifiedToken) -> Result<Arc<Caller>, OwnTokenError> {
        let bearer = self.bearer(&token.claims).await?;
        // As long as the directory says the same of its bearer, a token speaks for the same caller.
        if let Some(known) = token.spoke_for.load().as_ref().filter(|known| Arc::ptr_eq(&known.bearer, &bearer)) {
            return Ok(Arc::clone(&known.caller));
        }
        let caller = Arc::new(bearer.caller(&token.claims, self.tenant()?.id));
        token.spoke_for.store(Some(Arc::new(KnownCaller { bearer, caller: Arc::clone(&caller) })));
        Ok(caller)
    }

    /// The principal that one of our own tokens speaks for.
    async fn bearer(&self, claims: &Claims) -> Result<Arc<Bearer>, OwnTokenError> {
        let tenant = self.tenant()?.id;
        if claims.text("tid").and_then(|tid| tid.parse().ok()) != Some(tenant) {
            return Err(TokenError::WrongTenant.into());
        }
        let object_id = claims.text("oid").and_then(|oid| oid.parse().ok()).ok_or(TokenError::MissingClaim("oid"))?;
        let bearer: Option<Arc<Bearer>> = self.read_kept(&layout::principal(object_id)).await?;
        let bearer = bearer.ok_or(TokenError::BearerGone)?;
        if bearer.state == PrincipalState::Disabled {
            return Err(TokenError::BearerGone.into());
        }
        Ok(bearer)
    }
}

/// What a token needs to know of a principal. What its credentials are compared with is not kept.
#[derive(Debug)]
struct Bearer {
    object_id: PrincipalId,
    state: PrincipalState,
    groups: Vec<PrincipalId>,
    kind: CallerKind,
    name: Option<String>,
}

impl Bearer {
    fn caller(&self, claims: &Claims, tenant: TenantId) -> Caller {
        Caller {
            tenant,
            principal: self.object_id,
            groups: self.groups.clone(),
            application: claims.text("appid").map(str::to_owned),
            kind: self.kind,
            issuer: claims.text("iss").unwrap_or_default().to_owned(),
            name: self.name.clone(),
        }
    }
}

/// The caller that a token speaks for, and the record that says so.
#[derive(Debug)]
pub(super) struct KnownCaller {
    bearer: Arc<Bearer>,
    caller: Arc<Caller>,
}

impl Kept for Bearer {
    type Record = Principal;

    fn of(stored: Stored<Principal>) -> Self {
        let Principal { object_id, state, groups, kind, .. } = stored.value;
        let (kind, name) = match kind {
            PrincipalKind::User(user) => (CallerKind::User, Some(user.user_principal_name)),
            _ => (CallerKind::Application, None),
        };
        Self { object_id, state, groups, kind, name }
    }
}

/// Why one of our own tokens does not count.
#[derive(Debug, thiserror::Error)]
pub enum OwnTokenError {
    /// The token is at fault.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The directory is.
    #[error(transparent)]
    Directory(#[from] IdentityError),
}

/// Entra says `idtyp`; elsewhere a token with a scope or a user's name is a person's.
fn outside_kind(claims: &Claims) -> CallerKind {
    match claims.text("idtyp") {
        Some("user") => CallerKind::User,
        Some(_) => CallerKind::Application,
        None if claims.text("scp").is_some() || claims.text("upn").is_some() => CallerKind::User,
        None => CallerKind::Application,
    }
}

/// Text that outsiders chose and logs will show.
fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(NAME_CHARACTERS_MAX).collect()
}

const OUTSIDE_GROUPS_SECONDS: i64 = 3600;
const OUTSIDE_GROUPS_MAX: usize = 500;
const NAME_CHARACTERS_MAX: usize = 256;
