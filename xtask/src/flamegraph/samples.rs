//! Samples by perf: recorded, folded into one line for each stack, drawn by inferno.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::parts::{Cost, Parts};
use super::{Files, Order};
use crate::deployment::{Deployment, bound};
use crate::failure::Failure;
use crate::program;
use crate::tools::Tool;

/// Its licence (CDDL) keeps it out of our dependencies; as a program it draws like any other.
pub(super) const INFERNO: Tool = Tool { name: "inferno", program: "inferno-flamegraph", version: "0.12.8" };

/// Whether perf works here, and may look into this server.
pub(super) fn can_be_taken(deployment: &Deployment) -> bool {
    let mut attempt = Command::new("perf");
    attempt.args(["record", "--event", EVENT, "--pid", &deployment.process().to_string(), "--output"]);
    program::succeeds(attempt.arg(deployment.folder().join("attempt")).args(["--", "true"]))
}

/// Takes samples while `bench` asks. Answers the server's processor time for one request, in microseconds.
pub(super) fn record(deployment: &Deployment, order: &Order<'_>, files: &Files) -> Result<f64, Failure> {
    // It makes what is asked for, and lets the server warm up.
    deployment.ask(order.load(1))?;
    let before = deployment.processor_time()?;
    let asking = deployment.begin(order.load(BEFORE_SECONDS + SECONDS + BEFORE_SECONDS))?;
    sleep(Duration::from_secs(BEFORE_SECONDS.into()));
    // On the client's core, so that what it does is not part of what it sees.
    let mut record = bound(deployment.cores.map(|cores| cores.client), "perf");
    record.args(["record", "--quiet", "--event", EVENT, "--freq", FREQUENCY, "--call-graph", UNWINDING]);
    record.args(["--pid", &deployment.process().to_string(), "--output"]).arg(files.path("perf"));
    let recorded = program::run(record.args(["--", "sleep", &SECONDS.to_string()]), REMEDY);
    let outcome = asking.end();
    recorded?;
    let outcome = outcome?;
    let server = deployment.processor_time()?.saturating_sub(before);
    Ok(server.as_secs_f64() * 1e6 / outcome.operations as f64)
}

/// Folds and draws, and says which part of the program took how much.
pub(super) fn table(order: &Order<'_>, files: &Files, inferno: &Path, microseconds: f64) -> Result<String, Failure> {
    let (script, folded) = (files.path("script"), files.path("folded"));
    // Looking for what was inlined takes minutes; it counts for the function it is in.
    let mut read = Command::new("perf");
    read.args(["script", "--no-inline", "--force", "--input"]).arg(files.path("perf"));
    program::output_to(&mut read, &script, REMEDY)?;
    let mut fold = Command::new(beside(inferno, "inferno-collapse-perf"));
    program::output_to(fold.arg("--kernel").arg(&script), &folded, REMEDY)?;
    let title = format!("strongroom: {} over HTTP/{}", order.operation, order.http);
    let mut draw = Command::new(inferno);
    draw.args(["--title", &title, "--subtitle", "processor time of the server", "--colors", "rust"]);
    draw.args(["--countname", "ns"]).arg(&folded);
    let svg = files.path("svg");
    program::output_to(&mut draw, &svg, REMEDY)?;
    // Both are large, and the folded stacks say the same.
    for path in [&script, &files.path("perf")] {
        fs::remove_file(path).map_err(|error| Failure::file(path, &error))?;
    }
    println!("{}", svg.display());
    let stacks = fs::read_to_string(&folded).map_err(|error| Failure::file(&folded, &error))?;
    let parts = Parts::of_stacks(stacks.lines().filter_map(stack));
    Ok(parts.text(&title, Cost::Microseconds(microseconds)))
}

/// `thread;outermost;…;innermost 17`: the thread's name, the frames, and for how many nanoseconds they stand.
fn stack(line: &str) -> Option<(&str, impl DoubleEndedIterator<Item = &str>, u64)> {
    let (frames, count) = line.rsplit_once(' ')?;
    let (thread, frames) = frames.split_once(';')?;
    Some((thread, frames.split(';'), count.parse().ok()?))
}

fn beside(program: &Path, name: &str) -> PathBuf {
    program.with_file_name(name)
}

/// The kernel's own clock: virtual machines seldom have counters of the processor.
const EVENT: &str = "cpu-clock";
/// Samples a second of processor time; prime, so that nothing periodic keeps in step with it.
const FREQUENCY: &str = "499";
/// Release builds keep no frame pointers, so perf takes the top of the stack with each sample and unwinds it afterwards.
/// This is the most it takes: half of it has cut the bottom off a third of the stacks.
const UNWINDING: &str = "dwarf,65528";
const SECONDS: u32 = 8;
/// From the start of `bench` to its first requests, and for how long it goes on behind the last sample.
const BEFORE_SECONDS: u32 = 2;
const REMEDY: &str = "see the message above; `cargo xtask flamegraph --callgrind` needs no perf";

#[cfg(test)]
mod tests {
    use super::stack;

    #[test]
    fn a_folded_line_has_a_thread_frames_and_a_count() {
        let (thread, frames, count) =
            stack("tokio-runtime-w;main;hyper::proto::h1;do_syscall_64_[k] 17").expect("it is one");
        assert_eq!((thread, count), ("tokio-runtime-w", 17));
        assert_eq!(frames.collect::<Vec<_>>(), ["main", "hyper::proto::h1", "do_syscall_64_[k]"]);
        assert!(stack("thread 17").is_none());
        assert!(stack("thread;main many").is_none());
    }
}
