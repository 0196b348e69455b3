//! Repository tasks, run as `cargo xtask TASK`: the checks of the code, the rules of the repository, the tests, and measuring
//! with programs that are not ours.
//!
//! It is not part of the product and depends on none of its crates. A task is a list of steps; the first step that
//! fails ends it with one line of cause, one of remedy and exit code 1. A wrong command line is exit code 2.

mod acceptance;
mod check;
mod clients;
mod conformance;
mod cross_check;
mod deployment;
mod environment;
mod failure;
mod flamegraph;
mod fuzz;
mod instructions;
mod program;
mod soak;
mod steps;
mod test;
mod tidy;
mod tools;
mod variables;
mod workspace;

use std::process::ExitCode;

use failure::Failure;
use steps::Steps;
use workspace::Workspace;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if arguments.iter().any(|argument| matches!(*argument, "--help" | "-h" | "help")) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some(task) = Task::parse(&arguments) else {
        eprintln!("xtask: cannot read the command line `{}`", arguments.join(" "));
        eprintln!("remedy: cargo xtask --help");
        return ExitCode::from(2);
    };
    match task.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {failure}\nremedy: {}", failure.remedy);
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Task<'a> {
    Check(check::Extent),
    Tidy,
    Test,
    Acceptance { filter: &'a [&'a str] },
    Fuzz(fuzz::Order<'a>),
    Conformance,
    Instructions,
    CrossCheck,
    Flamegraph(flamegraph::Order<'a>),
    Soak,
}

impl<'a> Task<'a> {
    fn parse(arguments: &'a [&'a str]) -> Option<Self> {
        match arguments {
            ["check"] => Some(Task::Check(check::Extent::Usual)),
            ["check", "--full"] => Some(Task::Check(check::Extent::Full)),
            ["tidy"] => Some(Task::Tidy),
            ["test"] => Some(Task::Test),
            ["conformance"] => Some(Task::Conformance),
            ["instructions"] => Some(Task::Instructions),
            ["cross-check"] => Some(Task::CrossCheck),
            ["flamegraph", order @ ..] => flamegraph::Order::parse(order).map(Task::Flamegraph),
            ["soak"] => Some(Task::Soak),
            ["acceptance", filter @ ..] => Some(Task::Acceptance { filter }),
            ["fuzz", order @ ..] => fuzz::Order::parse(order).map(Task::Fuzz),
            _ => None,
        }
    }

    fn run(self) -> Result<(), Failure> {
        let workspace = Workspace::load()?;
        let mut steps = Steps::begin();
        match self {
            Task::Check(extent) => check::run(&workspace, &mut steps, extent)?,
            Task::Tidy => steps.run("tidy", || tidy::run(&workspace))?,
            Task::Test => test::run(&workspace, &mut steps)?,
            Task::Conformance => conformance::run(&workspace, &mut steps)?,
            Task::Instructions => instructions::run(&workspace, &mut steps)?,
            Task::CrossCheck => cross_check::run(&workspace, &mut steps)?,
            Task::Flamegraph(order) => flamegraph::run(&workspace, &mut steps, &order)?,
            Task::Soak => soak::run(&workspace, &mut steps)?,
            Task::Acceptance { filter } => acceptance::run(&workspace, &mut steps, filter)?,
            Task::Fuzz(order) => fuzz::run(&workspace, &mut steps, &order)?,
        }
        steps.finish();
        Ok(())
    }
}

const HELP: &str = "\
Repository tasks of strongroom.

Usage: cargo xtask TASK

Tasks:
  check [--full]       formatting, clippy, rustdoc, dependencies (cargo-deny, if it is there), tidy;
                       --full installs cargo-deny below the target folder first
  tidy                 the repository's own rules: crate edges, sizes, forbidden words, documents
  test                 everything: installs what the tests need, runs unit, integration and doc tests, counts
                       the instructions of hot paths, tidy, then the acceptance tests with the official Azure
                       CLI and the SDKs for Python, JavaScript and Rust
  acceptance [FILTER]  the acceptance tests only, or those whose name holds FILTER
  fuzz [--seconds N] [TARGET]
                       the fuzz targets, or one of them, under libFuzzer for N seconds each (default 60);
                       needs a nightly toolchain, installs cargo-fuzz below the target folder
  conformance          the official SDKs for Go and Java; installs Maven, a JDK and Go if they are missing
  instructions         what hot paths cost, counted by valgrind and held against ceilings; installs valgrind if
                       it is missing
  cross-check          reads and signatures by the load generators wrk and h2load beside ours, on a release build;
                       installs them if they are missing
  flamegraph [--callgrind] [--http 1.1|2] [OPERATION]
                       where the server's time goes during an operation of `strongroom bench` (default get-key): a
                       table and a flame graph in target/flamegraph. By perf, with inferno below the target folder;
                       where perf does not work, or with --callgrind, a table of instructions
  soak                 what takes too long for every change: 1,000 crashes of each kind, half an hour of failing
                       machines, every acceptance test on etcd, 100,000 simulated clusters, backups of 100,000
                       keys

Environment:
  STRONGROOM_TEST_KILLS  how many crashes of each kind the crash tests cause (default 100; soak 1000)
  STRONGROOM_CHAOS_MINUTES
                         for how long machines fail in the test of a cluster (default: each fault once; soak 30)
  STRONGROOM_TEST_STORE  where the deployments of the acceptance tests keep their records: embedded (the default) or etcd
  STRONGROOM_BLESS       with acceptance and conformance: put the proofs of this run into
                         docs/compatibility/proofs.json; with instructions: take what was counted as the ceilings

Exit code: 0 done, 1 a step failed, 2 wrong command line.

Examples:
  cargo xtask check                      before a commit
  cargo xtask test                       what the continuous integration runs, then conformance
  cargo xtask acceptance role            the acceptance tests about roles
  STRONGROOM_TEST_KILLS=5 cargo xtask acceptance kill
  STRONGROOM_TEST_STORE=etcd cargo xtask acceptance az_keys
  STRONGROOM_BLESS=1 cargo xtask acceptance versions
                                         the proofs of a new operation
  cargo xtask fuzz --seconds 600 token   ten minutes of tokens
  cargo xtask flamegraph --http 2 sign-es256
";

#[cfg(test)]
mod tests {
    use super::{Task, check};

    #[test]
    fn every_task_of_the_help_text_is_understood() {
        assert_eq!(Task::parse(&["check"]), Some(Task::Check(check::Extent::Usual)));
        assert_eq!(Task::parse(&["check", "--full"]), Some(Task::Check(check::Extent::Full)));
        assert_eq!(Task::parse(&["tidy"]), Some(Task::Tidy));
        assert_eq!(Task::parse(&["test"]), Some(Task::Test));
        assert_eq!(Task::parse(&["conformance"]), Some(Task::Conformance));
        assert_eq!(Task::parse(&["instructions"]), Some(Task::Instructions));
        assert_eq!(Task::parse(&["cross-check"]), Some(Task::CrossCheck));
        assert!(matches!(Task::parse(&["flamegraph", "--http", "2", "sign-es256"]), Some(Task::Flamegraph(_))));
        assert_eq!(Task::parse(&["soak"]), Some(Task::Soak));
        assert_eq!(Task::parse(&["acceptance", "role"]), Some(Task::Acceptance { filter: &["role"] }));
    }

    #[test]
    fn an_unknown_task_or_option_is_refused() {
        assert_eq!(Task::parse(&[]), None);
        assert_eq!(Task::parse(&["deploy"]), None);
        assert_eq!(Task::parse(&["check", "--fast"]), None);
    }
}
