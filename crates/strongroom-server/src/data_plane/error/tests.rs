//! `docs/errors.md` against what errors really become.

use std::collections::BTreeSet;

use http::header;
use strongroom_core::attestation::AttestationProblem;
use strongroom_core::backup::BackupProblem;
use strongroom_core::error::DeploymentError;
use strongroom_core::network::Origin;
use strongroom_security_domain::SecurityDomainError;
use strongroom_types::{DataAction, Epoch, KeyOperation, Scope};

use super::*;

/// Lists one error of each variant; a variant that is not listed does not compile.
macro_rules! one_of_each {
    ($name:ident: $error:ty { $($variant:pat => $($sample:expr),+;)+ }) => {
        pub(crate) fn $name() -> Vec<$error> {
            let listed = |error: &$error| match error { $($variant => (),)+ };
            let samples = vec![$($($sample),+),+];
            samples.iter().for_each(listed);
            samples
        }
    };
}

pub(crate) use one_of_each;

fn name() -> strongroom_types::KeyName {
    "k".parse().unwrap()
}

fn refused_by_network(by: RefusedBy) -> Error {
    let origin = Origin { address: "192.0.2.1".parse().unwrap(), subnet: None };
    Error::RefusedByNetwork(Box::new(Refusal { by, origin }))
}

pub(crate) fn too_large() -> Error {
    Error::Store(StoreError::TooLarge { operations: 1, bytes: 1 << 20 })
}

fn domain() -> strongroom_types::DomainId {
    strongroom_types::DomainId::from_uuid(Uuid::nil())
}

one_of_each!(core_errors: Error {
    Error::Forbidden { .. } => Error::Forbidden { action: DataAction::KeysSign, scope: Scope::Root };
    Error::ForbiddenByRbac { .. } => Error::ForbiddenByRbac {
        principal: PrincipalId::from_uuid(Uuid::nil()),
        action: KeyPermission::Sign.data_action(),
        resource: String::new(),
    };
    Error::ForbiddenByPolicy { .. } => Error::ForbiddenByPolicy {
        principal: PrincipalId::from_uuid(Uuid::nil()),
        permission: KeyPermission::Sign,
        vault: String::new(),
    };
    Error::RefusedByNetwork(_) =>
        refused_by_network(RefusedBy::DefaultAction),
        refused_by_network(RefusedBy::PublicAccessDisabled),
        refused_by_network(RefusedBy::NoPerimeter);
    Error::ForeignTenant => Error::ForeignTenant;
    Error::NotActivated => Error::NotActivated;
    Error::ManagementNotAllowed => Error::ManagementNotAllowed;
    Error::HsmNotFound => Error::HsmNotFound;
    Error::AlreadyActivated => Error::AlreadyActivated;
    Error::Sealed => Error::Sealed;
    Error::DownloadDisabled => Error::DownloadDisabled;
    Error::QuorumNotProved => Error::QuorumNotProved;
    Error::OtherEpoch { .. } => Error::OtherEpoch { uploaded: Epoch::FIRST, own: Epoch::new(2) };
    Error::RecoveryInProgress => Error::RecoveryInProgress;
    Error::NoTransferKey => Error::NoTransferKey;
    Error::OnAnotherNode { .. } => Error::OnAnotherNode { what: "the transfer key" };
    Error::OtherSecurityDomain { .. } => Error::OtherSecurityDomain { uploaded: domain(), own: domain() };
    Error::KeyNotFound { .. } => Error::KeyNotFound { name: name(), version: None };
    Error::KeyDeleted { .. } => Error::KeyDeleted { name: name() };
    Error::KeyExists { .. } => Error::KeyExists { name: name() };
    Error::NewerVersions { .. } => Error::NewerVersions { name: name() };
    Error::Restoring => Error::Restoring;
    Error::JobInProgress { .. } => Error::JobInProgress { job: "0".repeat(32).parse().unwrap() };
    Error::JobNotFound { .. } => Error::JobNotFound { job: String::new() };
    Error::NoFreshBackup { .. } => Error::NoFreshBackup { minutes: 30 };
    Error::RestoreNeedsAdministrator { .. } => Error::RestoreNeedsAdministrator { reason: "it is old" };
    Error::Backup(_) => Error::Backup(BackupProblem::NotABackup);
    Error::Blob(_) =>
        Error::Blob(BlobError::NotFound("b".to_owned())), Error::Blob(BlobError::Unavailable("slow".to_owned()));
    Error::WrappedKeyRejected => Error::WrappedKeyRejected;
    Error::BackupRefused => Error::BackupRefused;
    Error::RotationPolicyMissing { .. } => Error::RotationPolicyMissing { name: name() };
    Error::KeyDisabled { .. } => Error::KeyDisabled { name: name() };
    Error::KeyOutsideValidity { .. } => Error::KeyOutsideValidity { name: name(), problem: "expired" };
    Error::OperationNotPermitted { .. } =>
        Error::OperationNotPermitted { name: name(), operation: KeyOperation::Sign };
    Error::AttestationRefused { .. } => Error::AttestationRefused { problem: AttestationProblem::NotInPolicy };
    Error::PurgeProtected { .. } => Error::PurgeProtected { name: name() };
    Error::BadParameter { .. } => Error::bad_parameter("p", "is wrong");
    Error::LimitReached { .. } => Error::LimitReached { what: "keys", limit: 1 };
    Error::SettingNotFound { .. } => Error::SettingNotFound { name: "s".to_owned() };
    Error::RoleDefinitionNotFound { .. } => Error::RoleDefinitionNotFound { id: String::new() };
    Error::RoleDefinitionInUse { .. } => Error::RoleDefinitionInUse { id: String::new(), assignments: 1 };
    Error::RoleNameTaken { .. } => Error::RoleNameTaken { role_name: String::new(), existing: String::new() };
    Error::RoleAssignmentNotFound { .. } => Error::RoleAssignmentNotFound { name: String::new() };
    Error::RoleAssignmentExists { .. } => Error::RoleAssignmentExists { existing: String::new() };
    Error::LastAdministrator { .. } =>
        Error::LastAdministrator { principal: PrincipalId::from_uuid(Uuid::nil()) };
    Error::Throttled => Error::Throttled;
    Error::RateExceeded { .. } => Error::RateExceeded { limited: Limited::Key, wait: Duration::from_millis(1) };
    Error::Conflict => Error::Conflict;
    Error::Tampered { .. } => Error::Tampered { key: String::new(), problem: "it is old" };
    Error::Deployment(_) => Error::Deployment(DeploymentError::WrongRoot);
    Error::SecurityDomain(_) => Error::SecurityDomain(SecurityDomainError::Foreign);
    Error::Crypto(_) =>
        Error::Crypto(CryptoError::Rejected), Error::Crypto(CryptoError::Entropy);
    Error::Store(_) =>
        Error::Store(StoreError::Full), too_large(), Error::Store(StoreError::OutcomeUnknown("lost".to_owned()));
    Error::AuditUnavailable => Error::AuditUnavailable;
    Error::Internal(_) => Error::Internal("fault");
});

