//! `cargo xtask conformance`: the official clients of languages that bring a toolchain of their own.

use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{acceptance, clients, environment};

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    steps.run("system packages for the tests", environment::install_system_packages)?;
    steps.run("toolchains for conformance", environment::install_toolchains)?;
    steps.run("host names below .localhost", || environment::make_localhost_names_resolve(workspace))?;
    steps.run("official clients for Go and Java", || clients::install_for_conformance(workspace))?;
    acceptance::run_tests(workspace, steps, acceptance::Part::Conformance, &[])
}
