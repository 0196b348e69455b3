//! What building and testing everything needs of the machine: system packages, name resolution.
//!
//! Everything is looked for first and installed only if it is missing, so a second run installs nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::program;
use crate::workspace::Workspace;

/// Installs the Debian packages that the tests need and whose programs are missing.
pub(crate) fn install_system_packages() -> Result<(), Failure> {
    install_missing(BUILDING.iter().chain(&TESTING))
}

/// Installs the Debian packages without which not every feature can be built, if they are missing.
pub(crate) fn install_build_packages() -> Result<(), Failure> {
    install_missing(BUILDING.iter())
}

/// Installs what counts instructions, if it is missing.
pub(crate) fn install_valgrind() -> Result<(), Failure> {
    install_missing(COUNTING.iter())
}

/// Installs load generators that are not ours, and what asks for a token, if they are missing.
pub(crate) fn install_load_generators() -> Result<(), Failure> {
    install_missing(LOADING.iter())
}

/// Installs what takes samples of a running program, if it is missing.
pub(crate) fn install_perf() -> Result<(), Failure> {
    install_missing(SAMPLING.iter())
}

/// Installs the Debian packages that build the Java client, if their programs are missing.
pub(crate) fn install_toolchains() -> Result<(), Failure> {
    install_missing(TOOLCHAINS.iter())
}

fn install_missing<'a>(needs: impl Iterator<Item = &'a Need> + Clone) -> Result<(), Failure> {
    let missing: Vec<_> = needs.clone().filter(|need| !need.is_met()).map(|need| need.package).collect();
    if missing.is_empty() {
        println!("all there");
        return Ok(());
    }
    println!("missing: {}", missing.join(", "));
    let remedy = format!("install them with your package manager (Debian: apt-get install {})", missing.join(" "));
    let administrator = Administrator::find(&remedy)?;
    program::run(administrator.command("apt-get").args(["update", "--quiet"]), &remedy)?;
    // Through `env`, because sudo does not hand variables on.
    let mut install = administrator.command("env");
    install.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends"]);
    program::run(install.args(&missing), &remedy)?;
    // The package's own script usually enters the module; the next step looks after that.
    let mut needs = needs;
    let unmet = needs.find(|need| !need.is_met() && need.package != MYHOSTNAME);
    unmet.map_or(Ok(()), |need| Err(Failure::new(format!("{} is installed but does not work", need.package), remedy)))
}

/// Makes every name below `.localhost` resolve to this machine.
pub(crate) fn make_localhost_names_resolve(workspace: &Workspace) -> Result<(), Failure> {
    if names_resolve() {
        println!("{PROBED_NAME} resolves");
        return Ok(());
    }
    let remedy = "put `myhostname` behind `files` on the hosts line of /etc/nsswitch.conf";
    let path = Path::new("/etc/nsswitch.conf");
    let text = fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    let changed = with_myhostname(&text).ok_or_else(|| Failure::new("nsswitch.conf has no hosts line", remedy))?;
    let draft = workspace.target.join("nsswitch.conf");
    fs::write(&draft, changed).map_err(|error| Failure::file(&draft, &error))?;
    let mut install = Administrator::find(remedy)?.command("install");
    program::run(install.args(["-m", "644"]).arg(&draft).arg(path), remedy)?;
    if names_resolve() {
        println!("entered myhostname in {}", path.display());
        return Ok(());
    }
    Err(Failure::new(format!("{PROBED_NAME} does not resolve"), remedy))
}

/// A program the tests call, and the package that brings it.
struct Need {
    package: &'static str,
    probe: &'static [&'static str],
}

impl Need {
    fn is_met(&self) -> bool {
        let Some((name, arguments)) = self.probe.split_first() else { return false };
        program::succeeds(Command::new(name).args(arguments))
    }
}

/// Who may change the system: this user if it is root, otherwise `sudo` if it asks no question.
struct Administrator {
    prefix: &'static [&'static str],
}

