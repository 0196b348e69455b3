//! Requests made from the OpenAPI reference by schemathesis: no 5xx, no hang, no growth of memory.
//!
//! How many there are is said in requests and not in seconds: a slow machine takes longer and makes as many.

use std::fs;
use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::hsm::Hsm;
use crate::rest::Rest;
use crate::{az, environment};

const HSM: &str = "fuzzed-hsm";
const VAULT: &str = "fuzzed-vault";

#[test]
fn requests_made_from_the_reference_find_no_fault_no_hang_and_no_leak() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    for (name, body) in [
        ("fuzz-rsa", json!({"kty": "RSA-HSM", "key_size": 2048})),
        ("fuzz-ec", json!({"kty": "EC-HSM"})),
        ("fuzz-oct", json!({"kty": "oct-HSM"})),
    ] {
        hsm.post(&format!("/keys/{name}/create"), &body).expect(200);
    }
    // Caches and pools fill in the first run; the second one shows what is kept without end.
    let of_hsm = [rest.hsm_url(HSM), rest.token(&rest.hsm_resource())];
    assert_answered(&fuzz(&rest, &of_hsm, "coverage"), COVERAGE_OF_HSM);
    let before = resident_kib(deployment.pid());
    let statuses = fuzz(&rest, &of_hsm, "fuzzing");
    let after = resident_kib(deployment.pid());
    println!("resident memory {before} KiB before, {after} KiB after");

    assert_answered(&statuses, FUZZING_OF_HSM);
    assert!(after < before + GROWTH_KIB_MAX, "{before} KiB became {after} KiB");
    assert!(rest.is_healthy());
    hsm.get("/keys").expect(200);
    deployment.stop();
}

#[test]
fn requests_made_from_the_reference_find_no_fault_in_a_vault() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    rest.arm(&Method::PUT, &rest.vault_path(VAULT), Some(&rest.vault_to_create())).expect(200);
    rest.grant_keys_of_vault(VAULT);
    let of_vault = [rest.vault_url(VAULT), rest.token(&rest.vault_resource())];
    for (name, body) in [("fuzz-rsa", json!({"kty": "RSA", "key_size": 2048})), ("fuzz-ec", json!({"kty": "EC"}))] {
        let url = format!("{}/keys/{name}/create?api-version=2025-07-01", of_vault[0]);
        rest.send(&Method::POST, &url, Some(&of_vault[1]), Some(&body)).expect(200);
    }
    assert_answered(&fuzz(&rest, &of_vault, "coverage"), COVERAGE_OF_VAULT);
    assert!(rest.is_healthy());
    deployment.stop();
}

/// Nothing failed, and both what fits and what does not fit the reference was really judged.
#[track_caller]
fn assert_answered(statuses: &Value, least: Least) {
    assert_eq!(count(statuses, '5'), 0, "{statuses}");
    assert!(count(statuses, '2') > least.answered, "the requests do not get anywhere: {statuses}");
    assert!(count(statuses, '4') > least.refused, "nothing was refused: {statuses}");
}

/// So many requests must get somewhere, and so many be refused.
struct Least {
    answered: u64,
    refused: u64,
}

/// How many answers had a status of a class.
fn count(statuses: &Value, first: char) -> u64 {
    let of_class = statuses.as_object().expect("counts by status").iter();
    of_class.filter(|(status, _)| status.starts_with(first)).filter_map(|(_, count)| count.as_u64()).sum()
}

/// Runs schemathesis on what has this URL, with this token, and says how often each status was answered.
fn fuzz(rest: &Rest, [url, token]: &[String; 2], phase: &str) -> Value {
    let begun = environment::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(environment::openapi_python());
    python.arg(here.join("tests/acceptance/python/schema_fuzzing.py")).arg(here.join("../../vectors/openapi"));
    python.args([url, rest.variable("STRONGROOM_CA_FILE"), phase, &EXAMPLES.to_string()]);
    python.env_clear().env("PATH", environment::path()).env("TOKEN", token);
    let output = python.current_dir(folder.path()).output().expect("the environment has Python");
    assert!(output.status.success(), "{}", az::said(&output));
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let last = text.lines().last().expect("it prints the counts");
    println!("{phase}: {last} in {:.0} s", begun.elapsed().as_secs_f64());
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in {last}"))
}

/// The memory that a process holds, as the kernel counts it.
fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Requests at random for each operation.
const EXAMPLES: u32 = 20;

/// About half of what a run makes. The requests are the same each time, because the seed is.
const COVERAGE_OF_HSM: Least = Least { answered: 70, refused: 2000 };
const COVERAGE_OF_VAULT: Least = Least { answered: 30, refused: 2000 };
const FUZZING_OF_HSM: Least = Least { answered: 120, refused: 600 };

/// What the store's history and the audit log's buffers may take; a leak of one body a request is far more.
const GROWTH_KIB_MAX: u64 = 64 * 1024;
