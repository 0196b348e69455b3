//! Client secrets: made here, shown once, kept as hashes.

use strongroom_types::{PrincipalId, Secret, Timestamp};
use uuid::Uuid;

use crate::identity::credential::{Purpose, draw_secret};
use crate::identity::principal::below;
use crate::identity::record::{ClientSecret, Principal, PrincipalState};
use crate::identity::{Directory, IdentityError, Result};
use crate::request::Request;

/// A node's own secret of the administrator, for its `client.env`.
#[derive(Debug)]
pub struct BootstrapSecret {
    /// Names it when it is listed or revoked.
    pub id: Uuid,
    /// Its first characters, by which it is told from others later.
    pub hint: String,
    /// The secret; it is not kept and cannot be shown again.
    pub secret: Secret<String>,
}

/// What can be said about a secret without knowing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretDescription {
    /// Names it.
    pub id: Uuid,
    /// Its first characters.
    pub hint: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; `None`: when it is revoked.
    pub expires: Option<Timestamp>,
    /// The node whose bootstrap secret it is.
    pub node: Option<String>,
}

impl Directory {
    /// Makes a secret for a service principal: 256 random bits, base64url. It is shown here and never again.
    ///
    /// # Errors
    /// [`IdentityError::LimitReached`], [`IdentityError::PrincipalNotFound`].
    pub async fn add_client_secret(
        &self,
        request: &Request,
        object_id: PrincipalId,
        expires: Option<Timestamp>,
    ) -> Result<BootstrapSecret> {
        self.make_secret(request, object_id, expires, None).await
    }

    /// Makes the node's own secret of the administrator; the node's previous one ends with it (protocols.md §8).
    ///
    /// # Errors
    /// [`IdentityError::NotFounded`], [`IdentityError::LimitReached`], [`IdentityError::BadParameter`] for a node name
    /// that is empty or too long.
    pub async fn issue_bootstrap_secret(&self, request: &Request, node: &str) -> Result<BootstrapSecret> {
        if !(1..=NODE_NAME_MAX).contains(&node.len()) {
            return Err(IdentityError::BadParameter { parameter: "node", problem: "1 to 128 bytes" });
        }
        self.make_secret(request, self.tenant()?.administrator, None, Some(node)).await
    }

    /// What is known about the secrets of a service principal.
    ///
    /// # Errors
    /// [`IdentityError::PrincipalNotFound`].
    pub async fn client_secrets(&self, object_id: PrincipalId) -> Result<Vec<SecretDescription>> {
        let principal = self.existing(object_id).await?.value;
        let program = principal.service_principal().ok_or(IdentityError::PrincipalNotFound)?;
        Ok(program.secrets.iter().map(describe).collect())
    }

    /// Ends a secret at once; that there is none is no error.
    ///
    /// # Errors
    /// [`IdentityError::PrincipalNotFound`].
    pub async fn revoke_client_secret(&self, request: &Request, object_id: PrincipalId, id: Uuid) -> Result<()> {
        self.change_program(request, object_id, |program| {
            program.secrets.retain(|secret| secret.id != id);
            Ok(())
        })
        .await
    }

    /// The service principal that a client id and secret belong to.
    ///
    /// # Errors
    /// [`IdentityError::ClientNotFound`], [`IdentityError::WrongSecret`], [`IdentityError::SecretExpired`],
    /// [`IdentityError::PrincipalDisabled`] (only with the right secret).
    pub async fn authenticate_with_secret(&self, client_id: Uuid, secret: &str, now: Timestamp) -> Result<Principal> {
        let principal = self.client(client_id).await?;
        let program = principal.service_principal().ok_or(IdentityError::ClientNotFound)?;
        let hash = self.hasher.hash(Purpose::ClientSecret, principal.object_id, secret);
        let fitting = program.secrets.iter().find(|known| known.hash == hash).ok_or(IdentityError::WrongSecret)?;
        if fitting.expires.is_some_and(|expires| expires <= now) {
            return Err(IdentityError::SecretExpired);
        }
        enabled(principal)
    }

    /// The service principal with a client id, enabled or not. Managed identities have no credentials, so they are no
    /// clients of the token endpoint.
    ///
    /// # Errors
    /// [`IdentityError::ClientNotFound`].
    pub async fn client(&self, client_id: Uuid) -> Result<Principal> {
        let principal = self.by_client_id(client_id).await?.ok_or(IdentityError::ClientNotFound)?.value;
        principal.service_principal().is_some().then_some(principal).ok_or(IdentityError::ClientNotFound)
    }

    async fn make_secret(
        &self,
        request: &Request,
        object_id: PrincipalId,
        expires: Option<Timestamp>,
        node: Option<&str>,
    ) -> Result<BootstrapSecret> {
        let (id, secret) = (self.draw_uuid()?, draw_secret(self.barrier().entropy().as_ref())?);
        let record = ClientSecret {
            id,
            hash: self.hasher.hash(Purpose::ClientSecret, object_id, secret.expose()),
            hint: secret.expose().chars().take(HINT_CHARACTERS).collect(),
            created: request.received,
            expires,
            node: node.map(str::to_owned),
        };
        self.change_program(request, object_id, |program| {
            program.secrets.retain(|known| node.is_none() || known.node.as_deref() != node);
            below(program.secrets.len(), SECRETS_MAX, "secrets of a client")?;
            program.secrets.push(record.clone());
            Ok(())
        })
        .await?;
        Ok(BootstrapSecret { id, hint: record.hint, secret })
    }
}

