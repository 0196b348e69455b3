//! Which crate may depend on which.

use crate::workspace::{Crate, EdgeKind};

/// Edges that the table does not have.
pub(super) fn findings(crates: &[Crate]) -> Vec<String> {
    crates.iter().flat_map(of_one).collect()
}

fn of_one(member: &Crate) -> Vec<String> {
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == member.name) else {
        return vec![format!("{}: not in the table of crates; a new crate needs a decision record", member.name)];
    };
    let may = |on: &str, kind| allowed.contains(&on) || (kind == EdgeKind::Development && on == TESTKIT);
    let wrong = member.edges.iter().filter(|edge| !may(&edge.on, edge.kind));
    wrong.map(|edge| format!("{}: may not depend on {} (xtask/src/tidy/edges.rs)", member.name, edge.on)).collect()
}

/// Product crates never depend on it; the tests of all of them may.
const TESTKIT: &str = "strongroom-testkit";

/// Crate, and the crates of this workspace that it may depend on.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("strongroom-types", &[]),
    ("strongroom-crypto", &["strongroom-types"]),
    ("strongroom-security-domain", &["strongroom-types", "strongroom-crypto"]),
    // For a password and a private key that are wiped and never shown.
    ("strongroom-store", &["strongroom-types"]),
    ("strongroom-cluster", &["strongroom-store"]),
    ("strongroom-core", &["strongroom-types", "strongroom-crypto", "strongroom-security-domain", "strongroom-store"]),
    ("strongroom-api", &["strongroom-types"]),
    (
        "strongroom-server",
        &[
            "strongroom-types",
            "strongroom-crypto",
            "strongroom-security-domain",
            "strongroom-store",
            "strongroom-cluster",
            "strongroom-core",
            "strongroom-api",
        ],
    ),
    (
        "strongroom-drill",
        &["strongroom-types", "strongroom-crypto", "strongroom-security-domain", "strongroom-store", "strongroom-core"],
    ),
    (
        "strongroom-cli",
        &[
            "strongroom-types",
            "strongroom-crypto",
            "strongroom-api",
            "strongroom-security-domain",
            "strongroom-drill",
            "strongroom-bench",
        ],
    ),
    ("strongroom-bench", &[]),
    ("strongroom", &["strongroom-server", "strongroom-cli"]),
    (
        TESTKIT,
        &[
            "strongroom-types",
            "strongroom-crypto",
            "strongroom-security-domain",
            "strongroom-store",
            "strongroom-core",
            "strongroom-api",
            "strongroom-server",
        ],
    ),
    ("xtask", &[]),
];

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::findings;
    use crate::workspace::{Crate, Edge, EdgeKind};

    fn one(name: &str, on: &str, kind: EdgeKind) -> Vec<Crate> {
        vec![Crate { name: name.to_owned(), folder: PathBuf::new(), edges: vec![Edge { on: on.to_owned(), kind }] }]
    }

    #[test]
    fn an_edge_of_the_table_is_fine_and_its_reverse_is_not() {
        assert!(findings(&one("strongroom-core", "strongroom-store", EdgeKind::Product)).is_empty());
        let found = findings(&one("strongroom-store", "strongroom-core", EdgeKind::Product));
        assert!(found[0].contains("strongroom-store: may not depend on strongroom-core"), "{found:?}");
    }

    #[test]
    fn the_testkit_is_for_tests_only() {
        assert!(findings(&one("strongroom-core", "strongroom-testkit", EdgeKind::Development)).is_empty());
        assert_eq!(findings(&one("strongroom-core", "strongroom-testkit", EdgeKind::Product)).len(), 1);
    }

    #[test]
    fn a_crate_that_is_not_in_the_table_is_reported() {
        assert_eq!(findings(&one("strongroom-extra", "strongroom-types", EdgeKind::Product)).len(), 1);
    }
}
