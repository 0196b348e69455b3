//! More than the server can do: it must go on serving, refuse the rest at once, and not grow.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use strongroom_bench::cores::Cores;
use strongroom_bench::figures::per_second;
use strongroom_bench::flood::{self, Flood, Flooded};
use strongroom_bench::load::{self, Load, Protocol, ask_once};
use strongroom_bench::request::Answer;

use super::Figures;
use super::bare::bare_rate;
use super::rows::{Ask, Key};
use super::scene::{PLAIN, Question, Scene};
use super::server::Server;
use super::units::{mebibytes, milliseconds, or_dash};

/// `bench overload`.
#[derive(Debug, Args)]
pub(super) struct OverloadBench {
    /// How many times of what the server can do.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=20))]
    times: u32,
    /// Seconds at the best rate, and then at the higher one.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
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
    /// What an HTTPS server answers that does nothing else, on the same core.
    bare_per_second: f64,
    /// What would be served, of the best, if a refusal cost no more than an answer costs that server.
    reachable_ratio: f64,
    /// What the server was to be asked for.
    meant_per_second: f64,
    /// What was sent, whether what was sent before had been answered or not.
    offered_per_second: f64,
    /// Requests that could not be sent, because a thread of the generator waited for as many answers as it may.
    held_back: u64,
    /// How many those are.
    waiting_per_thread_max: usize,
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
    /// The server's memory: before, at the highest, and after.
    resident_bytes: u64,
    peak_bytes: u64,
    resident_after_bytes: u64,
    generator_threads: usize,
    /// How late the generator sent what was due.
    generator_late_p99_microseconds: Option<u32>,
    limited_by_generator: bool,
}

/// The server's memory.
struct Memory {
    before: u64,
    peak: u64,
    after: u64,
}

pub(super) async fn run(bench: &OverloadBench) -> Result<()> {
    let cores = Cores::choose();
    let scene = Scene::own(cores.map(|cores| cores.server), PLAIN).await?;
    let question = scene.question(Ask::Sign(Key::Rsa, "RS256")).await?;
    let answer = ask_once(&question.endpoint, &question.request).await?;
    let overload = tokio::task::block_in_place(|| measure(bench, cores, scene.server()?, &question, &answer))?;
    bench.figures.show(&overload.table(), &overload)?;
    ensure!(overload.failed == 0, "requests failed: {}", overload.failure.unwrap_or_default());
    Ok(())
}

fn measure(
    bench: &OverloadBench,
    cores: Option<Cores>,
    server: &Server,
    question: &Question,
    answer: &Answer,
) -> Result<Overload> {
    let duration = Duration::from_secs(bench.seconds);
    let load = Load {
        protocol: Protocol::Http2,
        at_once: AT_ONCE,
        duration,
        operations_max: None,
        core: cores.map(|cores| cores.generator),
        server: server.process(),
    };
    let briefly = Load { duration: duration.min(BARE_MAX), ..load.clone() };
    let bare = bare_rate(cores.map(|cores| cores.server), &briefly, question, answer)?.per_second;
    let before = server.resident()?;
    server.forget_peak()?;
    let best = load::run(&load, &question.endpoint, &question.request)?;
    ensure!(best.failed == 0, "a signature failed: {}", best.failure.unwrap_or_default());
    let flood = Flood {
        rate: best.per_second() * f64::from(bench.times),
        duration,
        patience: PATIENCE,
        connections: CONNECTIONS,
        cores: cores.map_or_else(Vec::new, |cores| cores.apart(THREADS_MAX)),
    };
    let flooded = flood::run(&flood, &question.endpoint, &question.request)?;
    let memory = Memory { before, peak: server.peak()?, after: server.resident()? };
    Ok(Overload::of(&Rates { best: best.per_second(), bare }, &flood, &flooded, &memory))
}

/// What was measured before the flood, a second.
struct Rates {
    /// Signatures.
    best: f64,
    /// Answers of the bare server.
    bare: f64,
}

impl Rates {
    /// What is left for signatures, of the best, when `offered` a second are asked for and every other one is refused at the
    /// cost of an answer of the bare server: x of `x / best + (offered - x) / bare = 1`.
    fn reachable(&self, offered: f64) -> f64 {
        let served = (1.0 - offered / self.bare) / (1.0 / self.best - 1.0 / self.bare);
        (served / self.best).clamp(0.0, 1.0)
    }
}

impl Overload {
    fn of(rates: &Rates, flood: &Flood, flooded: &Flooded, memory: &Memory) -> Self {
        let (served, refused) = (flooded.latencies.count(), flooded.refusals.count());
        let rate = |count: usize| per_second(u64::try_from(count).unwrap_or(u64::MAX), flooded.elapsed);
        Self {
            best_per_second: rates.best,
            bare_per_second: rates.bare,
            reachable_ratio: rates.reachable(flood.rate),
            meant_per_second: flood.rate,
            offered_per_second: per_second(flooded.offered, flooded.sending),
            held_back: flooded.held_back,
            waiting_per_thread_max: flood.waiting_per_thread_max(),
            served_per_second: rate(served),
            refused_per_second: rate(refused),
            served_ratio: rate(served) / rates.best,
            served_p99_microseconds: flooded.latencies.of_thousand(990),
            refused_p50_microseconds: flooded.refusals.of_thousand(500),
            refused_p99_microseconds: flooded.refusals.of_thousand(990),
            refused_late: flooded.refusals.above(LATE_MICROSECONDS),
            refused,
            failed: flooded.failed,
            failure: flooded.failure.clone(),
            resident_bytes: memory.before,
            peak_bytes: memory.peak,
            resident_after_bytes: memory.after,
            generator_threads: flood.cores.len().max(1),
            generator_late_p99_microseconds: flooded.lateness.of_thousand(990),
            limited_by_generator: flooded.fell_behind(),
        }
    }

