//! `strongroom bench …`: how fast this build is on this machine.
//!
//! It starts a server of its own, as a separate process on a data folder that is removed afterwards, and is its client.
//! Load and ceilings are `strongroom-bench`'s; what is asked, and what figures are worth, is decided here.
//!
//! Read first: `rows`, then `operations`.

mod backup;
mod idle;
mod operations;
mod overload;
mod report;
mod rows;
mod scale;
mod scene;
mod server;
mod units;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde::Serialize;

use backup::BackupBench;
use idle::IdleBench;
use operations::OperationsBench;
use overload::OverloadBench;
use scale::ScaleBench;

/// What to measure: the operations, or something else.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    operations: OperationsBench,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Measure a full backup and restore: time, and memory by the number of keys.
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupBench),
    /// Watch a server that nobody asks: its memory, how often it wakes, and the size of the program.
    Idle(IdleBench),
    /// Ask for several times what the server can do: what is served, what is refused, and how fast.
    #[command(after_help = OVERLOAD_EXAMPLES)]
    Overload(OverloadBench),
    /// Measure a server with few and with many keys: its start, its memory, its work.
    #[command(after_help = SCALE_EXAMPLES)]
    Scale(ScaleBench),
    /// Be the server that answers the same bytes to everything; `bench` starts it.
    #[command(hide = true)]
    BareServer,
}

/// Where the figures go.
#[derive(Debug, Args)]
struct Figures {
    /// Print the figures as JSON, or write them to FILE.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    json: Option<Option<PathBuf>>,
}

impl Figures {
    /// Shows the table, the JSON, or the table while the JSON goes to its file.
    fn show<T: Serialize>(&self, table: &str, figures: &T) -> Result<()> {
        let json = serde_json::to_string_pretty(figures)? + "\n";
        match &self.json {
            None => print(table),
            Some(None) => print(&json),
            Some(Some(file)) => {
                std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
                print(table);
            }
        }
        Ok(())
    }
}

/// Measures.
///
/// # Errors
/// The first step that fails.
pub async fn run(bench: Bench) -> Result<()> {
    match bench.other {
        None => operations::run(&bench.operations).await,
        Some(Other::Backup(bench)) => backup::run(&bench).await,
        Some(Other::Idle(bench)) => idle::run(&bench).await,
        Some(Other::Overload(bench)) => overload::run(&bench).await,
        Some(Other::Scale(bench)) => scale::run(&bench).await,
        Some(Other::BareServer) => Ok(strongroom_bench::bare::serve().await?),
    }
}

fn print(text: &str) {
    use std::io::Write;
    // A closed pipe ends the showing only.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

const BACKUP_EXAMPLES: &str = "\
Examples:
  strongroom bench backup                          1,000 and 100,000 keys; takes some minutes
  strongroom bench backup --keys 500 5000 --json
  strongroom bench backup --keys 100000 --peak-mib-max 64    exit code 1 if a peak is above that

Memory is what the server's resident set grows by at its highest, against that before the backup or restore.";

const OVERLOAD_EXAMPLES: &str = "\
Examples:
  strongroom bench overload
  strongroom bench overload --times 8 --seconds 20 --json

Requests are sent at a fixed rate, whether those before are answered or not, by threads on the cores that are not the server's.
Times count from when a request was sent. If the threads themselves were late, the last line says so.";

const SCALE_EXAMPLES: &str = "\
Examples:
  strongroom bench scale                     1, 1,000 and 100,000 keys; takes a minute or two
  strongroom bench scale --keys 1 50000 --json

The start is that of a server that was stopped with all its keys, from its process to its first signature.";
