//! `strongroom store copy`: moves a deployment into another store while no node serves it.

use std::time::{Duration, Instant};

use serde_json::json;
use strongroom_server::config::Flags;
use strongroom_server::store_copy::{Copied, CopyError, Progress, copy};

use crate::Failure;
use crate::arguments::{CopyArguments, StoreCommand, configured};
use crate::serve::say;

/// Does what was asked for.
pub(crate) async fn run(command: StoreCommand) -> Result<(), Failure> {
    let StoreCommand::Copy(CopyArguments { config, to, json }) = command;
    let (from, to) = (configured(&config, Flags::default())?, configured(&to, Flags::default())?);
    let mut reported = None;
    let copied = copy(&from, &to, |progress| report(progress, &mut reported)).await?;
    let Copied { records, bytes } = copied;
    if json {
        say(&format!("{}\n", json!({ "records": records, "bytes": bytes })));
    } else {
        say(&format!(
            "copied and compared {records} records, {bytes} bytes; serve the copy, and not the original any more\n"
        ));
    }
    Ok(())
}

/// A line now and then for those who wait.
#[expect(clippy::disallowed_methods, reason = "it is for people who look at it")]
fn report(progress: Progress, reported: &mut Option<Instant>) {
    let now = Instant::now();
    if reported.is_some_and(|last| now.duration_since(last) < EVERY) {
        return;
    }
    *reported = Some(now);
    let (done, Copied { records, bytes }) = match progress {
        Progress::Copied(copied) => ("copied", copied),
        Progress::Compared(compared) => ("compared", compared),
    };
    eprintln!("{done} {records} records, {bytes} bytes");
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        Self { cause: error.cause(), remedy: error.remedy() }
    }
}

const EVERY: Duration = Duration::from_secs(1);
