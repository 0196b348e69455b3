//! No key bytes outside the boundary: not in the data folder, not in the log, not in a core dump.
//!
//! The secrets looked for are known, because the custodians can open the security domain: it holds the HSM's root.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::deployment::{Deployment, files_below};
use crate::hsm::Hsm;
use crate::wrapping_keys::WrappingKeys;
use crate::{az, environment};

#[test]
fn the_root_of_an_hsm_is_in_no_file_no_log_and_no_core_dump() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let hsm = Hsm::created(&rest, "secrecy-hsm");
    let keys = WrappingKeys::make(3);
    let patterns = Patterns::of(&open(&keys, &hsm.activate(&keys)));
    hsm.grant_key_roles();
    for (name, body) in [("ec", json!({"kty": "EC-HSM"})), ("oct", json!({"kty": "oct-HSM", "key_size": 256}))] {
        hsm.post(&format!("/keys/{name}/create"), &body).expect(200);
    }
    hsm.post("/keys/oct/encrypt", &json!({"alg": "A256GCM", "value": "c2VjcmV0"})).expect(200);
    // A start reads everything back, as a running server has it in memory.
    deployment.stop();
    deployment.run();
    let rest = deployment.rest();
    let digest = URL_SAFE_NO_PAD.encode([3; 32]);
    Hsm::existing(&rest, "secrecy-hsm").post("/keys/ec/sign", &json!({"alg": "ES256", "value": digest})).expect(200);

    for file in files_below(&deployment.data()) {
        patterns.assert_absent(&file);
    }
    patterns.assert_absent(&deployment.log_path());
    let folder = tempfile::tempdir().expect("a temporary folder");
    if let Some(dump) = core_dump(folder.path(), deployment.pid()) {
        patterns.assert_absent(&dump);
    }
    assert_eq!(core_limit(deployment.pid()), ["0", "0"], "the kernel would write a core dump");
    deployment.stop();
}

/// The secrets of a security domain, opened by an independent program with two of the three keys.
pub(crate) fn open(keys: &WrappingKeys, domain: &str) -> Vec<Vec<u8>> {
    let file = keys.beside("domain.json");
    fs::write(&file, domain).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance/python/open_security_domain.py");
    let mut python = Command::new(environment::az_python());
    python.arg(script).arg(&file);
    for number in [0, 2] {
        python.arg(keys.certificate(number)).arg(keys.private_key(number));
    }
    let output = python.output().expect("python starts");
    assert!(output.status.success(), "{}", az::said(&output));
    let secrets: Value = serde_json::from_slice(&output.stdout).expect("the script prints JSON");
    let secrets = secrets.as_object().expect("one value for each tag");
    // The manifest says what the file is; it is no secret.
    let secrets = secrets.iter().filter(|(tag, _)| *tag != "mhsm_manifest");
    let secrets: Vec<_> = secrets.map(|(_, hex)| from_hex(hex.as_str().expect("hex"))).collect();
    assert!(secrets.len() >= 2, "the master key of the file and at least one secret in it");
    secrets
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).expect("a hex digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A core dump of the running server; none if this user may not make one.
pub(crate) fn core_dump(folder: &Path, pid: u32) -> Option<std::path::PathBuf> {
    let prefix = folder.join("core");
    let output = Command::new("gcore").arg("-o").arg(&prefix).arg(pid.to_string()).output();
    let output = output.expect("gdb is installed: `cargo xtask acceptance` does it");
    let dump = folder.join(format!("core.{pid}"));
    if dump.exists() {
        return Some(dump);
    }
    let said = az::said(&output);
    assert!(said.contains("not permitted"), "no dump, and not because it is forbidden: {said}");
    None
}

/// The soft and the hard limit of a core dump's size.
fn core_limit(pid: u32) -> Vec<String> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("the server is running");
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).expect("Linux lists it");
    line.split_whitespace().skip(4).take(2).map(str::to_owned).collect()
}

