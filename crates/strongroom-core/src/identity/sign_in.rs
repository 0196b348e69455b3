//! Sign-ins of people, continued by refresh tokens (RFC 6749 §6).
//!
//! A refresh token is opaque: the user, the sign-in and a secret. Each use replaces the secret. The one before stays
//! good for a short while, because a client may lose an answer or run twice; used later, it shows that the token has
//! been copied, and the whole sign-in ends.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use strongroom_types::{PrincipalId, Secret, Timestamp};
use uuid::Uuid;

use crate::barrier::{Record, Stored, Transaction};
use crate::identity::credential::{CredentialHash, Purpose, draw_secret};
use crate::identity::directory::repeat_on_conflict;
use crate::identity::record::Principal;
use crate::identity::secret::enabled;
use crate::identity::{Directory, IdentityError, Result, layout};
use crate::request::Request;

/// A new sign-in.
#[derive(Debug)]
pub struct SignIn {
    /// The user.
    pub user: PrincipalId,
    /// Continues it.
    pub refresh_token: Secret<String>,
}

/// A sign-in that was continued.
#[derive(Debug)]
pub struct Continued {
    /// The user as it is now.
    pub user: Principal,
    /// Replaces the one that was shown; `None` if that was the one before, whose successor the client has already.
    pub refresh_token: Option<Secret<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SignInRecord {
    client_id: Uuid,
    current: CredentialHash,
    previous: Option<CredentialHash>,
    rotated: Timestamp,
    created: Timestamp,
    expires: Timestamp,
}

impl Record for SignInRecord {
    const FORMAT: u16 = 1;
}

impl Directory {
    /// Records that a user has signed in to a program.
    ///
    /// The oldest sign-in of the user ends when there would be more than [`SIGN_INS_MAX`].
    ///
    /// # Errors
    /// [`IdentityError::Core`] if the store fails.
    pub async fn sign_in(&self, request: &Request, user: PrincipalId, client_id: Uuid) -> Result<SignIn> {
        let now = request.received;
        let (id, secret) = (self.draw_uuid()?, draw_secret(self.barrier().entropy().as_ref())?);
        let record = SignInRecord {
            client_id,
            current: self.hasher.hash(Purpose::RefreshToken, user, secret.expose()),
            previous: None,
            rotated: now,
            created: now,
            expires: now.plus_days(REFRESH_TOKEN_DAYS),
        };
        let mut known = self.sign_ins(user).await?;
        known.sort_by_key(|stored| (stored.value.expires > now, stored.value.rotated));
        let superfluous = (known.len() + 1).saturating_sub(SIGN_INS_MAX);
        let mut transaction = self.barrier().transaction();
        transaction.create(self.barrier().deployment(), layout::sign_in(user, id), &record)?;
        for stored in known.iter().take(superfluous) {
            transaction.discard(stored.key.clone());
        }
        transaction.detail(format!("user {user} client {client_id}")).commit(request).await?;
        Ok(SignIn { user, refresh_token: join(user, id, &secret) })
    }

    /// The user a refresh token says it is of. Nothing is proved by that.
    ///
    /// # Errors
    /// [`IdentityError::RefreshTokenInvalid`] if it is none or the user is gone.
    pub async fn refresh_token_owner(&self, token: &str) -> Result<Principal> {
        let (user, _, _) = split(token).ok_or(IdentityError::RefreshTokenInvalid)?;
        Ok(self.principal(user).await?.ok_or(IdentityError::RefreshTokenInvalid)?.value)
    }

    /// Continues a sign-in with its refresh token.
    ///
    /// # Errors
    /// [`IdentityError::RefreshTokenInvalid`], [`IdentityError::PrincipalDisabled`].
    pub async fn continue_sign_in(&self, request: &Request, client_id: Uuid, token: &str) -> Result<Continued> {
        let (user, id, secret) = split(token).ok_or(IdentityError::RefreshTokenInvalid)?;
        let hash = self.hasher.hash(Purpose::RefreshToken, user, secret);
        repeat_on_conflict(|| self.try_continue(request, client_id, user, id, hash)).await
    }

