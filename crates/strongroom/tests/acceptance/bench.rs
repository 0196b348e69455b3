//! `strongroom bench`: on a server of its own, which is gone afterwards.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::az::said;
use crate::environment::path;

fn bench(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.env_clear().env("PATH", path()).env("TMPDIR", folder.path()).stdin(Stdio::null());
    let output = command.args(["bench", "backup"]).args(arguments).output().expect("the built binary starts");
    let left = std::fs::read_dir(folder.path()).expect("the folder is there").count();
    assert_eq!(left, 0, "nothing of the server is left");
    output
}

#[test]
fn a_backup_and_a_restore_are_measured() {
    let output = bench(&["--keys", "3", "7", "--peak-mib-max", "64", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let rows: Value = serde_json::from_slice(&output.stdout).expect("the figures are JSON");
    let rows = rows.as_array().expect("a row for each number of keys");
    assert_eq!(rows.iter().map(|row| row["keys"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(7)]);
    for row in rows {
        for figure in ["createdPerSecond", "backupSeconds", "backupBytes", "restoreSeconds", "residentBytes"] {
            assert!(row[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure}: {row}");
        }
    }
    for wrong in [["--keys", "0"], ["--peak-mib-max", "0"]] {
        assert_eq!(bench(&wrong).status.code(), Some(2), "{wrong:?}");
    }
}
