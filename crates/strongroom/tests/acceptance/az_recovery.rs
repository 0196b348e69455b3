//! `az keyvault security-domain init-recovery`, `restore-blob`, `upload`: one HSM's domain comes into another HSM.

use std::path::Path;

use serde_json::{Value, json};

use crate::az::Az;
use crate::deployment::Deployment;
use crate::hsm::{Hsm, create};
use crate::wrapping_keys::WrappingKeys;

/// Mixed case on purpose: one SDK remembers the challenge by host with case.
const SECOND: &str = "ContosoMHSM2";
const FIRST: &str = "ContosoMHSM";

/// An active HSM with its file and keys, and a second one that waits.
struct Scene {
    deployment: Deployment,
    az: Az,
    keys: WrappingKeys,
}

impl Scene {
    fn new() -> Self {
        let deployment = Deployment::start_recorded();
        let (rest, keys) = (deployment.rest(), WrappingKeys::make(3));
        let file = Hsm::created(&rest, FIRST).activate(&keys);
        std::fs::write(keys.beside("ContosoMHSM-SD.json"), file).expect("the file is kept");
        create(&rest, SECOND, &rest.hsm_to_create());
        let az = Az::signed_in(&deployment);
        Self { deployment, az, keys }
    }

    fn path(&self, name: &str) -> String {
        self.keys.beside(name).display().to_string()
    }

    fn init_recovery(&self, file: &str) {
        let command = ["keyvault", "security-domain", "init-recovery", "--hsm-name", SECOND, "--sd-exchange-key", file];
        self.az.ok(&command);
    }

    /// The published command, with so many of the custodians' keys.
    fn upload_with(&self, keys: &[usize]) -> Vec<String> {
        let words = ["keyvault", "security-domain", "upload", "--hsm-name", SECOND, "--sd-file"];
        let mut command: Vec<String> = words.map(str::to_owned).to_vec();
        command.push(self.path("ContosoMHSM-SD.json"));
        command.extend(["--sd-exchange-key".to_owned(), self.path("exchange.cer"), "--sd-wrapping-keys".to_owned()]);
        command.extend(keys.iter().map(|number| self.keys.private_key(*number).display().to_string()));
        command
    }

    fn shown(&self) -> Value {
        self.az.ok(&["keyvault", "show", "--hsm-name", SECOND])["properties"].clone()
    }