/// Pieces of secrets in the spellings in which they could leak.
pub(crate) struct Patterns {
    pieces: Vec<Vec<u8>>,
    /// Which pairs of bytes begin a piece: most of a file is passed over with one look.
    begins: Vec<bool>,
}

impl Patterns {
    pub(crate) fn of(secrets: &[Vec<u8>]) -> Self {
        let mut pieces = Vec::new();
        for secret in secrets.iter().cloned().chain(secrets.iter().flat_map(|secret| inner(secret))) {
            for start in (0..secret.len().saturating_sub(PIECE_BYTES - 1)).step_by(STEP_BYTES) {
                pieces.extend(spellings(&secret[start..start + PIECE_BYTES]));
            }
        }
        assert!(!pieces.is_empty(), "there is a secret to look for");
        let mut begins = vec![false; 1 << 16];
        for piece in &pieces {
            begins[usize::from(piece[0]) << 8 | usize::from(piece[1])] = true;
        }
        Self { pieces, begins }
    }

    pub(crate) fn assert_absent(&self, file: &Path) {
        let bytes = fs::read(file).expect("the file is readable");
        let at = self.position(&bytes);
        assert_eq!(at, None, "key bytes in {}", file.display());
    }

    pub(crate) fn position(&self, bytes: &[u8]) -> Option<usize> {
        let pairs = bytes.windows(2).enumerate();
        let mut hits = pairs.filter(|(_, pair)| self.begins[usize::from(pair[0]) << 8 | usize::from(pair[1])]);
        hits.find(|(at, _)| self.pieces.iter().any(|piece| bytes[*at..].starts_with(piece))).map(|(at, _)| at)
    }
}

/// Keys inside a secret that is itself JSON, decoded, at any depth.
pub(crate) fn inner(secret: &[u8]) -> Vec<Vec<u8>> {
    let Ok(value) = serde_json::from_slice::<Value>(secret) else { return Vec::new() };
    decoded(&value)
}

fn decoded(value: &Value) -> Vec<Vec<u8>> {
    match value {
        // The name of the domain is no secret.
        Value::Object(members) => {
            members.iter().filter(|(name, _)| *name != "domain_id").flat_map(|(_, value)| decoded(value)).collect()
        }
        Value::Array(items) => items.iter().flat_map(decoded).collect(),
        Value::String(text) => {
            URL_SAFE_NO_PAD.decode(text).into_iter().filter(|bytes| bytes.len() >= PIECE_BYTES).collect()
        }
        _ => Vec::new(),
    }
}

fn spellings(piece: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut all = vec![piece.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for shift in 0..3 {
        // In base64 a byte looks different at each of three places; the first and last letters depend on the neighbours.
        let shifted = [&[0; 2][..shift], piece].concat();
        for text in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            all.push(text.as_bytes()[4..text.len() - 4].to_vec());
        }
    }
    all
}

#[test]
fn a_secret_is_found_in_each_of_its_spellings() {
    let secret: Vec<u8> = (0..32).map(|number| number * 7 + 3).collect();
    let patterns = Patterns::of(std::slice::from_ref(&secret));
    let around = |middle: &[u8]| [&b"something before"[..], middle, b"something after"].concat();
    assert_eq!(patterns.position(&around(b"nothing at all")), None);
    assert!(patterns.position(&around(&secret)).is_some());
    assert!(patterns.position(&around(&secret[5..30])).is_some(), "a part of it");
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(patterns.position(&around(hex.as_bytes())).is_some());
    for before in [&b""[..], b"x", b"xy"] {
        let text = STANDARD_NO_PAD.encode([before, &secret, b"tail"].concat());
        assert!(patterns.position(text.as_bytes()).is_some(), "{} bytes before it", before.len());
    }
}

/// Long enough never to be met by chance, also in base64 without its ends.
const PIECE_BYTES: usize = 16;

const STEP_BYTES: usize = 4;
