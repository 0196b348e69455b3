//! `cargo xtask check`: what can be said about the code without running it.

use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::steps::Steps;
use crate::tools::Tool;
use crate::workspace::Workspace;
use crate::{environment, program, tidy, tools};

/// How far a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// With the tools that are there.
    Usual,
    /// Missing tools are installed below the target folder first.
    Full,
}

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps, extent: Extent) -> Result<(), Failure> {
    steps.run("formatting", || program::run(workspace.cargo().args(["fmt", "--all", "--check"]), "cargo fmt --all"))?;
    steps.run("clippy", || clippy(workspace, &["--all-targets"]))?;
    // `--all-targets` leaves out what plain `cargo test` leaves out.
    steps.run("clippy of the acceptance tests", || clippy(workspace, &["--test", "acceptance"]))?;
    steps.run("system packages for every feature", environment::install_build_packages)?;
    steps.run("clippy, with every feature", || {
        let mut clippy = workspace.cargo();
        let server = ["--package", "strongroom-store", "--package", "strongroom-server", "--package", "strongroom"];
        clippy.arg("clippy").args(server).args([
            "--all-features",
            "--all-targets",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ]);
        program::run(&mut clippy, "mend what clippy names above")
    })?;
    steps.run("rustdoc", || {
        let mut doc = workspace.cargo();
        doc.args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "--deny warnings");
        program::run(&mut doc, "mend the documentation named above")
    })?;
    if extent == Extent::Full {
        steps.run("install cargo-deny", || CARGO_DENY.install(workspace))?;
    }
    steps.run("dependencies", || dependencies(workspace))?;
    steps.run("tidy", || tidy::run(workspace))
}

fn clippy(workspace: &Workspace, targets: &[&str]) -> Result<(), Failure> {
    let mut clippy = workspace.cargo();
    clippy.args(["clippy", "--workspace", "--quiet"]).args(targets).args(["--", "--deny", "warnings"]);
    program::run(&mut clippy, "mend what clippy names above")
}

/// Licences, banned crates and sources, as `deny.toml` has them.
fn dependencies(workspace: &Workspace) -> Result<(), Failure> {
    let of_the_user = || Some(PathBuf::from(CARGO_DENY.program)).filter(tools::answers);
    let Some(cargo_deny) = CARGO_DENY.installed(workspace).or_else(of_the_user) else {
        println!("left out: cargo-deny is not installed; `cargo xtask check --full` installs it");
        return Ok(());
    };
    let mut deny = Command::new(cargo_deny);
    deny.current_dir(&workspace.root).args(["check", "bans", "licenses", "sources"]);
    program::run(&mut deny, "remove the dependency, or change deny.toml in a commit that says why")
}

const CARGO_DENY: Tool = Tool { name: "cargo-deny", program: "cargo-deny", version: "0.20.2" };
