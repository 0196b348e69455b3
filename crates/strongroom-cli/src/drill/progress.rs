//! What a person sees while a drill runs: a bar for each step on a terminal, a line elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use strongroom_drill::Watch;

/// The bars of a drill, on standard error.
#[derive(Debug, Default)]
pub(super) struct Bars(Mutex<Option<ProgressBar>>);

impl Watch for Bars {
    fn begin(&self, step: &str, total: Option<u64>) {
        self.end();
        if !std::io::stderr().is_terminal() {
            // Nobody may be reading; the drill goes on.
            let _ = writeln!(std::io::stderr(), "{step} …");
            return;
        }
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), "{spinner} {msg} {bar:30} {pos}/{len} {elapsed}"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
        };
        bar.set_style(ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar()));
        bar.set_message(step.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn advance(&self, done: u64) {
        if let Some(bar) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            bar.set_position(done);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

/// For whoever shows the drill as one step of something longer.
#[derive(Debug)]
pub(crate) struct Silent;

impl Watch for Silent {
    fn begin(&self, _step: &str, _total: Option<u64>) {}

    fn advance(&self, _done: u64) {}

    fn end(&self) {}
}