    /// Ends all sign-ins of a user.
    ///
    /// # Errors
    /// [`IdentityError::Core`] if the store fails.
    pub async fn revoke_sign_ins(&self, request: &Request, user: PrincipalId) -> Result<()> {
        let mut transaction = self.barrier().transaction();
        self.stage_sign_in_removal(&mut transaction, user).await?;
        transaction.detail(format!("user {user}")).commit(request).await?;
        Ok(())
    }

    /// Adds the end of all sign-ins of a user to a commit; they are few.
    pub(super) async fn stage_sign_in_removal(
        &self,
        transaction: &mut Transaction<'_>,
        user: PrincipalId,
    ) -> Result<()> {
        for stored in self.sign_ins(user).await? {
            transaction.discard(stored.key);
        }
        Ok(())
    }

    async fn try_continue(
        &self,
        request: &Request,
        client_id: Uuid,
        user: PrincipalId,
        id: Uuid,
        hash: CredentialHash,
    ) -> Result<Continued> {
        let now = request.received;
        let stored: Stored<SignInRecord> =
            self.read(&layout::sign_in(user, id)).await?.ok_or(IdentityError::RefreshTokenInvalid)?;
        let record = &stored.value;
        if record.client_id != client_id || record.expires <= now {
            return Err(IdentityError::RefreshTokenInvalid);
        }
        let principal = self.principal(user).await?.ok_or(IdentityError::RefreshTokenInvalid)?.value;
        let principal = enabled(principal)?;
        if record.current == hash {
            let refresh_token = self.rotate(request, &stored, user, id).await?;
            return Ok(Continued { user: principal, refresh_token: Some(refresh_token) });
        }
        if record.previous != Some(hash) {
            return Err(IdentityError::RefreshTokenInvalid);
        }
        if now <= record.rotated.plus_seconds(PREVIOUS_SECONDS) {
            return Ok(Continued { user: principal, refresh_token: None });
        }
        // Somebody else has a copy: nobody may go on with either.
        let mut transaction = self.barrier().transaction();
        transaction.delete(&stored);
        transaction.detail(format!("user {user}: refresh token used twice")).commit(request).await?;
        Err(IdentityError::RefreshTokenInvalid)
    }

    async fn rotate(
        &self,
        request: &Request,
        stored: &Stored<SignInRecord>,
        user: PrincipalId,
        id: Uuid,
    ) -> Result<Secret<String>> {
        let secret = draw_secret(self.barrier().entropy().as_ref())?;
        let record = SignInRecord {
            current: self.hasher.hash(Purpose::RefreshToken, user, secret.expose()),
            previous: Some(stored.value.current),
            rotated: request.received,
            expires: request.received.plus_days(REFRESH_TOKEN_DAYS),
            ..stored.value.clone()
        };
        let mut transaction = self.barrier().transaction();
        transaction.replace(self.barrier().deployment(), stored, &record)?;
        transaction.detail(format!("user {user}")).commit(request).await?;
        Ok(join(user, id, &secret))
    }

    async fn sign_ins(&self, user: PrincipalId) -> Result<Vec<Stored<SignInRecord>>> {
        Ok(self.barrier().all(self.barrier().deployment(), &layout::sign_ins(user)).await?)
    }
}

fn join(user: PrincipalId, id: Uuid, secret: &Secret<String>) -> Secret<String> {
    let [user, id] = [user.as_bytes(), id.as_bytes()].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    Secret::new(format!("{user}.{id}.{}", secret.expose()))
}

fn split(token: &str) -> Option<(PrincipalId, Uuid, &str)> {
    let mut parts = token.splitn(3, '.');
    let mut uuid = || {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        Some(Uuid::from_bytes(bytes.try_into().ok()?))
    };
    let (user, id) = (uuid()?, uuid()?);
    Some((PrincipalId::from_uuid(user), id, parts.next()?))
}

/// How long a refresh token that is not used stays good.
const REFRESH_TOKEN_DAYS: u32 = 90;
/// How long the refresh token before the current one stays good.
const PREVIOUS_SECONDS: i64 = 60;
/// Most sign-ins of one user; few enough to end all of them in one commit.
pub const SIGN_INS_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use crate::identity::record::PrincipalState;
    use crate::identity::test_support::{NOW, directory, request, request_at};

