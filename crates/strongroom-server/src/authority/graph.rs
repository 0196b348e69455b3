//! The directory's Graph calls (`graph.<domain>`): the few that `az` makes, and making a user (az-cli.md §6).

use std::sync::Arc;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_api::path::{PathPattern, RequestPath};
use strongroom_core::audit::{Result as EventResult, rfc3339};
use strongroom_core::identity::record::{Principal, PrincipalKind, PrincipalState};
use strongroom_core::identity::{Directory, IdentityError};
use strongroom_core::request::{Caller, Request};
use strongroom_types::PrincipalId;

use crate::audit_log::Strangers;
use crate::authentication::{Audience, AuthenticationError, Authenticator};
use crate::authority::recording::{record, request, success};
use crate::http::exchange::{Inbound, Outbound, json as json_answer, with_header};

/// `graph.<domain>`.
pub struct Graph {
    directory: Arc<Directory>,
    authenticator: Arc<Authenticator>,
    strangers: Arc<Strangers>,
}

/// Why Graph does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
enum GraphError {
    #[error("Access token validation failure: {0}.")]
    NotAuthenticated(AuthenticationError),
    #[error("Insufficient privileges to complete the operation.")]
    Denied,
    #[error("Resource not found for the segment '{0}'.")]
    RouteNotFound(String),
    #[error("{0}")]
    BadRequest(&'static str),
    #[error("Another object with the same value for property userPrincipalName already exists.")]
    NameTaken,
    #[error("The directory cannot be used at the moment.")]
    Unavailable(#[source] IdentityError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    GetByIds,
    ListUsers,
    ListServicePrincipals,
    CreateUser,
}

#[derive(Deserialize)]
struct GetByIds {
    ids: Vec<String>,
    #[serde(default)]
    types: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateUser {
    user_principal_name: String,
    display_name: Option<String>,
    password_profile: Option<PasswordProfile>,
}

#[derive(Deserialize)]
struct PasswordProfile {
    password: Option<Value>,
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
                self.strangers.saw(address, &inbound.path, error.row().1, inbound.received);
                return error.answer(&inbound);
            }
        };
        let operation = find(&inbound);
        let name = operation.as_ref().map_or("GraphUnknown", |operation| operation.name());
        let request = request(&inbound, name, caller);
        let result = match operation {
            Ok(operation) => self.perform(&inbound, &request, operation).await,
            Err(error) => Err(error),
        };
        let (answer, event) = match result {
            Ok(answer) => {
                let event = success(answer.status().as_u16());
                (answer, event)
            }
            Err(error) => {
                let (status, code) = error.row();
                let event = EventResult { status: status.as_u16(), code: code.to_owned(), message: error.to_string() };
                (error.answer(&inbound), event)
            }
        };
        record(self.directory.core(), &request, event, None);
        answer
    }

    async fn perform(
        &self,
        inbound: &Inbound,
        request: &Request,
        operation: Operation,
    ) -> Result<Outbound, GraphError> {
        // The principals of an outside issuer have a directory elsewhere.
        if request.caller.tenant != self.directory.tenant()?.id {
            return Err(GraphError::Denied);
        }
        match operation {
            Operation::GetByIds => self.get_by_ids(inbound).await,
            Operation::ListUsers => self.list_users(inbound).await,
            Operation::ListServicePrincipals => self.list_service_principals(inbound).await,
            Operation::CreateUser => self.create_user(inbound, request).await,
        }
    }

    async fn get_by_ids(&self, inbound: &Inbound) -> Result<Outbound, GraphError> {
        let wanted: GetByIds = body(inbound)?;
        if wanted.ids.len() > IDS_MAX {
            return Err(GraphError::BadRequest("ids: at most 1000."));
        }
        let ids: Vec<PrincipalId> = wanted.ids.iter().filter_map(|id| id.to_ascii_lowercase().parse().ok()).collect();
        let mut found = self.directory.principals(&ids).await?;
        found.retain(|principal| {
            let any = wanted.types.is_empty();
            let named = |name: &String| name.eq_ignore_ascii_case("directoryObject") || *name == type_name(principal);
            any || wanted.types.iter().any(named)
        });
        Ok(list(found.iter().map(typed_object).collect()))
    }

