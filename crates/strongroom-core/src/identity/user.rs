//! People: a one-time password made here, then a passphrase of their own.

use std::sync::Arc;

use strongroom_crypto::passphrase::PassphraseHash;
use strongroom_types::{PrincipalId, Secret};

use crate::Error;
use crate::identity::credential::{Purpose, draw_one_time_password, normalized};
use crate::identity::directory::repeat_on_conflict;
use crate::identity::record::{Principal, PrincipalKind, User};
use crate::identity::{Directory, IdentityError, Result};
use crate::ports::Lane;
use crate::request::Request;

/// A user that was just made.
#[derive(Debug)]
pub struct NewUser {
    /// The record.
    pub principal: Principal,
    /// Opens the first sign-in, in which the person chooses a passphrase. It is not kept and cannot be shown again.
    pub one_time_password: Secret<String>,
}

/// What a typed password turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordCheck {
    /// The one-time password: the person has to choose a passphrase now.
    OneTime,
    /// The person's passphrase.
    Right,
    /// Neither, or there is no such user.
    Wrong,
}

impl Directory {
    /// Makes a user and its one-time password.
    ///
    /// # Errors
    /// [`IdentityError::NameTaken`], [`IdentityError::BadParameter`] for a name that is none.
    pub async fn create_user(
        &self,
        request: &Request,
        user_principal_name: &str,
        display_name: &str,
    ) -> Result<NewUser> {
        check_user_principal_name(user_principal_name)?;
        if self.by_user_principal_name(user_principal_name).await?.is_some() {
            return Err(TAKEN);
        }
        let one_time_password = draw_one_time_password(self.barrier().entropy().as_ref())?;
        let user =
            User { user_principal_name: user_principal_name.to_owned(), one_time_password: None, passphrase: None };
        let mut principal = self.new_principal(display_name, PrincipalKind::User(user))?;
        let typed = normalized(one_time_password.expose());
        let hash = self.hasher.hash(Purpose::OneTimePassword, principal.object_id, typed.expose());
        if let PrincipalKind::User(user) = &mut principal.kind {
            user.one_time_password = Some(hash);
        }
        let mut transaction = self.barrier().transaction();
        self.stage_principal(&mut transaction, &principal)?;
        match transaction.detail(format!("user {}", principal.object_id)).commit(request).await {
            Ok(_) => Ok(NewUser { principal, one_time_password }),
            // Only the name can be in the way: the object id is random.
            Err(Error::Conflict) => Err(TAKEN),
            Err(error) => Err(error.into()),
        }
    }

    /// What a password typed for a user means. It takes as long for a user that does not exist.
    ///
    /// # Errors
    /// [`Error::Throttled`] if too many are being checked.
    pub async fn check_password(&self, user: Option<&User>, owner: PrincipalId, typed: &str) -> Result<PasswordCheck> {
        if let Some(hash) = user.and_then(|user| user.passphrase.clone()) {
            let typed = Secret::new(typed.to_owned());
            let right = self.core().run(Lane::Slow, move || hash.verify(typed.expose())).await?;
            return Ok(if right { PasswordCheck::Right } else { PasswordCheck::Wrong });
        }
        let hash = self.hasher.hash(Purpose::OneTimePassword, owner, normalized(typed).expose());
        if user.is_some_and(|user| user.one_time_password == Some(hash)) {
            return Ok(PasswordCheck::OneTime);
        }
        // Hashed for nothing, so that time does not tell who exists and who has signed in before.
        self.hash_passphrase(typed).await?;
        Ok(PasswordCheck::Wrong)
    }

