//! Machines on one network: namespaces behind a bridge, whose packets a test may throw away.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::az::said;
use crate::environment;

/// The bridge; the test itself is at its own end of it.
pub(super) struct Network {
    bridge: String,
    /// The third number of every address.
    number: u8,
}

/// One machine, with a name space and a private file system for what must be able to become full.
pub(super) struct Machine {
    holder: Child,
    pub(super) address: Ipv4Addr,
}

/// What a machine does with packets.
#[derive(Debug, Clone)]
pub(super) enum Cut {
    /// Nothing from these machines arrives.
    From(Vec<Ipv4Addr>),
    /// Nothing leaves for these machines.
    To(Vec<Ipv4Addr>),
    /// Neither.
    Both(Vec<Ipv4Addr>),
    /// This share of all packets that arrive is lost, in percent.
    Loss(u8),
}

impl Network {
    pub(super) fn lay() -> Self {
        let pid = std::process::id();
        let network = Self { bridge: format!("srb{}", pid % 100_000), number: 10 + (pid % 240) as u8 };
        let own = format!("{}/24", network.address(254));
        run(Command::new("ip").args(["link", "add", &network.bridge, "type", "bridge"]));
        run(Command::new("ip").args(["address", "add", &own, "dev", &network.bridge]));
        run(Command::new("ip").args(["link", "set", &network.bridge, "up"]));
        network
    }

    /// Plugs a machine in. `private` is an empty folder that only this machine fills; it has room for [`PRIVATE_MIB`].
    pub(super) fn plug(&self, host: u8, private: &Path) -> Machine {
        fs::create_dir_all(private).expect("the folder is made");
        let mut hold = Command::new("unshare");
        hold.args(["--net", "--mount", "--", "sh", "-c", HOLD, "sh"]).arg(private).arg(format!("size={PRIVATE_MIB}m"));
        let mut holder = hold.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect(REMEDY);
        let mut answer = String::new();
        let output = holder.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut answer).expect("it can be read");
        assert_eq!(answer.trim(), "up", "{REMEDY}");
        let machine = Machine { holder, address: self.address(host) };
        let end = format!("{}x{host}", self.bridge);
        let pid = machine.holder.id().to_string();
        run(Command::new("ip").args(["link", "add", &end, "type", "veth", "peer", "name", "cable", "netns", &pid]));
        run(Command::new("ip").args(["link", "set", &end, "master", &self.bridge, "up"]));
        let address = format!("{}/24", machine.address);
        run(machine.command("ip").args(["address", "add", &address, "dev", "cable"]));
        run(machine.command("ip").args(["link", "set", "cable", "up"]));
        machine
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        // The network of RFC 2544, which is nobody's.
        Ipv4Addr::new(198, 18, self.number, host)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Nothing can be done about a failure here.
        let _ = Command::new("ip").args(["link", "delete", &self.bridge]).status();
    }
}

impl Machine {
    /// A program on this machine; the process is the program's own.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.env_clear().env("PATH", environment::path());
        command.args(["--target", &self.holder.id().to_string(), "--net", "--mount", "--", program]);
        command.stdin(Stdio::null());
        command
    }

    /// Throws packets away until [`Machine::heal`].
    pub(super) fn cut(&self, cut: &Cut) {
        let mut script = "table ip cut {\n".to_owned();
        let mut chain = |hook: &str, rule: String| {
            script += &format!("chain {hook} {{ type filter hook {hook} priority 0; {rule}; }}\n");
        };
        let set = |of: &[Ipv4Addr]| of.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
        match cut {
            Cut::From(others) => chain("input", format!("ip saddr {{ {} }} drop", set(others))),
            Cut::To(others) => chain("output", format!("ip daddr {{ {} }} drop", set(others))),
            Cut::Both(others) => {
                chain("input", format!("ip saddr {{ {} }} drop", set(others)));
                chain("output", format!("ip daddr {{ {} }} drop", set(others)));
            }
            Cut::Loss(percent) => chain("input", format!("numgen random mod 100 < {percent} drop")),
        }
        script += "}\n";
        run(self.command("nft").arg(script));
    }

    /// Lets all packets pass again.
    pub(super) fn heal(&self) {
        run(self.command("nft").arg("delete table ip cut"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A failure here leaves a process that ends by itself.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[track_caller]
pub(super) fn run(command: &mut Command) {
    let output = command.output().expect("iproute2, nftables and util-linux are installed");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
}

const HOLD: &str = "mount -t tmpfs -o \"$2\" strongroom \"$1\" && ip link set lo up && echo up && exec sleep 7200";

/// Room on a machine for what may become full.
pub(super) const PRIVATE_MIB: u32 = 512;

const REMEDY: &str =
    "network namespaces are needed: run `cargo xtask acceptance` as root, or where users may have namespaces";
