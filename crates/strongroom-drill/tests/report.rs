//! A report holds as long as nobody has touched it, and only with the signatures of a quorum.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fixture that cannot be made fails the test"
)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use strongroom_crypto::SystemEntropy;
use strongroom_drill::{
    Backup, Custodian, DrillError, Failure, Outcome, RecoveryPoint, RecoveryTime, Report, Restored, Seconds,
    SecurityDomain, SignedReport, Step, duration, page,
};
use strongroom_security_domain::{
    CertificateTerms, CustodianKey, Custodians, DomainSecrets, NewCustodian, SecurityDomainFile, certificate_of_pem,
};
use strongroom_types::{Epoch, RsaSize, Timestamp};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

struct Room {
    keys: Vec<CustodianKey>,
    file: String,
}

/// Three custodians, two of whom open the file.
fn room() -> Room {
    let made: Vec<NewCustodian> = ["alice", "bob", "carol"]
        .into_iter()
        .map(|name| {
            let terms = CertificateTerms { name, not_before: NOW, days: 365 };
            NewCustodian::generate(RsaSize::Bits2048, terms, None, &SystemEntropy).unwrap()
        })
        .collect();
    let certificates: Vec<Vec<u8>> =
        made.iter().map(|custodian| certificate_of_pem(&custodian.certificate).unwrap()).collect();
    let custodians = Custodians::from_certificates(&certificates, 2).unwrap();
    let secrets = DomainSecrets::generate(&SystemEntropy).unwrap();
    let file = SecurityDomainFile::build(&secrets, Epoch::FIRST, &custodians, NOW, &SystemEntropy).unwrap();
    let keys = made
        .iter()
        .map(|custodian| CustodianKey::from_pem(custodian.key.expose(), &custodian.certificate, None).unwrap())
        .collect();
    Room { keys, file }
}

fn report(room: &Room, present: usize) -> Report {
    let present = room.keys[..present]
        .iter()
        .map(|key| Custodian { subject: "CN=<b>someone</b>".to_owned(), thumbprint: key.thumbprint().to_string() });
    let digest = strongroom_crypto::digest::sha256(room.file.as_bytes());
    Report {
        format: 1,
        program: "strongroom test".to_owned(),
        outcome: Outcome::Passed,
        operator: "somebody".to_owned(),
        started: "2027-01-15T08:00:00Z".to_owned(),
        ended: "2027-01-15T08:00:02Z".to_owned(),
        backup: Backup {
            container: "file:///backups/one".to_owned(),
            folder: "mhsm-one-2027011508000000".to_owned(),
            managed_hsm: "one".to_owned(),
            instance: "00000000-0000-0000-0000-000000000001".to_owned(),
            bytes: 4096,
        },
        security_domain: SecurityDomain {
            id: "00000000-0000-0000-0000-000000000002".to_owned(),
            epoch: 1,
            file_sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            quorum: 2,
            custodians: 3,
            present: present.collect(),
        },
        recovery_point: RecoveryPoint { backup_time: "2027-01-15T07:00:00Z".to_owned(), age_seconds: 3600 },
        recovery_time: RecoveryTime {
            total_seconds: Seconds::from_millis(2001),
            steps: vec![Step { name: "Restore".to_owned(), seconds: Seconds::from_millis(1999) }],
        },
        restored: Restored { keys: 2, versions: 3, proved: 3, role_assignments: 1, role_definitions: 0 },
        failures: Vec::new(),
    }
}