    use super::*;

    const CLIENT: Uuid = Uuid::from_u128(7);

    async fn signed_in() -> (std::sync::Arc<Directory>, PrincipalId, Secret<String>) {
        let (directory, _) = directory().await;
        let user = directory.create_user(&request(), "ada@example.org", "Ada").await.unwrap().principal.object_id;
        let token = directory.sign_in(&request(), user, CLIENT).await.unwrap().refresh_token;
        (directory, user, token)
    }

    #[tokio::test]
    async fn each_use_gives_a_new_token_and_the_one_before_serves_a_minute_longer() {
        let (directory, user, first) = signed_in().await;
        let continued = directory.continue_sign_in(&request(), CLIENT, first.expose()).await.unwrap();
        assert_eq!(continued.user.object_id, user);
        let second = continued.refresh_token.unwrap();
        assert_ne!(first.expose(), second.expose());
        let repeated = directory.continue_sign_in(&request_at(NOW.plus_seconds(60)), CLIENT, first.expose()).await;
        assert!(repeated.unwrap().refresh_token.is_none());
        let next = directory.continue_sign_in(&request_at(NOW.plus_seconds(70)), CLIENT, second.expose()).await;
        assert!(next.unwrap().refresh_token.is_some());
    }

    #[tokio::test]
    async fn an_old_token_used_late_ends_the_sign_in_for_everybody() {
        let (directory, _, first) = signed_in().await;
        let second =
            directory.continue_sign_in(&request(), CLIENT, first.expose()).await.unwrap().refresh_token.unwrap();
        let late = request_at(NOW.plus_seconds(61));
        for token in [&first, &second] {
            let refused = directory.continue_sign_in(&late, CLIENT, token.expose()).await;
            assert!(matches!(refused, Err(IdentityError::RefreshTokenInvalid)));
        }
    }

    #[tokio::test]
    async fn a_token_serves_its_client_only_until_it_expires_or_the_user_is_disabled_or_signed_out() {
        let (directory, user, token) = signed_in().await;
        let refused = async |request: Request, client: Uuid, token: &str| {
            directory.continue_sign_in(&request, client, token).await.unwrap_err().to_string()
        };
        let invalid = IdentityError::RefreshTokenInvalid.to_string();
        assert_eq!(refused(request(), Uuid::nil(), token.expose()).await, invalid);
        assert_eq!(refused(request_at(NOW.plus_days(90)), CLIENT, token.expose()).await, invalid);
        for altered in ["", "..", "a.b.c", &token.expose()[..60], &format!("{}x", token.expose())] {
            assert_eq!(refused(request(), CLIENT, altered).await, invalid);
        }
        directory.set_state(&request(), user, PrincipalState::Disabled).await.unwrap();
        assert_eq!(refused(request(), CLIENT, token.expose()).await, "the principal is disabled");
        directory.set_state(&request(), user, PrincipalState::Enabled).await.unwrap();
        directory.revoke_sign_ins(&request(), user).await.unwrap();
        assert_eq!(refused(request(), CLIENT, token.expose()).await, invalid);
    }

    #[tokio::test]
    async fn the_oldest_sign_in_ends_when_there_are_too_many() {
        let (directory, user, oldest) = signed_in().await;
        for number in 1..=SIGN_INS_MAX {
            let later = request_at(NOW.plus_seconds(number as i64));
            directory.sign_in(&later, user, CLIENT).await.unwrap();
        }
        assert_eq!(directory.sign_ins(user).await.unwrap().len(), SIGN_INS_MAX);
        assert!(directory.continue_sign_in(&request(), CLIENT, oldest.expose()).await.is_err());
        directory.revoke_sign_ins(&request(), user).await.unwrap();
        assert!(directory.sign_ins(user).await.unwrap().is_empty());
    }
}
