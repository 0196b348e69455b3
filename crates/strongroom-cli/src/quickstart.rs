//! `strongroom quickstart`: the whole story on one machine, told through the public API.
//!
//! Make a managed HSM, make three custodian keys, activate with a quorum of two, create keys, sign, encrypt, wrap; then
//! back up, recover into a second HSM from two of the three keys, restore, prove that the keys are the same, and hold a
//! drill. Every step is one a user could do with `az`, and each looks first whether it has been done: run again on the
//! same folder it shows what is there.

mod keys;
mod recovery;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use strongroom_drill::BlobStores;

use crate::connection::Connection;
use crate::custodians;
use crate::managed_hsm::{Owner, Tokens};

/// What the story left behind, for the text at its end.
#[derive(Debug)]
pub struct Story {
    /// The HSM's name.
    pub hsm: &'static str,
    /// Its URL.
    pub url: String,
    /// Names of the keys in it.
    pub keys: Vec<String>,
    /// The URL of the HSM that was recovered from it.
    pub recovered: String,
}

/// The container of the story's backups: the folder that a server of this data folder allows by default.
pub fn backups(data_dir: &Path) -> String {
    format!("file://{}", data_dir.join("backups").display())
}

/// Tells the story against the server of a data folder. The drill reads the backup through `stores`.
///
/// # Errors
/// The first step that fails, with the server's message.
pub async fn run(data_dir: &Path, stores: &dyn BlobStores) -> Result<Story> {
    let connection = Connection::open(data_dir)?;
    let folder = data_dir.join("quickstart");
    let mut steps = Steps::default();

    let step = steps.begin("Sign in as the administrator");
    let tokens = Tokens::get(&connection).await?;
    let owner = Owner { connection: &connection, tokens: &tokens };
    step.done("");

    let step = steps.begin("Create the managed HSM");
    let hsm = owner.managed_hsm(HSM).await?;
    step.done(&hsm.url);

    let step = steps.begin("Make three custodian keys");
    let certificates = custodians::make_or_read(&folder)?;
    step.done(&folder.join("cert_{0,1,2}.{key,cer}").display().to_string());

    let step = steps.begin("Download the security domain, quorum 2 of 3: this activates the HSM");
    let file = folder.join(format!("{HSM}-SD.json"));
    if hsm.is_active().await? {
        step.done("active already");
    } else {
        hsm.activate(&certificates, QUORUM, &file).await?;
        step.done(&file.display().to_string());
    }

    let step = steps.begin("Give yourself the role Managed HSM Crypto User");
    hsm.assign_crypto_user().await?;
    step.done("at /");

    let keys = keys::create_and_use(&hsm, &mut steps).await?;
    let story = recovery::Recovery { owner, data_dir, folder: &folder, file: &file };
    let recovered = story.tell(&hsm, stores, &mut steps).await?;
    Ok(Story { hsm: HSM, url: hsm.url, keys, recovered })
}

/// The steps as a person sees them: a spinner on a terminal, a line elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    count: usize,
}

pub(crate) struct Step {
    title: String,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Steps {
    #[expect(clippy::disallowed_methods, reason = "the duration shown to a person decides nothing")]
    pub(crate) fn begin(&mut self, title: &str) -> Step {
        self.count += 1;
        let title = format!("{:>2}. {title}", self.count);
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(title.clone());
            bar.set_style(ProgressStyle::with_template("{spinner} {msg}").unwrap_or(ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Step { title, started: Instant::now(), bar }
    }
}

impl Step {
    pub(crate) fn done(self, result: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let result = if result.is_empty() { String::new() } else { format!("\n      {result}") };
        // A closed pipe ends the showing, not the story.
        let _ = writeln!(std::io::stdout(), "{} ({seconds:.1} s){result}", self.title);
    }
}

const HSM: &str = "quickstart";
const QUORUM: usize = 2;
