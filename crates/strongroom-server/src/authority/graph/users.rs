//! People.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use strongroom_core::identity::PrincipalChange;
use strongroom_core::identity::record::{Principal, PrincipalState};

use super::error::GraphError;
use super::wire::{Shape, list};
use super::{Call, body, nothing_else};
use crate::http::exchange::{Outbound, empty, json as json_answer, with_header};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateUser {
    user_principal_name: String,
    display_name: Option<String>,
    account_enabled: Option<bool>,
    password_profile: Option<PasswordProfile>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PasswordProfile {
    password: Option<Value>,
    force_change_password_next_sign_in: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateUser {
    account_enabled: Option<bool>,
    display_name: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResetPassword {
    new_password: Option<Value>,
}

impl PasswordProfile {
    /// The password is ours, and is changed at the first login.
    fn check(&self) -> Result<(), GraphError> {
        let Self { password, force_change_password_next_sign_in, rest } = self;
        if password.is_some() || *force_change_password_next_sign_in == Some(false) {
            return Err(GraphError::bad_request(OUR_PASSWORDS));
        }
        nothing_else(rest)
    }
}

impl Call<'_> {
    pub(super) async fn list_users(&self) -> Result<Outbound, GraphError> {
        self.list_of(Shape::Plain, is_user).await
    }

    /// Makes a user; the password in the answer is the one-time password, shown here and never again.
    pub(super) async fn create_user(&self) -> Result<Outbound, GraphError> {
        let CreateUser { user_principal_name: name, display_name, account_enabled, password_profile, mut rest } =
            body(self.inbound)?;
        // Clients must send it; it names a mailbox, and there are none.
        rest.remove("mailNickname");
        nothing_else(&rest)?;
        if account_enabled == Some(false) {
            return Err(GraphError::bad_request("accountEnabled: disable the user once it is there."));
        }
        password_profile.map_or(Ok(()), |profile| profile.check())?;
        let display_name = display_name.unwrap_or_else(|| name.split('@').next().unwrap_or(&name).to_owned());
        let new = self.directory.create_user(self.request, &name, &display_name).await?;
        let mut user = self.show(&new.principal, Shape::Plain);
        if let Some(members) = user.as_object_mut() {
            let profile = json!({"password": new.one_time_password.expose(), "forceChangePasswordNextSignIn": true});
            members.insert("passwordProfile".to_owned(), profile);
        }
        Ok(with_header(json_answer(StatusCode::CREATED, &user), "cache-control", "no-store"))
    }

    pub(super) async fn get_user(&self) -> Result<Outbound, GraphError> {
        Ok(json_answer(StatusCode::OK, &self.show(&self.user().await?, Shape::Plain)))
    }

    pub(super) async fn update_user(&self) -> Result<Outbound, GraphError> {
        let UpdateUser { account_enabled, display_name, rest } = body(self.inbound)?;
        nothing_else(&rest)?;
        let user = self.user().await?.object_id;
        let change = PrincipalChange { display_name, state: account_enabled.map(state), certificates: None };
        self.directory.update(self.request, user, &change).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn delete_user(&self) -> Result<Outbound, GraphError> {
        let user = self.user().await?.object_id;
        self.directory.remove(self.request, user).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// Puts a new one-time password in the place of the passphrase; it is shown here and never again.
    pub(super) async fn reset_user_password(&self) -> Result<Outbound, GraphError> {
        if !self.inbound.body.is_empty() {
            let ResetPassword { new_password } = body(self.inbound)?;
            if new_password.is_some() {
                return Err(GraphError::bad_request(OUR_PASSWORDS));
            }
        }
        let password = self.directory.reset_password(self.request, self.user().await?.object_id).await?;
        let answer = json_answer(StatusCode::ACCEPTED, &json!({"newPassword": password.expose()}));
        Ok(with_header(answer, "cache-control", "no-store"))
    }

    pub(super) async fn user_member_groups(&self) -> Result<Outbound, GraphError> {
        let groups = self.user().await?.groups;
        Ok(list(groups.iter().map(|id| Value::from(id.to_string())).collect()))
    }

    /// The user that the path names by its id or its name.
    async fn user(&self) -> Result<Principal, GraphError> {
        let name = self.text("id");
        if !name.contains('@') {
            return self.principal(is_user).await;
        }
        let found = self.directory.by_user_principal_name(name).await?;
        Ok(found.ok_or_else(|| GraphError::not_found(name))?.value)
    }
}

/// `accountEnabled`.
pub(super) fn state(enabled: bool) -> PrincipalState {
    if enabled { PrincipalState::Enabled } else { PrincipalState::Disabled }
}

fn is_user(principal: &Principal) -> bool {
    principal.user().is_some()
}

const OUR_PASSWORDS: &str = "passwordProfile: passwords are made by the server; leave it out.";
