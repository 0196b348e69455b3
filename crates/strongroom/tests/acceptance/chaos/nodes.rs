//! Three nodes of strongroom on machines of their own.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::machines::{Machine, Network};
use super::members::Members;
use super::signal;
use crate::deployment::{ended_within, exported};
use crate::environment::{now, path};
use crate::rest::Rest;

/// The nodes.
pub(super) struct Nodes {
    all: Vec<Node>,
}

/// One node.
pub(super) struct Node {
    machine: Machine,
    folder: PathBuf,
    process: Option<Child>,
}

impl Nodes {
    /// The first founds the deployment, the others get its root file.
    pub(super) fn start(network: &Network, folder: &Path, members: &Members) -> Self {
        let one = |index: u8| {
            let folder = folder.join(format!("node-{index}"));
            let machine = network.plug(FIRST_HOST + index, &folder.join("private"));
            let configuration = members.configuration(&format!("node-{index}"));
            fs::write(folder.join("strongroom.toml"), configuration).expect("the configuration is written");
            Node { machine, folder, process: None }
        };
        let mut all: Vec<Node> = (0..COUNT).map(one).collect();
        for index in 0..all.len() {
            if index > 0 {
                let (root, other) = (all[0].data().join("root.key"), all[index].data());
                fs::create_dir(&other).expect("the folder is made");
                restrict(&other);
                fs::copy(root, other.join("root.key")).expect("the root file is copied");
            }
            all[index].start();
            all[index].become_ready();
        }
        Self { all }
    }

    pub(super) fn get(&self, index: usize) -> &Node {
        &self.all[index]
    }

    pub(super) fn get_mut(&mut self, index: usize) -> &mut Node {
        &mut self.all[index]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.all.iter()
    }
}

impl Node {
    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// A client that finds every name of the deployment at this node, and gives up after that time.
    pub(super) fn rest(&self, patience: Duration) -> Rest {
        Rest::reaching(self.variables(), self.machine.address, patience)
    }

    pub(super) fn start(&mut self) {
        let mut serve = self.machine.command(env!("CARGO_BIN_EXE_strongroom"));
        serve.env("HOME", &self.folder).env("NO_COLOR", "1");
        serve.arg("serve").arg("--data-dir").arg(self.data()).arg("--config").arg(self.folder.join("strongroom.toml"));
        serve.args(["--listen", &format!("{}:{PORT}", self.machine.address), "--imds", "127.0.0.1:8080"]);
        serve.stdout(self.log()).stderr(self.log());
        let _ = fs::remove_file(self.data().join("client.env"));
        self.process = Some(serve.spawn().expect("the built binary starts"));
    }

    /// Waits until it answers.
    pub(super) fn become_ready(&mut self) {
        let give_up = now() + Duration::from_secs(60);
        while !self.is_ready() {
            let process = self.process.as_mut().expect("it was started");
            if let Some(status) = process.try_wait().expect("the process is ours") {
                panic!("the node ended with {status} instead of serving\n{}", self.said());
            }
            assert!(now() < give_up, "the node is not ready\n{}", self.said());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it serves every kind of request.
    pub(super) fn is_ready(&self) -> bool {
        self.data().join("client.env").exists() && {
            let rest = self.rest(Duration::from_secs(2));
            let url = format!("{}/health/ready", rest.variable("STRONGROOM_MANAGEMENT_URL"));
            rest.try_send(&reqwest::Method::GET, &url, None, None).is_ok_and(|answer| answer.status == 200)
        }
    }

    pub(super) fn kill(&mut self) {
        let mut process = self.process.take().expect("it is running");
        process.kill().expect("the process is ours");
        process.wait().expect("the process is ours");
    }

    /// Asks it to stop as an init system does, and waits.
    pub(super) fn stop(&mut self) {
        let mut process = self.process.take().expect("it is running");
        signal(&process, Signal::TERM);
        let status = ended_within(&mut process, Duration::from_secs(40));
        let status = status.unwrap_or_else(|| panic!("the node does not stop\n{}", self.said()));
        assert_eq!(status.code(), Some(0), "a graceful stop ends with 0\n{}", self.said());
    }

    pub(super) fn signal(&self, what: Signal) {
        signal(self.process.as_ref().expect("it is running"), what);
    }

    /// What `strongroom audit verify` says of its log, which must be good.
    pub(super) fn audit(&self) -> Value {
        let mut verify = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        verify.env_clear().env("PATH", path()).args(["audit", "verify", "--json", "--data-dir"]).arg(self.data());
        let output = verify.stdin(Stdio::null()).output().expect("the built binary starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the report is JSON")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The last lines of what it has printed.
    pub(super) fn said(&self) -> String {
        let text = fs::read_to_string(self.folder.join("serve.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.data().join("client.env")).expect("client.env is written");
        text.lines().filter_map(exported).collect()
    }

    fn log(&self) -> File {
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join("serve.log"));
        log.expect("the log opens")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // Nothing can be done about a failure here.
            let _ = process.kill();
            let _ = process.wait();
        }
        if thread::panicking() {
            eprintln!("--- {}\n{}\n---", self.machine.address, self.said());
        }
    }
}

fn restrict(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
}

pub(super) const COUNT: u8 = 3;
const FIRST_HOST: u8 = 20;
const PORT: u16 = 8443;
const LINES_SHOWN: usize = 60;
