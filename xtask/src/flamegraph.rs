//! `cargo xtask flamegraph`: where the server's time goes while it is asked for one thing over and over.
//!
//! perf takes samples of the running server with whole stacks, kernel included; inferno draws them. Where perf may not (many
//! virtual machines, containers, users without rights), callgrind counts instructions instead: then there is a table and
//! no graph, and no kernel in it.

mod callgrind;
mod parts;
mod samples;

use std::fs;
use std::path::{Path, PathBuf};

use crate::deployment::{self, Deployment, Load};
use crate::environment;
use crate::failure::Failure;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order<'a> {
    operation: &'a str,
    http: &'a str,
    profiler: Profiler,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profiler {
    /// Or callgrind, where perf does not work.
    Perf,
    Callgrind,
}

impl<'a> Order<'a> {
    pub(crate) fn parse(mut arguments: &'a [&'a str]) -> Option<Self> {
        let mut order = Self { operation: OPERATION, http: "1.1", profiler: Profiler::Perf };
        loop {
            arguments = match arguments {
                [] => return Some(order),
                ["--callgrind", rest @ ..] => {
                    order.profiler = Profiler::Callgrind;
                    rest
                }
                ["--http", http @ ("1.1" | "2"), rest @ ..] => {
                    order.http = http;
                    rest
                }
                [operation] if !operation.starts_with('-') => {
                    order.operation = operation;
                    &[]
                }
                _ => return None,
            }
        }
    }

    fn load(&self, seconds: u32) -> Load<'a> {
        Load { operation: self.operation, http: self.http, at_once: CLIENTS, seconds }
    }
}

/// Where a run leaves what it found.
struct Files {
    folder: PathBuf,
    stem: String,
}

impl Files {
    fn new(workspace: &Workspace, order: &Order<'_>) -> Result<Self, Failure> {
        let folder = workspace.target.join("flamegraph");
        fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, &error))?;
        Ok(Self { folder, stem: format!("{}-http{}", order.operation, order.http) })
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.stem))
    }
}

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps, order: &Order<'_>) -> Result<(), Failure> {
    let files = Files::new(workspace, order)?;
    let program = steps.run("build the release", || deployment::build(workspace))?;
    let table = match order.profiler {
        Profiler::Perf => by_perf(workspace, steps, order, &program, &files)?,
        Profiler::Callgrind => None,
    };
    let table = match table {
        Some(table) => table,
        None => {
            steps.run("what counts instructions", environment::install_valgrind)?;
            steps.run("instructions", || callgrind::table(&program, order, &files))?
        }
    };
    println!("\n{table}");
    let path = files.path("txt");
    fs::write(&path, table).map_err(|error| Failure::file(&path, &error))?;
    println!("{}", path.display());
    Ok(())
}

/// `None` where perf does not work.
fn by_perf(
    workspace: &Workspace,
    steps: &mut Steps,
    order: &Order<'_>,
    program: &Path,
    files: &Files,
) -> Result<Option<String>, Failure> {
    if let Err(failure) = steps.run("what takes samples", environment::install_perf) {
        println!("{failure}: instructions are counted instead");
        return Ok(None);
    }
    let deployment = Deployment::start(program, &[])?;
    if !samples::can_be_taken(&deployment) {
        println!("perf cannot look into the server here: instructions are counted instead (root may do more)");
        return Ok(None);
    }
    let inferno = steps.run("what draws", || samples::INFERNO.install(workspace))?;
    let recorded = steps.run("samples", || samples::record(&deployment, order, files))?;
    drop(deployment);
    steps.run("graph", || samples::table(order, files, &inferno, recorded)).map(Some)
}

/// What is asked unless the command line says otherwise.
const OPERATION: &str = "get-key";
/// Requests at a time, as `bench` has them.
const CLIENTS: u16 = 32;

#[cfg(test)]
mod tests {
    use super::{OPERATION, Order, Profiler};

    #[test]
    fn operation_http_and_profiler_are_understood() {
        let order = |operation, http, profiler| Some(Order { operation, http, profiler });
        assert_eq!(Order::parse(&[]), order(OPERATION, "1.1", Profiler::Perf));
        assert_eq!(Order::parse(&["--http", "2", "sign-es256"]), order("sign-es256", "2", Profiler::Perf));
        assert_eq!(Order::parse(&["--callgrind"]), order(OPERATION, "1.1", Profiler::Callgrind));
        for wrong in [&["--http"][..], &["--http", "3"], &["--fast"], &["get-key", "sign-es256"]] {
            assert_eq!(Order::parse(wrong), None, "{wrong:?}");
        }
    }
}
