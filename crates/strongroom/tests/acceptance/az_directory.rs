//! `az ad`: applications and service principals, their passwords and certificates, groups and users.

use serde_json::{Value, json};

use crate::az::Az;
use crate::deployment::Deployment;
use crate::device_page;
use crate::directory::{Program, directory};

/// A deployment and a CLI signed in as its administrator.
struct Scene {
    deployment: Deployment,
    az: Az,
    tenant: String,
    subscription: String,
}

impl Scene {
    fn new() -> Self {
        let deployment = Deployment::start();
        let az = Az::signed_in(&deployment);
        let variables = deployment.variables();
        let (tenant, subscription) = (&variables["STRONGROOM_TENANT_ID"], &variables["STRONGROOM_SUBSCRIPTION_ID"]);
        Self { az, tenant: tenant.clone(), subscription: format!("/subscriptions/{subscription}"), deployment }
    }

    /// Signs in as a service principal, by `--password` or `--certificate`.
    #[track_caller]
    fn log_in(&self, client: &Value, kind: &str, credential: &Value) {
        let words = ["login", "--service-principal", "--username", text(client), kind, text(credential)];
        self.az.ok(&[&words[..], &["--tenant", &self.tenant]].concat());
        assert_eq!(self.az.ok(&["account", "show"])["user"]["name"], *client);
    }
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("text, not {value}"))
}

#[test]
fn a_service_principal_made_by_az_logs_in_with_its_certificate() {
    let mut scene = Scene::new();
    let made = scene.az.ok(&[
        "ad",
        "sp",
        "create-for-rbac",
        "--name",
        "certified",
        "--create-cert",
        "--role",
        "Reader",
        "--scopes",
        &scene.subscription,
    ]);
    scene.log_in(&made["appId"], "--certificate", &made["fileWithCertAndPrivateKey"]);
    scene.az.ok(&["keyvault", "list", "--resource-type", "hsm"]);
    // A new token, by a new assertion.
    scene.log_in(&made["appId"], "--certificate", &made["fileWithCertAndPrivateKey"]);

    scene.az.script("strongroom_az_login");
    let reset = scene.az.ok(&["ad", "sp", "credential", "reset", "--id", text(&made["appId"]), "--create-cert"]);
    let login = ["login", "--service-principal", "--username", text(&made["appId"]), "--tenant", &scene.tenant];
    let old = ["--certificate", text(&made["fileWithCertAndPrivateKey"])];
    // Another home: where a login went well, the CLI keeps its token.
    Az::set_up(&scene.deployment).refused(&[&login[..], &old].concat(), "AADSTS700027");
    scene.log_in(&made["appId"], "--certificate", &reset["fileWithCertAndPrivateKey"]);
    scene.deployment.stop();
}

#[test]
fn a_service_principal_lives_from_creation_to_removal() {
    let mut scene = Scene::new();
    let az = &scene.az;
    let made = az.ok(&[
        "ad",
        "sp",
        "create-for-rbac",
        "--name",
        "payments",
        "--role",
        "Reader",
        "--scopes",
        &scene.subscription,
    ]);
    let id = text(&made["appId"]);
    let shown = az.ok(&["ad", "sp", "show", "--id", id]);
    assert_eq!((&shown["displayName"], &shown["appId"]), (&json!("payments"), &made["appId"]));
    assert_eq!(az.ok(&["ad", "app", "show", "--id", id])["id"], shown["id"]);
    for kind in ["sp", "app"] {
        let list = az.ok(&["ad", kind, "list", "--display-name", "payments"]);
        assert_eq!(list.as_array().map(Vec::len), Some(1), "{kind} {list}");
    }
    let secrets = az.ok(&["ad", "sp", "credential", "list", "--id", id]);
    assert_eq!(secrets.as_array().map(Vec::len), Some(1), "{secrets}");
    scene.log_in(&made["appId"], "--password", &made["password"]);
    az.refused(&["ad", "sp", "list", "--all"], "Insufficient privileges");
    az.refused(&["ad", "sp", "delete", "--id", id], "Insufficient privileges");

    az.script("strongroom_az_login");
    let second = az.ok(&["ad", "sp", "credential", "reset", "--id", id, "--append"]);
    scene.log_in(&made["appId"], "--password", &second["password"]);
    scene.log_in(&made["appId"], "--password", &made["password"]);
    az.script("strongroom_az_login");
    az.ok(&["ad", "sp", "credential", "delete", "--id", id, "--key-id", text(&secrets[0]["keyId"])]);
    let login = ["login", "--service-principal", "--username", id, "--tenant", &scene.tenant, "--password"];
    let refused = |password: &Value, reason| {
        // Another home: where a login went well, the CLI keeps its token.
        Az::set_up(&scene.deployment).refused(&[&login[..], &[text(password)]].concat(), reason);
    };
    refused(&made["password"], "AADSTS7000215");
    az.ok(&["ad", "sp", "update", "--id", id, "--set", "accountEnabled=false"]);
    refused(&second["password"], "AADSTS7000112");
    az.ok(&["ad", "sp", "delete", "--id", id]);
    refused(&second["password"], "AADSTS700016");
    scene.deployment.stop();
}

