//! The directory's Graph calls (`graph.<domain>`): those of `az ad`, and what `strongroom directory` needs (az-cli.md §6).
//!
//! An application and its service principal are one object here, with one id. Passwords are made by the server and shown
//! once. What is asked for and not understood is refused, never left out.
//!
//! Read first: the table in `operations.rs`.

mod applications;
mod credentials;
mod error;
mod federated;
mod filter;
mod groups;
mod lists;
mod operations;
mod users;
mod wire;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use strongroom_api::path::Captures;
use strongroom_core::audit::Result as EventResult;
use strongroom_core::identity::Directory;
use strongroom_core::identity::record::Principal;
use strongroom_core::request::{Caller, Request};
use strongroom_types::PrincipalId;

use crate::audit_log::Strangers;
use crate::authentication::{Audience, Authenticator};
use crate::authority::recording::{record, request};
use crate::http::exchange::{Inbound, Outbound, performed};
use error::GraphError;
use operations::{Access, OperationId as Id, Row};

/// `graph.<domain>`.
pub struct Graph {
    directory: Arc<Directory>,
    authenticator: Arc<Authenticator>,
    strangers: Arc<Strangers>,
}

/// One request at work: what handlers get.
struct Call<'a> {
    directory: &'a Directory,
    inbound: &'a Inbound,
    request: &'a Request,
    captures: &'a Captures,
    /// Whether the caller holds the directory.
    is_administrator: bool,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Graph {
    /// The Graph calls of a directory.
    pub fn new(directory: Arc<Directory>, authenticator: Arc<Authenticator>, strangers: Arc<Strangers>) -> Self {
        Self { directory, authenticator, strangers }
    }

    /// Answers one request: authentication first, whatever is asked for.
    pub async fn handle(&self, inbound: Inbound) -> Outbound {
        let caller = match self.authenticator.authenticate(&inbound, Audience::Graph, inbound.received).await {
            Ok(caller) => caller,
            Err(error) => {
                let error = GraphError::NotAuthenticated(error);
                let address = inbound.peer.remote.ip();
                self.strangers.saw(address, inbound.path(), error.row().1, inbound.received);
                return error.answer(&inbound);
            }
        };
        let found = operations::find(&inbound);
        let name = found.as_ref().map_or("GraphUnknown", |(row, _)| row.audit_name);
        let mut request = request(&inbound, name, caller);
        let result = match found {
            Ok((row, captures)) => {
                request.context.success_status = row.success;
                self.perform(&inbound, &request, row, &captures).await
            }
            Err(error) => Err(error),
        };
        let (answer, event) = match result {
            Ok(answer) => {
                let event = EventResult::success(answer.status().as_u16());
                (answer, event)
            }
            Err(error) => {
                let (status, code) = error.row();
                let event = EventResult { status: status.as_u16(), code: code.into(), message: error.to_string() };
                (error.answer(&inbound), event)
            }
        };
        record(self.directory.core(), &request, event, None);
        performed(answer, request.context.operation)
    }

    async fn perform(
        &self,
        inbound: &Inbound,
        request: &Request,
        row: &Row,
        captures: &Captures,
    ) -> Result<Outbound, GraphError> {
        // The principals of an outside issuer have a directory elsewhere.
        if request.caller.tenant != self.directory.tenant()?.id {
            return Err(GraphError::Denied);
        }
        let is_administrator = self.is_administrator(&request.caller)?;
        if row.access == Access::Administrator && !is_administrator {
            return Err(GraphError::Denied);
        }
        Call { directory: &self.directory, inbound, request, captures, is_administrator }.answer(row.id).await
    }

    /// Rights over the directory are rights over all its principals hold (protocols.md §8): the administrator's alone.
    fn is_administrator(&self, caller: &Caller) -> Result<bool, GraphError> {
        Ok(caller.principal == self.directory.tenant()?.administrator)
    }
}

impl Call<'_> {
    async fn answer(&self, id: Id) -> Result<Outbound, GraphError> {
        match id {
            Id::GetByIds => self.get_by_ids().await,
            Id::Me => self.me().await,
            Id::CheckMemberGroups => self.check_member_groups().await,
            Id::ListUsers => self.list_users().await,
            Id::CreateUser => self.create_user().await,
            Id::GetUser => self.get_user().await,
            Id::UpdateUser => self.update_user().await,
            Id::DeleteUser => self.delete_user().await,
            Id::ResetUserPassword => self.reset_user_password().await,
            Id::UserMemberGroups => self.user_member_groups().await,
            Id::ListGroups => self.list_groups().await,
            Id::CreateGroup => self.create_group().await,
            Id::GetGroup => self.get_group().await,
            Id::DeleteGroup => self.delete_group().await,
            Id::ListMembers => self.list_members().await,
            Id::AddMember => self.add_member().await,
            Id::RemoveMember => self.remove_member().await,
            Id::ListApplications => self.list_applications().await,
            Id::CreateApplication => self.create_application().await,
            Id::GetApplication => self.get_application().await,
            Id::UpdateApplication => self.update_application().await,
            Id::DeleteApplication => self.delete_application().await,
            Id::ListServicePrincipals => self.list_service_principals().await,
            Id::CreateServicePrincipal => self.create_service_principal().await,
            Id::GetServicePrincipal => self.get_service_principal().await,
            Id::UpdateServicePrincipal => self.update_application().await,
            Id::DeleteServicePrincipal => self.delete_application().await,
            Id::AddPassword | Id::AddServicePrincipalPassword => self.add_password().await,
            Id::RemovePassword | Id::RemoveServicePrincipalPassword => self.remove_password().await,
            Id::ListFederated => self.list_federated().await,
            Id::CreateFederated => self.create_federated().await,
            Id::GetFederated => self.get_federated().await,
            Id::UpdateFederated => self.update_federated().await,
            Id::DeleteFederated => self.delete_federated().await,
        }
    }

    /// A principal that the path names by `{id}`.
    async fn principal(&self, is_kind: impl Fn(&Principal) -> bool) -> Result<Principal, GraphError> {
        let text = self.text("id");
        let found = match text.to_ascii_lowercase().parse::<PrincipalId>() {
            Ok(id) => self.directory.principal(id).await?,
            Err(_) => None,
        };
        let found = found.map(|stored| stored.value).filter(|principal| is_kind(principal));
        found.ok_or_else(|| GraphError::not_found(text))
    }

    fn text(&self, placeholder: &str) -> &str {
        self.captures.get(placeholder).unwrap_or_default()
    }
}

/// A body of the expected form.
fn body<'a, T: Deserialize<'a>>(inbound: &'a Inbound) -> Result<T, GraphError> {
    serde_json::from_slice(&inbound.body)
        .map_err(|_| GraphError::bad_request("The body is not JSON of the expected form."))
}

/// Refuses what a body holds beyond what is understood; what is empty says nothing.
fn nothing_else(rest: &Map<String, Value>) -> Result<(), GraphError> {
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    };
    match rest.iter().find(|(_, value)| says(value)) {
        None => Ok(()),
        Some((name, _)) => {
            let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_SHOWN_MAX).collect();
            Err(GraphError::BadRequest(format!("The property '{name}' is not supported here.")))
        }
    }
}

/// Characters of an unknown property that an error repeats.
const NAME_SHOWN_MAX: usize = 64;

#[cfg(test)]
pub(super) mod tests;
