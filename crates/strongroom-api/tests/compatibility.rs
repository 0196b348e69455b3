//! `docs/compatibility.md` lists what the tables say: rendered from them, compared with the page.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a page that cannot be written fails the test")]

use std::fmt::Write;

use strongroom_api::operations::{Containers, OPERATIONS, OperationScope, Source, States};
use strongroom_api::version::ApiVersion;
use strongroom_types::{Algorithm, KeyOperation};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
const BEGIN: &str = "<!-- tables: begin -->\n";
const END: &str = "<!-- tables: end -->";

fn tables() -> String {
    let mut text = String::from(
        "### Operations of the data plane\n\n| operation | request | right | held at | since |\n|---|---|---|---|---|\n",
    );
    for row in OPERATIONS {
        let scope = match row.scope {
            OperationScope::Root => "`/`",
            OperationScope::Keys => "`/keys`",
            OperationScope::Key => "the key",
            OperationScope::Path => "the path's scope",
        };
        let ours = if row.source == Source::Strongroom { ", ours" } else { "" };
        let before = if row.states == States::Any { ", before activation too" } else { "" };
        let path = row.paths[0].as_str();
        let right = row.action.as_str().trim_start_matches("Microsoft.KeyVault/managedHsm/");
        writeln!(
            text,
            "| {:?} | `{} {path}` | `{right}` | {scope}{before} | {}{ours} |",
            row.id,
            row.method.as_str(),
            row.since
        )
        .unwrap();
    }
    let hsm_only: Vec<_> = OPERATIONS
        .iter()
        .filter(|row| row.containers == Containers::ManagedHsm)
        .map(|row| format!("{:?}", row.id))
        .collect();
    writeln!(text, "\nVaults have all of these but {}.", hsm_only.join(", ")).unwrap();
    text.push_str("\n### Algorithms\n\n| algorithm | key type | operations | since |\n|---|---|---|---|\n");
    for algorithm in Algorithm::ALL {
        let does: Vec<_> = KeyOperation::ALL
            .iter()
            .filter(|operation| algorithm.supports(**operation))
            .map(|one| one.as_str())
            .collect();
        let since = ApiVersion::first_with(*algorithm);
        writeln!(text, "| `{algorithm}` | `{}` | {} | {since} |", algorithm.key_type(), does.join(", ")).unwrap();
    }
    let spellings: Vec<_> = ApiVersion::SPELLINGS.iter().map(|(spelling, _)| format!("`{spelling}`")).collect();
    writeln!(text, "\n### Accepted api-versions\n\n{}", spellings.join(", ")).unwrap();
    text
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a variable of the test run asks for the page to be written anew")]
fn the_compatibility_page_lists_what_the_tables_say() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (head, rest) = page.split_once(BEGIN).expect("the page has a begin mark");
    let (shown, tail) = rest.split_once(END).expect("the page has an end mark");
    if std::env::var("STRONGROOM_BLESS").is_ok() {
        std::fs::write(PAGE, format!("{head}{BEGIN}{}{END}{tail}", tables())).unwrap();
        return;
    }
    assert_eq!(
        shown,
        tables(),
        "run this test with STRONGROOM_BLESS=1 to write the tables of docs/compatibility.md anew"
    );
}