impl Administrator {
    fn find(remedy: &str) -> Result<Self, Failure> {
        if program::output(Command::new("id").arg("-u"), remedy)?.trim() == "0" {
            return Ok(Self { prefix: &[] });
        }
        if program::succeeds(Command::new("sudo").args(["-n", "true"])) {
            return Ok(Self { prefix: &["sudo", "-n"] });
        }
        Err(Failure::new("this needs root, and sudo is missing or asks for a password", remedy))
    }

    fn command(&self, name: &str) -> Command {
        let mut words = self.prefix.iter().copied().chain([name]);
        let mut command = Command::new(words.next().unwrap_or(name));
        command.args(words);
        command
    }
}

fn names_resolve() -> bool {
    program::succeeds(Command::new("getent").args(["ahosts", PROBED_NAME]))
}

/// The file with `myhostname` behind `files` on its hosts line; none if there is no such line.
fn with_myhostname(nsswitch: &str) -> Option<String> {
    let hosts = nsswitch.lines().find(|line| line.trim_start().starts_with("hosts:"))?;
    if hosts.split_whitespace().any(|word| word == "myhostname") {
        return Some(nsswitch.to_owned());
    }
    let changed = if hosts.contains(" files") {
        hosts.replacen(" files", " files myhostname", 1)
    } else {
        hosts.replacen("hosts:", "hosts: myhostname", 1)
    };
    Some(nsswitch.replacen(hosts, &changed, 1))
}

const MYHOSTNAME: &str = "libnss-myhostname";

const PROBED_NAME: &str = "x.managedhsm.localhost";

/// What protoc makes of etcd's protocol is built, not kept.
const BUILDING: [Need; 2] = [
    Need { package: "libprotobuf-dev", probe: &["test", "-e", "/usr/include/google/protobuf/descriptor.proto"] },
    Need { package: "protobuf-compiler", probe: &["protoc", "--version"] },
];

const TESTING: [Need; 10] = [
    Need { package: "build-essential", probe: &["cc", "--version"] },
    Need { package: "curl", probe: &["curl", "--version"] },
    Need { package: "etcd-server", probe: &["etcd", "--version"] },
    Need { package: "gdb", probe: &["gdb", "--version"] },
    Need { package: "iproute2", probe: &["ip", "-V"] },
    Need { package: "nftables", probe: &["nft", "--version"] },
    Need { package: "openssl", probe: &["openssl", "version"] },
    Need { package: "python3", probe: &["python3", "--version"] },
    Need { package: "python3-venv", probe: &["python3", "-c", "import ensurepip, venv"] },
    Need { package: MYHOSTNAME, probe: &["getent", "ahosts", PROBED_NAME] },
];

const COUNTING: [Need; 1] = [Need { package: "valgrind", probe: &["valgrind", "--version"] }];

/// The last one prints its version and fails.
const LOADING: [Need; 3] = [
    Need { package: "curl", probe: &["curl", "--version"] },
    Need { package: "nghttp2-client", probe: &["h2load", "--version"] },
    Need { package: "wrk", probe: &["sh", "-c", "command -v wrk"] },
];

const SAMPLING: [Need; 1] = [Need { package: "linux-perf", probe: &["perf", "--version"] }];

const TOOLCHAINS: [Need; 2] = [
    Need { package: "maven", probe: &["mvn", "--version"] },
    Need { package: "openjdk-17-jdk-headless", probe: &["javac", "--version"] },
];

#[cfg(test)]
mod tests {
    use super::with_myhostname;

    #[test]
    fn myhostname_goes_behind_files_and_other_lines_stay() {
        let before = "passwd:         files\nhosts:          files dns\nnetworks:       files\n";
        let after = "passwd:         files\nhosts:          files myhostname dns\nnetworks:       files\n";
        assert_eq!(with_myhostname(before).as_deref(), Some(after));
    }

    #[test]
    fn a_line_that_has_it_is_left_alone() {
        let text = "hosts: files myhostname dns\n";
        assert_eq!(with_myhostname(text).as_deref(), Some(text));
    }

    #[test]
    fn a_line_without_files_gets_it_first() {
        assert_eq!(with_myhostname("hosts: dns\n").as_deref(), Some("hosts: myhostname dns\n"));
        assert_eq!(with_myhostname("passwd: files\n"), None);
    }
}
