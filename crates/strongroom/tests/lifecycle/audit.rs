//! `strongroom audit verify` on logs of the built server: good ones, killed ones, and changed ones.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::thread::sleep;

use rustix::process::Signal;
use serde_json::Value;

use crate::server::{Folder, STEP, Server, output, strongroom};

fn verify(folder: &Folder, arguments: &[&str]) -> Output {
    output(strongroom().args(["audit", "verify", "--data-dir"]).arg(folder.data()).args(arguments))
}

fn report(folder: &Folder) -> Value {
    let output = verify(folder, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is said of a log that is not as it was written.
fn broken(folder: &Folder, arguments: &[&str]) -> String {
    let output = verify(folder, arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    said
}

fn log(folder: &Folder) -> PathBuf {
    folder.file("audit/audit-000000000001.jsonl")
}

#[test]
fn a_log_is_good_while_the_server_runs_and_after_it_stopped() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let running = report(&folder);
    assert!(running["good"] == true && running["gapCount"] == 0, "{running}");
    server.stop();
    let stopped = report(&folder);
    assert!(stopped["unsignedLines"] == 0 && stopped["outsideCheckpoints"] == 1, "{stopped}");
    let key = folder.file("audit-key.json").display().to_string();
    assert_eq!(verify(&folder, &["--public-key", &key]).status.code(), Some(0));
    let text = String::from_utf8(verify(&folder, &[]).stdout).unwrap();
    assert!(text.ends_with("The log is as it was written.\n"), "{text}");
}

#[test]
fn a_log_is_good_after_each_of_many_kills() {
    let folder = Folder::new();
    for kill in 1..=50_u32 {
        let server = Server::start(&folder);
        // What the first start writes differs from what every later one does: kill at different moments of both.
        sleep(STEP * (kill % 5));
        server.signal(Signal::KILL);
        server.wait();
        report(&folder);
        if kill % 10 == 0 {
            let mut child = folder.serve().stdout(std::process::Stdio::null()).spawn().unwrap();
            sleep(STEP * (kill % 7));
            child.kill().unwrap();
            child.wait().unwrap();
            report(&folder);
        }
    }
    Server::start(&folder).stop();
    let report = report(&folder);
    assert!(report["gapCount"].as_u64().unwrap() >= 50, "{report}");
    let text = String::from_utf8(verify(&folder, &[]).stdout).unwrap();
    assert!(text.contains(": the server before did not close the log\n"), "{text}");
}

#[test]
fn a_changed_line_is_named_and_a_server_does_not_start_on_it() {
    let folder = Folder::used();
    let before = fs::read_to_string(log(&folder)).unwrap();
    let line = before.lines().position(|line| line.contains("\"SubscriptionFound\"")).unwrap() + 1;
    fs::write(log(&folder), before.replace("\"SubscriptionFound\"", "\"SubscriptionFine\"")).unwrap();
    let said = broken(&folder, &[]);
    assert!(said.contains(&format!("audit-000000000001.jsonl, line {line} (sequence {line})")), "{said}");
    let refused = output(&mut folder.serve());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("line {line}: it does not fit")) && said.contains("strongroom audit verify"),
        "{said}"
    );
    fs::write(log(&folder), before).unwrap();
    Server::start(&folder).stop();
    report(&folder);
}

#[test]
fn an_end_that_is_cut_off_is_found_by_the_checkpoint_beside_the_log() {
    let folder = Folder::used();
    let before = fs::read_to_string(log(&folder)).unwrap();
    let lines: Vec<&str> = before.split_inclusive('\n').collect();
    fs::write(log(&folder), lines[..lines.len() - 3].concat()).unwrap();
    let said = broken(&folder, &[]);
    assert!(said.contains("its end was cut off"), "{said}");
    fs::write(log(&folder), before).unwrap();
    report(&folder);
}

#[test]
fn a_log_under_another_key_is_found_by_who_has_a_copy_of_the_right_one() {
    let (folder, other) = (Folder::used(), Folder::used());
    let key = other.file("audit-key.json").display().to_string();
    let said = broken(&folder, &["--public-key", &key]);
    assert!(said.contains("another key for checkpoints"), "{said}");
}

#[test]
fn checkpoints_are_appended_where_the_operator_wants_them() {
    let folder = Folder::new();
    let kept = folder.data().with_file_name("checkpoints");
    let text = format!("data_dir = {:?}\n[audit]\ncheckpoint_file = {kept:?}\n", folder.data());
    let file = folder.beside("strongroom.toml", &text);
    for _ in 0..2 {
        Server::start_with(&folder, folder.serve().arg("--config").arg(&file)).stop();
    }
    let lines = fs::read_to_string(&kept).unwrap().lines().count();
    assert!((2..=4).contains(&lines), "start and stop, or the stop alone if it came at once: {lines}");
    fs::remove_dir_all(folder.file("audit")).unwrap();
    Server::start_with(&folder, folder.serve().arg("--config").arg(&file)).stop();
    let output = output(strongroom().args(["audit", "verify", "--config"]).arg(&file));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("names another log"), "{said}");
}

