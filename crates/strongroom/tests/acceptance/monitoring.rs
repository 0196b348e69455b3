//! What watches the server, and what a server does whose audit log has no place left.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::{Deployment, Ports};
use crate::environment::{monitoring_python, until};
use crate::hsm::Hsm;
use crate::rest::{Answer, Rest};

const HSM: &str = "watched-hsm";

#[test]
fn the_metrics_page_is_what_prometheus_reads_and_names_no_key() {
    let metrics = Ports::free().metadata;
    let mut deployment = Deployment::start_with(|_| format!("[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n"));
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    hsm.post("/keys/a-telling-name/create", &json!({"kty": "EC-HSM"})).expect(200);
    for _ in 0..3 {
        sign(&hsm).expect(200);
    }
    hsm.get("/keys/there-is-none").expect_error(404, "KeyNotFound");
    let page = page(metrics);
    assert!(!page.contains("a-telling-name") && !page.contains(HSM) && !page.contains("there-is-none"), "{page}");
    let samples = parsed(&page);
    let of = |name: &str| samples[name].as_f64().unwrap_or_else(|| panic!("{name} is not in {samples}"));
    let requests = |operation: &str, status: &str| {
        of(&format!("strongroom_requests_total{{operation={operation},plane=managedhsm,status={status}}}"))
    };
    assert!((requests("KeySign", "2xx") - 3.0).abs() < f64::EPSILON);
    assert!((requests("KeyGet", "4xx") - 1.0).abs() < f64::EPSILON);
    assert!((requests("KeyCreate", "2xx") - 1.0).abs() < f64::EPSILON);
    assert!(of("strongroom_request_duration_seconds_count{operation=KeySign,plane=managedhsm}") >= 3.0);
    assert!(of("strongroom_store_revision{}") > 10.0);
    assert!(of("strongroom_token_cache_hits_total{}") >= 3.0);
    for (name, value) in [("strongroom_ready{}", 1.0), ("strongroom_audit_writable{}", 1.0)] {
        assert!((of(name) - value).abs() < f64::EPSILON, "{name}");
    }
    deployment.stop();
}

#[test]
fn without_space_for_its_audit_log_a_server_does_no_cryptography() {
    let mut deployment = Deployment::start();
    Hsm::activated(&deployment.rest(), HSM).post("/keys/a-telling-name/create", &json!({"kty": "EC-HSM"})).expect(200);
    deployment.stop();
    // A file system of its own for the log, in a mount namespace of the server's own.
    let log = deployment.data().join("audit");
    deployment.run_through(|serve| {
        let mount = "mount -t tmpfs -o size=256k,mode=700 none \"$0\" && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", mount]).arg(&log);
        command.arg(serve.get_program()).args(serve.get_args());
        command
    });
    let rest = deployment.rest();
    let hsm = Hsm::existing(&rest, HSM);
    sign(&hsm).expect(200);
    let inside = PathBuf::from(format!("/proc/{}/root{}", deployment.pid(), log.display()));
    let filler = fill(&inside);
    until("cryptography is refused", || sign(&hsm).status == 503);
    sign(&hsm).expect_error(503, "ServiceUnavailable");
    hsm.get("/keys/a-telling-name").expect(200);
    let ready = health(&rest, "/health/ready");
    assert_eq!((ready.status, &ready.json()["reasons"]), (503, &json!(["auditLogNotWritable"])));
    assert_eq!(health(&rest, "/health/live").status, 200);
    assert_eq!(health(&rest, "/health").json()["auditWritable"], false);
    fs::remove_file(filler).expect("the filler is there");
    until("it can be written again", || health(&rest, "/health/ready").status == 200);
    sign(&hsm).expect(200);
    let report = verified(&inside);
    assert!(report["good"] == true && report["gapCount"] == 0, "nothing was lost: {report}");
    deployment.stop();
}

fn sign(hsm: &Hsm<'_>) -> Answer {
    let digest = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    hsm.post("/keys/a-telling-name/sign", &json!({"alg": "ES256", "value": digest}))
}

fn health(rest: &Rest, path: &str) -> Answer {
    rest.send(&Method::GET, &format!("{}{path}", rest.variable("STRONGROOM_MANAGEMENT_URL")), None, None)
}

/// Takes all space that is left.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut file = File::create(&path).expect("the folder can be written");
    while file.write_all(&[0; 512]).is_ok() {}
    path
}

/// What the verifier says of a log that is in a folder of this name.
fn verified(audit: &Path) -> Value {
    let data = audit.parent().expect("it lies in the data folder");
    // What is kept beside the log is of the log that lies below the mount.
    let copy = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(copy.path().join("audit")).expect("it is empty");
    for entry in fs::read_dir(data.join("audit")).expect("it is there") {
        let path = entry.expect("readable").path();
        fs::copy(&path, copy.path().join("audit").join(path.file_name().expect("a name"))).expect("copied");
    }
    let mut verify = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    verify.env_clear().args(["audit", "verify", "--json", "--data-dir"]).arg(copy.path());
    let output = verify.output().expect("the built binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the report is JSON")
}

fn page(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the listener is there");
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/openmetrics-text"), "{head}");
    body.to_owned()
}

/// Every sample of a page by name and labels, as Prometheus' own parser reads it.
fn parsed(page: &str) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/acceptance/python/metrics.py");
    let mut command = Command::new(monitoring_python());
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut parser = command.spawn().expect("Python starts");
    parser.stdin.take().expect("it is piped").write_all(page.as_bytes()).expect("it reads");
    let output = parser.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}\n{page}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
