//! `cargo xtask cross-check`: do load generators that others wrote find the server as fast as ours does?
//!
//! wrk speaks HTTP/1.1 and h2load HTTP/2. Each asks for the same as `strongroom bench`, on the same connections, from the
//! same core, right before or after it. Neither verifies the server's certificate: a client of theirs does a little less
//! once a connection, which is made before anything is counted.

mod question;
mod table;
mod tools;

use std::time::Duration;

use crate::deployment::{self, Deployment, Load, Outcome};
use crate::environment;
use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;

use question::Questions;
use table::{Row, Sample};
use tools::Tool;

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    steps.run("load generators", environment::install_load_generators)?;
    let program = steps.run("build the release", || deployment::build(workspace))?;
    let rows = steps.run("cross-check", || {
        let deployment = Deployment::start(&program, &[])?;
        // It makes the managed HSM and the keys.
        for operation in OPERATIONS {
            deployment.ask(Load { operation, http: "1.1", at_once: 1, seconds: 1 })?;
        }
        let questions = Questions::new(&deployment)?;
        let mut rows = pairs();
        for repetition in 0..REPETITIONS {
            for row in &mut rows {
                row.samples.push(sample(&deployment, &questions, row, repetition)?);
            }
        }
        Ok(rows)
    })?;
    println!("\n{}\nMedians of {REPETITIONS} repetitions of {SECONDS} s.", table::text(&rows));
    if rows.iter().any(Row::is_void) {
        return Err(Failure::new("some rows are void: requests failed", "read what the server answers, and ask less"));
    }
    Ok(())
}

/// Every operation by every tool.
fn pairs() -> Vec<Row> {
    let tools = [Tool::Wrk, Tool::H2load];
    let pairs = OPERATIONS.iter().flat_map(|operation| tools.map(|tool| (*operation, tool)));
    pairs.map(|(operation, tool)| Row { operation, tool, samples: Vec::new() }).collect()
}

/// Ours and theirs, one right after the other, and each of them first as often as the other.
fn sample(
    deployment: &Deployment,
    questions: &Questions,
    row: &Row,
    repetition: usize,
) -> Result<(Sample, Sample), Failure> {
    let load = Load { operation: row.operation, http: row.tool.http(), at_once: row.tool.at_once(), seconds: SECONDS };
    let ours = || timed(deployment, || deployment.ask(load));
    let theirs = || timed(deployment, || row.tool.ask(deployment, questions, load));
    if repetition.is_multiple_of(2) {
        Ok((ours()?, theirs()?))
    } else {
        let theirs = theirs()?;
        Ok((ours()?, theirs))
    }
}

/// With the server's processor time.
fn timed(deployment: &Deployment, ask: impl FnOnce() -> Result<Outcome, Failure>) -> Result<Sample, Failure> {
    let before: Duration = deployment.processor_time()?;
    let outcome = ask()?;
    Ok(Sample { outcome, server: deployment.processor_time()?.saturating_sub(before) })
}

/// A read, and a signature: one has no body and the other has.
const OPERATIONS: [&str; 2] = ["get-key", "sign-es256"];
const REPETITIONS: usize = 5;
const SECONDS: u32 = 3;
