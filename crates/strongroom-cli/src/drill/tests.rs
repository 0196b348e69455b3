use serde_json::{Value, json};

use super::*;

/// The report of a drill in which one of two keys came back.
fn failed() -> Value {
    json!({
        "format": 1, "program": "strongroom test", "outcome": "Failed", "operator": "somebody",
        "started": "2027-01-15T08:00:00Z", "ended": "2027-01-15T08:00:02Z",
        "backup": {
            "container": "file:///backups", "folder": "mhsm-one-2027011508000000", "managedHsm": "one",
            "instance": "00000000-0000-0000-0000-000000000001", "bytes": 4096,
        },
        "securityDomain": {
            "id": "00000000-0000-0000-0000-000000000002", "epoch": 1, "fileSha256": "00", "quorum": 1, "custodians": 3,
            "present": [{"subject": "CN=alice", "x5t#S256": "AAAA"}],
        },
        "recoveryPoint": {"backupTime": "2027-01-15T07:00:00Z", "ageSeconds": 3600},
        "recoveryTime": {"totalSeconds": "2.001", "steps": [{"name": "Restore", "seconds": "1.999"}]},
        "restored": {"keys": 2, "versions": 2, "proved": 1, "roleAssignments": 1, "roleDefinitions": 0},
        "failures": [{"key": "payments", "version": "0123", "reason": "it does not answer"}],
    })
}

fn report(value: Value) -> Report {
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_drill_in_which_a_key_did_not_come_back_fails() {
    let failed = report(failed());
    assert!(matches!(judged(&failed), Err(DrillFailure::NotAllProved { failures: 1 })));
    let text = figures(&failed);
    assert!(
        text.contains("FAILED") && text.contains("Not proved          payments 0123: it does not answer"),
        "{text}"
    );
    let passed = Report { outcome: Outcome::Passed, failures: Vec::new(), ..failed };
    assert!(judged(&passed).is_ok() && !figures(&passed).contains("FAILED"));
}

/// Whoever writes a report chooses its texts, and signs them with a key of their own.
#[test]
fn no_text_of_a_report_steers_the_terminal_or_begins_a_line() {
    let clean = figures(&report(failed()));
    for field in [
        "/backup/managedHsm",
        "/backup/folder",
        "/recoveryPoint/backupTime",
        "/recoveryTime/totalSeconds",
        "/securityDomain/present/0/subject",
        "/securityDomain/present/0/x5t#S256",
        "/failures/0/key",
        "/failures/0/version",
        "/failures/0/reason",
    ] {
        let mut value = failed();
        let text = value.pointer_mut(field).unwrap();
        *text = format!("{}\u{1b}[2J\r\nmore\u{9b}1m\u{7f}", text.as_str().unwrap()).into();
        let json = as_json(&report(value.clone())).unwrap();
        assert!(!json.contains(|character: char| character.is_control() && character != '\n'), "{field}: {json:?}");
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap().pointer(field), value.pointer(field));
        let shown = figures(&report(value));
        assert_eq!(shown.lines().count(), clean.lines().count(), "{field}");
        assert!(shown.contains("[2Jmore1m"), "{field}: {shown:?}");
        assert!(!shown.contains(|character: char| character.is_control() && character != '\n'), "{field}: {shown:?}");
    }
}
