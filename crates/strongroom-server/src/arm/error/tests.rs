//! `docs/errors.md` against what errors of the management plane really become.

use std::collections::BTreeSet;

use strongroom_core::Error as CoreError;
use strongroom_core::identity::IdentityError;
use strongroom_core::pools::{self, Action, ResourceScope};
use strongroom_types::{PrincipalId, Timestamp};
use uuid::Uuid;

use super::{ArmError, OUTCOME_UNKNOWN, TOO_LARGE, sentence};
use crate::arm::storage::StorageKeyError;
use crate::data_plane::error::tests::{Line, assert_page_lists, core_errors, one_of_each, too_large};

const NIL: Uuid = Uuid::nil();

fn text() -> String {
    "it".to_owned()
}

fn name_of(what: &'static str) -> pools::Error {
    pools::Error::NameNotValid { what, name: text(), expected: "letters" }
}

one_of_each!(arm_errors: ArmError {
    ArmError::ApiVersionMissing => ArmError::ApiVersionMissing;
    ArmError::ApiVersionNotValid(_) => ArmError::ApiVersionNotValid(text());
    ArmError::ApiVersionNotSupported(_) => ArmError::ApiVersionNotSupported(text());
    ArmError::PathMalformed => ArmError::PathMalformed;
    ArmError::NamespaceUnknown(_) => ArmError::NamespaceUnknown(text());
    ArmError::RouteNotFound => ArmError::RouteNotFound;
    ArmError::MethodNotAllowed => ArmError::MethodNotAllowed;
    ArmError::SubscriptionIdNotValid(_) => ArmError::SubscriptionIdNotValid(text());
    ArmError::GuidNotValid(_) => ArmError::GuidNotValid(text());
    ArmError::ScopeNotValid => ArmError::ScopeNotValid;
    ArmError::FilterNotValid => ArmError::FilterNotValid;
    ArmError::QueryNotValid(_) => ArmError::QueryNotValid("p");
    ArmError::BodyNotValid(_) => ArmError::BodyNotValid(text());
    ArmError::StorageKeyNotConfigured(_) => ArmError::StorageKeyNotConfigured(text());
    ArmError::StorageKey(_) => ArmError::StorageKey(StorageKeyError { path: text().into(), problem: text() });
    ArmError::Pools(_) => ArmError::Pools(pools::Error::LocationRequired);
});

one_of_each!(pools_errors: pools::Error {
    pools::Error::AuthorizationFailed { .. } => pools::Error::AuthorizationFailed {
        principal: PrincipalId::from_uuid(NIL),
        action: Action::HsmRead,
        scope: Box::new(ResourceScope::subscription(NIL)),
    };
    pools::Error::SubscriptionNotFound(_) => pools::Error::SubscriptionNotFound(NIL);
    pools::Error::ResourceGroupNotFound(_) => pools::Error::ResourceGroupNotFound(text());
    pools::Error::ResourceNotFound { .. } =>
        pools::Error::ResourceNotFound { resource_type: "t", name: text(), group: text() };
    pools::Error::DeletedHsmNotFound { .. } => pools::Error::DeletedHsmNotFound { name: text() };
    pools::Error::DeletedVaultNotFound { .. } => pools::Error::DeletedVaultNotFound { name: text() };
    pools::Error::OperationNotFound(_) => pools::Error::OperationNotFound(NIL);
    pools::Error::NameNotValid { .. } => name_of("managed HSM"), name_of("vault"), name_of("storage account"), name_of("resource group");
    pools::Error::NameTaken(_) => pools::Error::NameTaken(text());
    pools::Error::NameDeleted(_) => pools::Error::NameDeleted(text());
    pools::Error::VaultNameTaken(_) => pools::Error::VaultNameTaken(text());
    pools::Error::VaultNameDeleted(_) => pools::Error::VaultNameDeleted(text());
    pools::Error::VirtualNetworkNameTaken(_) => pools::Error::VirtualNetworkNameTaken(text());
    pools::Error::SubnetInUse { .. } => pools::Error::SubnetInUse { subnet: text(), endpoint: text() };
    pools::Error::StorageAccountNameTaken(_) => pools::Error::StorageAccountNameTaken(text());
    pools::Error::StorageAccountNotConfigured(_) => pools::Error::StorageAccountNotConfigured(text());
    pools::Error::LocationRequired => pools::Error::LocationRequired;
    pools::Error::LocationDiffers { .. } =>
        pools::Error::LocationDiffers { name: text(), group: text(), existing: text(), asked: text() };
    pools::Error::SkuNotSupported { .. } => pools::Error::SkuNotSupported { problem: "p" };
    pools::Error::BadProperty { .. } => pools::Error::bad_property("p", "is wrong");
    pools::Error::PurgeProtected { .. } =>
        pools::Error::PurgeProtected { name: text(), scheduled_purge: Timestamp::from_seconds(0) };
    pools::Error::OperationInProgress(_) => pools::Error::OperationInProgress(text());
    pools::Error::ResourceGroupNotEmpty(_) => pools::Error::ResourceGroupNotEmpty(text());
    pools::Error::RoleDefinitionNotFound(_) => pools::Error::RoleDefinitionNotFound(text());
    pools::Error::RoleDefinitionInUse(_) => pools::Error::RoleDefinitionInUse(NIL);
    pools::Error::RoleDefinitionNameTaken(_) => pools::Error::RoleDefinitionNameTaken(text());
    pools::Error::RoleDefinitionBuiltIn(_) => pools::Error::RoleDefinitionBuiltIn(NIL);
    pools::Error::RoleAssignmentNotFound(_) => pools::Error::RoleAssignmentNotFound(NIL);
    pools::Error::RoleAssignmentExists { .. } => pools::Error::RoleAssignmentExists { existing: NIL };
    pools::Error::RoleAssignmentUpdateNotPermitted(_) => pools::Error::RoleAssignmentUpdateNotPermitted(NIL);
    pools::Error::LastRoleAdministrator => pools::Error::LastRoleAdministrator;
    pools::Error::LimitReached { .. } => pools::Error::LimitReached { what: "things", limit: 1 };
    pools::Error::Directory(_) => pools::Error::Directory(IdentityError::GroupNotEmpty);
    pools::Error::Core(_) => pools::Error::Core(CoreError::Conflict);
});

