//! `az login` in each of its forms, and the two ways to make the cloud known.

use reqwest::Method;
use serde_json::json;

use crate::az::Az;
use crate::deployment::Deployment;
use crate::device_page;

#[test]
fn the_service_principal_logs_in_and_sees_its_subscription() {
    let mut deployment = Deployment::start();
    let az = Az::signed_in(&deployment);
    let account = az.ok(&["account", "show"]);
    let variables = deployment.variables();
    assert_eq!(account["id"], variables["STRONGROOM_SUBSCRIPTION_ID"].as_str());
    assert_eq!(account["tenantId"], variables["STRONGROOM_TENANT_ID"].as_str());
    assert_eq!(account["user"]["type"], "servicePrincipal");
    let group = az.ok(&["group", "show", "--name", &variables["STRONGROOM_RESOURCE_GROUP"]]);
    assert_eq!(group["name"], variables["STRONGROOM_RESOURCE_GROUP"].as_str());
    deployment.stop();
}

#[test]
fn a_wrong_secret_is_refused_with_the_reason() {
    let mut deployment = Deployment::start();
    let az = Az::set_up(&deployment);
    let variables = deployment.variables();
    let (client, tenant) = (&variables["STRONGROOM_CLIENT_ID"], &variables["STRONGROOM_TENANT_ID"]);
    let login = ["login", "--service-principal", "--username", client, "--password", "wrong", "--tenant", tenant];
    az.refused(&login, "AADSTS7000215");
    deployment.stop();
}

#[test]
fn the_identity_of_the_machine_logs_in_and_sees_the_subscription() {
    let mut deployment = Deployment::start();
    let az = Az::set_up(&deployment);
    az.script("strongroom_az_login_mi");
    let account = az.ok(&["account", "show"]);
    assert_eq!(account["id"], deployment.variables()["STRONGROOM_SUBSCRIPTION_ID"].as_str());
    assert_eq!(account["user"]["assignedIdentityInfo"], "MSI");
    deployment.stop();
}

#[test]
fn the_cloud_is_registered_from_its_metadata_endpoint() {
    let mut deployment = Deployment::start();
    let az = Az::set_up(&deployment);
    let variables = deployment.variables();
    let management = &variables["STRONGROOM_MANAGEMENT_URL"];
    az.ok(&["cloud", "register", "--name", "typed", "--endpoint-resource-manager", management]);
    let cloud = az.ok(&["cloud", "show", "--name", "typed"]);
    assert_eq!(cloud["endpoints"]["resourceManager"], management.as_str());
    assert_eq!(cloud["endpoints"]["activeDirectory"], variables["STRONGROOM_AUTHORITY_URL"].as_str());
    assert_eq!(cloud["suffixes"]["mhsmDns"], variables["STRONGROOM_MHSM_SUFFIX"].as_str());
    assert_eq!(cloud["suffixes"]["keyvaultDns"], variables["STRONGROOM_KEYVAULT_SUFFIX"].as_str());
    az.ok(&["cloud", "set", "--name", "typed"]);
    az.script("strongroom_az_login");
    assert_eq!(az.ok(&["account", "show"])["environmentName"], "typed");
    az.ok(&["keyvault", "list", "--resource-type", "hsm"]);
    deployment.stop();
}

#[test]
fn a_person_logs_in_with_a_device_code() {
    let mut deployment = Deployment::start();
    let person = device_page::Person::add(&deployment, "anna");
    let rest = deployment.rest();
    let subscription = rest.variable("STRONGROOM_SUBSCRIPTION_ID");
    let reader = format!("/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}");
    let assignment = "/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-000000000001";
    let body = json!({"properties": {
        "roleDefinitionId": reader, "principalId": person.object_id, "principalType": "User",
    }});
    rest.arm(&Method::PUT, &format!("{assignment}?api-version=2022-04-01"), Some(&body)).expect(201);

    let az = Az::set_up(&deployment);
    person.sign_in(&az, &rest, &[]);
    let account = az.ok(&["account", "show"]);
    assert_eq!(account["user"]["type"], "user");
    assert_eq!(account["user"]["name"], person.user_principal_name.as_str());
    // A second command needs a new token: the refresh token works.
    az.ok(&["keyvault", "list", "--resource-type", "hsm"]);
    deployment.stop();
}

/// The built-in role Reader of Azure RBAC.
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
