//! One core for the server, another for its client: otherwise each would be measured with the other's work.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

/// The first two cores this process may run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cores {
    pub(crate) server: u32,
    pub(crate) client: u32,
}

impl Cores {
    /// `None` if there is one core only, or the system does not say.
    pub(crate) fn choose() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        Self::first(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?)
    }

    /// Out of a list such as `0-3,8` (proc_pid_status(5)).
    fn first(list: &str) -> Option<Self> {
        let mut cores = list.trim().split(',').filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse::<u32>().ok()?..=last.parse().ok()?)
        });
        let mut cores = cores.by_ref().flatten();
        Some(Self { server: cores.next()?, client: cores.next()? })
    }
}

/// A program that stays on a core, if one is given; so does whatever it starts.
pub(crate) fn bound(core: Option<u32>, program: impl AsRef<OsStr>) -> Command {
    let Some(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &core.to_string()]).arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::Cores;

    #[test]
    fn the_first_two_cores_are_taken_and_one_alone_is_none() {
        for (list, server, client) in [("\t0-3\n", 0, 1), ("2,5-6", 2, 5), ("7-8", 7, 8)] {
            assert_eq!(Cores::first(list), Some(Cores { server, client }), "{list}");
        }
        for list in ["0", "", "a-b"] {
            assert_eq!(Cores::first(list), None, "{list}");
        }
    }
}
