//! The examples of the README are the programs that these tests run, line by line.

use super::language::Language::{self, JavaScript, Python, Rust};
use super::scene::Scene;

/// Signs with the key that `quickstart` makes, in the way the README shows.
#[track_caller]
pub(super) fn sign_as_shown(language: Language) {
    let mut scene = Scene::new();
    scene.make_the_key_of_the_readme();
    scene.run_readme(language);
    scene.expect_operations(language, &["KeySign"]);
}

#[test]
fn the_readme_shows_the_programs_that_are_run() {
    let readme = include_str!("../../../../../README.md");
    for (language, source) in [
        ("python", include_str!("../../../../../tests/clients/python/readme.py")),
        ("javascript", include_str!("../../../../../tests/clients/javascript/readme.mjs")),
        ("go", include_str!("../../../../../tests/clients/go/readme/main.go")),
        ("java", include_str!("../../../../../tests/clients/java/src/main/java/Readme.java")),
        ("rust", include_str!("../../../../../tests/clients/rust/src/bin/readme.rs")),
    ] {
        let shown = format!("```{language}\n{source}```\n");
        assert!(readme.contains(&shown), "README.md does not show tests/clients/{language}/readme as it is");
    }
}

#[test]
fn the_python_of_the_readme_signs() {
    sign_as_shown(Python);
}

#[test]
fn the_javascript_of_the_readme_signs() {
    sign_as_shown(JavaScript);
}

#[test]
fn the_rust_of_the_readme_signs() {
    sign_as_shown(Rust);
}
