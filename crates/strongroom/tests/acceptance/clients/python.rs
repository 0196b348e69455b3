//! Python: `azure-keyvault-keys`, `azure-keyvault-administration`, `azure-identity`.

use super::language::Language::Python;
use super::scene::{EVERYTHING, REMOTE_CRYPTOGRAPHY, SIGNATURE, Scene, WALKED, walk_hsm_keys_of_vault, walk_vault};

#[test]
fn python_walks_every_operation_with_a_client_secret() {
    let scene = Scene::new();
    scene.walk(Python, "secret", EVERYTHING);
    scene.expect_operations(Python, WALKED);
}

#[test]
fn python_walks_the_keys_of_a_vault() {
    walk_vault(Python, &[]);
}

#[test]
fn python_walks_the_hsm_keys_of_a_premium_vault() {
    walk_hsm_keys_of_vault(Python);
}

#[test]
fn python_is_refused_what_vaults_do_not_have() {
    let scene = Scene::of_vault();
    scene.walk(Python, "secret", &["refusals"]);
    scene.expect_operations(Python, &["KeyCreate", "KeyList"]);
}

#[test]
fn python_signs_in_to_a_vault_with_a_managed_identity() {
    let scene = Scene::of_vault();
    scene.admit_machine_to_vault();
    scene.walk(Python, "managed", &["signature"]);
    scene.expect_operations(Python, SIGNATURE);
}

#[test]
fn python_administers_roles_and_settings() {
    let scene = Scene::new();
    scene.walk(Python, "secret", &["administration"]);
    scene.expect_operations(Python, ADMINISTRATION);
}

#[test]
fn python_backs_up_and_restores() {
    let scene = Scene::with_backups();
    scene.walk(Python, "secret", &["whole"]);
    scene.expect_operations(Python, BACKUP);
}

#[test]
fn python_leaves_all_cryptography_to_the_service_when_it_may_not_read_keys() {
    let mut scene = Scene::new();
    scene.walk(Python, "secret", &["keys"]);
    scene.admit_machine_without_reading();
    scene.walk(Python, "managed", &["unread"]);
    scene.expect_operations(Python, REMOTE_CRYPTOGRAPHY);
}

#[test]
fn python_signs_in_with_nothing_but_client_env() {
    let scene = Scene::new();
    scene.walk(Python, "default", &["signature"]);
    scene.expect_operations(Python, SIGNATURE);
}

#[test]
fn python_signs_in_with_a_managed_identity() {
    let scene = Scene::new();
    scene.admit_machine();
    scene.walk(Python, "managed", &["signature"]);
    scene.expect_operations(Python, SIGNATURE);
}

#[test]
fn python_signs_in_with_a_certificate() {
    let mut scene = Scene::new();
    scene.admit_certified_program();
    scene.walk(Python, "certificate", &["signature"]);
    scene.expect_operations(Python, SIGNATURE);
}

#[test]
fn python_signs_in_with_the_token_of_another_issuer() {
    let mut scene = Scene::new();
    scene.admit_workload();
    scene.walk(Python, "assertion", &["signature"]);
    scene.walk_as_workload(Python, "workload", &["signature"]);
    scene.walk_as_workload(Python, "default", &["signature"]);
    scene.expect_operations(Python, SIGNATURE);
}

const ADMINISTRATION: &[&str] = &[
    "RoleAssignmentCreate",
    "RoleAssignmentDelete",
    "RoleAssignmentGet",
    "RoleAssignmentList",
    "RoleDefinitionCreate",
    "RoleDefinitionDelete",
    "RoleDefinitionGet",
    "RoleDefinitionList",
    "SettingGet",
    "SettingList",
    "SettingUpdate",
];

const BACKUP: &[&str] = &[
    "BackupCheckStart",
    "BackupStart",
    "BackupStatusGet",
    "KeyRestoreFromBackupStart",
    "RestoreCheckStart",
    "RestoreStart",
    "RestoreStatusGet",
];
