//! Many keys: how long a start takes, what a key not in use costs in memory, and whether work slows down.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use strongroom_bench::cores::Cores;
use strongroom_bench::figures::real;
use strongroom_bench::load::{self, Load, Protocol, ask_once};

use super::Figures;
use super::rows::{Ask, Key};
use super::scene::{PLAIN, Scene};
use super::units::{mebibytes, or_dash};

/// `bench scale`.
#[derive(Debug, Args)]
pub(super) struct ScaleBench {
    /// Numbers of keys to measure with.
    #[arg(long, value_name = "N", num_args = 1.., default_values_t = [1, 1_000, 100_000],
        value_parser = clap::value_parser!(u32).range(1..))]
    keys: Vec<u32>,
    /// Seconds of signing.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    #[command(flatten)]
    figures: Figures,
}

/// What was measured with one number of keys.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    keys: u32,
    /// From the start of the process on the full folder to the first signature.
    start_seconds: f64,
    /// The server's memory after that first signature.
    resident_bytes: u64,
    /// What each key more than in the first row takes of it.
    bytes_per_key: Option<f64>,
    /// Signatures a second (ES256) by one of the keys.
    signatures_per_second: f64,
    /// Of those in the first row.
    ratio: Option<f64>,
}

pub(super) async fn run(bench: &ScaleBench) -> Result<()> {
    let mut rows: Vec<Row> = Vec::new();
    for keys in &bench.keys {
        let mut row = measure(*keys, bench.seconds).await.with_context(|| format!("with {keys} keys"))?;
        row.compare(rows.first());
        rows.push(row);
    }
    bench.figures.show(&table(&rows), &rows)
}

async fn measure(keys: u32, seconds: u64) -> Result<Row> {
    let cores = Cores::choose();
    let core = cores.map(|cores| cores.server);
    let scene = Scene::own(core, PLAIN).await?;
    // One key is there before the others.
    scene.question(ASK).await?;
    scene.fill(keys - 1).await?;
    let (scene, begun) = scene.restarted(core).await?;
    let question = scene.question(ASK).await?;
    let answer = ask_once(&question.endpoint, &question.request).await?;
    let start_seconds = begun.elapsed().as_secs_f64();
    ensure!(answer.status == 200, "the first signature failed: {}", answer.summary());
    let server = scene.server()?;
    let resident_bytes = server.resident()?;
    let load = Load {
        protocol: Protocol::Http1,
        at_once: AT_ONCE,
        duration: Duration::from_secs(seconds),
        operations_max: None,
        core: cores.map(|cores| cores.generator),
        server: server.process(),
    };
    let outcome = tokio::task::block_in_place(|| load::run(&load, &question.endpoint, &question.request))?;
    ensure!(outcome.failed == 0, "a signature failed: {}", outcome.failure.unwrap_or_default());
    let signatures_per_second = outcome.per_second();
    Ok(Row { keys, start_seconds, resident_bytes, bytes_per_key: None, signatures_per_second, ratio: None })
}

impl Row {
    /// With the first row, if this is not it.
    fn compare(&mut self, first: Option<&Self>) {
        let Some(first) = first else { return };
        self.ratio = Some(self.signatures_per_second / first.signatures_per_second);
        let more = self.keys.checked_sub(first.keys).filter(|more| *more > 0);
        self.bytes_per_key =
            more.map(|more| (real(self.resident_bytes) - real(first.resident_bytes)) / f64::from(more));
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>9} {:>9} {:>9} {:>11} {:>10} {:>9}\n",
        "keys", "start s", "RSS MiB", "B per key", "ES256/s", "of first"
    );
    for row in rows {
        text.push_str(&format!(
            "{:>9} {:>9.2} {:>9.1} {:>11} {:>10.0} {:>9}\n",
            row.keys,
            row.start_seconds,
            mebibytes(row.resident_bytes),
            or_dash(row.bytes_per_key, |it| format!("{it:.0}")),
            row.signatures_per_second,
            or_dash(row.ratio, |it| format!("{it:.2}")),
        ));
    }
    text
}

const ASK: Ask = Ask::Sign(Key::Ec, "ES256");
const AT_ONCE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_with_the_first() {
        let row = |keys, resident_bytes, signatures_per_second| Row {
            keys,
            start_seconds: 0.1,
            resident_bytes,
            bytes_per_key: None,
            signatures_per_second,
            ratio: None,
        };
        let first = row(1, 1000, 100.0);
        let mut other = row(11, 21_000, 95.0);
        other.compare(Some(&first));
        assert_eq!((other.bytes_per_key, other.ratio), (Some(2000.0), Some(0.95)));
        let mut same = row(1, 900, 100.0);
        same.compare(Some(&first));
        assert_eq!((same.bytes_per_key, same.ratio), (None, Some(1.0)));
        assert!(table(&[first, other]).contains("     2000 "));
    }
}
