//! A running `strongroom serve` with a folder and ports of its own.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::environment::{Engine, engine, now, path};
use crate::etcd_server::EtcdServer;
use crate::relay::{Certificate, Relay};
use crate::rest::Rest;

/// A deployment; dropping it kills the server and, when the test failed, prints the server's log.
pub(crate) struct Deployment {
    // Before the server in the order of dropping: what it passes on ends first.
    relay: Option<Relay>,
    folder: TempDir,
    ports: Ports,
    /// The address of loopback that it listens on.
    ip: Ipv4Addr,
    server: Option<Child>,
    /// What its configuration file says besides where the records lie.
    configuration: String,
    /// Where the records lie, if not in the folder; it ends last.
    etcd: Option<Etcd>,
}

/// An etcd, and how a node reaches it.
struct Etcd {
    server: Arc<EtcdServer>,
    endpoints: Vec<String>,
}

impl Deployment {
    /// First start on an empty folder.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| String::new())
    }

    /// First start behind a relay that keeps what official clients say, for the comparison with the reference.
    pub(crate) fn start_recorded() -> Self {
        Self::start_recorded_with(&[], "")
    }

    /// The same, with the records in that engine.
    pub(crate) fn start_recorded_on(engine: Engine) -> Self {
        Self::start_recorded_on_with(engine, &[], "")
    }

    /// The same, where the server's outgoing TLS trusts more CA files, and with more of a configuration file, which has
    /// neither `[public]` nor `[tls]`.
    pub(crate) fn start_recorded_with(ca_files: &[PathBuf], configuration: &str) -> Self {
        Self::start_recorded_on_with(engine(), ca_files, configuration)
    }

    /// Both.
    pub(crate) fn start_recorded_on_with(engine: Engine, ca_files: &[PathBuf], configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports = Ports { behind: free_port(), ..Ports::free() };
        let certificate = Certificate::make(folder.path());
        let relay = Relay::start(ports.https, ports.behind, &certificate);
        let text = format!("{}\n{configuration}", certificate.configuration(ports.https, ca_files));
        Self::begin(engine, folder, ports, Some(relay), &text)
    }

    /// First start with a configuration file; `configuration` gets the port of the listener.
    pub(crate) fn start_with(configuration: impl FnOnce(&Ports) -> String) -> Self {
        let ports = Ports::free();
        Self::begin(engine(), tempfile::tempdir().expect("a temporary folder"), ports, None, &configuration(&ports))
    }

    /// The first node of a deployment on etcd.
    pub(crate) fn start_node(configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::begin(Engine::Etcd, folder, Ports::free(), None, configuration)
    }

    /// Another node of a deployment on etcd, on the same port of another address of loopback: a folder of its own, the same root
    /// file and configuration. `way` is how it reaches etcd, if not as the first one does.
    pub(crate) fn another_node(&self, number: u8, way: Option<String>) -> Self {
        let first = self.etcd.as_ref().expect("nodes share an etcd");
        let endpoints = way.map_or_else(|| first.endpoints.clone(), |way| vec![way]);
        let mut node = Self {
            relay: None,
            folder: tempfile::tempdir().expect("a temporary folder"),
            // Where clients go: there is no relay in front of this one.
            ports: Ports { metadata: free_port(), behind: self.ports.https, ..self.ports },
            ip: Ipv4Addr::new(127, 0, 0, number),
            server: None,
            configuration: String::new(),
            etcd: Some(Etcd { server: Arc::clone(&first.server), endpoints }),
        };
        fs::DirBuilder::new().mode(0o700).create(node.data()).expect("the data folder is made");
        fs::copy(self.data().join("root.key"), node.data().join("root.key")).expect("the root file is copied");
        node.configure(&self.configuration);
        node.run();
        node
    }

    /// How the first node reaches etcd.
    pub(crate) fn etcd(&self) -> &str {
        &self.etcd.as_ref().expect("the records lie in etcd").endpoints[0]
    }

    fn begin(engine: Engine, folder: TempDir, ports: Ports, relay: Option<Relay>, text: &str) -> Self {
        let etcd = (engine == Engine::Etcd).then(|| {
            let server = EtcdServer::start();
            Etcd { endpoints: server.endpoints(), server: Arc::new(server) }
        });
        let mut deployment =
            Self { relay, folder, ports, ip: Ipv4Addr::LOCALHOST, server: None, configuration: String::new(), etcd };
        deployment.configure(text);
        let started = now();
        deployment.run();
        println!("first start to first answer: {:.0} ms", started.elapsed().as_secs_f64() * 1000.0);
        deployment
    }

    /// Gives a stopped server another configuration file.
    pub(crate) fn configure(&mut self, text: &str) {
        assert!(self.server.is_none(), "it would not read it");
        text.clone_into(&mut self.configuration);
        let store = self
            .etcd
            .as_ref()
            .map_or_else(String::new, |etcd| format!("\n[store]\nkind = \"etcd\"\nendpoints = {:?}\n", etcd.endpoints));
        if !text.is_empty() || !store.is_empty() {
            let text = format!("{text}{store}");
            fs::write(self.folder.path().join("strongroom.toml"), text).expect("the configuration is written");
        }
    }

    /// Starts the server on what is there and waits until it answers.
    pub(crate) fn run(&mut self) {
        self.run_through(|serve| serve);
    }

    /// The same through another program, which must become the server: a wrapper that prepares something for it.
    pub(crate) fn run_through(&mut self, wrap: impl FnOnce(Command) -> Command) {
        assert!(self.server.is_none(), "it is already running");
        let mut serve = self.command("serve");
        let configuration = self.folder.path().join("strongroom.toml");
        if configuration.exists() {
            serve.arg("--config").arg(configuration);
        }
        self.ports.listen_at(self.ip, &mut serve);
        let mut serve = wrap(serve);
        serve.stdout(self.log_file()).stderr(self.log_file());
        self.server = Some(serve.spawn().expect("the built binary starts"));
        self.wait_until_ready();
    }

    /// Asks the server to stop as an init system does, and checks that it says goodbye properly.
    pub(crate) fn stop(&mut self) {
        self.ask_to_stop();
        self.has_stopped();
    }

    pub(crate) fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until a server that was asked to stop has ended, and checks that it has said goodbye properly.
    pub(crate) fn has_stopped(&mut self) {
        let status = self.wait_for_end();
        assert_eq!(status.code(), Some(0), "a graceful stop ends with 0, this was {status}\n{}", self.log());
    }

    /// Kills the server in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_for_end();
        // The next start is not ready because of what this one has left.
        fs::remove_file(self.client_env()).expect("client.env of the killed server is removed");
    }

    /// A command of the same binary on this deployment's data folder, with nothing inherited but the search path.
    pub(crate) fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.env_clear().env("PATH", path()).env("HOME", self.folder.path()).env("NO_COLOR", "1");
        command.args(subcommand.split(' ')).arg("--data-dir").arg(self.data()).stdin(Stdio::null());
        command
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The process id of the running server.
    pub(crate) fn pid(&self) -> u32 {
        self.server.as_ref().expect("it is running").id()
    }

    /// What `client.env` exports.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.client_env()).expect("client.env is written");
        text.lines().filter_map(exported).collect()
    }

    /// The one certificate that a client has to trust, PEM.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.relay.as_ref().map_or_else(|| self.data().join("ca.pem"), Relay::ca_file)
    }

    pub(crate) fn client_env(&self) -> PathBuf {
        self.data().join("client.env")
    }

    /// A client that trusts this deployment's CA only, and finds all its names at this node.
    pub(crate) fn rest(&self) -> Rest {
        Rest::at(self.variables(), self.ip)
    }

    /// Where this node listens.
    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// All that the server has printed in its starts so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    fn log_file(&self) -> File {
        OpenOptions::new().create(true).append(true).open(self.log_path()).expect("the log opens")
    }

    fn wait_until_ready(&mut self) {
        let give_up = now() + START_MAX;
        loop {
            let ended = self.server.as_mut().and_then(|server| server.try_wait().expect("the process is ours"));
            if let Some(status) = ended {
                self.server = None;
                panic!("the server ended with {status} instead of serving\n{}", self.log());
            }
            // What a killed server has left is removed by the new one at any moment.
            let variables = fs::read_to_string(self.client_env()).ok();
            let variables = variables.map(|text| text.lines().filter_map(exported).collect());
            if variables.is_some_and(|variables| Rest::at(variables, self.ip).is_healthy()) {
                return;
            }
            assert!(now() < give_up, "the server is not ready after {START_MAX:?}\n{}", self.log());
            thread::sleep(POLL);
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the server is there to be signalled");
    }

    fn wait_for_end(&mut self) -> ExitStatus {
        let mut server = self.server.take().expect("it is running");
        let status = ended_within(&mut server, STOP_MAX);
        status.unwrap_or_else(|| panic!("the server is still there after {STOP_MAX:?}\n{}", self.log()))
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // Nothing can be done about a failure here, and the test's own failure matters more.
            let _ = server.kill();
            let _ = server.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(LOG_LINES_SHOWN);
            eprintln!("--- the server's log, last {LOG_LINES_SHOWN} lines\n{}\n---", lines[last..].join("\n"));
        }
    }
}

