//! Python: `azure-keyvault-keys`, `azure-identity`.

use super::language::Language::Python;
use super::scene::{EVERYTHING, SIGNATURE, Scene, WALKED};

#[test]
fn python_walks_every_operation_with_a_client_secret() {
    let scene = Scene::new();
    scene.walk(Python, "secret", EVERYTHING);
    scene.expect_operations(Python, WALKED);
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
