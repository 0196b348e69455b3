//! A machine beside the one the server runs on: a network namespace with a cable to the server's, and names of its own.
//!
//! A process that sleeps holds it; when that ends, the namespace and the cable go with it. Nothing is written anywhere
//! else, so that a killed test leaves nothing behind, and it works wherever `unshare` does.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::az::said;
use crate::environment;

/// The machine.
pub(crate) struct Namespace {
    holder: Child,
    _files: TempDir,
}

/// Its cable and its name service.
pub(crate) struct Cable<'a> {
    /// The server's end, with the length of the network: `198.18.1.1/24`.
    pub(crate) server: &'a str,
    /// The machine's end.
    pub(crate) machine: &'a str,
    /// A network behind the server's end, if the machine has a way there.
    pub(crate) behind: Option<&'a str>,
    /// The address that the machine's name service gives for every name of the deployment.
    pub(crate) resolves_to: &'a str,
    /// The names.
    pub(crate) names: &'a [&'a str],
}

impl Namespace {
    pub(crate) fn plug(cable: &Cable<'_>) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let files = tempfile::tempdir().expect("a temporary folder");
        let hosts = files.path().join("hosts");
        let text = format!("127.0.0.1 localhost\n{} {}\n", cable.resolves_to, cable.names.join(" "));
        fs::write(&hosts, text).expect("the names are written");
        let mut hold = Command::new("unshare");
        hold.args(["--net", "--mount", "--", "sh", "-c", HOLD, "sh"]).arg(&hosts);
        let mut holder = hold.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect(REMEDY);
        let mut said = String::new();
        let output = holder.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut said).expect("it can be read");
        assert_eq!(said.trim(), "up", "{REMEDY}");
        let namespace = Self { holder, _files: files };
        let end = format!("sr{}x{}", std::process::id() % 100_000, NEXT.fetch_add(1, Ordering::Relaxed));
        let pid = namespace.holder.id().to_string();
        let ip = |arguments: &[&str]| run(Command::new("ip").args(arguments));
        ip(&["link", "add", &end, "type", "veth", "peer", "name", "cable", "netns", &pid]);
        ip(&["address", "add", cable.server, "dev", &end]);
        ip(&["link", "set", &end, "up"]);
        let inside = |arguments: &[&str]| run(&mut namespace.wrap(Command::new("ip").args(arguments)));
        inside(&["address", "add", cable.machine, "dev", "cable"]);
        inside(&["link", "set", "cable", "up"]);
        if let Some(network) = cable.behind {
            let gateway = cable.server.split('/').next().unwrap_or_default();
            inside(&["route", "add", network, "via", gateway]);
        }
        namespace
    }

    /// A command as it would be typed at this machine; it gets the same variables and no others.
    pub(crate) fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("nsenter");
        wrapped.env_clear().env("PATH", environment::path());
        wrapped.args(["--target", &self.holder.id().to_string(), "--net", "--mount", "--"]);
        wrapped.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                wrapped.env(name, value);
            }
        }
        wrapped.stdin(Stdio::null());
        wrapped
    }

    /// A program on this machine that sends requests.
    pub(crate) fn prober(&self, ca_file: &str) -> Prober {
        let mut python = Command::new(environment::sdk_python());
        python.arg(script()).arg(ca_file);
        Prober::start(self.wrap(&python))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A failure here leaves a process that ends by itself.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A program that sends requests as it is told, over connections that may stay open.
pub(crate) struct Prober {
    child: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Prober {
    /// One on the server's own machine.
    pub(crate) fn here(ca_file: &str) -> Self {
        let mut python = Command::new(environment::sdk_python());
        python.arg(script()).arg(ca_file);
        Self::start(python)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python is installed");
        let asked = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, asked, answers }
    }

    /// One request; `{"status", "body"}`, with status 0 if there was no connection.
    pub(crate) fn send(&mut self, request: &Value) -> Value {
        writeln!(self.asked, "{request}").expect("the prober reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the prober answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{request}: {error} in {line:?}"))
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The inner code of an error's body; empty if there is none.
pub(crate) fn inner_code(answer: &Value) -> String {
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or(json!({}));
    body["error"]["innererror"]["code"].as_str().unwrap_or_default().to_owned()
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance/python/prober.py")
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().expect("iproute2 and util-linux are installed");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
}

const HOLD: &str = "mount --bind \"$1\" /etc/hosts && ip link set lo up && echo up && exec sleep 900";

const REMEDY: &str =
    "network namespaces are needed: run `cargo xtask acceptance` as root, or where users may have namespaces";
