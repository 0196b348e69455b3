//! Instructions by callgrind, where perf may not look: what each function executed itself, by part.
//!
//! It knows each function with its nearest callers, and no threads: what the audit log's does is told by their names. Valgrind's
//! processor has no SHA instructions, so that hashing counts for more than it costs.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::parts::{Cost, Parts};
use super::{Files, Order};
use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::program;

/// Counts while `bench` asks, and says which part of the program executed how much.
pub(super) fn table(program: &Path, order: &Order<'_>, files: &Files) -> Result<String, Failure> {
    let counts = files.path("callgrind");
    let output = format!("--callgrind-out-file={}", counts.display());
    let below = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", CALLERS, &output].map(str::to_owned);
    let deployment = Deployment::start(program, &below)?;
    // It makes what is asked for.
    deployment.ask(order.load(1))?;
    let asking = deployment.begin(order.load(BEFORE_SECONDS + SECONDS + BEFORE_SECONDS))?;
    sleep(Duration::from_secs(BEFORE_SECONDS.into()));
    control(&deployment, &["--instr=on"])?;
    sleep(Duration::from_secs(SECONDS.into()));
    control(&deployment, &["--dump"])?;
    // Requests that failed would be counted like others.
    asking.end()?;
    let dump = files.path("callgrind.1");
    let text = fs::read_to_string(&dump).map_err(|error| Failure::file(&dump, &error))?;
    for path in [&counts, &dump] {
        fs::remove_file(path).map_err(|error| Failure::file(path, &error))?;
    }
    let counts = by_function(&text);
    let parts = Parts::of_stacks(counts.iter().map(|(name, count)| ("", name.rsplit(BETWEEN), *count)));
    let title = format!("strongroom: {} over HTTP/{}", order.operation, order.http);
    Ok(parts.text(&title, Cost::Instructions))
}

fn control(deployment: &Deployment, arguments: &[&str]) -> Result<(), Failure> {
    let mut control = Command::new("callgrind_control");
    program::run(control.args(arguments).arg(deployment.process().to_string()), REMEDY)
}

/// What each function, with its nearest callers behind it, executed itself. A line of cost belongs to the function named last; the one behind `calls=` is what
/// a called function cost, which has lines of its own (Callgrind's manual, "Callgrind Format Specification").
fn by_function(text: &str) -> HashMap<&str, u64> {
    let (mut names, mut counts) = (HashMap::new(), HashMap::<&str, u64>::new());
    let (mut function, mut is_of_a_call) = ("", false);
    for line in text.lines() {
        if let Some(named) = line.strip_prefix("fn=") {
            function = name(&mut names, named);
        } else if let Some(named) = line.strip_prefix("cfn=") {
            name(&mut names, named);
        } else if line.starts_with("calls=") {
            is_of_a_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split_whitespace().nth(1).and_then(|cost| cost.parse::<u64>().ok());
            if !std::mem::take(&mut is_of_a_call) {
                *counts.entry(function).or_default() += cost.unwrap_or_default();
            }
        }
    }
    counts
}

/// `(7) name` names a function for the rest of the file, where it is `(7)`.
fn name<'a>(names: &mut HashMap<&'a str, &'a str>, named: &'a str) -> &'a str {
    match named.split_once(' ') {
        Some((number, name)) => {
            names.insert(number, name);
            name
        }
        None => names.get(named).copied().unwrap_or_default(),
    }
}

/// How many functions up names go: a future is polled by another one, and that by the next.
const CALLERS: &str = "--separate-callers=12";
/// What stands between a function and its caller in such a name.
const BETWEEN: char = '\'';
/// Everything takes some fifty times as long.
const BEFORE_SECONDS: u32 = 10;
const SECONDS: u32 = 20;
const REMEDY: &str = "see the message above, and use valgrind 3.19 or later";

#[cfg(test)]
mod tests {
    use super::by_function;

    #[test]
    fn a_function_has_its_own_cost_and_not_that_of_those_it_calls() {
        let text = "version: 1\nevents: Ir\npositions: line\n\nfl=(1) a.rs\nfn=(1) main\n16 400\n+2 5\n\
            cfi=(2) b.rs\ncfn=(2) serde_json::to_vec'main\ncalls=1 50\n* 1000\n* 1\n\nfn=(2)\n51 300\n-1 700\n\ntotals: 1406\n";
        let counts = by_function(text);
        assert_eq!((counts["main"], counts["serde_json::to_vec'main"], counts.len()), (406, 1000, 2));
    }
}
