//! The steps of a task: a heading before, the time after, a table at the end.

use std::time::{Duration, Instant};

use crate::failure::Failure;

/// What has been done so far, with the time it took.
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    pub(crate) fn begin() -> Self {
        Self { done: Vec::new() }
    }

    /// Runs one step under its heading.
    pub(crate) fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        println!("\n=== {name}");
        let started = now();
        let outcome = step();
        let took = started.elapsed();
        let word = if outcome.is_ok() { "done" } else { "FAILED" };
        println!("--- {name}: {word} in {:.1} s", took.as_secs_f64());
        self.done.push((name.to_owned(), took));
        outcome
    }

    /// Prints how long each step took.
    pub(crate) fn finish(self) {
        println!();
        for (name, took) in &self.done {
            println!("{:>8.1} s  {name}", took.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, took)| *took).sum();
        println!("{:>8.1} s  all steps passed", total.as_secs_f64());
    }
}

#[expect(clippy::disallowed_methods, reason = "the time of a build step is shown to a person and decides nothing")]
fn now() -> Instant {
    Instant::now()
}
