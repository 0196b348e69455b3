//! The server that does nothing but answer, as a ceiling.

use anyhow::{Context, Result, ensure};
use strongroom_bench::bare::BareServer;
use strongroom_bench::figures::Rate;
use strongroom_bench::load::{self, Load};
use strongroom_bench::request::Answer;

use super::scene::Question;

/// What it answers under a load of the same requests, on the server's core.
///
/// # Errors
/// If it does not start, or does not answer one of them.
pub(super) fn bare_rate(core: Option<usize>, load: &Load, question: &Question, answer: &Answer) -> Result<Rate> {
    let program = std::env::current_exe().context("this program has no path")?;
    let bare = BareServer::start(&program, &["bench", "bare-server"], core, answer)?;
    let load = Load { server: Some(bare.process()), ..load.clone() };
    let outcome = load::run(&load, &bare.endpoint, &question.request)?;
    ensure!(outcome.failed == 0, "the bare server failed: {}", outcome.failure.unwrap_or_default());
    Ok(Rate { per_second: outcome.per_second(), microseconds: outcome.server_microseconds() })
}
