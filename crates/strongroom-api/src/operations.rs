//! The operation table of the data plane, of managed HSMs and of vaults: the router, the checks, the audit names and the compatibility
//! page read it, and tests hold it against the reference.

use strongroom_types::DataAction;

use crate::path::{Captures, PathPattern, RequestPath};
use crate::version::ApiVersion;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the rows of the table say what each one is")]
pub enum OperationId {
    CreateKey,
    ImportKey,
    GetKey,
    ListKeys,
    ListKeyVersions,
    UpdateKey,
    DeleteKey,
    RotateKey,
    GetKeyRotationPolicy,
    UpdateKeyRotationPolicy,
    BackupKey,
    RestoreKey,
    Encrypt,
    Decrypt,
    Sign,
    Verify,
    WrapKey,
    UnwrapKey,
    ReleaseKey,
    SecureWrapKey,
    SecureUnwrapKey,
    GetKeyAttestation,
    GetRandomBytes,
    ListDeletedKeys,
    GetDeletedKey,
    RecoverDeletedKey,
    PurgeDeletedKey,
    ListRoleDefinitions,
    GetRoleDefinition,
    PutRoleDefinition,
    DeleteRoleDefinition,
    ListRoleAssignments,
    GetRoleAssignment,
    CreateRoleAssignment,
    DeleteRoleAssignment,
    ListSettings,
    GetSetting,
    UpdateSetting,
    DownloadSecurityDomain,
    DownloadSecurityDomainPending,
    GetTransferKey,
    UploadSecurityDomain,
    UploadSecurityDomainPending,
    GetSecurityDomain,
    RotateSecurityDomain,
    FullBackup,
    PreFullBackup,
    FullBackupStatus,
    FullRestore,
    PreFullRestore,
    SelectiveKeyRestore,
    RestoreStatus,
}

/// A verb of HTTP that the data plane uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "RFC 9110 §9.3, RFC 5789")]
pub enum Method {
    Get,
    Put,
    Post,
    Patch,
    Delete,
}

impl Method {
    /// The verb as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Where the right to an operation must be held (protocols.md §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationScope {
    /// `/`.
    Root,
    /// `/keys`.
    Keys,
    /// The key the path names.
    Key,
    /// The scope in front of `/providers`.
    Path,
}

/// In which states of the HSM an operation answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum States {
    /// Only once activated.
    Active,
    /// Before activation too.
    Any,
}

/// Whether a request must name its api-version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionRule {
    /// It must.
    Required,
    /// It need not: clients follow its URL as it stands.
    Optional,
}

/// Which containers of keys have an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Containers {
    /// Managed HSMs and vaults.
    All,
    /// Managed HSMs only.
    ManagedHsm,
}

/// Where an operation comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The OpenAPI reference of the service.
    Reference,
    /// Ours: no client but our own has it.
    Strongroom,
}

/// When the audit event must be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditDurability {
    /// Within 100 ms, or in the change's own commit.
    Soon,
    /// Before the answer (protocols.md §7).
    BeforeAnswer,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// What it is.
    pub id: OperationId,
    /// The verb.
    pub method: Method,
    /// The paths it answers on.
    pub paths: &'static [PathPattern],
    /// The right it needs.
    pub action: DataAction,
    /// Where it must be held.
    pub scope: OperationScope,
    /// Which containers have it.
    pub containers: Containers,
    /// Where it comes from.
    pub source: Source,
    /// In which states it answers.
    pub states: States,
    /// The first api-version that has it.
    pub since: ApiVersion,
    /// Whether it must be named.
    pub version: VersionRule,
    /// The status of success.
    pub success: u16,
    /// `operationName` of its audit events.
    pub audit_name: &'static str,
    /// When its audit event must be durable.
    pub audit: AuditDurability,
}

