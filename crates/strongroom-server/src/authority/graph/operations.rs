//! The table of Graph calls. Literals come before placeholders that would also match.

use http::Method;
use strongroom_api::path::{Captures, PathPattern, RequestPath};

use super::error::GraphError;
use crate::http::exchange::Inbound;

/// One row.
pub(super) struct Row {
    pub(super) id: OperationId,
    pub(super) method: Method,
    pub(super) path: PathPattern,
    pub(super) access: Access,
    /// The operation in the audit log.
    pub(super) audit_name: &'static str,
    /// The status of success.
    pub(super) success: u16,
}

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody with a token of the tenant; the handler shows credentials to the administrator alone.
    Tenant,
    /// The administrator of the directory.
    Administrator,
}

macro_rules! operations {
    ($($id:ident: $method:ident $path:literal, $access:ident, $audit:literal, $success:literal;)+) => {
        /// The name of a row.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum OperationId { $($id,)+ }

        /// Every call.
        pub(super) const OPERATIONS: &[Row] = &[$(Row {
            id: OperationId::$id,
            method: Method::$method,
            path: PathPattern::new($path),
            access: Access::$access,
            audit_name: $audit,
            success: $success,
        },)+];
    };
}

operations! {
    GetByIds: POST "/v1.0/directoryObjects/getByIds", Tenant, "DirectoryObjectsGetByIds", 200;
    CheckMemberGroups: POST "/v1.0/directoryObjects/{id}/checkMemberGroups", Tenant, "DirectoryObjectCheckMemberGroups", 200;
    Me: GET "/v1.0/me", Tenant, "MeGet", 200;

    ListUsers: GET "/v1.0/users", Tenant, "UserList", 200;
    CreateUser: POST "/v1.0/users", Administrator, "UserCreate", 201;
    GetUser: GET "/v1.0/users/{id}", Tenant, "UserGet", 200;
    UpdateUser: PATCH "/v1.0/users/{id}", Administrator, "UserUpdate", 204;
    DeleteUser: DELETE "/v1.0/users/{id}", Administrator, "UserDelete", 204;
    UserMemberGroups: POST "/v1.0/users/{id}/getMemberGroups", Tenant, "UserGetMemberGroups", 200;
    // The id of the method is the one that every password has in Graph.
    ResetUserPassword: POST "/v1.0/users/{id}/authentication/methods/28c10230-6103-485e-b985-444c60001490/resetPassword", Administrator, "UserResetPassword", 202;

    ListGroups: GET "/v1.0/groups", Tenant, "GroupList", 200;
    CreateGroup: POST "/v1.0/groups", Administrator, "GroupCreate", 201;
    GetGroup: GET "/v1.0/groups/{id}", Tenant, "GroupGet", 200;
    DeleteGroup: DELETE "/v1.0/groups/{id}", Administrator, "GroupDelete", 204;
    ListMembers: GET "/v1.0/groups/{id}/members", Tenant, "GroupMemberList", 200;
    AddMember: POST "/v1.0/groups/{id}/members/$ref", Administrator, "GroupMemberAdd", 204;
    RemoveMember: DELETE "/v1.0/groups/{id}/members/{member}/$ref", Administrator, "GroupMemberRemove", 204;

    ListApplications: GET "/v1.0/applications", Administrator, "ApplicationList", 200;
    CreateApplication: POST "/v1.0/applications", Administrator, "ApplicationCreate", 201;
    GetApplication: GET "/v1.0/applications/{id}", Administrator, "ApplicationGet", 200;
    UpdateApplication: PATCH "/v1.0/applications/{id}", Administrator, "ApplicationUpdate", 204;
    DeleteApplication: DELETE "/v1.0/applications/{id}", Administrator, "ApplicationDelete", 204;
    AddPassword: POST "/v1.0/applications/{id}/addPassword", Administrator, "ApplicationAddPassword", 200;
    RemovePassword: POST "/v1.0/applications/{id}/removePassword", Administrator, "ApplicationRemovePassword", 204;
    ListFederated: GET "/v1.0/applications/{id}/federatedIdentityCredentials", Administrator, "ApplicationFederatedCredentialList", 200;
    CreateFederated: POST "/v1.0/applications/{id}/federatedIdentityCredentials", Administrator, "ApplicationFederatedCredentialCreate", 201;
    GetFederated: GET "/v1.0/applications/{id}/federatedIdentityCredentials/{federated}", Administrator, "ApplicationFederatedCredentialGet", 200;
    UpdateFederated: PATCH "/v1.0/applications/{id}/federatedIdentityCredentials/{federated}", Administrator, "ApplicationFederatedCredentialUpdate", 204;
    DeleteFederated: DELETE "/v1.0/applications/{id}/federatedIdentityCredentials/{federated}", Administrator, "ApplicationFederatedCredentialDelete", 204;

    ListServicePrincipals: GET "/v1.0/servicePrincipals", Tenant, "ServicePrincipalList", 200;
    CreateServicePrincipal: POST "/v1.0/servicePrincipals", Administrator, "ServicePrincipalCreate", 201;
    GetServicePrincipal: GET "/v1.0/servicePrincipals/{id}", Tenant, "ServicePrincipalGet", 200;
    UpdateServicePrincipal: PATCH "/v1.0/servicePrincipals/{id}", Administrator, "ServicePrincipalUpdate", 204;
    DeleteServicePrincipal: DELETE "/v1.0/servicePrincipals/{id}", Administrator, "ServicePrincipalDelete", 204;
    AddServicePrincipalPassword: POST "/v1.0/servicePrincipals/{id}/addPassword", Administrator, "ServicePrincipalAddPassword", 200;
    RemoveServicePrincipalPassword: POST "/v1.0/servicePrincipals/{id}/removePassword", Administrator, "ServicePrincipalRemovePassword", 204;
}

/// The row of a request, and what its path names.
pub(super) fn find(inbound: &Inbound) -> Result<(&'static Row, Captures), GraphError> {
    let unknown = || GraphError::RouteNotFound(inbound.path().chars().take(PATH_SHOWN_MAX).collect());
    let path = RequestPath::parse(inbound.path()).map_err(|_| unknown())?;
    let rows = OPERATIONS.iter().filter(|row| row.method == inbound.method);
    rows.filter_map(|row| Some((row, row.path.captures(&path)?))).next().ok_or_else(unknown)
}

const PATH_SHOWN_MAX: usize = 128;
