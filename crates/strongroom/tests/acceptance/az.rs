//! The unmodified Azure CLI, pointed at a deployment by the script users get.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::deployment::Deployment;
use crate::environment;

/// A CLI with its own home and configuration folder.
pub(crate) struct Az {
    home: TempDir,
    client_env: PathBuf,
}

impl Az {
    /// Registers and selects the cloud, and signs in as the principal of `client.env`.
    pub(crate) fn signed_in(deployment: &Deployment) -> Self {
        let az = Self::set_up(deployment);
        az.script("strongroom_az_login");
        az
    }

    /// Registers and selects the cloud.
    pub(crate) fn set_up(deployment: &Deployment) -> Self {
        let az = Self { home: tempfile::tempdir().expect("a temporary folder"), client_env: deployment.client_env() };
        let exports = az.bash("strongroom_az_setup >&2 && strongroom_az_env");
        assert!(exports.status.success(), "{}", said(&exports));
        fs::write(az.session(), exports.stdout).expect("the session is kept");
        az
    }

    /// Runs lines of bash that use the functions of `az-env.sh`, in the session.
    pub(crate) fn script(&self, lines: &str) {
        let output = self.bash(&format!(". '{}'; {lines}", self.session().display()));
        assert!(output.status.success(), "{lines}: {}", said(&output));
    }

    /// Runs a command that must succeed and returns what it prints, as JSON; nothing printed is null.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "az {}: {}", arguments.join(" "), said(&output));
        let text = String::from_utf8(output.stdout).expect("az prints text");
        if text.trim().is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("az {}: {error} in {text}", arguments.join(" ")))
    }

    /// Runs a command that must fail and checks that its message names the reason.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str], reason: &str) {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "az {} should fail: {}", arguments.join(" "), said(&output));
        assert!(stderr.contains(reason), "az {} should name {reason}: {stderr}", arguments.join(" "));
    }

    /// Runs a command in an environment that holds only what `strongroom_az_env` prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let format = ["--only-show-errors", "--output", "json"];
        self.command(&[arguments, &format[..]].concat()).output().expect("bash is installed")
    }

    /// The command itself, for a caller that talks to it while it runs.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.clean("bash");
        command.args(["-c", ". \"$1\" && shift && exec \"$@\"", "bash"]).arg(self.session());
        command.arg(environment::az()).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// A file in the home of this CLI.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn bash(&self, lines: &str) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance/az-env.sh");
        let mut command = self.clean("bash");
        let sources = format!(". '{}' && . '{}'", self.client_env.display(), script.display());
        command.args(["-c", &format!("{sources} && {{ {lines}; }}")]);
        command.env("STRONGROOM_AZ", environment::az()).env("STRONGROOM_AZ_CONFIG_DIR", self.file("azure"));
        command.output().expect("bash is installed")
    }

    fn clean(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", environment::path()).env("HOME", self.home.path()).env("LANG", "C.UTF-8");
        command
    }

    fn session(&self) -> PathBuf {
        self.file("session.env")
    }
}

/// What a program said, for a failed assertion.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\nstdout: {}\nstderr: {}", output.status, text(&output.stdout), text(&output.stderr))
}