    async fn list_users(&self, inbound: &Inbound) -> Result<Outbound, GraphError> {
        let name = filtered(inbound, &["userPrincipalName eq "])?;
        let found = self.directory.by_user_principal_name(&name).await?;
        Ok(list(found.iter().map(|stored| object(&stored.value)).collect()))
    }

    async fn list_service_principals(&self, inbound: &Inbound) -> Result<Outbound, GraphError> {
        let name = filtered(inbound, &["servicePrincipalNames/any(c:c eq ", "appId eq "])?;
        let found = match name.to_ascii_lowercase().parse() {
            Ok(client_id) => self.directory.by_client_id(client_id).await?,
            Err(_) => None,
        };
        Ok(list(found.iter().map(|stored| object(&stored.value)).collect()))
    }

    /// Makes a user; the password in the answer is the one-time password, shown here and never again.
    async fn create_user(&self, inbound: &Inbound, request: &Request) -> Result<Outbound, GraphError> {
        self.require_administrator(&request.caller)?;
        let wanted: CreateUser = body(inbound)?;
        if wanted.password_profile.is_some_and(|profile| profile.password.is_some()) {
            return Err(GraphError::BadRequest("passwordProfile: passwords are made by the server; leave it out."));
        }
        let name = wanted.user_principal_name;
        let display_name = wanted.display_name.unwrap_or_else(|| name.split('@').next().unwrap_or(&name).to_owned());
        let new = self.directory.create_user(request, &name, &display_name).await?;
        let mut user = object(&new.principal);
        if let Some(members) = user.as_object_mut() {
            let profile = json!({"password": new.one_time_password.expose(), "forceChangePasswordNextSignIn": true});
            members.insert("passwordProfile".to_owned(), profile);
        }
        Ok(with_header(json_answer(StatusCode::CREATED, &user), "cache-control", "no-store"))
    }

    /// Rights over the directory are rights over all its principals hold (protocols.md §8): the administrator's alone.
    fn require_administrator(&self, caller: &Caller) -> Result<(), GraphError> {
        if caller.principal == self.directory.tenant()?.administrator { Ok(()) } else { Err(GraphError::Denied) }
    }
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::GetByIds => "DirectoryObjectsGetByIds",
            Self::ListUsers => "UserList",
            Self::ListServicePrincipals => "ServicePrincipalList",
            Self::CreateUser => "UserCreate",
        }
    }
}

impl GraphError {
    fn row(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotAuthenticated(AuthenticationError::TooManyFailures { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")
            }
            Self::NotAuthenticated(AuthenticationError::Unavailable(_)) | Self::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
            }
            Self::NotAuthenticated(_) => (StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken"),
            Self::Denied => (StatusCode::FORBIDDEN, "Authorization_RequestDenied"),
            Self::RouteNotFound(_) => (StatusCode::NOT_FOUND, "Request_ResourceNotFound"),
            Self::BadRequest(_) | Self::NameTaken => (StatusCode::BAD_REQUEST, "Request_BadRequest"),
        }
    }

    fn answer(&self, inbound: &Inbound) -> Outbound {
        let (status, code) = self.row();
        if let Self::Unavailable(error) = self {
            tracing::error!(request = %inbound.id, %error, "the directory cannot answer");
        }
        let answer = json_answer(status, &json!({"error": {"code": code, "message": self.to_string()}}));
        match self {
            Self::NotAuthenticated(AuthenticationError::TooManyFailures { retry_after_seconds }) => {
                with_header(answer, "retry-after", &retry_after_seconds.to_string())
            }
            Self::NotAuthenticated(_) => with_header(answer, "www-authenticate", "Bearer"),
            _ => answer,
        }
    }
}

impl From<IdentityError> for GraphError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::NameTaken { .. } => Self::NameTaken,
            IdentityError::BadParameter { problem, .. } => Self::BadRequest(problem),
            other => Self::Unavailable(other),
        }
    }
}

