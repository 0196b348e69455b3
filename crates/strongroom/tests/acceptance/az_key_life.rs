//! `az keyvault key`: rotation, backup and restore.

use std::fs;

use serde_json::{Value, json};

use crate::az::Az;
use crate::deployment::Deployment;
use crate::hsm::Hsm;

const HSM: &str = "life-hsm";

/// An activated HSM and a signed-in CLI.
fn scene() -> (Deployment, Az) {
    let deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    Hsm::activated(&rest, HSM);
    let az = Az::signed_in(&deployment);
    (deployment, az)
}

/// `az keyvault key VERB… --hsm-name … arguments`.
fn key(az: &Az, verb: &[&str], arguments: &[&str]) -> Value {
    az.ok(&line(verb, arguments))
}

fn line<'a>(verb: &[&'a str], arguments: &[&'a str]) -> Vec<&'a str> {
    [&["keyvault", "key"], verb, &["--hsm-name", HSM], arguments].concat()
}

/// The year of a time.
fn year(time: &Value) -> i32 {
    let text = time.as_str().and_then(|time| time.get(..4)).unwrap_or_else(|| panic!("no time: {time}"));
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_key_is_rotated_as_its_policy_says() {
    let (mut deployment, az) = scene();
    let made = key(&az, &["create"], &["--name", "turn", "--kty", "EC-HSM", "--curve", "P-384", "--tags", "a=b"]);
    az.refused(&line(&["rotate"], &["--name", "turn"]), "rotation policy");
    let shown = key(&az, &["rotation-policy", "show"], &["--name", "turn"]);
    assert_eq!(shown["lifetimeActions"], json!([]), "{shown}");

    let file = az.file("policy.json");
    let write = |policy: Value| fs::write(&file, policy.to_string()).expect("the policy is written");
    let path = file.to_str().expect("UTF-8").to_owned();
    let trigger = json!({"timeAfterCreate": "P90D", "timeBeforeExpiry": null});
    let rotate = json!([{"trigger": trigger, "action": {"type": "Rotate"}}]);
    write(json!({"lifetimeActions": rotate, "attributes": {"expiryTime": "P2Y"}}));
    key(&az, &["rotation-policy", "update"], &["--name", "turn", "--value", &path]);
    let shown = key(&az, &["rotation-policy", "show"], &["--name", "turn"]);
    assert_eq!(shown["expiresIn"], "P2Y", "{shown}");
    assert_eq!(shown["lifetimeActions"][0]["timeAfterCreate"], "P90D", "{shown}");

    let rotated = key(&az, &["rotate"], &["--name", "turn"]);
    assert_ne!(rotated["key"]["kid"], made["key"]["kid"]);
    assert_eq!((&rotated["key"]["crv"], &rotated["tags"]["a"]), (&json!("P-384"), &json!("b")));
    let attributes = &rotated["attributes"];
    assert_eq!(year(&attributes["expires"]), year(&attributes["created"]) + 2, "{rotated}");
    assert_eq!(key(&az, &["list-versions"], &["--name", "turn"]).as_array().map(Vec::len), Some(2));

    write(json!({"lifetimeActions": [{"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "Notify"}}]}));
    az.refused(&line(&["rotation-policy", "update"], &["--name", "turn", "--value", &path]), "notifications");
    write(json!({"lifetimeActions": [{"trigger": {"timeAfterCreate": "P27D"}, "action": {"type": "Rotate"}}]}));
    az.refused(&line(&["rotation-policy", "update"], &["--name", "turn", "--value", &path]), "28 days");
    write(json!({"lifetimeActions": []}));
    key(&az, &["rotation-policy", "update"], &["--name", "turn", "--value", &path]);
    az.refused(&line(&["rotate"], &["--name", "turn"]), "rotation policy");
    deployment.stop();
}

#[test]
fn a_purged_key_comes_back_from_its_backup() {
    let (mut deployment, az) = scene();
    let first = key(&az, &["create"], &["--name", "safe", "--kty", "RSA-HSM", "--size", "2048", "--tags", "a=b"]);
    let second = key(&az, &["create"], &["--name", "safe", "--kty", "EC-HSM"]);
    let digest = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
    let sign = ["--name", "safe", "--algorithm", "ES256", "--digest", digest];
    let signature = key(&az, &["sign"], &sign)["signature"].as_str().expect("a signature").to_owned();
    let file = az.file("safe.backup");
    let path = file.to_str().expect("UTF-8").to_owned();
    key(&az, &["backup"], &["--name", "safe", "--file", &path]);
    az.refused(&line(&["restore"], &["--file", &path]), "exists");
    key(&az, &["delete"], &["--name", "safe"]);
    az.refused(&line(&["restore"], &["--file", &path]), "deleted but recoverable");
    key(&az, &["purge"], &["--name", "safe"]);

    let whole = fs::read(&file).expect("the backup");
    let altered = az.file("altered.backup");
    fs::write(
        &altered,
        [&whole[..whole.len() / 2], &[whole[whole.len() / 2] ^ 1], &whole[whole.len() / 2 + 1..]].concat(),
    )
    .expect("an altered backup");
    let altered = altered.to_str().expect("UTF-8").to_owned();
    az.refused(&line(&["restore"], &["--file", &altered]), "BadParameter");

    let restored = key(&az, &["restore"], &["--file", &path]);
    assert_eq!(restored["key"]["kid"], second["key"]["kid"]);
    assert_eq!(key(&az, &["list-versions"], &["--name", "safe"]).as_array().map(Vec::len), Some(2));
    let version = first["key"]["kid"].as_str().and_then(|kid| kid.rsplit('/').next()).expect("a version");
    let shown = key(&az, &["show"], &["--name", "safe", "--version", version]);
    assert_eq!((&shown["key"]["n"], &shown["tags"]), (&first["key"]["n"], &first["tags"]));
    let verified = key(&az, &["verify"], &[&sign[..], &["--signature", &signature]].concat());
    assert_eq!(verified["isValid"], true);
    deployment.stop();
}
