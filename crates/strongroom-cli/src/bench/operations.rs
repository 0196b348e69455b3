//! `bench` itself: every operation beside what the machine could do at best, measured in turn in each repetition.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use strongroom_bench::MeasureError;
use strongroom_bench::cores::Cores;
use strongroom_bench::durable::appends;
use strongroom_bench::figures::Rate;
use strongroom_bench::load::{self, Load, Outcome, Protocol, ask_once};
use strongroom_bench::request::Answer;

use super::bare::bare_rate;
use super::report::{Report, Settings, fault};
use super::rows::{Ask, Ceiling, Clients, ROWS, Row};
use super::scene::{PLAIN, Question, ROTATIONS_MAX, Scene};
use super::server::Server;
use super::{Course, Figures, progress};

/// `bench` without a subcommand.
#[derive(Debug, Args)]
pub(super) struct OperationsBench {
    #[command(flatten)]
    course: Course,
    /// Requests at a time on the rows that do not write: over HTTP/1.1 each on its own connection, over HTTP/2 16 on one.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Only these rows.
    #[arg(long, value_name = "ROW", num_args = 1.., value_parser = PossibleValuesParser::new(ROWS.map(|row| row.name)))]
    only: Vec<String>,
    /// Versions of HTTP, for the rows that do not write.
    #[arg(long, value_name = "VERSION", num_args = 1.., value_enum, default_values_t = [Http::One, Http::Two])]
    http: Vec<Http>,
    /// Measure the server that runs on a data folder of this machine, not one of our own: a managed HSM `bench` is made in
    /// it, and keys and role assignments that stay.
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,
    #[command(flatten)]
    figures: Figures,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Http {
    /// HTTP/1.1.
    #[value(name = "1.1")]
    One,
    /// HTTP/2.
    #[value(name = "2")]
    Two,
}

/// A row that is ready to be measured over a version of HTTP.
struct Ready {
    row: &'static Row,
    protocol: Protocol,
    at_once: usize,
    question: Question,
    /// What the bare server says; `None` if the row is compared with something else.
    answer: Option<Answer>,
    /// What another client asks meanwhile.
    beside: Option<Question>,
}

/// What one repetition of a row gave.
pub(super) struct Sample {
    pub(super) outcome: Outcome,
    /// Of the bare server.
    pub(super) bare: Option<Rate>,
    /// Of cryptography alone.
    pub(super) raw: Option<Rate>,
    /// Of durable appends by one writer, a second.
    pub(super) append: Option<f64>,
    /// The same without another client.
    pub(super) alone: Option<Outcome>,
}

/// A row with all its repetitions.
pub(super) struct Measured {
    pub(super) row: &'static Row,
    pub(super) protocol: Protocol,
    pub(super) at_once: usize,
    pub(super) samples: Vec<Sample>,
}

pub(super) async fn run(bench: &OperationsBench) -> Result<()> {
    // Somebody else's server runs on whatever core it likes.
    let cores = if bench.target.is_some() { None } else { Cores::choose() };
    let scene = match &bench.target {
        None => Scene::own(cores.map(|cores| cores.server), PLAIN).await?,
        Some(folder) => Scene::target(folder).await?,
    };
    let ready = bench.ready(&scene).await?;
    let run = Run { bench, cores, server: scene.server().ok().and_then(Server::process), data_dir: &scene.data_dir };
    let report = tokio::task::block_in_place(|| {
        let measured = run.measure(ready)?;
        let append_16 = bench.writes().then(|| run.append(16)).transpose()?;
        anyhow::Ok(Report::of(Settings::of(&bench.course, cores), &measured, append_16))
    })?;
    bench.figures.show(&report.table(), &report)?;
    let void = report.void();
    ensure!(void.is_empty(), "void, because requests failed: {}", void.join(", "));
    Ok(())
}

impl OperationsBench {
    fn rows(&self) -> impl Iterator<Item = &'static Row> {
        ROWS.iter().filter(|row| self.only.is_empty() || self.only.iter().any(|name| name == row.name))
    }

    /// Whether a row is compared with what the disk does.
    fn writes(&self) -> bool {
        self.rows().any(|row| row.ceiling == Ceiling::Append)
    }

    /// Makes everything the rows need.
    async fn ready(&self, scene: &Scene) -> Result<Vec<Ready>> {
        let mut ready = Vec::new();
        for row in self.rows() {
            let question = scene.question(row.ask).await.with_context(|| format!("{} cannot be prepared", row.name))?;
            let answer = match row.ceiling {
                Ceiling::Bare | Ceiling::Both(_) => Some(ask_once(&question.endpoint, &question.request).await?),
                Ceiling::Raw(_) | Ceiling::Append | Ceiling::Alone(_) => None,
            };
            let beside = match row.ceiling {
                Ceiling::Alone(ask) => Some(scene.question(ask).await?),
                _ => None,
            };
            for (protocol, at_once) in self.ways(row) {
                let (question, answer, beside) = (question.clone(), answer.clone(), beside.clone());
                ready.push(Ready { row, protocol, at_once, question, answer, beside });
            }
        }
        Ok(ready)
    }

    /// How a row is asked: versions of HTTP, and requests at a time.
    fn ways(&self, row: &Row) -> Vec<(Protocol, usize)> {
        match row.clients {
            Clients::Writers(writers) => vec![(Protocol::Http1, writers)],
            Clients::Many => {
                let protocols = [(Http::One, Protocol::Http1), (Http::Two, Protocol::Http2)];
                let asked = protocols.into_iter().filter(|(http, _)| self.http.contains(http));
                asked.map(|(_, protocol)| (protocol, usize::from(self.connections))).collect()
            }
        }
    }
}

