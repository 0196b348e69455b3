//! Rust: `azure_security_keyvault_keys`, `azure_identity`.

use super::language::Language::Rust;
use super::link_local;
use super::scene::{EVERYTHING, REMOTE_CRYPTOGRAPHY, SIGNATURE, Scene, WALKED, walk_vault};

#[test]
fn rust_walks_every_operation_with_a_client_secret() {
    let scene = Scene::new();
    scene.walk(Rust, "secret", EVERYTHING);
    scene.expect_operations(Rust, &[WALKED, REMOTE_CRYPTOGRAPHY].concat());
}

#[test]
fn rust_walks_the_keys_of_a_vault() {
    walk_vault(Rust, &["KeyEncrypt", "KeyVerify", "KeyWrap"]);
}

#[test]
fn rust_signs_in_with_a_managed_identity_at_the_link_local_address() {
    link_local::walk(Rust, "managed");
}

#[test]
fn rust_signs_in_with_the_token_of_another_issuer() {
    let mut scene = Scene::new();
    scene.admit_workload();
    scene.walk(Rust, "workload", &["signature"]);
    scene.expect_operations(Rust, SIGNATURE);
}