/// What a path and verb mean.
#[derive(Debug)]
pub enum Match {
    /// This row, with what the placeholders took.
    Operation(&'static Operation, Captures),
    /// The path exists, but not with this verb.
    MethodNotAllowed,
    /// No such path.
    NotFound,
}

/// Finds the row for a verb and path. Literals win over placeholders by the order of the table.
pub fn find(method: &str, path: &RequestPath) -> Match {
    let captures = |operation: &Operation| operation.paths.iter().find_map(|pattern| pattern.captures(path));
    // The rows of other verbs are only looked at once none of this one fits.
    let mut rows = OPERATIONS.iter().filter(|row| row.method.as_str() == method);
    if let Some((row, captures)) = rows.find_map(|row| Some((row, captures(row)?))) {
        return Match::Operation(row, captures);
    }
    if OPERATIONS.iter().any(|row| captures(row).is_some()) { Match::MethodNotAllowed } else { Match::NotFound }
}

macro_rules! paths {
    ($($path:literal),+) => { &[$(PathPattern::new($path)),+] };
}

/// The table.
pub const OPERATIONS: &[Operation] = {
    use ApiVersion::{V7_0, V7_2, V7_3, V7_4, V7_6, V2026_04_01};
    use AuditDurability::{BeforeAnswer, Soon};
    use DataAction as A;
    use Method::{Delete, Get, Patch, Post, Put};
    use OperationId as O;
    use OperationScope::{Key, Keys, Path, Root};
    use States::{Active, Any};
    const fn row(
        id: OperationId,
        (method, paths, success): (Method, &'static [PathPattern], u16),
        (action, scope): (DataAction, OperationScope),
        since: ApiVersion,
        audit_name: &'static str,
    ) -> Operation {
        let (containers, source, states, audit) = (Containers::All, Source::Reference, Active, Soon);
        let version = VersionRule::Required;
        Operation {
            id,
            method,
            paths,
            action,
            scope,
            containers,
            source,
            states,
            since,
            version,
            success,
            audit_name,
            audit,
        }
    }
    const fn managed_hsm(row: Operation) -> Operation {
        Operation { containers: Containers::ManagedHsm, ..row }
    }
    const fn before_answer(row: Operation) -> Operation {
        Operation { audit: BeforeAnswer, ..row }
    }
    /// A whole HSM leaves or comes back.
    const fn job(row: Operation) -> Operation {
        managed_hsm(before_answer(row))
    }
    const fn job_status(row: Operation) -> Operation {
        managed_hsm(Operation { version: VersionRule::Optional, ..row })
    }
    const fn security_domain(row: Operation) -> Operation {
        managed_hsm(Operation { states: Any, ..before_answer(row) })
    }
    const fn ours(row: Operation) -> Operation {
        Operation { source: Source::Strongroom, ..row }
    }
    /// Key material leaves.
    const fn leaving(row: Operation) -> Operation {
        Operation { audit: BeforeAnswer, ..row }
    }
    &[
        row(O::CreateKey, (Post, paths!("/keys/{key-name}/create"), 200), (A::KeysCreate, Key), V7_0, "KeyCreate"),
        row(
            O::ListKeyVersions,
            (Get, paths!("/keys/{key-name}/versions"), 200),
            (A::KeysRead, Key),
            V7_0,
            "KeyListVersions",
        ),
        row(O::RotateKey, (Post, paths!("/keys/{key-name}/rotate"), 200), (A::KeysRotate, Key), V7_3, "KeyRotate"),
        row(
            O::GetKeyRotationPolicy,
            (Get, paths!("/keys/{key-name}/rotationpolicy"), 200),
            (A::KeysRead, Key),
            V7_3,
            "KeyRotationPolicyGet",
        ),
        row(
            O::UpdateKeyRotationPolicy,
            (Put, paths!("/keys/{key-name}/rotationpolicy"), 200),
            (A::KeysWrite, Key),
            V7_3,
            "KeyRotationPolicySet",
        ),
        before_answer(row(
            O::BackupKey,
            (Post, paths!("/keys/{key-name}/backup"), 200),
            (A::KeysBackup, Key),
            V7_0,
            "KeyBackup",
        )),
        before_answer(row(
            O::RestoreKey,
            (Post, paths!("/keys/restore"), 200),
            (A::KeysRestore, Keys),
            V7_0,
            "KeyRestore",
        )),
        row(O::ListKeys, (Get, paths!("/keys"), 200), (A::KeysRead, Keys), V7_0, "KeyList"),
        row(
            O::Encrypt,
            (Post, paths!("/keys/{key-name}/{key-version?}/encrypt"), 200),
            (A::KeysEncrypt, Key),
            V7_0,
            "KeyEncrypt",
        ),
        row(
            O::Decrypt,
            (Post, paths!("/keys/{key-name}/{key-version?}/decrypt"), 200),
            (A::KeysDecrypt, Key),
            V7_0,
            "KeyDecrypt",
        ),
        row(O::Sign, (Post, paths!("/keys/{key-name}/{key-version?}/sign"), 200), (A::KeysSign, Key), V7_0, "KeySign"),
        row(
            O::Verify,
            (Post, paths!("/keys/{key-name}/{key-version?}/verify"), 200),
            (A::KeysVerify, Key),
            V7_0,
            "KeyVerify",
        ),
        row(
            O::WrapKey,
            (Post, paths!("/keys/{key-name}/{key-version?}/wrapkey"), 200),
            (A::KeysWrap, Key),
            V7_0,
            "KeyWrap",
        ),
        row(
            O::UnwrapKey,
            (Post, paths!("/keys/{key-name}/{key-version?}/unwrapkey"), 200),
            (A::KeysUnwrap, Key),
            V7_0,
            "KeyUnwrap",
        ),
        managed_hsm(leaving(row(
            O::ReleaseKey,
            (Post, paths!("/keys/{key-name}/{key-version?}/release"), 200),
            (A::KeysRelease, Key),
            V7_3,
            "KeyRelease",
        ))),
        managed_hsm(row(
            O::SecureWrapKey,
            (Post, paths!("/keys/{key-name}/{key-version?}/securewrapkey"), 200),
            (A::KeysWrap, Key),
            V2026_04_01,
            "KeySecureWrap",
        )),
        managed_hsm(leaving(row(
            O::SecureUnwrapKey,
            (Post, paths!("/keys/{key-name}/{key-version?}/secureunwrapkey"), 200),
            (A::KeysUnwrap, Key),
            V2026_04_01,
            "KeySecureUnwrap",
        ))),
        managed_hsm(row(
            O::GetKeyAttestation,
            (Get, paths!("/keys/{key-name}/{key-version?}/attestation"), 200),
            (A::KeysRead, Key),
            V7_6,
            "KeyGetAttestation",
        )),
        row(O::GetKey, (Get, paths!("/keys/{key-name}/{key-version?}"), 200), (A::KeysRead, Key), V7_0, "KeyGet"),
        row(
            O::UpdateKey,
            (Patch, paths!("/keys/{key-name}/{key-version?}"), 200),
            (A::KeysWrite, Key),
            V7_0,
            "KeyUpdate",
        ),
        row(O::ImportKey, (Put, paths!("/keys/{key-name}"), 200), (A::KeysImport, Key), V7_0, "KeyImport"),
        row(O::DeleteKey, (Delete, paths!("/keys/{key-name}"), 200), (A::KeysDelete, Key), V7_0, "KeyDelete"),
        managed_hsm(row(O::GetRandomBytes, (Post, paths!("/rng"), 200), (A::Rng, Keys), V7_3, "RandomBytesGet")),
        row(O::ListDeletedKeys, (Get, paths!("/deletedkeys"), 200), (A::DeletedKeysRead, Keys), V7_0, "KeyListDeleted"),
        row(
            O::RecoverDeletedKey,
            (Post, paths!("/deletedkeys/{key-name}/recover"), 200),
            (A::DeletedKeysRecover, Key),
            V7_0,
            "KeyRecover",
        ),
        row(
            O::GetDeletedKey,
            (Get, paths!("/deletedkeys/{key-name}"), 200),
            (A::DeletedKeysRead, Key),
            V7_0,
            "KeyGetDeleted",
        ),
        row(
            O::PurgeDeletedKey,
            (Delete, paths!("/deletedkeys/{key-name}"), 204),
            (A::DeletedKeysDelete, Key),
            V7_0,
            "KeyPurge",
        ),
        managed_hsm(row(
            O::ListRoleDefinitions,
            (
                Get,
                paths!(
                    "/providers/Microsoft.Authorization/roleDefinitions",
                    "/keys/{key-name?}/providers/Microsoft.Authorization/roleDefinitions"
                ),
                200,
            ),
            (A::RoleDefinitionsRead, Path),
            V7_2,
            "RoleDefinitionList",
        )),
        managed_hsm(row(
            O::GetRoleDefinition,
            (Get, ROLE_DEFINITION, 200),
            (A::RoleDefinitionsRead, Path),
            V7_2,
            "RoleDefinitionGet",
        )),
        managed_hsm(row(
            O::PutRoleDefinition,
            (Put, ROLE_DEFINITION, 201),
            (A::RoleDefinitionsWrite, Root),
            V7_2,
            "RoleDefinitionCreate",
        )),
        managed_hsm(row(
            O::DeleteRoleDefinition,
            (Delete, ROLE_DEFINITION, 200),
            (A::RoleDefinitionsDelete, Root),
            V7_2,
            "RoleDefinitionDelete",
        )),
        managed_hsm(row(
            O::ListRoleAssignments,
            (
                Get,
                paths!(
                    "/providers/Microsoft.Authorization/roleAssignments",
                    "/keys/{key-name?}/providers/Microsoft.Authorization/roleAssignments"
                ),
                200,
            ),
            (A::RoleAssignmentsRead, Path),
            V7_2,
            "RoleAssignmentList",
        )),
        managed_hsm(row(
            O::GetRoleAssignment,
            (Get, ROLE_ASSIGNMENT, 200),
            (A::RoleAssignmentsRead, Path),
            V7_2,
            "RoleAssignmentGet",
        )),
        managed_hsm(row(
            O::CreateRoleAssignment,
            (Put, ROLE_ASSIGNMENT, 201),
            (A::RoleAssignmentsWrite, Path),
            V7_2,
            "RoleAssignmentCreate",
        )),
        managed_hsm(row(
            O::DeleteRoleAssignment,
            (Delete, ROLE_ASSIGNMENT, 200),
            (A::RoleAssignmentsDelete, Path),
            V7_2,
            "RoleAssignmentDelete",
        )),
        managed_hsm(row(
            O::ListSettings,
            (Get, paths!("/settings"), 200),
            (A::SettingsRead, Root),
            V7_4,
            "SettingList",
        )),
        managed_hsm(row(O::GetSetting, (Get, SETTING, 200), (A::SettingsRead, Root), V7_4, "SettingGet")),
        managed_hsm(row(O::UpdateSetting, (Patch, SETTING, 200), (A::SettingsWrite, Root), V7_4, "SettingUpdate")),
        security_domain(row(
            O::DownloadSecurityDomain,
            (Post, paths!("/securitydomain/download"), 202),
            (A::SecurityDomainDownload, Root),
            V7_2,
            "SecurityDomainDownload",
        )),
        security_domain(row(
            O::DownloadSecurityDomainPending,
            (Get, paths!("/securitydomain/download/pending"), 200),
            (A::SecurityDomainDownloadRead, Root),
            V7_2,
            "SecurityDomainDownloadStatusGet",
        )),
        security_domain(row(
            O::GetTransferKey,
            (Get, paths!("/securitydomain/upload"), 200),
            (A::SecurityDomainTransferKeyRead, Root),
            V7_2,
            "SecurityDomainTransferKeyGet",
        )),
        security_domain(row(
            O::UploadSecurityDomain,
            (Post, paths!("/securitydomain/upload"), 202),
            (A::SecurityDomainUpload, Root),
            V7_2,
            "SecurityDomainUpload",
        )),
        security_domain(row(
            O::UploadSecurityDomainPending,
            (Get, paths!("/securitydomain/upload/pending"), 200),
            (A::SecurityDomainUploadRead, Root),
            V7_2,
            "SecurityDomainUploadStatusGet",
        )),
        ours(security_domain(row(
            O::GetSecurityDomain,
            (Get, paths!("/securitydomain"), 200),
            (A::SecurityDomainDownloadRead, Root),
            V7_2,
            "SecurityDomainGet",
        ))),
        ours(security_domain(row(
            O::RotateSecurityDomain,
            (Post, paths!("/securitydomain/rotate"), 202),
            (A::SecurityDomainDownload, Root),
            V7_2,
            "SecurityDomainRotate",
        ))),
        job(row(O::FullBackup, (Post, paths!("/backup"), 202), (A::BackupStart, Root), V7_2, "BackupStart")),
        job(row(O::PreFullBackup, (Post, paths!("/prebackup"), 202), (A::BackupStart, Root), V7_6, "BackupCheckStart")),
        job_status(row(
            O::FullBackupStatus,
            (Get, paths!("/backup/{job-id}/pending"), 200),
            (A::BackupStatus, Root),
            V7_2,
            "BackupStatusGet",
        )),
        job(row(O::FullRestore, (Put, paths!("/restore"), 202), (A::RestoreStart, Root), V7_2, "RestoreStart")),
        job(row(
            O::PreFullRestore,
            (Put, paths!("/prerestore"), 202),
            (A::RestoreStart, Root),
            V7_6,
            "RestoreCheckStart",
        )),
        job(row(
            O::SelectiveKeyRestore,
            (Put, paths!("/keys/{key-name}/restore"), 202),
            (A::RestoreStart, Root),
            V7_2,
            "KeyRestoreFromBackupStart",
        )),
        job_status(row(
            O::RestoreStatus,
            (Get, paths!("/restore/{job-id}/pending"), 200),
            (A::RestoreStatus, Root),
            V7_2,
            "RestoreStatusGet",
        )),
    ]
};

const SETTING: &[PathPattern] = paths!("/settings/{setting-name}");

const ROLE_DEFINITION: &[PathPattern] = paths!(
    "/providers/Microsoft.Authorization/roleDefinitions/{role-definition-name}",
    "/keys/{key-name?}/providers/Microsoft.Authorization/roleDefinitions/{role-definition-name}"
);

const ROLE_ASSIGNMENT: &[PathPattern] = paths!(
    "/providers/Microsoft.Authorization/roleAssignments/{role-assignment-name}",
    "/keys/{key-name?}/providers/Microsoft.Authorization/roleAssignments/{role-assignment-name}"
);

#[cfg(test)]
mod tests;
