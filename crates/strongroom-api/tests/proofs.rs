//! `docs/compatibility.md` says which test proves an operation with which client: rendered from what a run of the
//! acceptance tests has recorded (`docs/compatibility/proofs.json`), compared with the page.

#![expect(clippy::expect_used, reason = "a page or a record that cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use strongroom_api::operations::{OPERATIONS, Operation};

/// One line of the record: a successful exchange.
#[derive(Deserialize)]
struct Proof {
    plane: String,
    method: String,
    /// As the OpenAPI reference has it.
    path: String,
    client: String,
    api_version: String,
    /// `module::function` of the acceptance tests.
    test: String,
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
const BEGIN: &str = "<!-- proofs: begin -->\n";
const END: &str = "<!-- proofs: end -->";

fn proofs() -> Vec<Proof> {
    let text = std::fs::read_to_string(Path::new(ROOT).join("docs/compatibility/proofs.json")).expect("the record");
    let proofs: Vec<Proof> = serde_json::from_str(&text).expect("it has the form that the comparison writes");
    proofs.into_iter().filter(|proof| proof.plane == "managedhsm").collect()
}

impl Proof {
    fn is_of(&self, row: &Operation) -> bool {
        let first = row.paths.first().map_or("", |path| path.as_str());
        self.method == row.method.as_str() && folded(&self.path) == folded(first)
    }
}

/// A path with its placeholders without names, which the reference and the table choose differently.
fn folded(path: &str) -> String {
    let path = path.replace("/{scope}/", "/");
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

fn table() -> String {
    let mut text = String::from("| operation | client | api-versions | test |\n|---|---|---|---|\n");
    let proofs = proofs();
    for row in OPERATIONS {
        let mut by_client: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
        for proof in proofs.iter().filter(|proof| proof.is_of(row)) {
            let (versions, tests) = by_client.entry(&proof.client).or_default();
            versions.insert(&proof.api_version);
            tests.insert(&proof.test);
        }
        if by_client.is_empty() {
            writeln!(text, "| {:?} | none yet | | |", row.id).expect("a string takes all");
        }
        for (client, (versions, tests)) in by_client {
            let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
            let test = tests.first().copied().unwrap_or_default();
            writeln!(text, "| {:?} | {client} | {versions} | `{test}` |", row.id).expect("a string takes all");
        }
    }
    text
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a variable of the test run asks for the page to be written anew")]
fn the_compatibility_page_names_the_test_of_every_proof() {
    let path = Path::new(ROOT).join("docs/compatibility.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (head, rest) = page.split_once(BEGIN).expect("the page has a begin mark");
    let (shown, tail) = rest.split_once(END).expect("the page has an end mark");
    let table = table();
    if std::env::var("STRONGROOM_BLESS").is_ok() {
        std::fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).expect("the page is written");
        return;
    }
    assert_eq!(shown, table, "run this test with STRONGROOM_BLESS=1 to write the proofs of docs/compatibility.md anew");
}

#[test]
fn every_proof_is_of_an_operation_and_names_a_test_that_exists() {
    for proof in proofs() {
        assert!(
            OPERATIONS.iter().any(|row| proof.is_of(row)),
            "{} {} is no operation of the table",
            proof.method,
            proof.path
        );
        let (module, function) = proof.test.rsplit_once("::").expect("a test has a module");
        let file = format!("crates/strongroom/tests/acceptance/{}.rs", module.replace("::", "/"));
        let source = std::fs::read_to_string(Path::new(ROOT).join(&file)).unwrap_or_default();
        assert!(source.contains(&format!("fn {function}(")), "{file} has no test {function}");
    }
}