fn find(inbound: &Inbound) -> Result<Operation, GraphError> {
    let shown = || inbound.path.chars().take(PATH_SHOWN_MAX).collect();
    let path = RequestPath::parse(&inbound.path).map_err(|_| GraphError::RouteNotFound(shown()))?;
    let row = ROUTES.iter().find(|(method, pattern, _)| *method == inbound.method && pattern.captures(&path).is_some());
    row.map(|(_, _, operation)| *operation).ok_or_else(|| GraphError::RouteNotFound(shown()))
}

fn body<'a, T: Deserialize<'a>>(inbound: &'a Inbound) -> Result<T, GraphError> {
    serde_json::from_slice(&inbound.body)
        .map_err(|_| GraphError::BadRequest("The body is not JSON of the expected form."))
}

/// The text a `$filter` compares with, if it is one of the comparisons that are understood.
fn filtered(inbound: &Inbound, comparisons: &[&str]) -> Result<String, GraphError> {
    let unsupported = GraphError::BadRequest("$filter: only a comparison with one name is supported.");
    let Some(filter) = inbound.query_parameter("$filter") else { return Err(unsupported) };
    let rest = comparisons.iter().find_map(|comparison| {
        let rest = filter.strip_prefix(comparison)?;
        if comparison.contains('(') { rest.strip_suffix(')') } else { Some(rest) }
    });
    let quoted = rest.and_then(|rest| rest.trim().strip_prefix('\'')?.strip_suffix('\''));
    // OData doubles a quote within a text.
    let text = quoted.map(|text| text.replace("''", "\u{0}"));
    match text {
        Some(text) if !text.contains('\'') => Ok(text.replace('\u{0}', "'")),
        _ => Err(unsupported),
    }
}

fn list(value: Vec<Value>) -> Outbound {
    json_answer(StatusCode::OK, &json!({ "value": value }))
}

fn type_name(principal: &Principal) -> &'static str {
    match principal.kind {
        PrincipalKind::ServicePrincipal(_) | PrincipalKind::ManagedIdentity(_) => "servicePrincipal",
        PrincipalKind::User(_) => "user",
        PrincipalKind::Group(_) => "group",
    }
}

/// An object of a list of mixed types says which it is.
fn typed_object(principal: &Principal) -> Value {
    let mut value = object(principal);
    if let Some(members) = value.as_object_mut() {
        let name = format!("#microsoft.graph.{}", type_name(principal));
        members.insert("@odata.type".to_owned(), Value::String(name));
    }
    value
}

fn object(principal: &Principal) -> Value {
    let Principal { object_id, display_name, state, groups: _, created, kind } = principal;
    let (id, created) = (object_id.to_string(), rfc3339(*created));
    let enabled = *state == PrincipalState::Enabled;
    let program = |client_id: String, names: Vec<String>, kind: &str| {
        json!({"id": id, "displayName": display_name, "accountEnabled": enabled, "createdDateTime": created,
            "appId": client_id, "servicePrincipalNames": names, "servicePrincipalType": kind})
    };
    match kind {
        PrincipalKind::ServicePrincipal(known) => {
            let client_id = known.client_id.to_string();
            program(client_id.clone(), vec![client_id], "Application")
        }
        PrincipalKind::ManagedIdentity(known) => {
            let client_id = known.client_id.to_string();
            program(client_id.clone(), vec![client_id], "ManagedIdentity")
        }
        PrincipalKind::User(user) => {
            json!({"id": id, "displayName": display_name, "accountEnabled": enabled, "createdDateTime": created,
                "userPrincipalName": user.user_principal_name})
        }
        PrincipalKind::Group(_) => {
            json!({"id": id, "displayName": display_name, "createdDateTime": created, "securityEnabled": true})
        }
    }
}

const ROUTES: &[(Method, PathPattern, Operation)] = &[
    (Method::POST, PathPattern::new("/v1.0/directoryObjects/getByIds"), Operation::GetByIds),
    (Method::GET, PathPattern::new("/v1.0/users"), Operation::ListUsers),
    (Method::POST, PathPattern::new("/v1.0/users"), Operation::CreateUser),
    (Method::GET, PathPattern::new("/v1.0/servicePrincipals"), Operation::ListServicePrincipals),
];
/// As Graph limits `getByIds`.
const IDS_MAX: usize = 1000;
const PATH_SHOWN_MAX: usize = 128;
