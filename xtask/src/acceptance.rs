//! `cargo xtask acceptance`: the built server against the official clients.
//!
//! The tests run in a network namespace that has a loopback interface and nothing else, where the machine allows
//! one: no client of theirs can reach another deployment, or the machine's own metadata service.

use std::fs;
use std::process::Command;

use crate::failure::Failure;
use crate::steps::Steps;
use crate::test::FEATURES;
use crate::workspace::Workspace;
use crate::{clients, environment, program, variables};

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps, filter: &[&str]) -> Result<(), Failure> {
    steps.run("system packages for the tests", environment::install_system_packages)?;
    steps.run("host names below .localhost", || environment::make_localhost_names_resolve(workspace))?;
    steps.run("official clients", || clients::install(workspace))?;
    run_tests(workspace, steps, Part::Usual, filter)
}

/// The parts of the acceptance tests, each of which needs other clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Usual,
    Conformance,
    /// The crash tests of the usual part, and the one in which machines fail, for much longer.
    Soak,
    /// The usual part, with all records in etcd.
    OnEtcd,
}

impl Part {
    /// What chooses its tests.
    const fn filter(self) -> &'static [&'static str] {
        match self {
            Self::Usual => &["--skip", CONFORMANCE],
            // Those that have it in their name run on etcd in any case, and a server that is in a name space of its own finds no etcd.
            Self::OnEtcd => {
                &["--skip", CONFORMANCE, "--skip", "_on_etcd", "--skip", "chaos::", "--skip", "link_local_address"]
            }
            Self::Conformance => &[CONFORMANCE],
            Self::Soak => &["crash::", "a_drill_that_is_killed", "chaos::"],
        }
    }

    /// How many crashes of each kind its tests have to survive unless the variable says otherwise.
    const fn kills(self) -> &'static str {
        match self {
            Self::Usual | Self::Conformance | Self::OnEtcd => "100",
            Self::Soak => "1000",
        }
    }

    /// What its tests are told besides.
    const fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Usual | Self::Conformance => &[],
            Self::Soak => &[("STRONGROOM_CHAOS_MINUTES", "30")],
            Self::OnEtcd => &[("STRONGROOM_TEST_STORE", "etcd")],
        }
    }
}

/// Builds the tests and runs those of one part whose names hold the filter.
pub(crate) fn run_tests(workspace: &Workspace, steps: &mut Steps, part: Part, filter: &[&str]) -> Result<(), Failure> {
    steps.run("build the acceptance tests", || build(workspace))?;
    let exchanges = workspace.target.join("exchanges");
    steps.run("acceptance tests", || {
        // What an earlier run said would be held against the reference as well.
        if exchanges.exists() {
            fs::remove_dir_all(&exchanges).map_err(|error| Failure::file(&exchanges, &error))?;
        }
        let mut tests = isolated(&workspace.cargo());
        tests.args(TESTS).args(["--offline", "--"]).args(part.filter()).args(filter);
        tests.current_dir(&workspace.root).env("STRONGROOM_TEST_ENV", workspace.test_environment());
        tests.env("STRONGROOM_TEST_EXCHANGES", &exchanges);
        let kills = [(KILLS_VARIABLE, part.kills())];
        // What whoever started this has set is handed on as it is.
        tests.envs(kills.iter().chain(part.variables()).copied().filter(|(name, _)| !variables::is_set(name)));
        program::run(&mut tests, "see the test and the server's log above; `cargo xtask acceptance NAME` runs one")
    })?;
    steps.run("what was said, against the OpenAPI reference", || {
        if !exchanges.exists() {
            println!("these tests said nothing that has a reference");
            return Ok(());
        }
        let mut compare = Command::new(clients::install_reader(workspace)?);
        compare.current_dir(&workspace.root).arg(COMPARISON).arg("vectors/openapi").arg(&exchanges);
        if filter.is_empty() && part == Part::Usual {
            compare.args(["--complete", PROOFS]);
        }
        if variables::blessed() {
            compare.args(["--keep", PROOFS]);
        }
        program::run(&mut compare, "mend the server, or list the deviation with its reason in vectors/openapi")
    })
}

/// Apart from the run, which has no way out to a registry.
pub(crate) fn build(workspace: &Workspace) -> Result<(), Failure> {
    let mut build = workspace.cargo();
    program::run(build.args(TESTS).arg("--no-run"), "mend the build error above")
}

/// The same program, started where there is no network but loopback.
fn isolated(command: &Command) -> Command {
    let Some(unshare) = NAMESPACES.iter().find(|arguments| namespace_works(arguments)) else {
        println!("network namespaces are not available here: the tests run in the machine's own network");
        return Command::new(command.get_program());
    };
    let mut isolated = Command::new("unshare");
    isolated.args(*unshare).args(["--", "sh", "-c", LOOPBACK_THEN, "sh"]).arg(command.get_program());
    isolated
}

fn namespace_works(arguments: &[&str]) -> bool {
    let mut attempt = Command::new("unshare");
    program::succeeds(attempt.args(arguments).args(["--", "sh", "-c", LOOPBACK_THEN, "sh", "true"]))
}

/// How the acceptance tests are started; plain `cargo test` leaves them out (`test = false` in their manifest). With the features
/// of the other tests, and of all crates at once: for one crate alone, cargo builds most dependencies a second time.
const TESTS: [&str; 6] = ["test", "--workspace", "--features", FEATURES, "--test", "acceptance"];

/// The module whose tests `cargo xtask conformance` runs.
const CONFORMANCE: &str = "clients::conformance";

/// `unshare` as root, and as any other user where the kernel lets users have namespaces.
const NAMESPACES: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];

const LOOPBACK_THEN: &str = "ip link set lo up && exec \"$@\"";

const COMPARISON: &str = "crates/strongroom/tests/acceptance/python/exchanges.py";

/// The record of proofs, from which the page of compatibility is made.
const PROOFS: &str = "docs/compatibility/proofs.json";

/// How many crashes of each kind the crash tests have to survive.
const KILLS_VARIABLE: &str = "STRONGROOM_TEST_KILLS";