fn refusal(signed: &SignedReport, file: Option<&str>) -> &'static str {
    match signed.verify(file) {
        Err(DrillError::NoReport(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_report_that_a_quorum_signed_holds_against_its_file() {
    let room = room();
    let report = report(&room, 2);
    let text = SignedReport::sign(&report, &room.keys[..2]).unwrap().to_text().unwrap();
    let verified = SignedReport::parse(&text).unwrap().verify(Some(&room.file)).unwrap();
    assert_eq!(verified.report, report);
    assert_eq!(verified.signers, [room.keys[0].thumbprint(), room.keys[1].thumbprint()]);
}

#[test]
fn a_report_without_a_quorum_or_with_others_than_it_names_does_not_hold() {
    let (room, other) = (room(), self::room());
    let alone = SignedReport::sign(&report(&room, 1), &room.keys[..1]).unwrap();
    assert_eq!(refusal(&alone, None), "fewer than a quorum have signed");
    let mut unsigned = report(&room, 0);
    unsigned.security_domain.quorum = 0;
    assert_eq!(refusal(&SignedReport::sign(&unsigned, &[]).unwrap(), None), "nobody has signed it");
    let twice = report(&room, 1);
    let signed = SignedReport::sign(&twice, &room.keys[..2]).unwrap();
    assert_eq!(refusal(&signed, None), "those who signed are not those it names");
    let good = SignedReport::sign(&report(&room, 2), &room.keys[..2]).unwrap();
    assert_eq!(refusal(&good, Some(&other.file)), "it speaks of another security-domain file");
    // Strangers who claim a file that is not theirs.
    let mut claimed = report(&other, 2);
    claimed.security_domain.file_sha256 = report(&room, 2).security_domain.file_sha256;
    let strangers = SignedReport::sign(&claimed, &other.keys[..2]).unwrap();
    assert_eq!(refusal(&strangers, Some(&room.file)), "somebody signed who is no custodian of this file");
}

#[test]
fn whatever_is_changed_in_a_report_is_noticed() {
    let room = room();
    let signed = SignedReport::sign(&report(&room, 2), &room.keys[..2]).unwrap().to_text().unwrap();
    let value: Value = serde_json::from_str(&signed).unwrap();
    let altered = |change: &dyn Fn(&mut Value)| {
        let mut value = value.clone();
        change(&mut value);
        SignedReport::parse(&value.to_string()).unwrap()
    };
    let payload = URL_SAFE_NO_PAD.decode(value["payload"].as_str().unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    for (from, to) in [("Passed", "Failed"), ("\"proved\":3", "\"proved\":2"), ("somebody", "somebodx")] {
        assert!(payload.contains(from), "{from}");
        let forged = URL_SAFE_NO_PAD.encode(payload.replace(from, to));
        let report = altered(&|value| value["payload"] = forged.clone().into());
        assert_eq!(refusal(&report, None), "a signature does not fit: the report was altered");
    }
    let swapped = altered(&|value| value["signatures"].as_array_mut().unwrap().swap(0, 1));
    assert_eq!(refusal(&swapped, None), "those who signed are not those it names");
    let repeated = altered(&|value| value["signatures"][1] = value["signatures"][0].clone());
    assert_eq!(refusal(&repeated, None), "a custodian has signed twice");
    let exchanged = altered(&|value| value["signatures"][1]["signature"] = value["signatures"][0]["signature"].clone());
    assert_eq!(refusal(&exchanged, None), "a signature does not fit: the report was altered");
    for wrong in ["", "{}", "[1]", "{\"payload\":1,\"signatures\":[]}"] {
        assert!(SignedReport::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_failed_drill_says_so_on_its_page_and_its_report_holds() {
    let room = room();
    let mut failed = report(&room, 2);
    failed.outcome = Outcome::Failed;
    failed.restored.proved = 2;
    failed.failures.push(Failure {
        key: "payments".to_owned(),
        version: "0123456789abcdef0123456789abcdef".to_owned(),
        reason: "it does not answer <i>as</i> it should".to_owned(),
    });
    let html = page(&failed).unwrap();
    for part in ["Failed", "2 of 3", "payments", "0123456789abcdef0123456789abcdef", "&#60;i&#62;as"] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("Passed"), "{html}");
    let signed = SignedReport::sign(&failed, &room.keys[..2]).unwrap();
    assert_eq!(signed.verify(Some(&room.file)).unwrap().report, failed);
}

#[test]
fn the_page_shows_the_figures_and_turns_no_name_into_markup() {
    let room = room();
    let report = report(&room, 2);
    let html = page(&report).unwrap();
    for part in
        ["Recovery drill of one", "Passed", "1 h 0 min", "2.001 s", "3 of 3", "2 of 3", "custodians present, quorum 2"]
    {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("<b>someone") && html.contains("&#60;b&#62;someone"), "{html}");
    assert!(!html.contains("<script") && !html.contains("http://") && !html.contains("src="));
    assert_eq!(duration(59), "59 s");
    assert_eq!(duration(60 * 60 * 50), "2 d 2 h");
}