one_of_each!(api_errors: ApiError {
    ApiError::ApiVersionMissing => ApiError::ApiVersionMissing;
    ApiError::ApiVersionUnknown => ApiError::ApiVersionUnknown;
    ApiError::ApiVersionTooOld { .. } => ApiError::ApiVersionTooOld { since: ApiVersion::V7_3 };
    ApiError::RouteNotFound => ApiError::RouteNotFound;
    ApiError::MethodNotAllowed => ApiError::MethodNotAllowed;
    ApiError::BadBody(_) => ApiError::BadBody("is no JSON".to_owned());
    ApiError::DirectoryUnavailable => ApiError::DirectoryUnavailable;
    ApiError::Core(_) => ApiError::Core(Error::Conflict);
});

/// A status and a code, as the page has them.
pub(crate) type Line = (u16, String);

/// `code` or `code (inner code)` of every error, with its status.
fn shapes() -> BTreeSet<Line> {
    let errors = api_errors().into_iter().chain(core_errors().into_iter().map(ApiError::Core));
    let line = |error: ApiError| {
        let Shape { status, code, inner, .. } = error.shape();
        let inner = inner.map(|inner| format!(" ({inner})")).unwrap_or_default();
        (status.as_u16(), format!("{code}{inner}"))
    };
    // A token of another tenant is answered with the challenge, which has no body.
    errors.filter(|error| !matches!(error, ApiError::Core(Error::ForeignTenant))).map(line).collect()
}

/// What the page's table for a plane lists. Codes in brackets alone stand for answers without a code of ours.
fn page(plane: &str) -> BTreeSet<Line> {
    let page = include_str!("../../../../../docs/errors.md");
    let (_, section) = page.split_once(&format!("\n## {plane}")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut lines = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert!(cells.len() == 6 && cells[3].len() > 3 && cells[4].len() > 3, "what happened, and who acts: {row}");
        let status = cells[1].parse().unwrap();
        let codes = cells[2].split(", ").filter(|code| !code.starts_with('('));
        lines.extend(codes.map(|code| (status, code.to_owned())));
    }
    lines
}

/// Asserts that the page lists for a plane what there is, and nothing else.
#[track_caller]
pub(crate) fn assert_page_lists(plane: &str, codes: &BTreeSet<Line>) {
    let page = page(plane);
    let missing: Vec<_> = codes.difference(&page).collect();
    let unknown: Vec<_> = page.difference(codes).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "docs/errors.md misses {missing:?} and invents {unknown:?}");
}

#[test]
fn the_page_of_errors_lists_every_code_and_no_other() {
    assert_page_lists("Data plane", &shapes());
}

#[test]
fn what_the_server_is_to_blame_for_is_not_explained_to_the_client() {
    for error in core_errors() {
        let (told, unknown) = (error.to_string(), error.is_outcome_unknown());
        let (answer, event) = ApiError::Core(error).answer(Uuid::nil(), Product::ManagedHsm);
        if answer.status().is_server_error() {
            assert!(!event.message.contains(&told), "{}", event.message);
        }
        let retried = answer.headers().contains_key(header::RETRY_AFTER);
        assert_eq!(retried, matches!(answer.status().as_u16(), 429 | 503) && !unknown, "{}", event.message);
        assert_eq!(unknown, event.message.contains(OUTCOME_UNKNOWN), "{}", event.message);
    }
}

#[test]
fn a_commit_that_is_too_large_is_the_clients_to_mend() {
    assert_eq!(
        ApiError::Core(too_large()).answer(Uuid::nil(), Product::ManagedHsm).0.status(),
        StatusCode::BAD_REQUEST
    );
}