/// Lets only an enabled principal through.
pub(super) fn enabled(principal: Principal) -> Result<Principal> {
    match principal.state {
        PrincipalState::Enabled => Ok(principal),
        PrincipalState::Disabled => Err(IdentityError::PrincipalDisabled),
    }
}

fn describe(secret: &ClientSecret) -> SecretDescription {
    let ClientSecret { id, hash: _, hint, created, expires, node } = secret;
    SecretDescription { id: *id, hint: hint.clone(), created: *created, expires: *expires, node: node.clone() }
}

const SECRETS_MAX: usize = 64;
const NODE_NAME_MAX: usize = 128;
/// As many characters of a secret as may be shown to tell secrets apart: the prefix of all, and 18 of its 256 bits.
const HINT_CHARACTERS: usize = 6;

#[cfg(test)]
mod tests {
    use crate::identity::test_support::{NOW, directory, request};

    use super::*;

    #[tokio::test]
    async fn only_the_secret_itself_authenticates_and_only_until_it_expires() {
        let (directory, _) = directory().await;
        let app = directory.create_service_principal(&request(), "app").await.unwrap();
        let other = directory.create_service_principal(&request(), "other").await.unwrap();
        let made = directory.add_client_secret(&request(), app.object_id, Some(NOW.plus_seconds(60))).await.unwrap();
        let secret = made.secret.expose();
        let found = directory.authenticate_with_secret(app.client_id, secret, NOW).await.unwrap();
        assert_eq!(found.object_id, app.object_id);
        for (client_id, secret, now, expected) in [
            (app.client_id, "wrong", NOW, "the client secret is wrong"),
            (app.client_id, "", NOW, "the client secret is wrong"),
            (app.client_id, secret, NOW.plus_seconds(60), "the client secret has expired"),
            (other.client_id, secret, NOW, "the client secret is wrong"),
            (Uuid::nil(), secret, NOW, "no application has this client id"),
        ] {
            let error = directory.authenticate_with_secret(client_id, secret, now).await.unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[tokio::test]
    async fn each_node_has_its_own_bootstrap_secret_and_a_new_one_ends_the_old() {
        let (directory, foundation) = directory().await;
        let ids = foundation.administrator;
        let a1 = directory.issue_bootstrap_secret(&request(), "node-a").await.unwrap();
        let b1 = directory.issue_bootstrap_secret(&request(), "node-b").await.unwrap();
        let a2 = directory.issue_bootstrap_secret(&request(), "node-a").await.unwrap();
        let works = async |secret: &BootstrapSecret| {
            directory.authenticate_with_secret(ids.client_id, secret.secret.expose(), NOW).await.is_ok()
        };
        assert_eq!((works(&a1).await, works(&b1).await, works(&a2).await), (false, true, true));
        let listed = directory.client_secrets(ids.object_id).await.unwrap();
        assert_eq!(listed.iter().map(|secret| secret.id).collect::<Vec<_>>(), [b1.id, a2.id]);
        directory.revoke_client_secret(&request(), ids.object_id, b1.id).await.unwrap();
        assert!(!works(&b1).await);
    }

    #[tokio::test]
    async fn a_disabled_program_is_told_so_only_with_its_secret() {
        let (directory, _) = directory().await;
        let app = directory.create_service_principal(&request(), "app").await.unwrap();
        let made = directory.add_client_secret(&request(), app.object_id, None).await.unwrap();
        directory.set_state(&request(), app.object_id, PrincipalState::Disabled).await.unwrap();
        let right = directory.authenticate_with_secret(app.client_id, made.secret.expose(), NOW).await;
        assert!(matches!(right, Err(IdentityError::PrincipalDisabled)));
        let wrong = directory.authenticate_with_secret(app.client_id, "wrong", NOW).await;
        assert!(matches!(wrong, Err(IdentityError::WrongSecret)));
    }

    #[tokio::test]
    async fn a_managed_identity_cannot_authenticate_with_a_secret_nor_get_one() {
        let (directory, foundation) = directory().await;
        let machine = foundation.machine;
        let error = directory.authenticate_with_secret(machine.client_id, "x", NOW).await.unwrap_err();
        assert!(matches!(error, IdentityError::ClientNotFound));
        let error = directory.add_client_secret(&request(), machine.object_id, None).await.unwrap_err();
        assert!(matches!(error, IdentityError::PrincipalNotFound));
    }

    #[tokio::test]
    async fn the_store_never_sees_a_secret_nor_does_a_description_show_it() {
        let (directory, foundation) = directory().await;
        let made = directory.issue_bootstrap_secret(&request(), "node").await.unwrap();
        let listed = directory.client_secrets(foundation.administrator.object_id).await.unwrap();
        let record = directory.existing(foundation.administrator.object_id).await.unwrap().value;
        let json = serde_json::to_string(&record).unwrap();
        for shown in [format!("{listed:?}"), format!("{record:?}"), json, format!("{made:?}")] {
            assert!(!shown.contains(made.secret.expose().as_str()));
        }
    }
}
