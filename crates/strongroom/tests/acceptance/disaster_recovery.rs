//! `tests/acceptance/disaster-recovery.sh`, the published runbook, with the unmodified Azure CLI and a real blob store.

use std::path::Path;

use crate::az::Az;
use crate::azurite::{ACCOUNT, Azurite};
use crate::deployment::Deployment;
use crate::environment::{self, Engine};

#[test]
fn the_published_runbook_brings_a_lost_hsm_back() {
    run_the_runbook(environment::engine());
}

#[test]
fn the_published_runbook_brings_a_lost_hsm_back_on_etcd() {
    run_the_runbook(Engine::Etcd);
}

fn run_the_runbook(engine: Engine) {
    let store = Azurite::start();
    let mut deployment = Deployment::start_recorded_on_with(engine, &[store.ca_file()], &store.configuration());
    let (rest, az) = (deployment.rest(), Az::signed_in(&deployment));
    // The blob store is no part of the deployment: its addresses have a port of their own.
    az.script(&format!(
        "\"$STRONGROOM_AZ\" cloud update --name strongroom --suffix-storage-endpoint {} --only-show-errors",
        store.suffix()
    ));
    let folder = az.file("recovery");
    std::fs::create_dir(&folder).expect("a folder for the script");
    let variable = |name: &str| rest.variable(name);
    let settings = [
        ("SUBSCRIPTION_ID", variable("STRONGROOM_SUBSCRIPTION_ID")),
        ("RESOURCE_GROUP", variable("STRONGROOM_RESOURCE_GROUP")),
        ("LOCATION", "local"),
        ("OPERATOR_ID", variable("STRONGROOM_PRINCIPAL_ID")),
        ("MACHINE_ID", &machine(&az)),
        ("STORAGE_ACCOUNT", ACCOUNT),
    ];
    let settings: String = settings.iter().map(|(name, value)| format!("{name}='{value}'; ")).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/acceptance/disaster-recovery.sh");
    let script = script.canonicalize().expect("the script is there");
    az.script(&format!(
        "cd '{}' && {settings} operator_signs_in() {{ strongroom_az_login; }}; . '{}'",
        folder.display(),
        script.display()
    ));
    deployment.stop();
    assert!(!deployment.log().contains("panic"), "{}", deployment.log());
}

/// The object id of the identity that `az login --identity` signs in.
fn machine(az: &Az) -> String {
    let show = ["identity", "show", "--resource-group", "strongroom", "--name", "machine"];
    az.ok(&show)["principalId"].as_str().expect("an object id").to_owned()
}
