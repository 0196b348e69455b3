//! `az keyvault backup start`, `restore start` with a SAS, on a real blob store.

use serde_json::Value;

use crate::az::Az;
use crate::azurite::{ACCOUNT, Azurite};
use crate::deployment::Deployment;
use crate::hsm::Hsm;

const HSM: &str = "SasBackedHsm";
const DIGEST: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
const GROUP: &str = "strongroom";

struct Scene {
    deployment: Deployment,
    az: Az,
    store: Azurite,
    /// What leads to the account's blobs, with the shared key.
    connection: String,
}

impl Scene {
    /// An activated HSM, and an account with an empty container.
    fn new() -> Self {
        let store = Azurite::start();
        let deployment = Deployment::start_recorded_with(&[store.ca_file()], &store.configuration());
        Hsm::activated(&deployment.rest(), HSM);
        let az = Az::signed_in(&deployment);
        let account = ["--resource-group", GROUP, "--name", ACCOUNT];
        let create = ["storage", "account", "create", "--location", "local", "--sku", "Standard_LRS"];
        az.ok(&[&create[..], &account].concat());
        let shown = az.ok(&[&["storage", "account", "show-connection-string"][..], &account].concat());
        let connection = text(&shown["connectionString"]);
        let scene = Self { deployment, az, store, connection };
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