one_of_each!(identity_errors: IdentityError {
    IdentityError::NotFounded => IdentityError::NotFounded;
    IdentityError::PrincipalNotFound => IdentityError::PrincipalNotFound;
    IdentityError::ClientNotFound => IdentityError::ClientNotFound;
    IdentityError::PrincipalDisabled => IdentityError::PrincipalDisabled;
    IdentityError::WrongSecret => IdentityError::WrongSecret;
    IdentityError::SecretExpired => IdentityError::SecretExpired;
    IdentityError::RefreshTokenInvalid => IdentityError::RefreshTokenInvalid;
    IdentityError::AlreadyEnrolled => IdentityError::AlreadyEnrolled;
    IdentityError::NameTaken { .. } => IdentityError::NameTaken { what: "name" };
    IdentityError::GroupNotEmpty => IdentityError::GroupNotEmpty;
    IdentityError::Protected => IdentityError::Protected;
    IdentityError::LimitReached { .. } => IdentityError::LimitReached { what: "things", limit: 1 };
    IdentityError::BadParameter { .. } => IdentityError::BadParameter { parameter: "p", problem: "is wrong" };
    IdentityError::Core(_) => IdentityError::Core(CoreError::Conflict);
});

/// Every error that can come out of this plane.
fn errors() -> impl Iterator<Item = ArmError> {
    let of_the_directory = identity_errors().into_iter().chain(core_errors().into_iter().map(IdentityError::Core));
    let of_the_directory = of_the_directory.map(pools::Error::Directory);
    let of_the_core = core_errors().into_iter().map(pools::Error::Core);
    let of_pools = pools_errors().into_iter().chain(of_the_directory).chain(of_the_core);
    arm_errors().into_iter().chain(of_pools.map(ArmError::Pools))
}

#[test]
fn the_page_of_errors_lists_every_code_of_the_management_plane_and_no_other() {
    let line = |error: ArmError| -> Line {
        let (status, code) = error.status();
        (status.as_u16(), code.to_owned())
    };
    assert_page_lists("Management plane", &errors().map(line).collect::<BTreeSet<_>>());
}

#[test]
fn what_the_server_is_to_blame_for_is_not_explained_to_the_client() {
    for error in errors() {
        let told = error.to_string();
        let unknown = error.core().is_some_and(CoreError::is_outcome_unknown);
        let (answer, event) = error.answer(NIL);
        if answer.status().is_server_error() {
            assert!(!event.message.contains(&told), "{}", event.message);
        }
        let retried = answer.headers().contains_key(http::header::RETRY_AFTER);
        assert_eq!(retried, matches!(answer.status().as_u16(), 429 | 503) && !unknown, "{}", event.message);
        assert_eq!(unknown, event.message == sentence(OUTCOME_UNKNOWN), "{}", event.message);
    }
}

#[test]
fn a_commit_that_is_too_large_is_the_clients_to_mend() {
    let (answer, event) = ArmError::from(too_large()).answer(NIL);
    assert_eq!((answer.status().as_u16(), event.message.as_str()), (400, sentence(TOO_LARGE).as_str()));
}