    /// Replaces the one-time password by the person's own passphrase. It happens once.
    ///
    /// # Errors
    /// [`IdentityError::AlreadyEnrolled`] if there is a passphrase already, [`IdentityError::BadParameter`] for a
    /// passphrase that is too short or too long, [`IdentityError::PrincipalNotFound`].
    pub async fn enrol_passphrase(&self, request: &Request, user: PrincipalId, passphrase: &str) -> Result<()> {
        if !(PASSPHRASE_CHARACTERS_MIN..=PASSPHRASE_CHARACTERS_MAX).contains(&passphrase.chars().count()) {
            return Err(IdentityError::BadParameter {
                parameter: "passphrase",
                problem: "at least 12 characters, at most 256",
            });
        }
        let hash = self.hash_passphrase(passphrase).await?;
        self.change(request, user, |principal| {
            let PrincipalKind::User(user) = &mut principal.kind else {
                return Err(IdentityError::PrincipalNotFound);
            };
            if user.one_time_password.take().is_none() {
                return Err(IdentityError::AlreadyEnrolled);
            }
            user.passphrase = Some(hash.clone());
            Ok(())
        })
        .await
    }

    /// Puts a new one-time password in the place of a user's passphrase, and ends all of the user's sign-ins.
    ///
    /// # Errors
    /// [`IdentityError::PrincipalNotFound`].
    pub async fn reset_password(&self, request: &Request, user: PrincipalId) -> Result<Secret<String>> {
        let one_time_password = draw_one_time_password(self.barrier().entropy().as_ref())?;
        let typed = normalized(one_time_password.expose());
        let hash = self.hasher.hash(Purpose::OneTimePassword, user, typed.expose());
        repeat_on_conflict(|| async move {
            let stored = self.existing(user).await?;
            let mut principal = stored.value.clone();
            let PrincipalKind::User(record) = &mut principal.kind else {
                return Err(IdentityError::PrincipalNotFound);
            };
            (record.one_time_password, record.passphrase) = (Some(hash), None);
            let mut transaction = self.barrier().transaction();
            transaction.replace(self.barrier().deployment(), &stored, &principal)?;
            self.stage_sign_in_removal(&mut transaction, user).await?;
            transaction.detail(format!("user {user}")).commit(request).await?;
            Ok(())
        })
        .await?;
        Ok(one_time_password)
    }

    async fn hash_passphrase(&self, passphrase: &str) -> Result<PassphraseHash> {
        let (passphrase, entropy) = (Secret::new(passphrase.to_owned()), Arc::clone(self.barrier().entropy()));
        let hash = move || PassphraseHash::new(passphrase.expose(), entropy.as_ref());
        Ok(self.core().run(Lane::Slow, hash).await??)
    }
}

/// `local@domain`: something on both sides of one `@`, printable ASCII without blanks and quotes.
fn check_user_principal_name(name: &str) -> Result<()> {
    let printable = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#%&*+-./=?@^_{|}~".contains(&byte));
    let parts: Vec<_> = name.split('@').collect();
    if !printable || name.len() > USER_PRINCIPAL_NAME_MAX || parts.len() != 2 || parts.contains(&"") {
        return Err(IdentityError::BadParameter {
            parameter: "userPrincipalName",
            problem: "a name such as person@example.org, at most 113 characters",
        });
    }
    Ok(())
}

