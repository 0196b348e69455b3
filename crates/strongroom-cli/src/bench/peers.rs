//! `bench peers`: the same operations asked of another product in the same run, on the same core, in turn.
//!
//! The peer is OpenBao's transit engine (`openbao`): a server that anybody can install and start beside ours. What it is
//! asked stands there, what came of it in `report`.

mod openbao;
mod report;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;
use strongroom_bench::cores::Cores;
use strongroom_bench::load::{self, Load, Outcome, Protocol};

use super::report::Settings;
use super::rows::{Ask, Key, Way};
use super::scene::{PLAIN, Question, Scene};
use super::{Course, Figures, progress};

use openbao::OpenBao;
pub(super) use openbao::PeerError;
use report::Report;

/// `bench peers`.
#[derive(Debug, Args)]
pub(super) struct PeersBench {
    /// OpenBao's program, by its path or its name on PATH, or one that takes the same commands. A script must become it (exec).
    #[arg(long, value_name = "PROGRAM", default_value = "bao")]
    peer: PathBuf,
    #[command(flatten)]
    course: Course,
    /// Requests at a time, each on a connection of its own.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Only these rows.
    #[arg(long, value_name = "ROW", num_args = 1.., value_parser = PossibleValuesParser::new(ROWS.map(|row| row.name)))]
    only: Vec<String>,
    #[command(flatten)]
    figures: Figures,
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    /// Its name, also on the command line, and in `bench`.
    name: &'static str,
    operation: Operation,
    /// How many times as fast as the peer we want to be; `None` where that was not set.
    target: Option<f64>,
}

/// What both can do, with 32 bytes: of a digest or a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// A key signs a digest.
    Sign(Signature),
    /// It checks a signature of its own.
    Verify(Signature),
    /// A key encrypts with A256GCM.
    Encrypt,
    /// It decrypts what it encrypted.
    Decrypt,
}

/// A signature that both can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signature {
    /// RSA of 2048 bits, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// ECDSA on P-256, SHA-256.
    Es256,
}

/// A row that is ready to be measured.
struct Ready {
    row: &'static Row,
    ours: Question,
    theirs: Question,
}

/// What one repetition of a row gave.
struct Sample {
    ours: Outcome,
    theirs: Outcome,
}

/// A row with all its repetitions.
struct Measured {
    row: &'static Row,
    samples: Vec<Sample>,
}

/// What all rows share.
struct Run<'a> {
    bench: &'a PeersBench,
    cores: Option<Cores>,
    /// The processes whose time is counted.
    our_server: Option<u32>,
    their_server: Option<u32>,
}

pub(super) async fn run(bench: &PeersBench) -> Result<()> {
    let version = openbao::version(&bench.peer)?;
    let cores = Cores::choose();
    let server_core = cores.map(|cores| cores.server);
    let peer = OpenBao::start(&bench.peer, server_core).await?;
    let scene = Scene::own(server_core, PLAIN).await?;
    let ready = bench.ready(&scene, &peer).await?;
    peer.check_audit()?;
    let run = Run { bench, cores, our_server: scene.server()?.process(), their_server: peer.process() };
    let measured = tokio::task::block_in_place(|| run.measure(ready))?;
    let report = Report::of(Settings::of(&bench.course, cores), version, bench.connections, &measured);
    bench.figures.show(&report.table(), &report)?;
    let void = report.void();
    ensure!(void.is_empty(), "void, because requests failed: {}", void.join(", "));
    Ok(())
}

impl PeersBench {
    /// Makes everything the rows need.
    async fn ready(&self, scene: &Scene, peer: &OpenBao) -> Result<Vec<Ready>> {
        let mut ready = Vec::new();
        for row in ROWS.iter().filter(|row| self.only.is_empty() || self.only.iter().any(|name| name == row.name)) {
            let cannot = || format!("{} cannot be prepared", row.name);
            let ours = scene.question(row.operation.ask()).await.with_context(cannot)?;
            let theirs = peer.question(row.operation).await.with_context(cannot)?;
            ready.push(Ready { row, ours, theirs });
        }
        Ok(ready)
    }
}

impl Run<'_> {
    /// All rows in each repetition, so that a disturbance of the machine hits every one of them a little and none wholly.
    fn measure(&self, ready: Vec<Ready>) -> Result<Vec<Measured>> {
        let bar = progress(ready.len() * self.bench.course.repeat as usize)?;
        let mut samples: Vec<Vec<Sample>> = ready.iter().map(|_| Vec::new()).collect();
        for repetition in 0..self.bench.course.repeat {
            for (ready, samples) in ready.iter().zip(&mut samples) {
                bar.set_message(ready.row.name);
                let sample = self.sample(ready, repetition);
                samples.push(sample.with_context(|| format!("{} was not measured", ready.row.name))?);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(ready.into_iter().zip(samples).map(|(ready, samples)| Measured { row: ready.row, samples }).collect())
    }

    /// Both servers, one right after the other. They take turns in being the first: a machine may slow down under load.
    fn sample(&self, ready: &Ready, repetition: u32) -> Result<Sample> {
        let ours = || self.load(self.our_server, &ready.ours);
        let theirs = || self.load(self.their_server, &ready.theirs);
        if repetition.is_multiple_of(2) {
            let ours = ours()?;
            Ok(Sample { ours, theirs: theirs()? })
        } else {
            let theirs = theirs()?;
            Ok(Sample { ours: ours()?, theirs })
        }
    }

    fn load(&self, server: Option<u32>, question: &Question) -> Result<Outcome> {
        let load = Load {
            protocol: Protocol::Http1,
            at_once: usize::from(self.bench.connections),
            duration: self.bench.course.duration(),
            operations_max: None,
            core: self.cores.map(|cores| cores.generator),
            server,
        };
        Ok(load::run(&load, &question.endpoint, &question.request)?)
    }
}

impl Operation {
    /// The same of our server.
    fn ask(self) -> Ask {
        match self {
            Self::Sign(signature) => Ask::Sign(signature.key(), signature.alg()),
            Self::Verify(signature) => Ask::Verify(signature.key(), signature.alg()),
            Self::Encrypt => Ask::Forth(Key::Oct, Way::Encrypt, "A256GCM"),
            Self::Decrypt => Ask::Back(Key::Oct, Way::Encrypt, "A256GCM"),
        }
    }
}

impl Signature {
    fn key(self) -> Key {
        match self {
            Self::Rs256 => Key::Rsa,
            Self::Es256 => Key::Ec,
        }
    }

    fn alg(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// All rows, in the order of the table.
const ROWS: [Row; 6] = [
    Row { name: "sign-rs256", operation: Operation::Sign(Signature::Rs256), target: Some(3.0) },
    Row { name: "verify-rs256", operation: Operation::Verify(Signature::Rs256), target: None },
    Row { name: "sign-es256", operation: Operation::Sign(Signature::Es256), target: Some(6.0) },
    Row { name: "verify-es256", operation: Operation::Verify(Signature::Es256), target: None },
    Row { name: "encrypt-a256gcm", operation: Operation::Encrypt, target: Some(12.0) },
    Row { name: "decrypt-a256gcm", operation: Operation::Decrypt, target: Some(12.0) },
];

#[cfg(test)]
mod tests {
    use super::super::rows;
    use super::*;

    #[test]
    fn a_row_asks_what_the_row_of_the_same_name_asks_without_a_peer() {
        for row in ROWS {
            if let Some(alone) = rows::ROWS.iter().find(|alone| alone.name == row.name) {
                assert_eq!(row.operation.ask(), alone.ask, "{}", row.name);
            }
        }
    }
}
