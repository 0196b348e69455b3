//! `cargo xtask test`: everything that is run before a change is accepted.

use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{acceptance, environment, program, tidy};

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    steps.run("system packages for the tests", environment::install_system_packages)?;
    steps.run("unit, integration and doc tests", || {
        program::run(workspace.cargo().args(["test", "--workspace", "--features", ETCD]), "mend the test named above")
    })?;
    steps.run("unit tests of OpenTelemetry", || {
        let mut tests = workspace.cargo();
        tests.args(["test", "--workspace", "--features", "strongroom-server/otlp", "--lib"]);
        program::run(tests.args(["--", "telemetry", "config"]), "mend the test named above")
    })?;
    steps.run("tidy", || tidy::run(workspace))?;
    acceptance::run(workspace, steps, &[])
}

/// The etcd engine is left out of a plain build, which then needs no protoc. Everything that is tested has it.
pub(crate) const ETCD: &str = "strongroom/etcd";