const TAKEN: IdentityError = IdentityError::NameTaken { what: "a user with this name" };
/// As Graph limits `userPrincipalName`.
const USER_PRINCIPAL_NAME_MAX: usize = 113;
/// Shortest passphrase.
pub const PASSPHRASE_CHARACTERS_MIN: usize = 12;
/// Longest passphrase.
pub const PASSPHRASE_CHARACTERS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use crate::identity::test_support::{directory, request};

    use super::*;

    #[tokio::test]
    async fn a_name_is_taken_in_any_case() {
        let (directory, _) = directory().await;
        directory.create_user(&request(), "Ada@example.org", "Ada").await.unwrap();
        let again = directory.create_user(&request(), "aDA@EXAMPLE.org", "Ada").await;
        assert!(matches!(again, Err(IdentityError::NameTaken { .. })));
        let found = directory.by_user_principal_name("ADA@example.org").await.unwrap().unwrap().value;
        assert_eq!(found.user().unwrap().user_principal_name, "Ada@example.org");
    }

    #[tokio::test]
    async fn a_user_name_has_one_at_sign_and_something_on_both_sides() {
        let (directory, _) = directory().await;
        for name in ["", "ada", "@x", "ada@", "a@b@c", "a b@c", "a'b@c", "ä@c", &format!("{}@c", "a".repeat(112))] {
            let made = directory.create_user(&request(), name, "Ada").await;
            assert!(matches!(made, Err(IdentityError::BadParameter { .. })), "{name}");
        }
    }

    #[tokio::test]
    async fn the_one_time_password_ends_when_the_passphrase_is_chosen() {
        let (directory, _) = directory().await;
        let new = directory.create_user(&request(), "ada@example.org", "Ada").await.unwrap();
        let (id, password) = (new.principal.object_id, new.one_time_password);
        let check = async |typed: &str| {
            let principal = directory.existing(id).await.unwrap().value;
            directory.check_password(principal.user(), id, typed).await.unwrap()
        };
        assert_eq!(check("wrong").await, PasswordCheck::Wrong);
        assert_eq!(check(password.expose()).await, PasswordCheck::OneTime);

        directory.enrol_passphrase(&request(), id, "correct horse battery").await.unwrap();
        assert_eq!(check(password.expose()).await, PasswordCheck::Wrong);
        assert_eq!(check("correct horse battery").await, PasswordCheck::Right);
        assert_eq!(check("correct horse batterY").await, PasswordCheck::Wrong);
        let again = directory.enrol_passphrase(&request(), id, "another passphrase").await;
        assert!(matches!(again, Err(IdentityError::AlreadyEnrolled)));
    }

    #[tokio::test]
    async fn a_reset_ends_the_passphrase_and_the_sign_ins() {
        let (directory, foundation) = directory().await;
        let id = directory.create_user(&request(), "ada@example.org", "Ada").await.unwrap().principal.object_id;
        directory.enrol_passphrase(&request(), id, "correct horse battery").await.unwrap();
        let client = foundation.administrator.client_id;
        let token = directory.sign_in(&request(), id, client).await.unwrap().refresh_token;
        let password = directory.reset_password(&request(), id).await.unwrap();
        let principal = directory.existing(id).await.unwrap().value;
        let check = async |typed: &str| directory.check_password(principal.user(), id, typed).await.unwrap();
        assert_eq!(check("correct horse battery").await, PasswordCheck::Wrong);
        assert_eq!(check(password.expose()).await, PasswordCheck::OneTime);
        let continued = directory.continue_sign_in(&request(), client, token.expose()).await;
        assert!(matches!(continued, Err(IdentityError::RefreshTokenInvalid)));
        let program = foundation.administrator.object_id;
        assert!(matches!(directory.reset_password(&request(), program).await, Err(IdentityError::PrincipalNotFound)));
    }

    #[tokio::test]
    async fn a_passphrase_has_twelve_characters_or_more() {
        let (directory, _) = directory().await;
        let user = directory.create_user(&request(), "ada@example.org", "Ada").await.unwrap().principal.object_id;
        for passphrase in ["", "elevenchars", &"x".repeat(257)] {
            let enrolled = directory.enrol_passphrase(&request(), user, passphrase).await;
            assert!(matches!(enrolled, Err(IdentityError::BadParameter { .. })), "{passphrase}");
        }
        directory.enrol_passphrase(&request(), user, "zwölf Zeiche").await.unwrap();
    }

    #[tokio::test]
    async fn nobody_has_the_right_password_of_a_user_that_does_not_exist() {
        let (directory, _) = directory().await;
        let nobody = PrincipalId::from_uuid(uuid::Uuid::nil());
        assert_eq!(directory.check_password(None, nobody, "x").await.unwrap(), PasswordCheck::Wrong);
    }
}
