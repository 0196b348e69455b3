//! A deployment that is measured: a release build that serves a fresh data folder on loopback, and goes with it.
//!
//! `strongroom bench` is its client, and makes the managed HSM and the keys. Server and client have a core each.

mod cores;

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::failure::Failure;
use crate::program;
use crate::workspace::Workspace;

pub(crate) use cores::{Cores, bound};

/// Builds the program that is measured.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let mut build = workspace.cargo();
    program::run(build.args(["build", "--release"]), "mend the build error above")?;
    Ok(workspace.target.join("release/strongroom"))
}

/// A running server. Dropping it kills the process and removes its folder.
pub(crate) struct Deployment {
    server: Child,
    folder: TempDir,
    program: PathBuf,
    pub(crate) cores: Option<Cores>,
}

/// What is asked: a row of `strongroom bench`, over a version of HTTP, so many requests at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load<'a> {
    pub(crate) operation: &'a str,
    /// As `bench` spells it: `1.1` or `2`.
    pub(crate) http: &'a str,
    pub(crate) at_once: u16,
    pub(crate) seconds: u32,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    /// What succeeded.
    pub(crate) operations: u64,
    pub(crate) per_second: f64,
    /// What did not.
    pub(crate) failed: u64,
}

impl Deployment {
    /// Starts one, below another program if one is given, and waits until it is ready.
    pub(crate) fn start(program: &Path, below: &[String]) -> Result<Self, Failure> {
        let folder = TempDir::with_prefix("strongroom-xtask-").map_err(|error| {
            Failure::new(format!("no temporary folder: {error}"), "set TMPDIR to a folder of yours")
        })?;
        let cores = Cores::choose();
        let configuration = folder.path().join("strongroom.toml");
        write_private(&configuration, CONFIGURATION)?;
        let mut words = below.iter().map(String::as_str);
        let mut serve = match words.next() {
            Some(first) => {
                let mut command = bound(cores.map(|cores| cores.server), first);
                command.args(words).arg(program);
                command
            }
            None => bound(cores.map(|cores| cores.server), program),
        };
        serve.args(["serve", "--listen", "127.0.0.1:0", "--imds", "off", "--config"]).arg(configuration);
        serve.arg("--data-dir").arg(folder.path().join(DATA)).stdin(Stdio::null()).stdout(Stdio::null());
        let server = program::start(&mut serve, "build it with `cargo build --release`")?;
        let mut deployment = Self { server, folder, program: program.to_owned(), cores };
        deployment.wait_until_ready()?;
        Ok(deployment)
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let remedy = "see what the server says above";
        for _ in 0..READY_POLLS_MAX {
            if self.data().join(CLIENT_ENVIRONMENT).exists() {
                return Ok(());
            }
            if let Ok(Some(status)) = self.server.try_wait() {
                return Err(Failure::new(format!("the server ended before it was ready: {status}"), remedy));
            }
            sleep(READY_PAUSE);
        }
        Err(Failure::new("the server did not become ready", remedy))
    }

    /// The server's process; what it was started below has become it.
    pub(crate) fn process(&self) -> u32 {
        self.server.id()
    }

