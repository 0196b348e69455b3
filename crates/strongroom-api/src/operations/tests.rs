//! The table itself: what paths reach, and who has what.

use super::*;

fn id(method: &str, path: &str) -> Option<OperationId> {
    match find(method, &RequestPath::parse(path).unwrap()) {
        Match::Operation(operation, _) => Some(operation.id),
        Match::MethodNotAllowed | Match::NotFound => None,
    }
}

#[test]
fn paths_as_clients_write_them_reach_their_operation() {
    for (method, path, wanted) in [
        ("GET", "/keys/n/", OperationId::GetKey),
        ("GET", "/keys/n", OperationId::GetKey),
        ("POST", "/keys/n//sign", OperationId::Sign),
        ("POST", "/keys/n/0123456789abcdef0123456789abcdef/wrapkey", OperationId::WrapKey),
        ("GET", "/keys/n/versions", OperationId::ListKeyVersions),
        ("POST", "/keys/n/rotate", OperationId::RotateKey),
        ("GET", "/keys/n/rotationpolicy", OperationId::GetKeyRotationPolicy),
        ("POST", "/keys/n/backup", OperationId::BackupKey),
        ("POST", "/keys/restore", OperationId::RestoreKey),
        ("GET", "/keys/", OperationId::ListKeys),
        ("GET", "///providers/Microsoft.Authorization/roleDefinitions", OperationId::ListRoleDefinitions),
        ("GET", "//keys/providers/Microsoft.Authorization/roleAssignments", OperationId::ListRoleAssignments),
        ("PUT", "/keys/k/providers/Microsoft.Authorization/roleAssignments/g", OperationId::CreateRoleAssignment),
        ("PUT", "/keys/n/restore", OperationId::SelectiveKeyRestore),
        ("GET", "/restore/0123456789abcdef0123456789abcdef/pending", OperationId::RestoreStatus),
        ("GET", "/SecurityDomain/download/pending", OperationId::DownloadSecurityDomainPending),
    ] {
        assert_eq!(id(method, path), Some(wanted), "{method} {path}");
    }
    assert!(matches!(find("PUT", &RequestPath::parse("/rng").unwrap()), Match::MethodNotAllowed));
    assert!(matches!(find("GET", &RequestPath::parse("/nothing").unwrap()), Match::NotFound));
}

#[test]
fn a_key_may_be_called_like_an_operation() {
    assert_eq!(id("POST", "/keys/sign/sign"), Some(OperationId::Sign));
    assert_eq!(id("GET", "/keys/versions"), Some(OperationId::GetKey));
    assert_eq!(id("POST", "/keys/restore/sign"), Some(OperationId::Sign));
    assert_eq!(id("POST", "/keys/restore/backup"), Some(OperationId::BackupKey));
}

#[test]
fn vaults_have_the_operations_on_keys_and_no_others() {
    for row in OPERATIONS {
        let action = row.action.as_str();
        let on_keys = action.starts_with("Microsoft.KeyVault/managedHsm/keys/");
        // Not for vaults yet.
        let leaves = matches!(
            row.id,
            OperationId::ReleaseKey
                | OperationId::GetKeyAttestation
                | OperationId::SecureWrapKey
                | OperationId::SecureUnwrapKey
        );
        assert_eq!(row.containers == Containers::All, on_keys && !leaves, "{:?}", row.id);
    }
}

#[test]
fn every_operation_stands_once_in_the_table() {
    for (position, operation) in OPERATIONS.iter().enumerate() {
        assert!(!OPERATIONS[..position].iter().any(|other| other.id == operation.id), "{:?}", operation.id);
        assert!(operation.paths.iter().all(|path| path.as_str().matches("?}").count() <= 1));
    }
}
