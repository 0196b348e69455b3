//! The security domain of an active HSM: another file for other custodians with `az`, and rotation with `strongroom domain`.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::az::{Az, said};
use crate::ceremony;
use crate::deployment::Deployment;
use crate::hsm::Hsm;
use crate::rest::Answer;
use crate::wrapping_keys::WrappingKeys;

const HSM: &str = "ContosoMHSM";

/// An active HSM with a key, and its custodians.
struct Scene {
    deployment: Deployment,
    keys: WrappingKeys,
    /// The file that activated it.
    file: String,
}

impl Scene {
    fn new(configuration: &str) -> Self {
        let deployment = Deployment::start_with(|_| configuration.to_owned());
        let (rest, keys) = (deployment.rest(), WrappingKeys::make(4));
        let hsm = Hsm::created(&rest, HSM);
        let answer = hsm.activate(&keys);
        hsm.grant_key_roles();
        hsm.post("/keys/k/create", &json!({"kty": "EC-HSM"})).expect(200);
        let file = keys.beside("SD-1.json");
        std::fs::write(&file, answer).expect("the file is kept");
        Self { deployment, keys, file: file.display().to_string() }
    }

    fn path(&self, name: &str) -> String {
        self.keys.beside(name).display().to_string()
    }

    fn key(&self, number: usize) -> String {
        self.keys.private_key(number).display().to_string()
    }

    fn sign(&self) -> Answer {
        let rest = self.deployment.rest();
        Hsm::existing(&rest, HSM).post("/keys/k/sign", &json!({"alg": "ES256", "value": "A".repeat(43)}))
    }

    fn domain(&self, verb: &str, arguments: &[&str]) -> Output {
        let mut command = self.deployment.command(&format!("domain {verb}"));
        command.args(["--hsm-name", HSM, "--json"]).args(arguments).output().expect("the built binary starts")
    }

