//! Programs of cargo that a task needs: pinned, and kept below the target folder, so that the user's home stays as it is.

use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::program;
use crate::workspace::Workspace;

/// A program from the crate registry.
pub(crate) struct Tool {
    /// Its package.
    pub(crate) name: &'static str,
    /// What the package installs; any one of them, if there are several.
    pub(crate) program: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// The program, if it has been installed here.
    pub(crate) fn installed(&self, workspace: &Workspace) -> Option<PathBuf> {
        Some(self.path(workspace)).filter(answers)
    }

    /// The program, installed if it is missing.
    pub(crate) fn install(&self, workspace: &Workspace) -> Result<PathBuf, Failure> {
        if let Some(path) = self.installed(workspace) {
            println!("{} is there", self.name);
            return Ok(path);
        }
        let mut install = workspace.cargo();
        install.args(["install", self.name, "--version", self.version, "--locked", "--root"]).arg(folder(workspace));
        program::run(&mut install, "check the connection to the crate registry, then run it again")?;
        Ok(self.path(workspace))
    }

    fn path(&self, workspace: &Workspace) -> PathBuf {
        folder(workspace).join("bin").join(self.program)
    }
}

/// Whether a program is there and works. Not every one tells its version, and each has a help text.
pub(crate) fn answers(program: &PathBuf) -> bool {
    program::succeeds(Command::new(program).arg("--help"))
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("tools")
}
