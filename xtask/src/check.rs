//! `cargo xtask check`: what can be said about the code without running it.

use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{program, tidy};

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
    steps.run("clippy", || {
        let mut clippy = workspace.cargo();
        clippy.args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"]);
        program::run(&mut clippy, "mend what clippy names above")
    })?;
    steps.run("rustdoc", || {
        let mut doc = workspace.cargo();
        doc.args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "--deny warnings");
        program::run(&mut doc, "mend the documentation named above")
    })?;
    if extent == Extent::Full {
        steps.run("install cargo-deny", || install_cargo_deny(workspace))?;
    }
    steps.run("dependencies", || dependencies(workspace))?;
    steps.run("tidy", || tidy::run(workspace))
}

/// Licences, banned crates and sources, as `deny.toml` has them.
fn dependencies(workspace: &Workspace) -> Result<(), Failure> {
    let installed = installed_cargo_deny(workspace);
    let Some(cargo_deny) = [installed, PathBuf::from("cargo-deny")].into_iter().find(answers) else {
        println!("left out: cargo-deny is not installed; `cargo xtask check --full` installs it");
        return Ok(());
    };
    let mut deny = Command::new(cargo_deny);
    deny.current_dir(&workspace.root).args(["check", "bans", "licenses", "sources"]);
    program::run(&mut deny, "remove the dependency, or change deny.toml in a commit that says why")
}

fn install_cargo_deny(workspace: &Workspace) -> Result<(), Failure> {
    if answers(&installed_cargo_deny(workspace)) {
        println!("already there");
        return Ok(());
    }
    let mut install = workspace.cargo();
    install.args(["install", "cargo-deny", "--version", CARGO_DENY_VERSION, "--locked", "--root"]);
    program::run(install.arg(tools(workspace)), "check the connection to the crate registry, then run it again")
}

fn answers(cargo_deny: &PathBuf) -> bool {
    program::succeeds(Command::new(cargo_deny).arg("--version"))
}

fn installed_cargo_deny(workspace: &Workspace) -> PathBuf {
    tools(workspace).join("bin/cargo-deny")
}

/// Tools stay below the target folder: a check changes nothing in the user's home.
fn tools(workspace: &Workspace) -> PathBuf {
    workspace.target.join("tools")
}

const CARGO_DENY_VERSION: &str = "0.20.2";
