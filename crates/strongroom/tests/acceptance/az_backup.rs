//! `az keyvault backup start`, `restore start` with a SAS, on a real blob store.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::az::{Az, said};
use crate::azurite::{ACCOUNT, Azurite};
use crate::deployment::Deployment;
use crate::environment::path;
use crate::hsm::Hsm;
use crate::wrapping_keys::WrappingKeys;

const HSM: &str = "SasBackedHsm";
const DIGEST: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
const GROUP: &str = "strongroom";

struct Scene {
    deployment: Deployment,
    az: Az,
    custodians: WrappingKeys,
    store: Azurite,
    /// What leads to the account's blobs, with the shared key.
    connection: String,
}

impl Scene {
    /// An activated HSM, and an account with an empty container.
    fn new() -> Self {
        let store = Azurite::start();
        let deployment = Deployment::start_recorded_with(&[store.ca_file()], &store.configuration());
        let custodians = WrappingKeys::make(3);
        {
            let rest = deployment.rest();
            let hsm = Hsm::created(&rest, HSM);
            std::fs::write(custodians.beside("SD.json"), hsm.activate(&custodians)).expect("the file is kept");
            hsm.grant_key_roles();
        }
        let az = Az::signed_in(&deployment);
        let account = ["--resource-group", GROUP, "--name", ACCOUNT];
        let create = ["storage", "account", "create", "--location", "local", "--sku", "Standard_LRS"];
        az.ok(&[&create[..], &account].concat());
        let shown = az.ok(&[&["storage", "account", "show-connection-string"][..], &account].concat());
        let connection = text(&shown["connectionString"]);
        let scene = Self { deployment, az, custodians, store, connection };
        scene.storage(&["container", "create", "--name", "backups"]);
        scene
    }

    fn storage(&self, words: &[&str]) -> Value {
        self.az.ok(&[&["storage"], words, &["--connection-string", &self.connection]].concat())
    }

    fn sas(&self, permissions: &str, expiry: &str) -> String {
        let words =
            ["container", "generate-sas", "--name", "backups", "--permissions", permissions, "--expiry", expiry];
        text(&self.storage(&words))
    }

