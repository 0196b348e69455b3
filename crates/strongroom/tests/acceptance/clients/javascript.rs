//! JavaScript: `@azure/keyvault-keys`, `@azure/identity`.

use super::language::Language::JavaScript;
use super::scene::{EVERYTHING, REMOTE_CRYPTOGRAPHY, SIGNATURE, Scene, WALKED, walk_hsm_keys_of_vault, walk_vault};

#[test]
fn javascript_walks_every_operation_with_a_client_secret() {
    let scene = Scene::new();
    scene.walk(JavaScript, "secret", EVERYTHING);
    scene.expect_operations(JavaScript, &[WALKED, &["KeyWrap"]].concat());
}

#[test]
fn javascript_walks_the_keys_of_a_vault() {
    walk_vault(JavaScript, &["KeyEncrypt", "KeyWrap"]);
}

#[test]
fn javascript_walks_the_hsm_keys_of_a_premium_vault() {
    walk_hsm_keys_of_vault(JavaScript);
}

#[test]
fn javascript_signs_in_to_a_vault_with_a_managed_identity() {
    let scene = Scene::of_vault();
    scene.admit_machine_to_vault();
    scene.walk(JavaScript, "managed", &["signature"]);
    scene.expect_operations(JavaScript, SIGNATURE);
}

#[test]
fn javascript_leaves_all_cryptography_to_the_service_when_it_may_not_read_keys() {
    let mut scene = Scene::new();
    scene.walk(JavaScript, "secret", &["keys"]);
    scene.admit_machine_without_reading();
    scene.walk(JavaScript, "managed", &["unread"]);
    scene.expect_operations(JavaScript, REMOTE_CRYPTOGRAPHY);
}

#[test]
fn javascript_signs_in_with_nothing_but_client_env() {
    let scene = Scene::new();
    scene.walk(JavaScript, "default", &["signature"]);
    scene.expect_operations(JavaScript, SIGNATURE);
}

#[test]
fn javascript_signs_in_with_a_managed_identity() {
    let scene = Scene::new();
    scene.admit_machine();
    scene.walk(JavaScript, "managed", &["signature"]);
    scene.expect_operations(JavaScript, SIGNATURE);
}

#[test]
fn javascript_signs_in_with_a_certificate() {
    let mut scene = Scene::new();
    scene.admit_certified_program();
    scene.walk(JavaScript, "certificate", &["signature"]);
    scene.expect_operations(JavaScript, SIGNATURE);
}

#[test]
fn javascript_signs_in_with_the_token_of_another_issuer() {
    let mut scene = Scene::new();
    scene.admit_workload();
    scene.walk_as_workload(JavaScript, "workload", &["signature"]);
    scene.walk_as_workload(JavaScript, "default", &["signature"]);
    scene.expect_operations(JavaScript, SIGNATURE);
}
