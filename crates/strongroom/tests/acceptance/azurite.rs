//! A real blob store: Azurite over TLS, under a CA of its own, with one account.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use crate::deployment::free_port;
use crate::environment::{azurite, azurite_node, now, path};

/// A running blob store; dropping it kills it.
pub(crate) struct Azurite {
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Azurite {
    /// Starts one and waits until it listens.
    pub(crate) fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a temporary folder"), free_port());
        let below = |name: &str| folder.path().join(name);
        make_certificate(&folder);
        let key = STANDARD.encode(ACCOUNT_KEY);
        fs::write(below("account.key"), format!("{key}\n")).expect("the key is written");
        let log = File::create(below("azurite.log")).expect("the log opens");
        let mut command = Command::new(azurite_node());
        command.env_clear().env("PATH", path()).env("HOME", folder.path());
        command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{key}"));
        command.arg(azurite()).args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        command.arg("--location").arg(below("blobs"));
        command.arg("--cert").arg(below("server.pem")).arg("--key").arg(below("server.key"));
        // The official client speaks a newer version than it knows; our server does not.
        command.args(["--oauth", "basic", "--skipApiVersionCheck", "--disableTelemetry"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log is shared")).stderr(log);
        let process = command.spawn().expect("node runs");
        let store = Self { folder, port, process };
        let give_up = now() + START_MAX;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(now() < give_up, "the blob store does not listen\n{}", store.log());
            thread::sleep(Duration::from_millis(50));
        }
        store
    }

    /// The CA of its certificate, PEM.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What stands behind `ACCOUNT.blob.` in its addresses.
    pub(crate) fn suffix(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Where the blobs of the account lie.
    pub(crate) fn endpoint(&self) -> String {
        format!("https://{ACCOUNT}.blob.{}", self.suffix())
    }

    /// The lines of a server's configuration that bind the account to it.
    pub(crate) fn configuration(&self) -> String {
        let (endpoint, key) = (self.endpoint(), self.folder.path().join("account.key"));
        let key = key.display();
        format!("[[storage_account]]\nname = \"{ACCOUNT}\"\nblob_endpoint = \"{endpoint}\"\nkey_file = \"{key}\"\n")
    }

    /// What it wrote to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("azurite.log")).unwrap_or_default()
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the test's own failure matters more.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn make_certificate(folder: &TempDir) {
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("it is written");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.distinguished_name.push(rcgen::DnType::CommonName, "blob store of a test");
    let key = KeyPair::generate().expect("a P-256 key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("a CA");
    let key = KeyPair::generate().expect("a P-256 key");
    let names = ["localhost", "*.blob.localhost", "127.0.0.1"].map(str::to_owned);
    let leaf = CertificateParams::new(names.to_vec()).expect("names").signed_by(&key, &authority).expect("a leaf");
    write("ca.pem", authority.pem());
    write("server.pem", leaf.pem());
    write("server.key", key.serialize_pem());
}

/// The name of its account.
pub(crate) const ACCOUNT: &str = "contosobackup";
/// Its shared key: nothing that anybody keeps a secret with.
const ACCOUNT_KEY: [u8; 64] = [7; 64];
const START_MAX: Duration = Duration::from_secs(60);
