//! The operation table against the OpenAPI reference in `vectors/openapi`: nothing is missing, nothing is made up.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a reference that cannot be read fails the test")]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use strongroom_api::operations::{OPERATIONS, Source};

/// What of the reference describes the data plane of a managed HSM.
const FILES: [&str; 6] = [
    "keys.json",
    "rbac.json",
    "settings.json",
    "securitydomain.json",
    "backuprestore.json",
    "preview/keys-2026-01-01-preview.json",
];

/// Operations of the reference that this release may be without.
const NOT_YET: &[(&str, &str)] = &[
    ("DELETE", "/providers/Microsoft.Authorization/roleDefinitions/{}"),
    ("GET", "/backup/{}/pending"),
    ("GET", "/keys/{}/rotationpolicy"),
    ("GET", "/restore/{}/pending"),
    ("GET", "/securitydomain/upload"),
    ("GET", "/securitydomain/upload/pending"),
    ("GET", "/settings"),
    ("GET", "/settings/{}"),
    ("PATCH", "/settings/{}"),
    ("POST", "/backup"),
    ("POST", "/keys/restore"),
    ("POST", "/keys/{}/backup"),
    ("POST", "/keys/{}/rotate"),
    ("POST", "/keys/{}/{}/secureunwrapkey"),
    ("POST", "/keys/{}/{}/securewrapkey"),
    ("POST", "/prebackup"),
    ("POST", "/securitydomain/upload"),
    ("PUT", "/keys/{}"),
    ("PUT", "/keys/{}/restore"),
    ("PUT", "/keys/{}/rotationpolicy"),
    ("PUT", "/prerestore"),
    ("PUT", "/providers/Microsoft.Authorization/roleDefinitions/{}"),
    ("PUT", "/restore"),
];

/// Verb and path of every operation of the reference, with its statuses of success.
fn reference() -> Vec<(String, String, BTreeSet<u16>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/openapi");
    let mut found = Vec::new();
    for file in FILES {
        let document: Value = serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
        for (path, rows) in document["paths"].as_object().unwrap() {
            for (method, row) in rows.as_object().unwrap() {
                let statuses = row["responses"].as_object().unwrap().keys().filter_map(|status| status.parse().ok());
                found.push((method.to_uppercase(), folded(path), statuses.collect()));
            }
        }
    }
    found
}

/// A path with its placeholders without names, which the reference and the table choose differently.
fn folded(path: &str) -> String {
    let path = path.replace("/{scope}/", "/").replace("{key-version?}", "{}");
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

#[test]
fn every_operation_of_the_table_is_one_of_the_reference_with_its_status() {
    let reference = reference();
    for row in OPERATIONS.iter().filter(|row| row.source == Source::Reference) {
        let path = folded(row.paths.first().unwrap().as_str());
        let known = reference.iter().find(|(method, known, _)| method == row.method.as_str() && *known == path);
        let (_, _, statuses) = known.unwrap_or_else(|| panic!("{:?}: the reference has no {path}", row.id));
        assert!(statuses.contains(&row.success), "{:?} answers {}, not one of {statuses:?}", row.id, row.success);
    }
}

#[test]
fn an_operation_of_our_own_takes_no_path_of_the_reference() {
    let reference = reference();
    for row in OPERATIONS.iter().filter(|row| row.source == Source::Strongroom) {
        let path = folded(row.paths.first().unwrap().as_str());
        assert!(reference.iter().all(|(_, known, _)| *known != path), "{:?}: the reference has {path}", row.id);
    }
}

#[test]
fn every_operation_of_the_reference_is_in_the_table_or_known_to_be_missing() {
    let here = |method: &str, path: &str| {
        OPERATIONS
            .iter()
            .any(|row| row.method.as_str() == method && folded(row.paths.first().unwrap().as_str()) == path)
    };
    let known = |method: &str, path: &str| NOT_YET.contains(&(method, path));
    for (method, path, _) in reference() {
        assert!(here(&method, &path) || known(&method, &path), "{method} {path} is missing from the table");
    }
}
