//! Requests made from the OpenAPI reference by schemathesis, for a bounded time: no 5xx, no hang, no growth of memory.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::hsm::Hsm;
use crate::{az, environment};

const HSM: &str = "fuzzed-hsm";

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
    fuzz(&deployment, "coverage", WARM_UP_SECONDS);
    let before = resident_kib(deployment.pid());
    let statuses = fuzz(&deployment, "fuzzing", SECONDS);
    let after = resident_kib(deployment.pid());
    println!("statuses {statuses}; resident memory {before} KiB before, {after} KiB after");

    let count = |first: char| -> u64 {
        let of_class = statuses.as_object().expect("counts by status").iter();
        of_class.filter(|(status, _)| status.starts_with(first)).filter_map(|(_, count)| count.as_u64()).sum()
    };
    assert_eq!(count('5'), 0, "{statuses}");
    assert!(count('2') > ANSWERED_MIN, "the requests do not get anywhere: {statuses}");
    assert!(count('4') > REFUSED_MIN, "nothing was refused: {statuses}");
    assert!(after < before + GROWTH_KIB_MAX, "{before} KiB became {after} KiB");
    assert!(rest.is_healthy());
    hsm.get("/keys").expect(200);
    deployment.stop();
}

/// Runs schemathesis and says how often each status was answered.
fn fuzz(deployment: &Deployment, phase: &str, seconds: u32) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rest = deployment.rest();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(environment::openapi_python());
    python.arg(here.join("tests/acceptance/python/schema_fuzzing.py")).arg(here.join("../../vectors/openapi"));
    python.args([&rest.hsm_url(HSM), rest.variable("STRONGROOM_CA_FILE"), phase, &seconds.to_string()]);
    python.env_clear().env("PATH", environment::path()).env("TOKEN", rest.token(&rest.hsm_resource()));
    let output = python.current_dir(folder.path()).output().expect("the environment has Python");
    assert!(output.status.success(), "{}", az::said(&output));
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let last = text.lines().last().expect("it prints the counts");
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in {last}"))
}

/// The memory that a process holds, as the kernel counts it.
fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

const WARM_UP_SECONDS: u32 = 40;
const SECONDS: u32 = 45;

/// So many requests must get somewhere, and so many be refused: far fewer than a minute makes.
const ANSWERED_MIN: u64 = 50;
const REFUSED_MIN: u64 = 200;

/// What the store's history and the audit log's buffers may take in a minute; a leak of one body a request is far more.
const GROWTH_KIB_MAX: u64 = 64 * 1024;
