//! `strongroom drill …`: rehearse a recovery on this machine, and check the report of one.
//!
//! It talks to a blob store only, and to that through the adapters of the server, which the program hands in. No running
//! managed HSM is asked or touched.

mod error;
mod progress;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use strongroom_drill::{Backup, BlobCredential, BlobStores, Drill, Outcome, Report, SignedReport, duration, page};
use strongroom_types::Secret;

use crate::ceremony::Keys;
use crate::ceremony::files::{read, read_password, write_new};
use progress::Bars;
pub(crate) use progress::Silent;

pub use error::DrillFailure;

/// What to do about drills.
#[derive(Debug, Subcommand)]
pub enum DrillCommand {
    /// Restore a backup into a scratch HSM in this process's memory, and prove every key.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunDrill),
    /// Check the signatures of a report, and show what it says.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyReport),
}

/// `drill run`.
#[derive(Debug, Args)]
pub struct RunDrill {
    /// Where the backup lies: the URL of a blob container, or file:///… for a folder.
    #[arg(long, value_name = "URL")]
    container: String,
    /// The folder of the backup in it, such as mhsm-contosomhsm-2026112607000000.
    #[arg(long, value_name = "FOLDER")]
    backup_folder: String,
    /// File whose first line is a shared access signature for the container, or - for standard input.
    #[arg(long, value_name = "FILE")]
    sas_file: Option<PathBuf>,
    /// A CA of the blob store that the system does not trust (PEM); SSL_CERT_FILE counts as well.
    #[arg(long = "ca-file", value_name = "FILE")]
    ca_files: Vec<PathBuf>,
    /// The security-domain file.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    keys: Keys,
    /// Who runs the drill, for the report.
    #[arg(long, value_name = "NAME")]
    operator: String,
    /// The report is written to NAME.json and, for reading, NAME.html; neither may exist.
    #[arg(long, value_name = "NAME", default_value = "drill-report")]
    report: PathBuf,
    /// Print the report as JSON instead of its figures.
    #[arg(long)]
    json: bool,
}

/// `drill verify`.
#[derive(Debug, Args)]
pub struct VerifyReport {
    /// The signed report.
    #[arg(value_name = "REPORT.json")]
    report: PathBuf,
    /// The security-domain file whose custodians must have signed it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl RunDrill {
    /// Where the backup lies.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// What the blob store's certificate may be of besides what the system trusts.
    pub fn ca_files(&self) -> &[PathBuf] {
        &self.ca_files
    }
}