    fn activation(&self) -> String {
        let shown = self.shown();
        let status = &shown["securityDomainProperties"]["activationStatus"];
        status.as_str().unwrap_or_else(|| panic!("no activation status in {shown}")).to_owned()
    }
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

#[test]
fn a_second_hsm_is_recovered_by_two_of_three_custodians_and_by_one_it_is_not() {
    let mut scene = Scene::new();
    assert_eq!(scene.shown()["provisioningState"], "Succeeded");
    scene.init_recovery(&scene.path("exchange.cer"));
    assert_eq!(scene.shown()["provisioningState"], "SecurityDomainRestore");
    scene.az.refused(&words(&scene.upload_with(&[0])), "not less than 2");
    assert_eq!(scene.activation(), "NotActivated");

    let uploaded = scene.az.ok(&words(&scene.upload_with(&[2, 0])));
    assert_eq!(uploaded["status"], "Success", "{uploaded}");
    assert_eq!((scene.activation().as_str(), &scene.shown()["provisioningState"]), ("Active", &"Succeeded".into()));
    scene.az.ok(&["keyvault", "security-domain", "wait", "--hsm-name", SECOND, "--target-operation", "upload"]);

    let rest = scene.deployment.rest();
    Hsm::existing(&rest, SECOND).grant_key_roles();
    scene.az.ok(&["keyvault", "key", "create", "--hsm-name", SECOND, "--name", "k", "--kty", "EC-HSM"]);
    // Its transfer key has served.
    scene.az.refused(&words(&scene.upload_with(&[2, 0])), "Conflict");
    scene.deployment.stop();
}

#[test]
fn a_restore_blob_made_offline_is_uploaded_and_an_upload_for_an_older_transfer_key_is_refused() {
    let mut scene = Scene::new();
    scene.init_recovery(&scene.path("exchange.cer"));
    let blob = |scene: &Scene, name: &str, exchange: &str| {
        let (file, out) = (scene.path("ContosoMHSM-SD.json"), scene.path(name));
        let (one, two) = (scene.keys.private_key(1), scene.keys.private_key(2));
        let (one, two) = (one.display().to_string(), two.display().to_string());
        let what = ["keyvault", "security-domain", "restore-blob", "--sd-file", &file, "--sd-exchange-key", exchange];
        scene.az.ok(&[&what[..], &["--sd-wrapping-keys", &one, &two, "--sd-file-restore-blob", &out]].concat());
        out
    };
    let upload = |file: &str| {
        let command = ["keyvault", "security-domain", "upload", "--hsm-name", SECOND, "--restore-blob", "--sd-file"];
        [&command[..], &[file]].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let old = blob(&scene, "old.json", &scene.path("exchange.cer"));
    // The transfer key is in the server's memory only: a restart ends the recovery.
    scene.deployment.stop();
    scene.deployment.run();
    scene.az.refused(&words(&upload(&old)), "init-recovery");
    scene.init_recovery(&scene.path("fresh.cer"));
    scene.az.refused(&words(&upload(&old)), "another transfer key");
    let fresh = blob(&scene, "fresh.json", &scene.path("fresh.cer"));
    scene.az.ok(&words(&upload(&fresh)));
    assert_eq!(scene.activation(), "Active");
    scene.deployment.stop();
}

#[test]
fn a_key_backup_of_the_first_hsm_opens_in_the_second_once_that_has_its_domain_and_in_no_other() {
    let mut scene = Scene::new();
    let rest = scene.deployment.rest();
    let stranger = "StrangerMHSM";
    Hsm::activated(&rest, stranger);
    scene.init_recovery(&scene.path("exchange.cer"));
    scene.az.ok(&words(&scene.upload_with(&[1, 2])));
    for name in [FIRST, SECOND] {
        Hsm::existing(&rest, name).grant_key_roles();
    }
    let line = |verb: &'static str, hsm: &'static str| ["keyvault", "key", verb, "--hsm-name", hsm];
    let key = |verb, hsm, more: &[&str]| scene.az.ok(&[&line(verb, hsm)[..], more].concat());
    let file = scene.path("moved.backup");
    let made = key("create", FIRST, &["--name", "moved", "--kty", "EC-HSM"]);
    key("backup", FIRST, &["--name", "moved", "--file", &file]);
    scene.az.refused(&[&line("restore", stranger)[..], &["--file", &file]].concat(), "no whole and unaltered backup");
    let restored = key("restore", SECOND, &["--file", &file]);
    assert_eq!((&restored["key"]["x"], &restored["key"]["y"]), (&made["key"]["x"], &made["key"]["y"]));

    let digest = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
    let sign = ["--name", "moved", "--algorithm", "ES256", "--digest", digest];
    let signature = key("sign", SECOND, &sign)["signature"].as_str().expect("a signature").to_owned();
    let verified = key("verify", FIRST, &[&sign[..], &["--signature", &signature]].concat());
    assert_eq!(verified["isValid"], true);
    scene.deployment.stop();
}

/// The negative vectors, made with a prototype: all are refused over the wire as the client's to fix, and the HSM is as it
/// was.
#[test]
fn every_negative_vector_is_refused_by_the_server() {
    let mut deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    let hsm = Hsm::created(&rest, "vectors");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/security-domain");
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(folder.join(name)).expect("the vector is readable");
        serde_json::from_str(&text).expect("a vector is JSON")
    };
    let manifest = read("negative/manifest.json");
    let bodies = |kind: &str| -> Vec<String> {
        let all = manifest.as_array().expect("a list").iter();
        let of_kind = all.filter(|vector| vector["kind"].as_str().is_some_and(|text| text.contains(kind)));
        of_kind.map(|vector| vector["file"].as_str().expect("a name").to_owned()).collect()
    };
    let (downloads, uploads) = (bodies("securitydomain/download"), bodies("securitydomain/upload"));
    assert_eq!((downloads.len(), uploads.len()), (16, 23));
    for name in downloads {
        let answer = hsm.post("/securitydomain/download", &read(&format!("negative/{name}")));
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
    }
    hsm.get("/securitydomain/upload").expect(200);
    // The one that opens holds the entries of another product.
    for name in uploads {
        let answer = hsm.post("/securitydomain/upload", &read(&format!("negative/{name}")));
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
    }
    let more = [json!({}), json!({"value": 7}), json!({"value": null}), json!({"value": "{}"}), json!([])];
    for body in more {
        assert_eq!(hsm.post("/securitydomain/upload", &body).status, 400, "{body}");
    }
    let status = hsm.get("/securitydomain/upload/pending").expect(200);
    assert_eq!(status["status"], "InProgress");
    let keys = hsm.get("/keys");
    assert_eq!(keys.status, 403, "{keys:?}");
    deployment.stop();
}
