//! Roles: local RBAC under `az keyvault role`, and what an identity without any is told.

use serde_json::Value;

use crate::az::Az;
use crate::deployment::Deployment;
use crate::hsm::Hsm;

const HSM: &str = "roles-hsm";

/// An activated HSM, a CLI signed in as its administrator, and a user-assigned identity without roles.
fn scene() -> (Deployment, Az, Value) {
    let deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    Hsm::activated(&rest, HSM);
    let az = Az::signed_in(&deployment);
    let group = rest.variable("STRONGROOM_RESOURCE_GROUP");
    let what = ["identity", "create", "--resource-group", group, "--name", "visitor", "--location", "westeurope"];
    let identity = az.ok(&what);
    (deployment, az, identity)
}

fn role(az: &Az, what: &str, verb: &str, arguments: &[&str]) -> Value {
    az.ok(&[&["keyvault", "role", what, verb, "--hsm-name", HSM], arguments].concat())
}

/// A CLI signed in with the identity, as a program on this machine would be.
fn signed_in_as(deployment: &Deployment, identity: &Value) -> Az {
    let az = Az::set_up(deployment);
    let client = text(identity, "clientId");
    az.script(&format!("strongroom_az_login_mi --client-id {client} --allow-no-subscriptions"));
    az
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[test]
fn the_nine_built_in_roles_are_listed() {
    let (mut deployment, az, _) = scene();
    let definitions = role(&az, "definition", "list", &[]);
    let mut names: Vec<_> = definitions.as_array().expect("a list").iter().map(|it| text(it, "roleName")).collect();
    names.sort_unstable();
    assert_eq!(names, BUILT_IN);
    deployment.stop();
}

#[test]
fn an_assignment_is_made_listed_effective_and_deleted() {
    let (mut deployment, az, identity) = scene();
    let principal = text(&identity, "principalId");
    az.ok(&["keyvault", "key", "create", "--hsm-name", HSM, "--name", "open", "--kty", "EC-HSM"]);
    let visitor = signed_in_as(&deployment, &identity);
    let show = ["keyvault", "key", "show", "--hsm-name", HSM, "--name", "open"];
    visitor.refused(&show, "AccessDenied");

    let who = ["--assignee-object-id", principal, "--assignee-principal-type", "ServicePrincipal"];
    let what = ["--role", "Managed HSM Crypto User", "--scope", "/keys/open"];
    let made = role(&az, "assignment", "create", &[&who[..], &what[..]].concat());
    assert_eq!(made["principalId"], principal);
    assert_eq!(made["scope"], "/keys/open");
    visitor.ok(&show);
    visitor.refused(&["keyvault", "key", "list", "--hsm-name", HSM], "AccessDenied");

    let listed = role(&az, "assignment", "list", &["--scope", "/keys/open"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["roleName"], "Managed HSM Crypto User");
    let all = role(&az, "assignment", "list", &["--scope", "/"]);
    let of_visitor = all.as_array().expect("a list").iter().any(|assignment| assignment["principalId"] == principal);
    assert!(!of_visitor, "a list at / does not show what holds at a key: {all}");

    role(&az, "assignment", "delete", &["--assignee-object-id", principal, "--scope", "/keys/open"]);
    assert_eq!(role(&az, "assignment", "list", &["--scope", "/keys/open"]), Value::Array(Vec::new()));
    visitor.refused(&show, "AccessDenied");
    deployment.stop();
}

#[test]
fn a_custom_role_is_made_assigned_changed_and_deleted() {
    let (mut deployment, az, identity) = scene();
    az.ok(&["keyvault", "key", "create", "--hsm-name", HSM, "--name", "open", "--kty", "EC-HSM"]);
    let visitor = signed_in_as(&deployment, &identity);
    let show = ["keyvault", "key", "show", "--hsm-name", HSM, "--name", "open"];
    let list = ["keyvault", "key", "list", "--hsm-name", HSM];

    let document = r#"{"roleName": "Reader", "description": "reads keys", "actions": [], "notActions": [],
        "dataActions": ["Microsoft.KeyVault/managedHsm/keys/read/action"], "notDataActions": []}"#;
    let made = role(&az, "definition", "create", &["--role-definition", document]);
    let (id, name) = (text(&made, "id"), text(&made, "name"));
    assert_eq!((text(&made, "roleName"), text(&made, "roleType")), ("Reader", "CustomRole"));
    let shown = role(&az, "definition", "show", &["--name", name]);
    assert_eq!(shown, made);
    let custom = role(&az, "definition", "list", &["--custom-role-only", "true"]);
    assert_eq!(custom, Value::Array(vec![made.clone()]));

    let who = ["--assignee-object-id", text(&identity, "principalId"), "--assignee-principal-type", "ServicePrincipal"];
    role(&az, "assignment", "create", &[&who[..], &["--role", "Reader", "--scope", "/keys/open"]].concat());
    visitor.ok(&show);
    visitor.refused(&list, "AccessDenied");
    az.refused(&["keyvault", "role", "definition", "delete", "--hsm-name", HSM, "--name", name], "in use");

    let changed = format!(r#"{{"roleName": "Nobody", "name": "{name}", "id": "{id}"}}"#);
    let updated = role(&az, "definition", "update", &["--role-definition", &changed]);
    assert_eq!((text(&updated, "id"), text(&updated, "roleName"), text(&updated, "description")), (id, "Nobody", ""));
    visitor.refused(&show, "AccessDenied");

    role(&az, "assignment", "delete", &[&who[..2], &["--scope", "/keys/open"]].concat());
    role(&az, "definition", "delete", &["--name", name]);
    assert_eq!(role(&az, "definition", "list", &["--custom-role-only", "true"]), Value::Array(Vec::new()));
    for (document, problem) in [
        (r#"{"roleName": "Bad", "dataActions": ["Microsoft.KeyVault/managedHsm/keys/*"]}"#, "is not a data action"),
        (r#"{"roleName": "managed hsm backup"}"#, "exists already"),
    ] {
        let create = ["keyvault", "role", "definition", "create", "--hsm-name", HSM, "--role-definition", document];
        az.refused(&create, problem);
    }
    deployment.stop();
}

#[test]
fn the_last_administrator_cannot_be_removed() {
    let (mut deployment, az, _) = scene();
    let variables = deployment.variables();
    let who = ["--assignee-object-id", &variables["STRONGROOM_PRINCIPAL_ID"], "--scope", "/"];
    let delete = ["keyvault", "role", "assignment", "delete", "--hsm-name", HSM];
    assert!(!az.run(&[&delete[..], &who[..]].concat()).status.success());
    let left = role(&az, "assignment", "list", &["--scope", "/"]);
    let roles: Vec<_> = left.as_array().expect("a list").iter().map(|it| text(it, "roleName")).collect();
    assert!(roles.contains(&"Managed HSM Administrator"), "{roles:?}");
    deployment.stop();
}

#[test]
fn an_identity_without_roles_is_refused_by_every_command_of_the_data_plane() {
    let (mut deployment, az, identity) = scene();
    az.ok(&["keyvault", "key", "create", "--hsm-name", HSM, "--name", "open", "--kty", "oct-HSM", "--size", "256"]);
    az.ok(&["keyvault", "key", "create", "--hsm-name", HSM, "--name", "gone", "--kty", "EC-HSM"]);
    az.ok(&["keyvault", "key", "delete", "--hsm-name", HSM, "--name", "gone"]);
    let visitor = signed_in_as(&deployment, &identity);
    let principal = text(&identity, "principalId");
    for command in REFUSED {
        let command = command.replace("PRINCIPAL", principal);
        let words: Vec<&str> = command.split(' ').collect();
        visitor.refused(&[&["keyvault"], &words[..], &["--hsm-name", HSM]].concat(), "AccessDenied");
    }
    deployment.stop();
}

#[test]
fn an_identity_without_roles_is_refused_by_the_management_plane() {
    let (mut deployment, _, identity) = scene();
    let visitor = signed_in_as(&deployment, &identity);
    let rest = deployment.rest();
    let management = rest.variable("STRONGROOM_MANAGEMENT_URL");
    let subscription = format!("{management}/subscriptions/{}", rest.variable("STRONGROOM_SUBSCRIPTION_ID"));
    let hsm = format!("{subscription}{}", rest.hsm_path(HSM));
    let other = format!("{subscription}{}", rest.hsm_path("another-hsm"));
    let deleted = format!("{subscription}/providers/Microsoft.KeyVault/deletedManagedHSMs?api-version=2026-02-01");
    let body = rest.hsm_to_create().to_string();
    // The CLI looks up the subscription of an URL among those it sees, which are none: it is given its own token to send.
    let token = visitor.ok(&["account", "get-access-token", "--resource", management]);
    let authorization = format!("Authorization=Bearer {}", text(&token, "accessToken"));
    let resource = ["--skip-authorization-header", "--headers", &authorization, "Content-Type=application/json"];
    for (method, url, body) in
        [("get", &hsm, ""), ("delete", &hsm, ""), ("put", &other, &body), ("patch", &hsm, "{}"), ("get", &deleted, "")]
    {
        let mut command = vec!["rest", "--method", method, "--url", url];
        command.extend(resource);
        if !body.is_empty() {
            command.extend(["--body", body]);
        }
        visitor.refused(&command, "AuthorizationFailed");
    }
    deployment.stop();
}

/// One command for each right of the data plane that the CLI asks for.
const REFUSED: [&str; 20] = [
    "key create --name mine --kty EC-HSM",
    "key list",
    "key list-versions --name open",
    "key show --name open",
    "key set-attributes --name open --enabled false",
    "key delete --name open",
    "key list-deleted",
    "key show-deleted --name gone",
    "key recover --name gone",
    "key purge --name gone",
    "key random --count 8",
    "role definition list",
    "role definition show --name 515eb02d-2335-4d2d-92f2-b1cbdf9c3778",
    "role definition create --role-definition {}",
    "role definition delete --name 11111111-1111-4111-8111-111111111111",
    "role assignment list",
    "setting list",
    "setting show --name AllowKeyManagementOperationsThroughARM",
    "setting update --name AllowKeyManagementOperationsThroughARM --value true",
    "role assignment create --role 515eb02d-2335-4d2d-92f2-b1cbdf9c3778 --assignee-object-id PRINCIPAL \
     --assignee-principal-type ServicePrincipal --scope /",
];

const BUILT_IN: [&str; 9] = [
    "Managed HSM Administrator",
    "Managed HSM Backup",
    "Managed HSM Crypto Auditor",
    "Managed HSM Crypto Officer",
    "Managed HSM Crypto Service Encryption User",
    "Managed HSM Crypto Service Release User",
    "Managed HSM Crypto User",
    "Managed HSM Policy Administrator",
    "Managed HSM Restore",
];