#[test]
fn a_configured_file_with_checkpoints_must_be_there_and_its_earlier_part_is_looked_at() {
    let folder = Folder::new();
    let kept = folder.data().with_file_name("checkpoints");
    let text = format!("data_dir = {:?}\n[audit]\ncheckpoint_file = {kept:?}\n", folder.data());
    let file = folder.beside("strongroom.toml", &text);
    Server::start_with(&folder, folder.serve().arg("--config").arg(&file)).stop();
    let verify = || output(strongroom().args(["audit", "verify", "--json", "--config"]).arg(&file));
    let said: Value = serde_json::from_slice(&verify().stdout).unwrap();
    let in_one_file = said["outsideCheckpoints"].as_u64().unwrap();
    // The newest checkpoint stands beside the log and in the file; the others only in the file.
    fs::rename(&kept, kept.with_added_extension("1")).unwrap();
    fs::write(&kept, "").unwrap();
    let said: Value = serde_json::from_slice(&verify().stdout).unwrap();
    assert!(said["outsideCheckpoints"] == in_one_file && said["good"] == true, "{said}");
    fs::remove_file(&kept).unwrap();
    let refused = verify();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains(&kept.display().to_string()), "{said}");
    // The one beside the log may be missing, and that is said.
    fs::remove_file(folder.file("audit-checkpoint")).unwrap();
    assert!(report(&folder)["notes"][0].as_str().unwrap().contains("audit-checkpoint is not there"));
}

#[test]
fn events_are_shown_and_written_out() {
    let folder = Folder::used();
    let run = |arguments: &[&str]| {
        let mut command = strongroom();
        let (name, rest) = arguments.split_first().unwrap();
        let output = output(command.args(["audit", name, "--data-dir"]).arg(folder.data()).args(rest));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = fs::read_to_string(log(&folder)).unwrap();
    assert_eq!(run(&["export"]), whole);
    assert_eq!(run(&["export", "--after", "3"]).lines().count(), whole.lines().count() - 3);
    assert_eq!(run(&["show"]).lines().count(), whole.lines().count());
    let shown = run(&["show", "--operation", "SubscriptionFound"]);
    assert!(shown.lines().count() == 1 && shown.contains(" SubscriptionFound 200 OK "), "{shown}");
    assert_eq!(run(&["show", "--failed"]), "");
    assert_eq!(run(&["show", "--since", "2999-01-01T00:00:00Z"]), "");
    let line = run(&["show", "--operation", "SubscriptionFound", "--json"]);
    assert!(whole.contains(&line), "{line}");
    let event: Value = serde_json::from_str(&line).unwrap();
    let second = event["time"].as_str().unwrap().split('.').next().unwrap().to_owned();
    for since in [format!("{second}Z"), format!("{second}+00:00")] {
        let shown = run(&["show", "--operation", "SubscriptionFound", "--json", "--since", &since]);
        assert_eq!(shown, line, "{since}");
    }
    let refused = output(strongroom().args(["audit", "show", "--since", "yesterday", "--data-dir"]).arg(folder.data()));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && said.contains("RFC 3339"), "{said}");
}

#[test]
fn an_output_that_is_full_is_told_from_a_log_that_cannot_be_read_and_a_reader_may_have_enough() {
    let folder = Folder::used();
    let export = |out: std::process::Stdio| {
        let mut command = strongroom();
        command.args(["audit", "export", "--data-dir"]).arg(folder.data()).stdout(out);
        command.stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let refused = export(full.into()).wait_with_output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("the output cannot be written"), "{said}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let enough = export(writer.into()).wait_with_output().unwrap();
    assert!(enough.status.success() && enough.stderr.is_empty(), "{}", String::from_utf8_lossy(&enough.stderr));
}

#[test]
fn a_log_that_is_not_there_or_a_key_that_is_none_is_said_in_two_lines() {
    let folder = Folder::new();
    let said = broken(&folder, &[]);
    assert!(said.contains("No such file"), "{said}");
    let folder = Folder::used();
    let file = folder.beside("key.json", "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}");
    let said = broken(&folder, &["--public-key", &file.display().to_string()]);
    assert!(said.contains("the public key is no JWK"), "{said}");
    assert_eq!(output(strongroom().args(["audit", "nonsense"])).status.code(), Some(2));
}
