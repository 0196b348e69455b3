//! More than the server can do: it must go on serving, refuse the rest at once, and not grow.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use strongroom_bench::cores::Cores;
use strongroom_bench::figures::per_second;
use strongroom_bench::load::{self, Load, Outcome, Protocol};

use super::Figures;
use super::rows::{Ask, Key};
use super::scene::{Question, Scene};
use super::server::Server;

/// `bench overload`.
#[derive(Debug, Args)]
pub(super) struct OverloadBench {
    /// How many times of what the server can do.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=100))]
    times: u32,
    /// Seconds at the best rate, and then at the higher one.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    #[command(flatten)]
    figures: Figures,
}

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Overload {
    /// Signatures a second (RS256) without any excess.
    best_per_second: f64,
    asked_per_second: f64,
    served_per_second: f64,
    refused_per_second: f64,
    /// Served under overload, of the best.
    served_ratio: f64,
    served_p99_microseconds: Option<u32>,
    refused_p50_microseconds: Option<u32>,
    refused_p99_microseconds: Option<u32>,
    /// Refusals that took longer than 50 ms.
    refused_late: usize,
    refused: usize,
    /// Requests that failed in any other way.
    failed: u64,
    failure: Option<String>,
    resident_bytes: u64,
    peak_bytes: u64,
    limited_by_generator: bool,
}

pub(super) async fn run(bench: &OverloadBench) -> Result<()> {
    let cores = Cores::choose();
    let scene = Scene::own(cores.map(|cores| cores.server)).await?;
    let question = scene.question(Ask::Sign(Key::Rsa, "RS256")).await?;
    let Some(server) = &scene.server else { return Ok(()) };
    let overload = tokio::task::block_in_place(|| measure(bench, cores, server, &question))?;
    bench.figures.show(&overload.table(), &overload)?;
    ensure!(overload.failed == 0, "requests failed: {}", overload.failure.unwrap_or_default());
    Ok(())
}

fn measure(bench: &OverloadBench, cores: Option<Cores>, server: &Server, question: &Question) -> Result<Overload> {
    let best = Load {
        protocol: Protocol::Http2,
        at_once: AT_ONCE,
        duration: Duration::from_secs(bench.seconds),
        operations_max: None,
        rate: None,
        core: cores.map(|cores| cores.generator),
        server: server.process(),
    };
    let resident_bytes = server.resident()?;
    server.forget_peak()?;
    let best_per_second = load::run(&best, &question.endpoint, &question.request)?.per_second();
    let asked = best_per_second * f64::from(bench.times);
    let more = Load { at_once: AT_ONCE_MAX, rate: Some(asked), ..best };
    let outcome = load::run(&more, &question.endpoint, &question.request)?;
    Ok(Overload::of(best_per_second, &outcome, (resident_bytes, server.peak()?)))
}

impl Overload {
    /// `memory`: before, and at the highest.
    fn of(best_per_second: f64, outcome: &Outcome, (resident_bytes, peak_bytes): (u64, u64)) -> Self {
        let refused = outcome.refusals.count();
        let rate = |count: u64| per_second(count, outcome.elapsed);
        let refused_per_second = rate(u64::try_from(refused).unwrap_or(u64::MAX));
        Self {
            best_per_second,
            asked_per_second: outcome.per_second() + refused_per_second + rate(outcome.failed),
            served_per_second: outcome.per_second(),
            refused_per_second,
            served_ratio: outcome.per_second() / best_per_second,
            served_p99_microseconds: outcome.latencies.of_thousand(990),
            refused_p50_microseconds: outcome.refusals.of_thousand(500),
            refused_p99_microseconds: outcome.refusals.of_thousand(990),
            refused_late: outcome.refusals.above(LATE_MICROSECONDS),
            refused,
            failed: outcome.failed,
            failure: outcome.failure.clone(),
            resident_bytes,
            peak_bytes,
            limited_by_generator: outcome.is_of_the_generator(),
        }
    }

    fn table(&self) -> String {
        let milliseconds =
            |it: Option<u32>| it.map_or_else(|| "-".to_owned(), |it| format!("{:.1} ms", f64::from(it) / 1000.0));
        let mebibytes = |bytes: u64| bytes / (1024 * 1024);
        let mut text = format!(
            "RS256 at its best   {:>8.0} a second\n\
             asked for           {:>8.0} a second\n\
             served              {:>8.0} a second ({:.2} of the best), p99 {}\n\
             refused with 429    {:>8.0} a second, p50 {}, p99 {}; {} of {} later than 50 ms\n\
             memory              {:>8} MiB before, {} MiB at the highest\n",
            self.best_per_second,
            self.asked_per_second,
            self.served_per_second,
            self.served_ratio,
            milliseconds(self.served_p99_microseconds),
            self.refused_per_second,
            milliseconds(self.refused_p50_microseconds),
            milliseconds(self.refused_p99_microseconds),
            self.refused_late,
            self.refused,
            mebibytes(self.resident_bytes),
            mebibytes(self.peak_bytes),
        );
        if self.limited_by_generator {
            text.push_str("The load generator was the limit: less was asked than meant.\n");
        }
        text
    }
}

/// Requests at a time that fill the server without any being refused.
const AT_ONCE: usize = 64;
/// Requests at a time at most: more than the server lets wait, so that it must refuse.
const AT_ONCE_MAX: usize = 2048;
const LATE_MICROSECONDS: u32 = 50_000;

#[cfg(test)]
mod tests {
    use strongroom_bench::figures::Latencies;

    use super::*;

    #[test]
    fn served_and_refused_are_counted_apart() {
        let outcome = Outcome {
            elapsed: Duration::from_secs(2),
            latencies: Latencies::new(vec![9000; 1900]),
            refusals: Latencies::new(vec![1000, 1000, 1000, 50_001]),
            failed: 0,
            failure: None,
            server_time: None,
            generator_time: Duration::ZERO,
        };
        let overload = Overload::of(1000.0, &outcome, (1, 2));
        assert!((overload.served_ratio - 0.95).abs() < 1e-9 && (overload.asked_per_second - 952.0).abs() < 1e-9);
        assert_eq!((overload.refused, overload.refused_late), (4, 1));
        assert!(overload.table().contains("1 of 4 later than 50 ms"), "{}", overload.table());
    }
}
