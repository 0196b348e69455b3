//! Full backup and restore: how long they take, and whether memory grows with the number of keys.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use reqwest::Method;
use serde::Serialize;
use strongroom_bench::now;

use super::Figures;
use super::scene::{Scene, filled};
use super::server::Server;
use super::units::{MEBIBYTE, mebibytes};

/// `bench backup`.
#[derive(Debug, Args)]
pub struct BackupBench {
    /// Numbers of keys to measure with.
    #[arg(long, value_name = "N", num_args = 1.., default_values_t = [1_000, 100_000],
        value_parser = clap::value_parser!(u32).range(1..))]
    keys: Vec<u32>,
    /// Fail if the server's memory grows by more than this during a backup or restore.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    peak_mib_max: Option<u32>,
    #[command(flatten)]
    figures: Figures,
}

/// What was measured with one number of keys.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    keys: u32,
    created_per_second: f64,
    backup_seconds: f64,
    backup_bytes: u64,
    backup_peak_memory_bytes: u64,
    restore_seconds: f64,
    restore_peak_memory_bytes: u64,
    /// The server's memory with all keys, at rest.
    resident_bytes: u64,
}

pub(super) async fn run(bench: &BackupBench) -> Result<()> {
    let mut rows = Vec::new();
    for keys in &bench.keys {
        rows.push(measure(*keys).await.with_context(|| format!("with {keys} keys"))?);
    }
    bench.figures.show(&table(&rows), &rows)?;
    bench.peak_mib_max.map_or(Ok(()), |limit| within(&rows, limit))
}

/// No peak of memory is above the limit, in mebibytes.
fn within(rows: &[Row], limit: u32) -> Result<()> {
    for row in rows {
        for (what, bytes) in [("backup", row.backup_peak_memory_bytes), ("restore", row.restore_peak_memory_bytes)] {
            let grown = mebibytes(bytes);
            ensure!(
                bytes <= u64::from(limit) * MEBIBYTE,
                "the {what} of {} keys took {grown:.1} MiB of memory, more than {limit} MiB",
                row.keys
            );
        }
    }
    Ok(())
}

async fn measure(keys: u32) -> Result<Row> {
    let scene = Scene::own(None, CONFIGURATION).await?;
    let (server, hsm) = (scene.server()?, scene.hsm().await?);
    let begun = now();
    scene.fill(keys).await?;
    let created_per_second = f64::from(keys) / begun.elapsed().as_secs_f64();

    let backups = scene.data_dir.join("backups");
    let container = format!("file://{}", backups.display());
    let resident_bytes = server.resident()?;
    let (folder, backup) = watched(server, hsm.back_up(&container)).await?;
    let ((), restore) = watched(server, hsm.restore(&container, &folder)).await?;
    let last = format!("/keys/{}", filled(keys.saturating_sub(1)));
    hsm.call(Method::GET, &last, None).await.context("the last key did not come back")?;
    Ok(Row {
        keys,
        created_per_second,
        backup_seconds: backup.0.as_secs_f64(),
        backup_bytes: size(&backups.join(&folder))?,
        backup_peak_memory_bytes: backup.1,
        restore_seconds: restore.0.as_secs_f64(),
        restore_peak_memory_bytes: restore.1,
        resident_bytes,
    })
}

/// How long some work took, and by how much the server's memory grew at most meanwhile, in bytes.
async fn watched<T>(server: &Server, work: impl Future<Output = Result<T>>) -> Result<(T, (Duration, u64))> {
    let before = server.resident()?;
    server.forget_peak()?;
    let begun = now();
    let done = work.await?;
    Ok((done, (begun.elapsed(), server.peak()?.saturating_sub(before))))
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).context("the backup is not where it was written")? {
        bytes += entry?.metadata()?.len();
    }
    ensure!(bytes > 0, "the backup is empty");
    Ok(bytes)
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>9} {:>10} {:>10} {:>9} {:>8} {:>12} {:>10} {:>12} {:>10}\n",
        "keys", "created/s", "backup s", "MiB", "keys/s", "peak +MiB", "restore s", "peak +MiB", "RSS MiB"
    );
    for row in rows {
        text.push_str(&format!(
            "{:>9} {:>10.0} {:>10.2} {:>9.1} {:>8.0} {:>12.1} {:>10.2} {:>12.1} {:>10.1}\n",
            row.keys,
            row.created_per_second,
            row.backup_seconds,
            mebibytes(row.backup_bytes),
            f64::from(row.keys) / row.backup_seconds,
            mebibytes(row.backup_peak_memory_bytes),
            row.restore_seconds,
            mebibytes(row.restore_peak_memory_bytes),
            mebibytes(row.resident_bytes),
        ));
    }
    text
}

/// The end of a job is not held back, as it is for official clients.
const CONFIGURATION: &str = "[backup]\nearliest_end_seconds = 0\n\n[log]\nlevel = \"error\"\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_above_the_limit_is_a_failure_of_either_half() {
        let row = |backup: u64, restore: u64| Row {
            keys: 7,
            created_per_second: 1.0,
            backup_seconds: 1.0,
            backup_bytes: 1,
            backup_peak_memory_bytes: backup,
            restore_seconds: 1.0,
            restore_peak_memory_bytes: restore,
            resident_bytes: 1,
        };
        let most = 10 * MEBIBYTE;
        assert!(within(&[row(most, 0), row(0, most)], 10).is_ok());
        for (rows, what) in [([row(1, 1), row(most + 1, 0)], "backup"), ([row(1, 1), row(0, most + 1)], "restore")] {
            let error = within(&rows, 10).unwrap_err().to_string();
            assert!(error.contains(&format!("the {what} of 7 keys")), "{error}");
        }
    }
}
