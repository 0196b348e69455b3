//! Who has a port, as far as `/proc` tells (proc(5)).

use std::fs;
use std::path::Path;

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for PortHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

impl PortHolder {
    /// The process that listens on a TCP port; `None` if there is none, or it is not ours to see.
    pub fn find(port: u16) -> Option<Self> {
        let inodes: Vec<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .into_iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .flat_map(|table| listening(&table, port))
            .collect();
        let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let pid = pids.into_iter().find(|pid| has_open(*pid, &wanted))?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some(Self { pid, name: name.trim().to_owned() })
    }
}

/// The inodes of the sockets in a table of the kernel that listen on a port.
fn listening(table: &str, port: u16) -> Vec<u64> {
    let socket = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = columns.get(1)?.rsplit_once(':')?;
        let listens = *columns.get(3)? == LISTEN && u16::from_str_radix(local_port, 16) == Ok(port);
        listens.then(|| columns.get(9)?.parse().ok()).flatten()
    };
    table.lines().skip(1).filter_map(socket).collect()
}

fn has_open(pid: u32, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        let target = fs::read_link(descriptor.path()).unwrap_or_default();
        sockets.iter().any(|socket| target == Path::new(socket))
    })
}

/// The state `TCP_LISTEN` in the kernel's tables.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_is_found_by_its_port() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let holder = PortHolder::find(listener.local_addr().unwrap().port()).unwrap();
            assert_eq!(holder.pid, std::process::id(), "{address}");
            assert!(!holder.name.is_empty());
        }
    }

    #[test]
    fn a_connection_from_a_port_does_not_hold_it() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41 1 0 100\n\
             1: 0100007F:20FB 0100007F:0001 01 00000000:00000000 00:00000000 00000000     0        0 42 1 0 100\n\
             2: 0100007F:20FC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 43 1 0 100\n";
        assert_eq!(listening(table, 0x20fb), [41]);
        assert!(listening(table, 1).is_empty());
    }
}
