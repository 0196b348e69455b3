//! The program: parses the command line, calls the server or the client, and says in two lines what went wrong.
//!
//! It is *not* the place for what a command does. It fails with exit code 1, or 2 for a wrong command line (docs/errors.md).

mod arguments;
mod audit;
mod check_config;
mod cluster;
mod directory;
mod domain;
mod drill;
mod quickstart;
mod serve;
mod store;
mod who_can;

use std::pin::Pin;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use strongroom_cli::ceremony::CeremonyError;
use strongroom_server::serve::{StartError, StopError};

use crate::arguments::{Arguments, Command};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Why a command failed: one line of cause, one of remedy.
#[derive(Debug)]
pub(crate) struct Failure {
    cause: String,
    remedy: String,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Serve(arguments) => run(serve::run(arguments)),
        Command::Quickstart(arguments) => run(quickstart::run(arguments)),
        Command::CheckConfig(arguments) => check_config::run(&arguments),
        Command::Store(command) => run(store::run(command)),
        Command::Ceremony(step) => strongroom_cli::ceremony::run(step).map_err(Failure::from),
        Command::Audit(command) => audit::run(command),
        Command::Cluster(command) => run(cluster::run(command)),
        Command::Domain(command) => run(domain::run(command)),
        Command::Drill(command) => run(drill::run(command)),
        Command::Bench(bench) => run(async { strongroom_cli::bench::run(bench).await.map_err(of_bench) }),
        Command::Directory(command) => run(directory::run(command)),
        Command::WhoCan(question) => run(who_can::run(question)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { cause, remedy }) => {
            eprintln!("strongroom: {cause}\nhelp: {remedy}");
            ExitCode::FAILURE
        }
    }
}

fn of_bench(error: anyhow::Error) -> Failure {
    Failure { cause: format!("{error:#}"), remedy: strongroom_cli::bench::remedy(&error).to_owned() }
}

fn run(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| Failure {
        cause: format!("a thread cannot be started: {error}"),
        remedy: "raise the limit on processes (ulimit -u, TasksMax)".to_owned(),
    })?;
    // Of one type, whatever the command: otherwise the program has every command three times, once for each way to block on it.
    let command: Pin<Box<dyn Future<Output = Result<(), Failure>> + '_>> = Box::pin(command);
    let done = runtime.block_on(command);
    // A look-up of a name that nobody waits for any more may still be under way.
    runtime.shutdown_background();
    done
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self { cause: error.cause(), remedy: error.remedy() }
    }
}

impl From<CeremonyError> for Failure {
    fn from(error: CeremonyError) -> Self {
        Self { cause: error.to_string(), remedy: error.remedy().to_owned() }
    }
}

impl From<StopError> for Failure {
    fn from(error: StopError) -> Self {
        Self { cause: error.to_string(), remedy: error.remedy().to_owned() }
    }
}
