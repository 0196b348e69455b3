//! What the process asks of the kernel before it touches a secret.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// What the kernel granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardening {
    /// Why memory may be swapped out; `None` if it is locked.
    pub memory_not_locked: Option<String>,
    /// Whether the kernel was told never to write this process's memory to a core file, nor to let others trace it.
    pub core_dumps_disabled: bool,
}

/// Switches core dumps and tracing off, keeps memory out of swap, and raises the number of open files.
pub fn harden() -> Hardening {
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    let core_dumps_disabled =
        set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok() && setrlimit(Resource::Core, no_core).is_ok();
    raise(Resource::Nofile);
    Hardening { memory_not_locked: lock_memory().err(), core_dumps_disabled }
}

/// Locks all memory there is and all that comes, page by page as it is used.
fn lock_memory() -> Result<(), String> {
    raise(Resource::Memlock);
    // Within a limit the lock would succeed now and make an allocation fail later, in the middle of a request.
    if let Some(limit) = getrlimit(Resource::Memlock).current
        && !may_lock_memory()
    {
        return Err(format!("only {} KiB may be locked (RLIMIT_MEMLOCK)", limit / 1024));
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(flags).map_err(|error| format!("the kernel refused: {error}"))
}

/// Up to what an administrator has allowed. Failure leaves it as it was, which is no reason not to start.
fn raise(resource: Resource) {
    let limit = getrlimit(resource);
    let _ = setrlimit(resource, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Whether `RLIMIT_MEMLOCK` does not apply to this process (capabilities(7), `CAP_IPC_LOCK`).
fn may_lock_memory() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    effective & (1 << CAP_IPC_LOCK) != 0
}

const CAP_IPC_LOCK: u32 = 14;
