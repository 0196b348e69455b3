//! `docs/compatibility.md` says which test proves an operation with which client: rendered from what a run of the
//! acceptance tests has recorded (`docs/compatibility/proofs.json`), compared with the page.

#![expect(clippy::expect_used, reason = "a page or a record that cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use strongroom_api::operations::{Containers, OPERATIONS, Operation, Source};
use strongroom_api::version::ApiVersion;

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

/// A plane of the record, as the names of its hosts have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plane {
    ManagedHsm,
    Vault,
}

impl Plane {
    const fn label(self) -> &'static str {
        match self {
            Self::ManagedHsm => "managedhsm",
            Self::Vault => "vault",
        }
    }

    /// The operations it has; no official client has, and no record of the reference knows, those of our own.
    fn operations(self) -> impl Iterator<Item = &'static Operation> {
        let official = OPERATIONS.iter().filter(|row| row.source == Source::Reference);
        official.filter(move |row| self == Self::ManagedHsm || row.containers == Containers::All)
    }

    fn proofs(self) -> Vec<Proof> {
        let text = std::fs::read_to_string(Path::new(ROOT).join("docs/compatibility/proofs.json")).expect("the record");
        let proofs: Vec<Proof> = serde_json::from_str(&text).expect("it has the form that the comparison writes");
        proofs.into_iter().filter(|proof| proof.plane == self.label()).collect()
    }
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

fn tables() -> String {
    format!("{}\nThe same on vaults:\n\n{}", table(Plane::ManagedHsm), table(Plane::Vault))
}

fn table(plane: Plane) -> String {
    let mut text = String::from("| operation | client | api-versions | test |\n|---|---|---|---|\n");
    let proofs = plane.proofs();
    for row in plane.operations() {
        let mut by_test: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for proof in proofs.iter().filter(|proof| proof.is_of(row)) {
            by_test.entry((&proof.client, &proof.test)).or_default().insert(&proof.api_version);
        }
        for ((client, test), versions) in by_test {
            let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
            writeln!(text, "| {:?} | {client} | {versions} | `{test}` |", row.id).expect("a string takes all");
        }
    }
    text
}

/// How a row of the table gets its proof.
const TO_PROVE_IT: &str = "\
1. Add a step with this operation to crates/strongroom/tests/acceptance/versions.rs (vaults: az_vaults.rs or the walk of a vault).
2. STRONGROOM_BLESS=1 cargo xtask acceptance versions (vaults: that test's name) puts what it proves into docs/compatibility/proofs.json.
3. STRONGROOM_BLESS=1 cargo test --package strongroom-api writes docs/compatibility.md.";

#[test]
fn every_operation_is_proved_under_every_api_version_that_has_it() {
    let proofs = Plane::ManagedHsm.proofs();
    let mut missing = Vec::new();
    for row in Plane::ManagedHsm.operations() {
        let proved: BTreeSet<&str> =
            proofs.iter().filter(|proof| proof.is_of(row)).map(|proof| proof.api_version.as_str()).collect();
        let accepted = ApiVersion::SPELLINGS.iter().filter(|(_, version)| *version >= row.since);
        let unproved: Vec<_> = accepted.map(|(spelling, _)| *spelling).filter(|it| !proved.contains(it)).collect();
        if !unproved.is_empty() {
            missing.push(format!("{:?}: {}", row.id, unproved.join(", ")));
        }
    }
    assert!(missing.is_empty(), "no proof on a managed HSM of:\n{}\n{TO_PROVE_IT}", missing.join("\n"));
}

#[test]
fn every_operation_of_vaults_is_proved_on_a_vault() {
    let proofs = Plane::Vault.proofs();
    let unproved = Plane::Vault.operations().filter(|row| !proofs.iter().any(|proof| proof.is_of(row)));
    let missing: Vec<_> = unproved.map(|row| format!("{:?}", row.id)).collect();
    assert!(missing.is_empty(), "no proof on a vault of {}\n{TO_PROVE_IT}", missing.join(", "));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a variable of the test run asks for the page to be written anew")]
fn the_compatibility_page_names_the_test_of_every_proof() {
    let path = Path::new(ROOT).join("docs/compatibility.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (head, rest) = page.split_once(BEGIN).expect("the page has a begin mark");
    let (shown, tail) = rest.split_once(END).expect("the page has an end mark");
    let table = tables();
    if std::env::var("STRONGROOM_BLESS").is_ok() {
        std::fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).expect("the page is written");
        return;
    }
    assert_eq!(shown, table, "run this test with STRONGROOM_BLESS=1 to write the proofs of docs/compatibility.md anew");
}

#[test]
fn every_proof_is_of_an_operation_and_names_a_test_that_exists() {
    for proof in [Plane::ManagedHsm.proofs(), Plane::Vault.proofs()].into_iter().flatten() {
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