/// The ports of one deployment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// Where clients go.
    pub(crate) https: u16,
    pub(crate) metadata: u16,
    /// Where the server listens: the same, unless there is a relay in front.
    behind: u16,
}

impl Ports {
    /// Two ports nobody listens on, below the range from which the kernel takes ports for outgoing connections: so a
    /// server that is killed and started again finds its port free.
    pub(crate) fn free() -> Self {
        let https = free_port();
        Self { https, metadata: free_port(), behind: https }
    }

    /// Hands them to a command that serves.
    pub(crate) fn listen(self, command: &mut Command) {
        self.listen_at(Ipv4Addr::LOCALHOST, command);
    }

    fn listen_at(self, ip: Ipv4Addr, command: &mut Command) {
        command.args(["--listen", &format!("{ip}:{}", self.behind)]);
        command.args(["--imds", &format!("127.0.0.1:{}", self.metadata)]);
    }
}

/// The exit status of a child that ends in time; one that does not is killed.
pub(crate) fn ended_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let give_up = now() + limit;
    while now() < give_up {
        if let Some(status) = child.try_wait().expect("the process is ours") {
            return Some(status);
        }
        thread::sleep(POLL);
    }
    child.kill().expect("the process is ours");
    child.wait().expect("the process is ours");
    None
}

/// Every file below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// A port nobody listens on, outside the range that the kernel hands out by itself.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries of several clones may run at once: begin at different places.
    let start = u16::try_from(std::process::id() % u32::from(PORTS.end - PORTS.start)).unwrap_or_default();
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (start + step) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A variable that a line of `client.env` exports: `export NAME='value'`.
pub(crate) fn exported(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    Some((name.to_owned(), value.replace("'\\''", "'")))
}

const PORTS: std::ops::Range<u16> = 20_000..32_000;

const START_MAX: Duration = Duration::from_secs(30);

const STOP_MAX: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(10);

const LOG_LINES_SHOWN: usize = 100;
