//! The comparison with the OpenAPI reference itself: it finds what does not fit, and keeps the proofs of what does.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::environment;

/// One exchange, and a record of proofs with one line in it.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new(proved_by: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("exchanges")).expect("a folder is made");
        let proof = json!([{
            "plane": "managedhsm", "method": "GET", "path": "/settings", "client": "az 2.91.0",
            "api_version": "7.6", "test": proved_by,
        }]);
        fs::write(folder.path().join("record.json"), proof.to_string()).expect("written");
        Self { folder }
    }

    /// Compares a question for a setting with this answer.
    fn compare(&self, path: &str, answer: &Value) -> Output {
        let exchange = json!({
            "test": THIS,
            "method": "GET",
            "url": format!("https://h.managedhsm.localhost{path}?api-version=2025-07-01"),
            "user_agent": "strongroom-acceptance-tests",
            "request": "",
            "status": 200,
            "content_type": "application/json; charset=utf-8",
            "answer": answer.to_string(),
        });
        let exchanges = self.folder.path().join("exchanges");
        fs::write(exchanges.join("one.jsonl"), format!("{exchange}\n")).expect("written");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut compare = Command::new(environment::openapi_python());
        compare
            .arg("-B")
            .arg(here.join("tests/acceptance/python/exchanges.py"))
            .arg(here.join("../../vectors/openapi"));
        compare.arg(exchanges).arg("--keep").arg(self.folder.path().join("record.json"));
        compare.output().expect("the environment has Python")
    }

    /// Tests and api-versions of the record.
    fn record(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.folder.path().join("record.json")).expect("it is there");
        let rows: Vec<Value> = serde_json::from_str(&text).expect("it is JSON");
        let member = |row: &Value, name| row[name].as_str().expect("text").to_owned();
        rows.iter().map(|row| (member(row, "test"), member(row, "api_version"))).collect()
    }
}

#[track_caller]
fn assert_finds(output: &Output, finding: &str) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(finding), "{text}");
}

#[test]
fn what_fits_the_reference_is_put_into_the_record_and_what_proves_already_stays() {
    let scene = Scene::new(THIS);
    let output = scene.compare("/settings/One", &json!({"name": "One", "value": "true", "type": "boolean"}));
    assert!(output.status.success(), "{}", crate::az::said(&output));
    let row = |version: &str| (THIS.to_owned(), version.to_owned());
    assert_eq!(scene.record(), [row("7.6"), row("2025-07-01")]);
}

#[test]
fn a_proof_by_a_test_that_is_gone_leaves_the_record() {
    let scene = Scene::new("comparison::there_is_no_such_test");
    let output = scene.compare("/settings/One", &json!({"name": "One", "value": "true", "type": "boolean"}));
    assert!(output.status.success(), "{}", crate::az::said(&output));
    assert_eq!(scene.record(), [(THIS.to_owned(), "2025-07-01".to_owned())]);
}

#[test]
fn what_does_not_fit_is_found_and_keeps_nothing() {
    let scene = Scene::new(THIS);
    let before = scene.record();
    let unknown = json!({"name": "One", "value": "true", "type": "boolean", "colour": "blue"});
    assert_finds(&scene.compare("/settings/One", &unknown), "answer 200.: the reference has no member colour");
    assert_finds(&scene.compare("/settings/One", &json!({"name": "One"})), "'value' is a required property");
    let number = json!({"name": "One", "value": 1, "type": "boolean"});
    assert_finds(&scene.compare("/settings/One", &number), "answer 200.value: is not type \"string\"");
    assert_finds(&scene.compare("/nowhere", &json!({})), "answered, but not in the reference");
    assert_eq!(scene.record(), before);
}

const THIS: &str = "comparison::what_does_not_fit_is_found_and_keeps_nothing";