    #[track_caller]
    fn domain_done(&self, verb: &str, arguments: &[&str]) -> Value {
        let output = self.domain(verb, arguments);
        assert!(output.status.success(), "{verb}: {}", said(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    #[track_caller]
    fn domain_refused(&self, verb: &str, arguments: &[&str], cause: &str) {
        let output = self.domain(verb, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(stderr.contains(cause) && stderr.contains("\nhelp: "), "{stderr}");
    }

    /// Two custodians prove themselves with a file, without `az`.
    fn prove(&self, file: &str, name: &str) {
        let (exchange, upload) = (self.path(&format!("{name}.cer")), self.path(&format!("{name}.json")));
        let told = self.domain_done("transfer-key", &["--out", &exchange]);
        let (one, two, thumbprint) = (self.key(1), self.key(3), told["x5t#S256"].as_str().expect("a thumbprint"));
        let quorum = ["open", "--file", file, "--key", &one, &two, "--transfer-key", &exchange];
        ceremony::done(&[&quorum[..], &["--out", &upload, "--expect-thumbprint", thumbprint]].concat());
        let told = self.domain_done("upload", &["--file", &upload]);
        assert!(told["status_details"].as_str().is_some_and(|text| text.contains("within an hour")), "{told}");
    }

    fn new_file<'a>(&self, certificates: &'a [String], out: &'a str) -> Vec<&'a str> {
        let custodians = certificates.iter().map(String::as_str);
        ["--quorum", "2", "--out", out, "--certificate"].into_iter().chain(custodians).collect()
    }
}

#[test]
fn az_downloads_again_for_other_custodians_once_a_quorum_has_proved_itself() {
    let mut scene = Scene::new("");
    let az = Az::signed_in(&scene.deployment);
    let others = WrappingKeys::make(3);
    let (new, certificates) = (scene.path("SD-2.json"), others.certificates());
    let domain = |verb| ["keyvault", "security-domain", verb, "--hsm-name", HSM];
    let mut download = [&domain("download")[..], &["--sd-quorum", "3", "--security-domain-file", &new]].concat();
    download.push("--sd-wrapping-keys");
    download.extend(certificates.iter().map(String::as_str));
    az.refused(&download, "download_again = \"quorum\"");
    assert!(!Path::new(&new).exists());

    let (exchange, one, two) = (scene.path("exchange.cer"), scene.key(0), scene.key(2));
    az.ok(&[&domain("init-recovery")[..], &["--sd-exchange-key", &exchange]].concat());
    let with = ["--sd-file", &scene.file, "--sd-exchange-key", &exchange, "--sd-wrapping-keys", &one, &two];
    let uploaded = az.ok(&[&domain("upload")[..], &with[..]].concat());
    assert_eq!(uploaded["status"], "Success", "{uploaded}");
    let downloaded = az.ok(&download);
    let details = downloaded["statusDetails"].as_str().or(downloaded["status_details"].as_str()).unwrap_or_default();
    assert!(details.contains("custodians of earlier files can still open those"), "{downloaded}");

    let rest = scene.deployment.rest();
    let shown = Hsm::existing(&rest, HSM).get("/securitydomain").expect(200);
    assert_eq!((&shown["custodians"]["required"], &shown["epoch"]), (&json!(3), &json!(1)), "{shown}");
    let key = |number| others.private_key(number).display().to_string();
    let all = [key(0), key(1), key(2)];
    let opened = ceremony::done(&["verify", "--file", &new, "--key", &all[0], &all[1], &all[2]]);
    let old = ceremony::done(&["verify", "--file", &scene.file, "--key", &one, &two]);
    assert_eq!(opened["domain"]["id"], old["domain"]["id"], "the old custodians can still open theirs");
    let again = scene.path("SD-3.json");
    let download: Vec<&str> =
        download.into_iter().map(|word| if word == new { again.as_str() } else { word }).collect();
    az.refused(&download, "download_again = \"quorum\"");
    scene.sign().expect(200);
    scene.deployment.stop();
}

#[test]
fn a_rotation_gives_a_new_file_and_seals_every_record_again_and_the_old_file_proves_nothing_more() {
    let mut scene = Scene::new("");
    let certificates = scene.keys.certificates();
    let new = scene.path("SD-2.json");
    let file = scene.new_file(&certificates, &new);
    let before = scene.domain_done("status", &[]);
    assert_eq!((&before["epoch"], &before["download_policy"]), (&json!(1), &json!("quorum")), "{before}");
    scene.domain_refused("rotate", &file, "download_again = \"quorum\"");
    scene.prove(&scene.file, "first");
    let rotated = scene.domain_done("rotate", &file);
    assert_eq!((&rotated["rotation"]["epoch"], &rotated["rotation"]["status"]), (&json!(2), &json!("Success")));
    assert!(rotated["rotation"]["records"].as_u64().is_some_and(|records| records >= 6), "{rotated}");
    scene.domain_refused("rotate", &file, "exists already");
    let status = scene.domain_done("status", &[]);
    assert_eq!((&status["epoch"], &status["oldest_epoch"]), (&json!(2), &json!(2)), "{status}");
    scene.sign().expect(200);

    let (one, two) = (scene.key(0), scene.key(1));
    let opened = ceremony::done(&["verify", "--file", &new, "--key", &one, &two]);
    assert_eq!(opened["domain"]["epochs"], json!([1, 2]));
    let (exchange, upload) = (scene.path("again.cer"), scene.path("again.json"));
    scene.domain_done("transfer-key", &["--out", &exchange]);
    let old = ["open", "--file", &scene.file, "--key", &one, &two, "--transfer-key", &exchange, "--out", &upload];
    ceremony::done(&old);
    scene.domain_refused("upload", &["--file", &upload], "the managed HSM is at epoch 2");
    scene.deployment.stop();
    scene.deployment.run();
    scene.sign().expect(200);
    scene.prove(&new, "second");
    let third = scene.path("SD-3.json");
    scene.domain_done("download", &scene.new_file(&certificates, &third));
    scene.deployment.stop();
}

#[test]
fn a_policy_that_is_disabled_gives_no_file_and_names_itself() {
    let mut scene = Scene::new("[security_domain]\ndownload_again = \"disabled\"\n");
    let certificates = scene.keys.certificates();
    let new = scene.path("SD-2.json");
    for verb in ["download", "rotate"] {
        scene.domain_refused(verb, &scene.new_file(&certificates, &new), "download_again = \"disabled\"");
    }
    scene.domain_refused("transfer-key", &["--out", &scene.path("exchange.cer")], "activated already");
    assert!(!Path::new(&new).exists());
    scene.deployment.stop();
}
