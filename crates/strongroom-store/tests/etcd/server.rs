//! Members of etcd with folders and ports of their own, ended by process id.
//!
//! The conformance suite and the acceptance tests use this file as well.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// One or several members; dropping it ends them and removes what they wrote.
pub(crate) struct EtcdServer {
    members: Vec<Member>,
    arguments: Vec<String>,
    scheme: &'static str,
    folder: TempDir,
}

struct Member {
    client: u16,
    peer: u16,
    health: u16,
    process: Option<Child>,
}

impl EtcdServer {
    /// One member.
    pub(crate) fn start() -> Self {
        Self::start_with(1, "http", &[])
    }

    /// That many members, which clients reach by `http` or `https`, with more flags.
    pub(crate) fn start_with(members: usize, scheme: &'static str, arguments: &[String]) -> Self {
        let mut attempts = (0..ATTEMPTS).filter_map(|_| Self::try_start(members, scheme, arguments));
        attempts.next().expect("etcd finds free ports and becomes healthy")
    }

    /// None if somebody else took a port in between.
    fn try_start(members: usize, scheme: &'static str, arguments: &[String]) -> Option<Self> {
        let arguments = arguments.to_vec();
        let mut server = Self { members: free_members(members), arguments, scheme, folder: folder() };
        for index in 0..members {
            server.run(index);
        }
        (0..members).all(|index| server.becomes_healthy(index)).then_some(server)
    }

    /// Where each member is.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("{}://127.0.0.1:{}", self.scheme, member.client)).collect()
    }

    /// Ends a member in the middle of whatever it does.
    pub(crate) fn kill(&mut self, index: usize) {
        let mut process = self.members[index].process.take().expect("it is running");
        process.kill().expect("the process is ours");
        process.wait().expect("the process is ours");
    }

    /// Starts a member again on what it has written.
    pub(crate) fn restart(&mut self, index: usize) {
        self.run(index);
        assert!(self.becomes_healthy(index), "the member comes back");
    }

    /// Sends a signal to a running member, as [`signal`] does.
    pub(crate) fn signal(&self, index: usize, name: &str) {
        signal(self.members[index].process.as_ref().expect("it is running").id(), name);
    }

    fn run(&mut self, index: usize) {
        let peers: Vec<String> =
            (0..self.members.len()).map(|it| format!("m{it}=http://127.0.0.1:{}", self.members[it].peer)).collect();
        let member = &self.members[index];
        let client = format!("{}://127.0.0.1:{}", self.scheme, member.client);
        let peer = format!("http://127.0.0.1:{}", member.peer);
        let mut command = Command::new("etcd");
        command.args(["--logger", "zap", "--log-level", "error", "--name", &format!("m{index}")]);
        command.arg("--data-dir").arg(self.data(index));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--listen-metrics-urls", &format!("http://127.0.0.1:{}", member.health)]);
        command.args(["--initial-cluster", &peers.join(","), "--initial-cluster-token", &peers.join(",")]);
        command.args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("etcd is installed: `cargo xtask test` does that (Debian: etcd-server)");
        self.members[index].process = Some(process);
    }

    /// Where a member keeps what it has written.
    pub(crate) fn data(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("m{index}"))
    }

    fn becomes_healthy(&mut self, index: usize) -> bool {
        for _ in 0..POLLS {
            let member = &mut self.members[index];
            let process = member.process.as_mut().expect("it was started");
            if process.try_wait().expect("the process is ours").is_some() {
                return false;
            }
            if is_healthy(member.health) {
                return true;
            }
            thread::sleep(POLL);
        }
        false
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        for process in self.members.iter_mut().filter_map(|member| member.process.as_mut()) {
            // Nothing can be done about a failure here.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Sends a signal to a process; one that stops it has done so in all its threads when this returns.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).stdout(Stdio::null()).status();
    assert!(sent.expect("`kill` is installed").success(), "the process is ours");
    if name != "-STOP" {
        return;
    }
    let runs = |thread: &Path| {
        let stat = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
        // proc(5): the state follows the name, which stands in parentheses.
        !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('T')
    };
    for _ in 0..POLLS {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
        if !threads.flatten().any(|thread| runs(&thread.path())) {
            return;
        }
        thread::sleep(POLL);
    }
    panic!("it does not stop");
}

fn is_healthy(port: u16) -> bool {
    let mut answer = String::new();
    let asked = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        stream.read_to_string(&mut answer)
    });
    asked.is_ok() && answer.contains("\"health\":\"true\"")
}

/// Ports nobody listens on at this moment, all different because they are held until all are found.
fn free_members(count: usize) -> Vec<Member> {
    let held: Vec<TcpListener> =
        (0..3 * count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")).collect();
    let ports: Vec<u16> = held.iter().map(|it| it.local_addr().expect("it is bound").port()).collect();
    ports.chunks(3).map(|ports| Member { client: ports[0], peer: ports[1], health: ports[2], process: None }).collect()
}

/// In memory where there is such a place: these tests ask nothing of a disk.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

const ATTEMPTS: usize = 3;
const POLL: Duration = Duration::from_millis(20);
/// Half a minute: machines that run tests are busy.
const POLLS: usize = 1500;