/// What all rows share.
struct Run<'a> {
    bench: &'a OperationsBench,
    cores: Option<Cores>,
    server: Option<u32>,
    data_dir: &'a Path,
}

impl Run<'_> {
    /// All rows in each repetition, so that a disturbance of the machine hits every one of them a little and none wholly.
    fn measure(&self, ready: Vec<Ready>) -> Result<Vec<Measured>> {
        let steps = ready.len() * self.bench.course.repeat as usize;
        let bar = progress(steps)?;
        let mut samples: Vec<Vec<Sample>> = ready.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.bench.course.repeat {
            for (ready, samples) in ready.iter().zip(&mut samples) {
                bar.set_message(ready.row.name);
                samples.push(self.sample(ready).with_context(|| format!("{} was not measured", ready.row.name))?);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let with_samples = ready.into_iter().zip(samples);
        Ok(with_samples
            .map(|(Ready { row, protocol, at_once, .. }, samples)| Measured { row, protocol, at_once, samples })
            .collect())
    }

    /// The row and its ceilings, one right after the other.
    fn sample(&self, ready: &Ready) -> Result<Sample> {
        let load = Load {
            protocol: ready.protocol,
            at_once: ready.at_once,
            duration: self.duration(),
            operations_max: operations_max(ready.row.ask, self.bench.course.repeat),
            core: self.cores.map(|cores| cores.generator),
            server: self.server,
        };
        let outcome = match &ready.beside {
            Some(other) => beside(&load, &ready.question, other)?,
            None => load::run(&load, &ready.question.endpoint, &ready.question.request)?,
        };
        let mut sample = Sample { outcome, bare: None, raw: None, append: None, alone: None };
        match ready.row.ceiling {
            Ceiling::Raw(raw) | Ceiling::Both(raw) => sample.raw = Some(raw.rate(self.server_core(), self.brief())?),
            Ceiling::Append => sample.append = Some(self.append(1)?),
            Ceiling::Alone(_) => {
                sample.alone = Some(load::run(&load, &ready.question.endpoint, &ready.question.request)?);
            }
            Ceiling::Bare => {}
        }
        let bare = ready.answer.as_ref().map(|answer| bare_rate(self.server_core(), &load, &ready.question, answer));
        sample.bare = bare.transpose()?;
        Ok(sample)
    }

    /// Durable appends a second beside the server's own files.
    fn append(&self, writers: usize) -> Result<f64> {
        Ok(appends(self.server_core(), self.data_dir, writers, self.brief())?)
    }

    fn duration(&self) -> Duration {
        self.bench.course.duration()
    }

    /// What has neither network nor queues settles sooner.
    fn brief(&self) -> Duration {
        self.duration() / 2
    }

    fn server_core(&self) -> Option<usize> {
        self.cores.map(|cores| cores.server)
    }
}

/// The load, while one other client asks for something else all the time.
fn beside(load: &Load, question: &Question, other: &Question) -> Result<Outcome> {
    // The server's time would be counted for both.
    let load = Load { server: None, ..load.clone() };
    let disturbing = Load { protocol: Protocol::Http1, at_once: 1, duration: load.duration + LONGER, ..load.clone() };
    std::thread::scope(|scope| {
        let disturbing = scope.spawn(|| load::run(&disturbing, &other.endpoint, &other.request));
        let outcome = load::run(&load, &question.endpoint, &question.request)?;
        let other = disturbing.join().map_err(|_| MeasureError::Ended)??;
        undisturbed(&other)?;
        Ok(outcome)
    })
}

/// Fails if the other client did not do what it is there for, all the time.
fn undisturbed(other: &Outcome) -> Result<()> {
    match fault(other) {
        Some(fault) => bail!("the other client asked in vain: {fault}"),
        None => Ok(()),
    }
}

/// By how much the other client outlasts what it disturbs.
const LONGER: Duration = Duration::from_secs(1);

/// After how many requests one of so many repetitions ends at the latest.
fn operations_max(ask: Ask, repetitions: u32) -> Option<u64> {
    match ask {
        Ask::AssignRole => Some(ROLE_ASSIGNMENTS_MAX),
        Ask::Rotate => Some(ROTATIONS_MAX / u64::from(repetitions)),
        _ => None,
    }
}

/// Role assignments in one repetition. Each makes the next one dearer, because the rights of a managed HSM are judged
/// together: more of them would measure how many there are.
const ROLE_ASSIGNMENTS_MAX: u64 = 50;

#[cfg(test)]
mod tests {
    use strongroom_bench::figures::Latencies;

    use super::*;

    #[test]
    fn another_client_that_failed_was_refused_or_got_nothing_is_none() {
        let outcome = |answered, refused, failed| Outcome {
            elapsed: Duration::from_secs(1),
            latencies: Latencies::new(vec![1; answered]),
            refusals: Latencies::new(vec![1; refused]),
            failed,
            failure: None,
            server_time: None,
            generator_time: Duration::ZERO,
        };
        assert!(undisturbed(&outcome(2, 0, 0)).is_ok());
        for (answered, refused, failed, cause) in
            [(2, 0, 1, "1 failed"), (2, 1, 0, "1 were refused"), (0, 0, 0, "nothing")]
        {
            let problem = undisturbed(&outcome(answered, refused, failed)).unwrap_err().to_string();
            assert!(problem.contains(cause), "{problem}");
        }
    }

    #[test]
    fn no_number_of_repetitions_rotates_a_key_more_often_than_it_may_be() {
        for repetitions in 1..=100 {
            let most = operations_max(Ask::Rotate, repetitions).unwrap();
            assert!(most > 0 && most * u64::from(repetitions) <= ROTATIONS_MAX, "{repetitions}");
        }
    }
}