    /// A folder that nobody else may look into.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join(DATA)
    }

    /// `strongroom bench` with a load, from the client's core. It makes what it needs, and leaves it for the next one.
    fn bench(&self, load: Load<'_>) -> Command {
        let Load { operation, http, at_once, seconds } = load;
        let mut bench = bound(self.cores.map(|cores| cores.client), &self.program);
        bench.args(["bench", "--only", operation, "--http", http, "--repeat", "1", "--json"]);
        bench.args(["--connections", &at_once.to_string(), "--seconds", &seconds.to_string(), "--target"]);
        bench.arg(self.data());
        bench
    }

    /// Runs it to its end.
    pub(crate) fn ask(&self, load: Load<'_>) -> Result<Outcome, Failure> {
        self.begin(load)?.end()
    }

    /// Starts it.
    pub(crate) fn begin(&self, load: Load<'_>) -> Result<Asking, Failure> {
        program::start(self.bench(load).stdout(Stdio::piped()), REMEDY).map(Asking)
    }

    /// Processor time of the server so far, of all its threads, in user and kernel mode (proc_pid_stat(5): utime, stime).
    pub(crate) fn processor_time(&self) -> Result<Duration, Failure> {
        let path = PathBuf::from(format!("/proc/{}/stat", self.process()));
        let stat = fs::read_to_string(&path).map_err(|error| Failure::file(&path, &error))?;
        ticks(&stat)
            .map(|ticks| Duration::from_millis(ticks * 1000 / TICKS_A_SECOND))
            .ok_or_else(|| Failure::new(format!("{} has an unknown form", path.display()), "run this on Linux"))
    }

    /// What the deployment tells its clients.
    pub(crate) fn environment(&self) -> Result<Environment, Failure> {
        let path = self.data().join(CLIENT_ENVIRONMENT);
        let text = fs::read_to_string(&path).map_err(|error| Failure::file(&path, &error))?;
        Ok(Environment(text.lines().filter_map(variable).collect()))
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        // It may have ended by itself; its data goes in any case.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// `strongroom bench` at work.
pub(crate) struct Asking(Child);

impl Asking {
    /// Waits for its end. A failed request is a failure.
    pub(crate) fn end(self) -> Result<Outcome, Failure> {
        let failed = |cause: String| Failure::new(format!("`strongroom bench` {cause}"), REMEDY);
        let output = self.0.wait_with_output().map_err(|error| failed(format!("is lost: {error}")))?;
        if !output.status.success() {
            return Err(failed(format!("ended with {}", output.status)));
        }
        Outcome::of_bench(&String::from_utf8_lossy(&output.stdout))
    }
}

impl Outcome {
    /// What `strongroom bench --json` prints for one row.
    fn of_bench(json: &str) -> Result<Self, Failure> {
        let unknown = || Failure::new("`strongroom bench --json` prints something unknown", "read its rows anew here");
        let report: Value = serde_json::from_str(json).map_err(|_| unknown())?;
        let row = report.pointer("/rows/0").ok_or_else(unknown)?;
        let operations = row.get("operations").and_then(Value::as_u64).ok_or_else(unknown)?;
        let per_second = row.pointer("/perSecond/median").and_then(Value::as_f64).ok_or_else(unknown)?;
        // A row of which one request failed has no rate, and ends `bench` with a failure.
        Ok(Self { operations, per_second, failed: 0 })
    }
}

/// The variables of `client.env`.
pub(crate) struct Environment(HashMap<String, String>);

impl Environment {
    pub(crate) fn get(&self, name: &str) -> Result<&str, Failure> {
        let value = self.0.get(name).map(String::as_str);
        value.ok_or_else(|| Failure::new(format!("client.env has no {name}"), "build it with `cargo build --release`"))
    }
}

/// `export NAME='value'`; no value that is read here holds a quote.
fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    Some((name.to_owned(), value.trim_matches('\'').to_owned()))
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| Failure::file(path, &error))
}

/// Fields 14 and 15. The name in field 2 may hold anything, a closing parenthesis too.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// As a server is by itself, but for the log, which would be a second measurement.
const CONFIGURATION: &str = "[log]\nlevel = \"error\"\n";
const REMEDY: &str = "see the message above";
const CLIENT_ENVIRONMENT: &str = "client.env";
const DATA: &str = "data";
/// What Linux tells programs on every architecture that it runs on here (`getconf CLK_TCK`).
const TICKS_A_SECOND: u64 = 100;
/// Five minutes: under valgrind everything takes some fifty times as long.
const READY_POLLS_MAX: u32 = 15_000;
const READY_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::{Outcome, ticks, variable};

    #[test]
    fn a_row_of_bench_is_read() {
        let json = r#"{"rows": [{"row": "get-key", "operations": 8386, "perSecond": {"median": 8380.5, "min": 1, "max": 2}}]}"#;
        assert_eq!(
            Outcome::of_bench(json).expect("it is a report"),
            Outcome { operations: 8386, per_second: 8380.5, failed: 0 }
        );
        for other in ["", "{}", r#"{"rows": []}"#, r#"{"rows": [{"operations": 1, "perSecond": null}]}"#] {
            assert!(Outcome::of_bench(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_variable_of_the_environment_is_read() {
        assert_eq!(variable("export A_B='c=d'"), Some(("A_B".to_owned(), "c=d".to_owned())));
        assert_eq!(variable("# a comment"), None);
    }

    #[test]
    fn processor_time_is_read_behind_a_name_of_any_kind() {
        assert_eq!(ticks("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 300 50 0 0 20 0 4 0 100"), Some(350));
        assert_eq!(ticks("7 (a) S 1 2"), None);
    }
}