    fn table(&self) -> String {
        let time = |it: Option<u32>| or_dash(it, |it| format!("{} ms", milliseconds(f64::from(it))));
        let mut text = format!(
            "RS256 at its best   {:>8.0} a second\n\
             meant to be offered {:>8.0} a second\n\
             offered             {:>8.0} a second by {} threads, p99 {} late\n\
             served              {:>8.0} a second ({:.2} of the best), p99 {}\n\
             at most             {:>8.0} a second ({:.2} of the best) with refusals at the cost of a bare answer\n\
             refused with 429    {:>8.0} a second, p50 {}, p99 {}; {} of {} later than 50 ms\n\
             memory              {:>8.0} MiB before, {:.0} MiB at the highest, {:.0} MiB after\n",
            self.best_per_second,
            self.meant_per_second,
            self.offered_per_second,
            self.generator_threads,
            time(self.generator_late_p99_microseconds),
            self.served_per_second,
            self.served_ratio,
            time(self.served_p99_microseconds),
            self.reachable_ratio * self.best_per_second,
            self.reachable_ratio,
            self.refused_per_second,
            time(self.refused_p50_microseconds),
            time(self.refused_p99_microseconds),
            self.refused_late,
            self.refused,
            mebibytes(self.resident_bytes),
            mebibytes(self.peak_bytes),
            mebibytes(self.resident_after_bytes),
        );
        if self.held_back > 0 {
            text.push_str(&format!(
                "{} requests were held back: a thread waits for {} answers at most, and they had not come.\n",
                self.held_back, self.waiting_per_thread_max
            ));
        }
        if self.limited_by_generator {
            text.push_str("The load generator was the limit: it sent late, so this says little about the server.\n");
        }
        text
    }
}

/// Requests at a time that fill the server without any being refused.
const AT_ONCE: usize = 64;
/// Enough that more requests can be under way than a server lets in, and few enough for one address.
const CONNECTIONS: usize = 64;
/// Threads of the generator at most.
const THREADS_MAX: usize = 4;
/// How long the server may take for what it has taken on.
const PATIENCE: Duration = Duration::from_secs(30);
const LATE_MICROSECONDS: u32 = 50_000;
/// Long enough to know the bare server's rate.
const BARE_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use strongroom_bench::figures::Latencies;

    use super::*;

    fn overload(lateness: u32, held_back: u64) -> Overload {
        let flood = Flood {
            rate: 4000.0,
            duration: Duration::from_secs(1),
            patience: Duration::ZERO,
            connections: 1,
            cores: vec![1, 2],
        };
        let flooded = Flooded {
            sending: Duration::from_secs(1),
            elapsed: Duration::from_secs(2),
            offered: 1904,
            held_back,
            lateness: Latencies::new(vec![lateness; 1904]),
            latencies: Latencies::new(vec![9000; 1900]),
            refusals: Latencies::new(vec![1000, 1000, 1000, 50_001]),
            failed: 0,
            failure: None,
        };
        let rates = Rates { best: 1000.0, bare: 20_000.0 };
        Overload::of(&rates, &flood, &flooded, &Memory { before: 1, peak: 3, after: 2 })
    }

    #[test]
    fn served_and_refused_are_counted_apart_and_beside_what_was_offered() {
        let overload = overload(1000, 0);
        assert!((overload.served_ratio - 0.95).abs() < 1e-9 && (overload.offered_per_second - 1904.0).abs() < 1e-9);
        assert_eq!((overload.refused, overload.refused_late), (4, 1));
        let table = overload.table();
        assert!(
            table.contains("1 of 4 later than 50 ms") && table.contains("by 2 threads, p99 1.00 ms late"),
            "{table}"
        );
        assert!(!table.contains("held") && !table.contains("limit"), "{table}");
    }

    #[test]
    fn what_refusals_must_leave_follows_from_the_bare_server() {
        let rates = Rates { best: 1000.0, bare: 20_000.0 };
        let served = rates.reachable(4000.0) * rates.best;
        assert!((served / rates.best + (4000.0 - served) / rates.bare - 1.0).abs() < 1e-9, "the core is full");
        assert!((rates.reachable(1000.0) - 1.0).abs() < 1e-9, "nothing is refused");
        assert_eq!(rates.reachable(30_000.0), 0.0);
        assert!(overload(1000, 0).table().contains("842 a second (0.84 of the best) with refusals"));
    }

    #[test]
    fn who_was_the_limit_is_said() {
        assert!(overload(30_000, 0).table().contains("The load generator was the limit"));
        let table = overload(1000, 7).table();
        assert!(table.contains("7 requests were held back: a thread waits for 100 answers at most"), "{table}");
    }
}
