//! A server that nobody asks: what it costs to have one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use strongroom_bench::cores::{Cores, process_time};
use strongroom_bench::figures::per_second;
use strongroom_bench::now;

use super::Figures;
use super::rows::{Ask, Key};
use super::scene::{PLAIN, Scene};
use super::server::Server;
use super::units::{mebibytes, or_dash};

/// `bench idle`.
#[derive(Debug, Args)]
pub(super) struct IdleBench {
    /// Seconds in which it is watched.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    #[command(flatten)]
    figures: Figures,
}

/// What was seen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Idle {
    /// The server's memory, with one managed HSM that is active and one key.
    resident_bytes: u64,
    /// Of all its threads.
    context_switches_per_second: f64,
    /// Processor time in a second.
    processor_microseconds: f64,
    program_bytes: u64,
    /// Without symbols; `null` if there is no `strip` on this machine.
    stripped_program_bytes: Option<u64>,
}

pub(super) async fn run(bench: &IdleBench) -> Result<()> {
    let scene = Scene::own(Cores::choose().map(|cores| cores.server), PLAIN).await?;
    // It has done everything once.
    scene.question(Ask::Verify(Key::Ec, "ES256")).await?;
    tokio::time::sleep(SETTLING).await;
    let idle = watch(scene.server()?, Duration::from_secs(bench.seconds)).await?;
    bench.figures.show(&idle.table(), &idle)
}

async fn watch(server: &Server, duration: Duration) -> Result<Idle> {
    let process = server.process().context("the server has ended")?;
    let (switches, time, begun) = (server.context_switches()?, process_time(process)?, now());
    tokio::time::sleep(duration).await;
    let switches = server.context_switches()?.saturating_sub(switches);
    let (time, elapsed) = (process_time(process)?.saturating_sub(time), begun.elapsed());
    let program = std::env::current_exe().context("this program has no path")?;
    Ok(Idle {
        resident_bytes: server.resident()?,
        context_switches_per_second: per_second(switches, elapsed),
        processor_microseconds: time.as_secs_f64() * 1e6 / elapsed.as_secs_f64(),
        program_bytes: std::fs::metadata(&program).context("this program cannot be read")?.len(),
        stripped_program_bytes: stripped(&program)?,
    })
}

/// How large a program is without its symbols.
fn stripped(program: &Path) -> Result<Option<u64>> {
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let copy = folder.path().join("stripped");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&copy).arg(program).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !strip.status().is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    Ok(Some(std::fs::metadata(&copy).context("the stripped program is not there")?.len()))
}

impl Idle {
    fn table(&self) -> String {
        format!(
            "memory              {:>8.1} MiB\n\
             context switches    {:>8.1} a second\n\
             processor time      {:>8.0} us a second\n\
             program             {:>8.1} MiB, {} MiB without symbols\n",
            mebibytes(self.resident_bytes),
            self.context_switches_per_second,
            self.processor_microseconds,
            mebibytes(self.program_bytes),
            or_dash(self.stripped_program_bytes, |bytes| format!("{:.1}", mebibytes(bytes))),
        )
    }
}

/// Until what the last request began is over.
const SETTLING: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_stripped_has_no_size() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        std::fs::write(&text, "no program").unwrap();
        assert_eq!(stripped(&text).unwrap(), None);
        let idle = Idle {
            resident_bytes: 24 << 20,
            context_switches_per_second: 7.25,
            processor_microseconds: 120.0,
            program_bytes: 40 << 20,
            stripped_program_bytes: None,
        };
        assert!(idle.table().contains("40.0 MiB, - MiB without symbols"), "{}", idle.table());
    }
}
