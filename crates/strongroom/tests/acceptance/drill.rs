//! `strongroom drill`: over the backup that the quickstart leaves, with the custodians' files that it makes.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::az::said;
use crate::deployment::Ports;
use crate::environment::{kills, now, path};
use crate::quickstart::quickstart;

/// The files of a story, after its server has stopped.
struct Story {
    home: tempfile::TempDir,
}

impl Story {
    fn told() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let output = quickstart(home.path(), Ports::free()).output().expect("the built binary starts");
        assert!(output.status.success(), "{}", said(&output));
        Self { home }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(".local/share/strongroom").join(name)
    }

    /// The folder of the first HSM's backup.
    fn backup(&self) -> String {
        let entries = std::fs::read_dir(self.at("backups")).expect("the folder is there");
        let mut names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("a name"));
        names.find(|name| name.starts_with("mhsm-quickstart-2")).expect("the story has made a backup")
    }

    /// `drill run` with the keys of these custodians; the report goes to `report`.
    fn drill(&self, custodians: &[usize], report: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.env_clear().env("PATH", path()).env("NO_COLOR", "1").stdin(Stdio::null()).args(["drill", "run"]);
        command.arg("--container").arg(format!("file://{}", self.at("backups").display()));
        command.args(["--backup-folder", &self.backup(), "--operator", "the test"]);
        command.arg("--file").arg(self.domain()).arg("--report").arg(report);
        for number in custodians {
            command.arg("--key").arg(self.at(&format!("quickstart/cert_{number}.key")));
        }
        command
    }

    fn domain(&self) -> PathBuf {
        self.at("quickstart/quickstart-SD.json")
    }
}

fn verify(report: &Path, domain: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.env_clear().env("PATH", path()).args(["drill", "verify"]).arg(report).arg("--file").arg(domain);
    command.output().expect("the built binary starts")
}

#[track_caller]
fn refused(output: &Output, cause: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{}", said(output));
    assert!(stderr.contains(cause) && stderr.contains("\nhelp: "), "{stderr}");
}

#[test]
fn a_drill_proves_the_keys_of_a_backup_and_leaves_a_report_that_holds() {
    let story = Story::told();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = folder.path().join("report");
    let (json, html) = (report.with_extension("json"), report.with_extension("html"));

    refused(&story.drill(&[1], &report).output().expect("it starts"), "2 of the wrapping keys are needed");
    assert!(!json.exists() && !html.exists(), "no report without a quorum");

    let output = story.drill(&[0, 2], &report).arg("--json").output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output));
    let said_json: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    assert_eq!(said_json["outcome"], "Passed");
    assert_eq!((&said_json["restored"]["versions"], &said_json["restored"]["proved"]), (&3.into(), &3.into()));
    let page = std::fs::read_to_string(&html).expect("the page is there");
    assert!(page.contains("Recovery drill of quickstart") && page.contains("3 of 3"), "{page}");

    let output = verify(&json, &story.domain());
    assert!(output.status.success(), "{}", said(&output));
    let figures = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(figures.contains("3 versions, 3 proved") && figures.contains("custodian 2"), "{figures}");
    refused(&story.drill(&[0, 2], &report).output().expect("it starts"), "exists already");

    let whole = std::fs::read_to_string(&json).expect("the report is there");
    let mut altered: Value = serde_json::from_str(&whole).expect("it is JSON");
    let payload = altered["payload"].as_str().expect("text").replacen('e', "f", 1);
    altered["payload"] = payload.into();
    std::fs::write(&json, altered.to_string()).expect("written");
    refused(&verify(&json, &story.domain()), "this is no valid report");
}

/// A drill is one process with a store in memory: wherever it dies, backup and domain are as they were, and what is there
/// of a report either holds or is not there.
#[test]
fn a_drill_that_is_killed_leaves_everything_as_it_was() {
    let story = Story::told();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let before = fingerprints(&story.at("backups"));
    // As long as a drill takes on this machine that nobody kills.
    let begun = now();
    let output = story.drill(&[0, 1], &folder.path().join("first")).output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output));
    let mut longest = begun.elapsed();
    let (kills, mut killed, mut ended) = (kills(), 0, 0);
    for round in 0..kills {
        let report = folder.path().join(format!("report-{round}"));
        let mut command = story.drill(&[0, 1], &report);
        let mut drill = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        // From the first instructions to about the end.
        let delay = longest * (round * 7919 % kills) / kills;
        std::thread::sleep(delay);
        match drill.try_wait().expect("it can be waited for") {
            Some(status) => {
                assert!(status.success(), "{status}");
                ended += 1;
                // The machine has become faster, or the first one was slow.
                longest = longest.min(delay);
            }
            None => {
                drill.kill().expect("it can be killed");
                drill.wait().expect("it ends");
                killed += 1;
            }
        }
        let json = report.with_extension("json");
        if std::fs::metadata(&json).is_ok_and(|file| file.len() > 0) {
            let output = verify(&json, &story.domain());
            assert!(output.status.success(), "{}", said(&output));
        }
    }
    println!("{killed} drills were killed, {ended} ended before, in {} ms at least", longest.as_millis());
    assert!(killed > kills / 2, "{killed} of {kills} were killed while at work");
    assert_eq!(fingerprints(&story.at("backups")), before, "the backups are as they were");
    let output = story.drill(&[0, 1], &folder.path().join("last")).output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output));
}

/// Every file below a folder, with its content.
fn fingerprints(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path)
            } else {
                found.push((path.clone(), std::fs::read(&path).expect("readable")))
            }
        }
    }
    found.sort();
    found
}
