//! Three etcd on machines of their own, with TLS and a certificate that each client must show.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};

use super::machines::{Machine, Network, run};
use super::signal;
use crate::environment::now;
use rustix::process::Signal;

/// The members.
pub(super) struct Members {
    machines: Vec<Machine>,
    processes: Vec<Option<Child>>,
    folder: PathBuf,
}

impl Members {
    pub(super) fn start(network: &Network, folder: &Path) -> Self {
        let machines: Vec<Machine> =
            (0..COUNT).map(|index| network.plug(FIRST_HOST + index, &folder.join(format!("etcd-{index}")))).collect();
        let addresses: Vec<Ipv4Addr> = machines.iter().map(|machine| machine.address).collect();
        make_certificates(folder, &addresses);
        let mut members = Self { machines, processes: Vec::new(), folder: folder.to_owned() };
        members.processes = (0..members.machines.len()).map(|index| Some(members.run(index))).collect();
        members.become_healthy();
        members
    }

    /// `[store]` of a node that shows this certificate.
    pub(super) fn configuration(&self, certificate: &str) -> String {
        let endpoints: Vec<String> = self.addresses().iter().map(|address| format!("https://{address}:2379")).collect();
        let file = |name: &str| self.folder.join(name);
        format!(
            "[store]\nkind = \"etcd\"\nendpoints = {endpoints:?}\nca_file = {:?}\ncertificate_file = {:?}\n\
             private_key_file = {:?}\ntimeout_seconds = 3\n",
            file("etcd-ca.pem"),
            file(&format!("{certificate}.pem")),
            file(&format!("{certificate}.key")),
        )
    }

    pub(super) fn addresses(&self) -> Vec<Ipv4Addr> {
        self.machines.iter().map(|machine| machine.address).collect()
    }

    pub(super) fn machine(&self, index: usize) -> &Machine {
        &self.machines[index]
    }

    /// The member that leads, if a quorum agrees on one.
    pub(super) fn leader(&self) -> Option<usize> {
        (0..self.machines.len()).find(|index| self.says(*index, "/metrics").contains("etcd_server_is_leader 1\n"))
    }

    pub(super) fn kill(&mut self, index: usize) {
        let mut process = self.processes[index].take().expect("it is running");
        process.kill().expect("the process is ours");
        process.wait().expect("the process is ours");
    }

    pub(super) fn restart(&mut self, index: usize) {
        self.processes[index] = Some(self.run(index));
    }

    pub(super) fn signal(&self, index: usize, what: Signal) {
        signal(self.processes[index].as_ref().expect("it is running"), what);
    }

    /// Takes all room from a member, which goes on as long as it can.
    pub(super) fn fill(&self, index: usize) {
        let filler = self.folder.join(format!("etcd-{index}/filler"));
        // It fails when there is no more room: that is what it is for.
        let filled = self
            .machine(index)
            .command("dd")
            .args(["if=/dev/zero", "bs=1M"])
            .arg(format!("of={}", filler.display()))
            .output();
        assert!(!filled.expect("coreutils are installed").status.success(), "the disk is full");
    }

    pub(super) fn empty(&self, index: usize) {
        run(self.machine(index).command("rm").arg(self.folder.join(format!("etcd-{index}/filler"))));
    }

    /// Whether a process that was started is still there.
    pub(super) fn runs(&mut self, index: usize) -> bool {
        let process = self.processes[index].as_mut();
        let runs = process.is_some_and(|process| process.try_wait().expect("the process is ours").is_none());
        if !runs {
            self.processes[index] = None;
        }
        runs
    }

    /// Waits until all members say that they are well.
    pub(super) fn become_healthy(&self) {
        let give_up = now() + Duration::from_secs(60);
        while !(0..self.machines.len()).all(|index| self.says(index, "/health").contains("\"health\":\"true\"")) {
            assert!(now() < give_up, "the members of etcd are not healthy again");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn run(&self, index: usize) -> Child {
        let addresses = self.addresses();
        let peers = addresses.iter().enumerate().map(|(index, address)| format!("m{index}=http://{address}:2380"));
        let peers = peers.collect::<Vec<_>>().join(",");
        let own = addresses[index];
        let (client, peer) = (format!("https://{own}:2379"), format!("http://{own}:2380"));
        let mut command = self.machines[index].command("etcd");
        command.args(["--logger", "zap", "--log-level", "error", "--name", &format!("m{index}")]);
        command.arg("--data-dir").arg(self.folder.join(format!("etcd-{index}/data")));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--listen-metrics-urls", "http://127.0.0.1:2381"]);
        command.args(["--initial-cluster", &peers, "--initial-cluster-token", "chaos"]);
        // Little is kept of the past, so that a member that was away must be sent a snapshot.
        command.args(["--snapshot-count", "1000", "--max-wals", "1", "--max-snapshots", "1"]);
        command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(self.folder.join("etcd-ca.pem"));
        command.arg("--cert-file").arg(self.folder.join("etcd.pem"));
        command.arg("--key-file").arg(self.folder.join("etcd.key"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("etcd is installed: `cargo xtask acceptance` does that (Debian: etcd-server)")
    }

    /// What a member says on its own machine.
    fn says(&self, index: usize, path: &str) -> String {
        let mut ask = self.machines[index].command("curl");
        ask.args(["--silent", "--max-time", "1", &format!("http://127.0.0.1:2381{path}")]);
        String::from_utf8_lossy(&ask.output().expect("curl is installed").stdout).into_owned()
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().flatten() {
            // Nothing can be done about a failure here.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A CA, the members' certificate, and one for each node by the name of its machine.
fn make_certificates(folder: &Path, members: &[Ipv4Addr]) {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "CA of the members of etcd");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca_certificate = ca.self_signed(&ca_key).expect("a CA");
    fs::write(folder.join("etcd-ca.pem"), ca_certificate.pem()).expect("the file is written");
    let issuer = Issuer::new(ca, ca_key);
    let write = |name: &str, addresses: &[Ipv4Addr]| {
        let key = KeyPair::generate().expect("a key");
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.subject_alt_names = addresses.iter().map(|address| SanType::IpAddress(IpAddr::V4(*address))).collect();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), leaf.pem()).expect("the file is written");
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("the file is written");
    };
    write("etcd", members);
    for index in 0..super::nodes::COUNT {
        write(&format!("node-{index}"), &[]);
    }
}

const COUNT: u8 = 3;
const FIRST_HOST: u8 = 10;
