//! `cargo xtask soak`: what takes too long for every change: crashes by the thousand, half an hour of failing machines, every
//! acceptance test on etcd, what a plain build refuses, 100,000 simulated clusters, and backups of 100,000 keys.

use crate::acceptance::{self, Part};
use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{clients, environment, program};

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    steps.run("system packages for the tests", environment::install_system_packages)?;
    steps.run("host names below .localhost", || environment::make_localhost_names_resolve(workspace))?;
    steps.run("official clients", || clients::install(workspace))?;
    acceptance::run_tests(workspace, steps, Part::Soak, &[])?;
    acceptance::run_tests(workspace, steps, Part::OnEtcd, &[])?;
    steps.run("the program without etcd and OpenTelemetry, as it is built by default", || {
        let mut tests = workspace.cargo();
        program::run(tests.args(["test", "--workspace", "--lib", "--", "config"]), "mend the test named above")
    })?;
    steps.run("100,000 simulated clusters", || {
        let mut simulation = workspace.cargo();
        simulation.args(["test", "--release", "--package", "strongroom-cluster", "--lib", "simulation"]);
        simulation.env("STRONGROOM_SIMULATION_SEEDS", "100000");
        program::run(&mut simulation, "the test names the seed; docs/consistency.md says what it means")
    })?;
    steps.run("backups of up to 100,000 keys", || {
        let mut bench = workspace.cargo();
        bench.args([
            "run",
            "--release",
            "--package",
            "strongroom",
            "--",
            "bench",
            "backup",
            "--peak-mib-max",
            PEAK_MIB_MAX,
        ]);
        program::run(&mut bench, "see the message above")
    })
}

/// Measured were 48 MiB for the backup of 100,000 keys and 29 MiB for a restore. Such a backup has 58 MiB: held in memory as
/// a whole, it would be above this.
const PEAK_MIB_MAX: &str = "64";