    /// A command of backup or restore on the container.
    fn job<'a>(&self, words: &[&'a str], sas: &'a str, container: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let place = ["--storage-resource-uri", container, "--storage-container-SAS-token", sas];
        [&["keyvault"], words, &["start", "--hsm-name", HSM][..], &place, more].concat()
    }

    /// `drill run` with what a recovery has: the store, a SAS to read it, and two custodians.
    fn drill(&self, container: &str, sas: &str, folder: &str, report: &str) -> Command {
        let at = |name: &str| self.custodians.beside(name);
        std::fs::write(at("backups.sas"), format!("{sas}\n")).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.env_clear().env("PATH", path()).stdin(Stdio::null()).args(["drill", "run", "--json"]);
        command.args(["--container", container, "--backup-folder", folder, "--operator", "the test"]);
        command.arg("--sas-file").arg(at("backups.sas")).arg("--ca-file").arg(self.store.ca_file());
        command.arg("--file").arg(at("SD.json")).arg("--report").arg(at(report));
        command.arg("--key").args([self.custodians.private_key(0), self.custodians.private_key(2)]);
        command
    }

    fn key(&self, words: &[&str]) -> Value {
        self.az.ok(&[&["keyvault", "key"], words, &["--hsm-name", HSM, "--name", "k"]].concat())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

#[test]
fn a_sas_leads_a_backup_out_and_back_and_one_key_of_it() {
    let mut scene = Scene::new();
    let (container, sas) = (format!("{}/backups", scene.store.endpoint()), scene.sas("racwdl", "2099-01-01"));
    scene.key(&["create", "--kty", "EC-HSM", "--curve", "P-256"]);
    let sign = ["sign", "--algorithm", "ES256", "--digest", DIGEST];
    let signature = text(&scene.key(&sign)["signature"]);
    let started = scene.az.ok(&scene.job(&["backup"], &sas, &container, &[]));
    let folder_url = text(&started["folderUrl"]);
    let folder = folder_url.strip_prefix(&format!("{container}/")).expect("the folder lies in the container");
    let blobs = scene.storage(&["blob", "list", "--container-name", "backups"]);
    let names: Vec<String> = blobs.as_array().expect("a list").iter().map(|blob| text(&blob["name"])).collect();
    assert!(names.iter().all(|name| name.starts_with(folder)) && names.len() > 1, "{names:?}");
    assert!(names.contains(&format!("{folder}/manifest")), "{names:?}");

    // A drill reads it from where it lies.
    let output = scene.drill(&container, &scene.sas("rl", "2099-01-01"), folder, "drill").output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    assert_eq!((&report["outcome"], &report["restored"]["proved"]), (&json!("Passed"), &json!(1)), "{report}");
    assert_eq!(report["backup"]["container"], container.as_str(), "without the credential");
    for name in ["drill.json", "drill.html"] {
        let kept = std::fs::read_to_string(scene.custodians.beside(name)).expect("the report is kept");
        assert!(!kept.contains("sig="), "{name}");
    }
    let ended = scene.drill(&container, &scene.sas("rl", "2020-01-01"), folder, "late").output().expect("it starts");
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    assert!(!said(&ended).contains("sig="), "{}", said(&ended));

    // One key, deleted and purged meanwhile.
    scene.key(&["delete"]);
    scene.key(&["purge"]);
    let of_key = ["--backup-folder", folder, "--key-name", "k"];
    scene.az.ok(&scene.job(&["restore"], &sas, &container, &of_key));
    let verify = ["verify", "--algorithm", "ES256", "--digest", DIGEST, "--signature", &signature];
    assert_eq!(scene.key(&verify)["isValid"], true);

    // All of it: what came after the backup is gone.
    let after = ["keyvault", "key", "create", "--hsm-name", HSM, "--name", "after", "--kty", "EC-HSM"];
    scene.az.ok(&after);
    scene.az.ok(&scene.job(&["restore"], &sas, &container, &["--backup-folder", folder]));
    scene.az.refused(&["keyvault", "key", "show", "--hsm-name", HSM, "--name", "after"], "KeyNotFound");
    assert_eq!(scene.key(&verify)["isValid"], true);

    // Without its manifest it is no backup, whatever else is there.
    let manifest = format!("{folder}/manifest");
    scene.storage(&["blob", "delete", "--container-name", "backups", "--name", &manifest]);
    scene.az.refused(&scene.job(&["restore"], &sas, &container, &["--backup-folder", folder]), "no manifest");
    assert_eq!(scene.key(&verify)["isValid"], true, "and nothing was touched");
    scene.deployment.stop();
    let signature = sas.split("sig=").nth(1).expect("a SAS has a signature").split('&').next().unwrap_or_default();
    assert!(!scene.deployment.log().contains(signature), "the SAS is in no log");
}

#[test]
fn a_sas_that_cannot_do_it_is_refused_with_the_reason() {
    let mut scene = Scene::new();
    let container = format!("{}/backups", scene.store.endpoint());
    let refused = |sas: &str, reason: &str| scene.az.refused(&scene.job(&["backup"], sas, &container, &[]), reason);
    refused(&scene.sas("racwdl", "2020-01-01"), "it ended at 2020-01-01");
    refused(&scene.sas("wl", "2099-01-01"), "lacks r");
    refused(&scene.sas("rl", "2099-01-01"), "may not write");
    refused("sv=2025-05-05&se=2099-01-01&sr=c&sp=racwdl", "no sig");
    let forged = scene.sas("racwdl", "2099-01-01").replace("sig=", "sig=AAAA");
    refused(&forged, "the blob store refused: 403");
    let elsewhere = "https://blob.example.com/backups";
    let sas = scene.sas("racwdl", "2099-01-01");
    scene.az.refused(&scene.job(&["backup"], &sas, elsewhere, &[]), "[backup] allowed_hosts");
    assert_eq!(scene.storage(&["blob", "list", "--container-name", "backups"]).as_array().map(Vec::len), Some(0));
    scene.deployment.stop();
}
