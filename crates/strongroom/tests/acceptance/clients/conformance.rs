//! Go: `azkeys`, `azidentity`. Java: `azure-security-keyvault-keys`, `azure-identity`.

use super::language::Language::{Go, Java};
use super::link_local;
use super::readme::sign_as_shown;
use super::scene::{EVERYTHING, REMOTE_CRYPTOGRAPHY, SIGNATURE, Scene, WALKED, walk_vault};

#[test]
fn go_walks_every_operation_with_a_client_secret() {
    let scene = Scene::new();
    scene.walk(Go, "secret", EVERYTHING);
    scene.expect_operations(Go, &[WALKED, REMOTE_CRYPTOGRAPHY].concat());
}

#[test]
fn go_walks_the_keys_of_a_vault() {
    walk_vault(Go, &["KeyEncrypt", "KeyVerify", "KeyWrap"]);
}

#[test]
fn go_signs_in_with_a_managed_identity_at_the_app_service_endpoint() {
    let mut scene = Scene::new();
    scene.offer_app_service_endpoint();
    scene.walk(Go, "managed", &["signature"]);
    scene.expect_operations(Go, SIGNATURE);
}

#[test]
fn go_signs_in_with_a_managed_identity_at_the_link_local_address() {
    link_local::walk(Go, "managed");
}

#[test]
fn go_signs_in_with_a_bare_default_credential_as_a_managed_identity() {
    link_local::walk(Go, "default");
}

#[test]
fn java_walks_every_operation_with_a_client_secret() {
    let scene = Scene::new();
    scene.walk(Java, "secret", EVERYTHING);
    scene.expect_operations(Java, &[WALKED, &["KeyWrap"]].concat());
}

#[test]
fn java_walks_the_keys_of_a_vault() {
    walk_vault(Java, &["KeyEncrypt", "KeyWrap"]);
}

#[test]
fn java_signs_in_with_a_managed_identity_at_the_app_service_endpoint() {
    let mut scene = Scene::new();
    scene.offer_app_service_endpoint();
    scene.walk(Java, "managed", &["signature"]);
    scene.expect_operations(Java, SIGNATURE);
}

#[test]
fn go_signs_in_with_the_token_of_another_issuer() {
    let mut scene = Scene::new();
    scene.admit_workload();
    scene.walk(Go, "workload", &["signature"]);
    scene.expect_operations(Go, SIGNATURE);
}

#[test]
fn the_go_of_the_readme_signs() {
    sign_as_shown(Go);
}

#[test]
fn java_signs_in_with_the_token_of_another_issuer() {
    let mut scene = Scene::new();
    scene.admit_workload();
    scene.walk(Java, "workload", &["signature"]);
    scene.expect_operations(Java, SIGNATURE);
}

#[test]
fn the_java_of_the_readme_signs() {
    sign_as_shown(Java);
}
