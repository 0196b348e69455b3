//! Which core does what, and how busy it was.

use std::fs;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::MeasureError;

/// One core for the server, another for the load: otherwise each would be measured with the other's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    /// The server's; raw cryptography and the bare server get the same.
    pub server: usize,
    /// The load generator's.
    pub generator: usize,
}

impl Cores {
    /// The first two cores this process may run on; `None` if there is one only, or the system does not say.
    pub fn choose() -> Option<Self> {
        let allowed = sched_getaffinity(None).ok()?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        Some(Self { server: cores.next()?, generator: cores.next()? })
    }

    /// Every core this process may run on but the server's, up to so many.
    pub fn apart(self, most: usize) -> Vec<usize> {
        let Ok(allowed) = sched_getaffinity(None) else { return vec![self.generator] };
        let apart = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core) && *core != self.server);
        apart.take(most).collect()
    }
}

/// Does some work on a thread of its own, which stays on a core if one is given. A process that it starts stays there too
/// (`sched_setaffinity(2)`: children inherit the mask).
///
/// # Errors
/// [`MeasureError::Io`] if the core is not to be had; [`MeasureError::Ended`] if the work panicked.
pub fn on_core<T: Send>(core: Option<usize>, work: impl FnOnce() -> T + Send) -> Result<T, MeasureError> {
    let pinned = || {
        if let Some(core) = core {
            let mut set = CpuSet::new();
            set.set(core);
            sched_setaffinity(None, &set)
                .map_err(|errno| MeasureError::io("a thread cannot be bound to a core")(errno.into()))?;
        }
        Ok(work())
    };
    std::thread::scope(|scope| scope.spawn(pinned).join()).map_err(|_| MeasureError::Ended)?
}

/// Processor time of the calling thread so far.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Processor time of a process so far, of all its threads, in user and kernel mode (proc_pid_stat(5): utime, stime).
///
/// # Errors
/// [`MeasureError::Io`] if it has ended.
pub fn process_time(process: u32) -> Result<Duration, MeasureError> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).map_err(MeasureError::io("a process has ended"))?;
    let ticks = ticks(&stat).ok_or(MeasureError::Answer("/proc/PID/stat has an unknown form"))?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_millis(ticks.saturating_mul(1000) / per_second))
}

/// Fields 14 and 15. The name in field 2 may hold anything, a closing parenthesis too.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_name_of_any_kind() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 300 50 0 0 20 0 4 0 100";
        assert_eq!(ticks(stat), Some(350));
        assert_eq!(ticks("7 (a) S 1 2"), None);
    }

    #[test]
    fn no_load_is_made_on_the_core_of_the_server() {
        let allowed: Vec<_> =
            (0..CpuSet::MAX_CPU).filter(|core| sched_getaffinity(None).unwrap().is_set(*core)).collect();
        let Some(cores) = Cores::choose() else { return assert_eq!(allowed.len(), 1) };
        let apart = cores.apart(2);
        assert!(apart.contains(&cores.generator) && !apart.contains(&cores.server), "{cores:?} {apart:?}");
        assert_eq!(apart.len(), (allowed.len() - 1).min(2));
    }

    #[test]
    fn work_is_done_on_the_core_it_is_given() {
        let allowed = sched_getaffinity(None).unwrap();
        let core = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)).unwrap();
        let set = on_core(Some(core), || sched_getaffinity(None).unwrap()).unwrap();
        assert!(set.is_set(core) && set.count() == 1);
        assert_eq!(sched_getaffinity(None).unwrap(), allowed, "the caller stays as it was");
        assert!(matches!(on_core(None, || panic!("no")), Err(MeasureError::Ended)));
    }

    #[test]
    fn processor_time_of_a_thread_and_its_process_goes_on() {
        let before = (thread_time(), process_time(std::process::id()).unwrap());
        let mut number = 1_u64;
        while thread_time() < before.0 + Duration::from_millis(30) {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
        assert!(process_time(std::process::id()).unwrap() > before.1);
    }
}
