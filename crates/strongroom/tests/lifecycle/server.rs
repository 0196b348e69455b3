//! The built binary on a folder of its own, and a client that speaks to it byte by byte.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A data folder below a temporary one.
pub(crate) struct Folder {
    parent: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { parent: tempfile::tempdir().unwrap() }
    }

    /// A folder in which a server has run and was stopped.
    pub(crate) fn used() -> Self {
        let folder = Self::new();
        Server::start(&folder).stop();
        folder
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.parent.path().join("data")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    /// Writes a file beside the data folder.
    pub(crate) fn beside(&self, name: &str, text: &str) -> PathBuf {
        let path = self.parent.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `strongroom serve` on this folder and on free ports.
    pub(crate) fn serve(&self) -> Command {
        let mut command = self.serve_anywhere();
        command.args(["--listen", "127.0.0.1:0", "--imds", "127.0.0.1:0"]);
        command
    }

    /// `strongroom serve` on this folder.
    pub(crate) fn serve_anywhere(&self) -> Command {
        let mut command = strongroom();
        command.arg("serve").arg("--data-dir").arg(self.data());
        command
    }
}

/// The built binary with nothing inherited but the search path.
pub(crate) fn strongroom() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    command
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    /// What `client.env` said, which is gone when the server stops.
    port: u16,
}

impl Server {
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::start_with(folder, &mut folder.serve())
    }

    pub(crate) fn start_with(folder: &Folder, command: &mut Command) -> Self {
        // What a killed server left would look like readiness until the new one has removed it.
        let _ = fs::remove_file(folder.file("client.env"));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut server = Self { child, data: folder.data(), port: 0 };
        for _ in 0..STEPS_MAX {
            if server.data.join("client.env").exists() {
                let variables = server.variables();
                server.port = variables["STRONGROOM_MANAGEMENT_URL"].rsplit_once(':').unwrap().1.parse().unwrap();
                return server;
            }
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended with {status} instead of serving: {}", server.said());
            }
            sleep(STEP);
        }
        panic!("the server is not ready in time");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.data.join("client.env")).unwrap();
        let variable = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        };
        text.lines().filter_map(variable).collect()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn metadata_port(&self) -> u16 {
        self.variables()["STRONGROOM_IMDS_URL"].rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// A connection that trusts this deployment's CA and nothing else.
    pub(crate) fn connect(&self, host: &str) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.data.join("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let name = ServerName::try_from(host.to_owned()).unwrap();
        StreamOwned::new(ClientConnection::new(config, name).unwrap(), self.connect_tcp(self.port()))
    }

    pub(crate) fn connect_tcp(&self, port: u16) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        stream
    }

    /// Sends one request with its own connection; answers with status line, headers and body as they came.
    pub(crate) fn get(&self, host: &str, path: &str) -> String {
        let mut stream = self.connect(host);
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}:{}\r\nconnection: close\r\n\r\n", self.port()).unwrap();
        read_all(&mut stream)
    }

    pub(crate) fn health(&self) -> serde_json::Value {
        let answer = self.get("management.localhost", "/health");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Ends it gracefully; answers with what it said.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = ended(&mut self.child);
        let said = self.said();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }

    /// Waits for an end that the server has brought about because it could not go on; answers with what it said.
    #[cfg(feature = "etcd")]
    pub(crate) fn fails(mut self) -> String {
        let status = ended(&mut self.child);
        let said = self.said();
        assert_eq!(status.code(), Some(1), "{said}");
        said
    }

    /// Waits for an end that somebody else brought about.
    pub(crate) fn wait(mut self) -> ExitStatus {
        ended(&mut self.child)
    }

    fn said(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that must end by itself.
pub(crate) fn output(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    ended(&mut child);
    child.wait_with_output().unwrap()
}

/// What can be read until the other side closes or falls silent.
pub(crate) fn read_all(stream: &mut impl Read) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        all.extend_from_slice(&piece[..length]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..STEPS_MAX {
        if is_so() {
            return;
        }
        sleep(STEP);
    }
    panic!("{what}: not in time");
}

fn ended(child: &mut Child) -> ExitStatus {
    for _ in 0..STEPS_MAX {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        sleep(STEP);
    }
    child.kill().unwrap();
    panic!("it does not end");
}

/// One step of waiting.
pub(crate) const STEP: Duration = Duration::from_millis(10);
/// Steps until a wait is given up: a minute, on a machine that is busy with other tests.
const STEPS_MAX: usize = 6000;
