//! `cargo xtask test`: everything that is run before a change is accepted.

use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{acceptance, clients, environment, instructions, program, tidy};

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    steps.run("system packages for the tests", environment::install_system_packages)?;
    steps.run("host names below .localhost", || environment::make_localhost_names_resolve(workspace))?;
    steps.run("official clients, and the build of all tests", || {
        // What one waits for the network, the other uses of the processor.
        at_once(|| clients::install(workspace), || build(workspace))
    })?;
    steps.run("unit, integration and doc tests", || {
        program::run(workspace.cargo().args(TESTS), "mend the test named above")
    })?;
    instructions::run(workspace, steps)?;
    steps.run("the program without etcd and OpenTelemetry, as it is built by default", || {
        program::run(workspace.cargo().args(["check", "--workspace"]), "mend the build error above")
    })?;
    steps.run("tidy", || tidy::run(workspace))?;
    acceptance::run_tests(workspace, steps, acceptance::Part::Usual, &[])
}

fn build(workspace: &Workspace) -> Result<(), Failure> {
    program::run(workspace.cargo().args(TESTS).arg("--no-run"), "mend the build error above")?;
    acceptance::build(workspace)
}

/// Runs both, each to its end.
fn at_once(
    aside: impl FnOnce() -> Result<(), Failure> + Send,
    here: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let aside = scope.spawn(aside);
        let here = here();
        aside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(here)
    })
}

const TESTS: [&str; 4] = ["test", "--workspace", "--features", FEATURES];

/// A plain build has neither: the etcd engine needs protoc. Everything that is tested has both, so that it is built once.
pub(crate) const FEATURES: &str = "strongroom/etcd,strongroom/otlp";