/// Holds a drill, writes its report and prints the figures.
///
/// # Errors
/// [`DrillFailure`] says what is wrong and what helps; also if a key did not come back.
pub async fn run(run: RunDrill, stores: &dyn BlobStores) -> Result<(), DrillFailure> {
    let (json_file, html_file) = report_files(&run.report)?;
    let credential = match &run.sas_file {
        Some(file) => BlobCredential::SharedAccessSignature(signature(file)?),
        None => BlobCredential::None,
    };
    let custodians = run.keys.read()?.into_iter().map(|held| held.key).collect();
    let security_domain = read(&run.file)?.text;
    let container = stores.open(&run.container, credential).await.map_err(strongroom_drill::DrillError::from)?;
    let drill = Drill {
        container,
        address: run.container,
        folder: run.backup_folder,
        security_domain,
        custodians,
        operator: run.operator,
        program: concat!("strongroom ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let (report, signed) = drill.hold(&Bars::default()).await?;
    write_new(&json_file, signed.to_text()?.as_bytes())?;
    write_new(&html_file, page(&report)?.as_bytes())?;
    if run.json {
        print(&as_json(&report)?);
    } else {
        print(&figures(&report));
        print(&format!(
            "\nReport, signed by the custodians: {}\nFor reading: {}\n",
            json_file.display(),
            html_file.display()
        ));
    }
    judged(&report)
}

/// A drill in which a key did not come back is one that failed.
fn judged(report: &Report) -> Result<(), DrillFailure> {
    match report.outcome {
        Outcome::Passed => Ok(()),
        Outcome::Failed => Err(DrillFailure::NotAllProved { failures: report.failures.len() }),
    }
}

/// Checks a report and prints its figures.
///
/// # Errors
/// [`DrillFailure`] says what does not hold.
pub fn verify(check: &VerifyReport) -> Result<(), DrillFailure> {
    let signed = SignedReport::parse(read(&check.report)?.text.expose())?;
    let file = check.file.as_ref().map(|file| read(file)).transpose()?;
    let verified = signed.verify(file.as_ref().map(|input| input.text.expose().as_str()))?;
    if check.json {
        print(&as_json(&verified.report)?);
        return Ok(());
    }
    print(&figures(&verified.report));
    let against = if file.is_some() { "a quorum of the file's custodians" } else { "those it names" };
    print(&format!("\nThe report is unaltered, and signed by {against}.\n"));
    if file.is_none() {
        print("Give the security-domain file with --file to see that they are its custodians.\n");
    }
    Ok(())
}

/// The two files of a report; looked at before the custodians' work is done.
fn report_files(name: &Path) -> Result<(PathBuf, PathBuf), DrillFailure> {
    let with = |extension: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(extension);
        PathBuf::from(path)
    };
    let files = (with(".json"), with(".html"));
    for file in [&files.0, &files.1] {
        if file.exists() {
            return Err(DrillFailure::ReportExists(file.clone()));
        }
    }
    Ok(files)
}

fn signature(file: &Path) -> Result<Secret<String>, DrillFailure> {
    let line = read_password(file)?;
    Ok(Secret::new(line.expose().trim().trim_start_matches('?').to_owned()))
}

/// What a report says, for a terminal: a report that nobody has checked against a file is anybody's text.
fn figures(report: &Report) -> String {
    let Report { backup: Backup { managed_hsm, folder, .. }, security_domain, restored, .. } = report;
    let outcome = match report.outcome {
        Outcome::Passed => "passed: every key came back and answered",
        Outcome::Failed => "FAILED: not every key came back as it was",
    };
    let mut text = format!(
        "Drill of {}   {outcome}\n\
         Backup              {}, of {}\n\
         Recovery point      {} before the drill\n\
         Recovery time       {} s\n\
         Keys                {} with {} versions, {} proved\n\
         Role assignments    {}, and {} custom roles\n\
         Custodians          {} of {} present, quorum {}\n",
        shown(managed_hsm),
        shown(folder),
        shown(&report.recovery_point.backup_time),
        duration(report.recovery_point.age_seconds),
        shown(&report.recovery_time.total_seconds.to_string()),
        restored.keys,
        restored.versions,
        restored.proved,
        restored.role_assignments,
        restored.role_definitions,
        security_domain.present.len(),
        security_domain.custodians,
        security_domain.quorum,
    );
    for custodian in &security_domain.present {
        text.push_str(&format!("  {}  x5t#S256 {}\n", shown(&custodian.subject), shown(&custodian.thumbprint)));
    }
    for failure in &report.failures {
        let [key, version, reason] = [&failure.key, &failure.version, &failure.reason].map(|text| shown(text));
        text.push_str(&format!("Not proved          {key} {version}: {reason}\n"));
    }
    text
}

/// A text without what would steer a terminal or begin a line.
fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// The report, with no character in it that would steer a terminal: JSON escapes only some of them by itself.
fn as_json(report: &Report) -> Result<String, DrillFailure> {
    let text = serde_json::to_string_pretty(report).map_err(|_| DrillFailure::Print)?;
    let mut escaped = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        match character {
            steers if steers.is_control() && steers != '\n' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(steers)))
            }
            other => escaped.push(other),
        }
    }
    escaped.push('\n');
    Ok(escaped)
}

fn print(text: &str) {
    use std::io::Write;
    // A closed pipe ends the showing; the report is on disk.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

const RUN_EXAMPLES: &str = "\
Examples:
  strongroom drill run --container https://contoso.blob.core.windows.net/backups --sas-file backups.sas \\
      --backup-folder mhsm-contosomhsm-2026112607000000 --file ContosoMHSM-SD.json --key alice.key bob.key \\
      --operator 'Erin Example' --report drill-2026-q4
  strongroom drill run --container file:///srv/backups --backup-folder mhsm-contosomhsm-2026112607000000 \\
      --file ContosoMHSM-SD.json --key alice.key bob.key --operator 'Erin Example'

Nothing of the running managed HSM is touched: the keys are restored in the memory of this process only. The exit code is 1
if a key did not come back as it was.";
const VERIFY_EXAMPLES: &str = "\
Example:
  strongroom drill verify drill-2026-q4.json --file ContosoMHSM-SD.json";

#[cfg(test)]
mod tests;