#[test]
fn a_group_gives_its_role_to_its_members_and_takes_it_back() {
    let mut scene = Scene::new();
    let az = &scene.az;
    let member = Program::add(&scene.deployment, "member");
    let secret = directory(&scene.deployment, "secret add", &["member", "--days", "1"]);
    let group = az.ok(&["ad", "group", "create", "--display-name", "operators", "--mail-nickname", "ops"]);
    let again = az.ok(&["ad", "group", "create", "--display-name", "operators", "--mail-nickname", "ops"]);
    assert_eq!(again["id"], group["id"], "az finds the one that is there");
    let id = text(&group["id"]);
    az.ok(&[
        "role",
        "assignment",
        "create",
        "--role",
        "Reader",
        "--assignee-object-id",
        id,
        "--assignee-principal-type",
        "Group",
        "--scope",
        &scene.subscription,
    ]);
    az.ok(&["ad", "group", "member", "add", "--group", "operators", "--member-id", &member.object_id]);
    let check = ["ad", "group", "member", "check", "--group", "operators", "--member-id", &member.object_id];
    assert_eq!(az.ok(&check)["value"], true);
    let members = az.ok(&["ad", "group", "member", "list", "--group", "operators"]);
    assert_eq!(members[0]["id"], member.object_id.as_str());
    assert_eq!(az.ok(&["ad", "group", "list"])[0]["displayName"], "operators");

    let client = json!(member.client_id);
    scene.log_in(&client, "--password", &secret["password"]);
    az.ok(&["group", "list"]);
    directory(&scene.deployment, "group remove-member", &["operators", "member"]);
    // The token lives on, without the group.
    az.refused(&["group", "list"], "AuthorizationFailed");
    az.script("strongroom_az_login");
    assert_eq!(az.ok(&check)["value"], false);
    az.ok(&["ad", "group", "delete", "--group", "operators"]);
    scene.deployment.stop();
}

#[test]
fn people_are_listed_disabled_and_removed() {
    let mut scene = Scene::new();
    let az = &scene.az;
    let person = device_page::Person::add(&scene.deployment, "anna");
    let name = person.user_principal_name.as_str();
    assert_eq!(az.ok(&["ad", "user", "show", "--id", name])["id"], person.object_id.as_str());
    assert_eq!(az.ok(&["ad", "user", "list"])[0]["userPrincipalName"], name);
    az.ok(&["ad", "user", "update", "--id", name, "--display-name", "Anna Example"]);
    directory(&scene.deployment, "user disable", &["anna"]);
    let shown = directory(&scene.deployment, "user show", &["anna"]);
    assert_eq!((&shown["displayName"], &shown["accountEnabled"]), (&json!("Anna Example"), &json!(false)));
    directory(&scene.deployment, "user enable", &["anna"]);
    let reset = directory(&scene.deployment, "user reset-password", &["anna"]);
    assert!(reset["oneTimePassword"].as_str().is_some_and(|password| password.len() > 20), "{reset}");
    az.ok(&["ad", "user", "delete", "--id", name]);
    az.refused(&["ad", "user", "show", "--id", name], "does not exist");
    scene.deployment.stop();
}
