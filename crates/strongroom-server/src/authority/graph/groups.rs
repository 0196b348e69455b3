//! Groups and their members.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use strongroom_core::identity::record::Principal;
use strongroom_types::PrincipalId;

use super::error::GraphError;
use super::wire::{Shape, list, typed_object};
use super::{Call, body, nothing_else};
use crate::http::exchange::{Outbound, empty, json as json_answer};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateGroup {
    display_name: String,
    mail_nickname: Option<String>,
    mail_enabled: Option<bool>,
    security_enabled: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "@odata.id")]
    id: String,
}

impl Call<'_> {
    pub(super) async fn list_groups(&self) -> Result<Outbound, GraphError> {
        self.list_of(Shape::Plain, is_group).await
    }

    pub(super) async fn create_group(&self) -> Result<Outbound, GraphError> {
        let CreateGroup { display_name, mail_nickname, mail_enabled, security_enabled, rest } = body(self.inbound)?;
        nothing_else(&rest)?;
        if mail_enabled == Some(true) || security_enabled == Some(false) {
            return Err(GraphError::bad_request("Only security groups without mail are supported."));
        }
        let id = self.directory.create_nicknamed_group(self.request, &display_name, mail_nickname.as_deref()).await?;
        let made = self.directory.principal(id).await?.ok_or_else(|| GraphError::not_found(&id.to_string()))?;
        Ok(json_answer(StatusCode::CREATED, &self.show(&made.value, Shape::Plain)))
    }

    pub(super) async fn get_group(&self) -> Result<Outbound, GraphError> {
        Ok(json_answer(StatusCode::OK, &self.show(&self.principal(is_group).await?, Shape::Plain)))
    }

    pub(super) async fn delete_group(&self) -> Result<Outbound, GraphError> {
        let group = self.principal(is_group).await?;
        self.directory.remove(self.request, group.object_id).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// A group has at most as many members as one page holds.
    pub(super) async fn list_members(&self) -> Result<Outbound, GraphError> {
        let group = self.principal(is_group).await?;
        let members = group.group().map(|group| group.members.clone()).unwrap_or_default();
        let mut members = self.directory.principals(&members).await?;
        // The member's own list decides.
        members.retain(|member| member.groups.contains(&group.object_id));
        Ok(list(members.iter().map(typed_object).collect()))
    }

    pub(super) async fn add_member(&self) -> Result<Outbound, GraphError> {
        let Reference { id } = body(self.inbound)?;
        let member = id.rsplit('/').next().unwrap_or_default().to_ascii_lowercase().parse::<PrincipalId>();
        let member =
            member.map_err(|_| GraphError::bad_request("@odata.id: the URL of a directory object is expected."))?;
        let group = self.principal(is_group).await?;
        self.directory.add_member(self.request, group.object_id, member).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn remove_member(&self) -> Result<Outbound, GraphError> {
        let text = self.text("member");
        let member = text.to_ascii_lowercase().parse().map_err(|_| GraphError::not_found(text))?;
        let group = self.principal(is_group).await?;
        if !group.group().is_some_and(|group| group.members.contains(&member)) {
            return Err(GraphError::not_found(text));
        }
        self.directory.remove_member(self.request, group.object_id, member).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }
}

fn is_group(principal: &Principal) -> bool {
    principal.group().is_some()
}
