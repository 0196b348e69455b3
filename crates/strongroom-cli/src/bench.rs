//! `strongroom bench …`: how fast this build is on this machine.
//!
//! It starts a server of its own, as a separate process on a data folder that is removed afterwards, and is its client.

mod backup;
mod server;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde::Serialize;

pub use backup::BackupBench;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Measure a full backup and restore: time, and memory by the number of keys.
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupBench),
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
    match bench {
        Bench::Backup(bench) => backup::run(&bench).await,
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
