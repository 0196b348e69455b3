//! Roles of Azure RBAC under `az role`: custom roles, assignments at every kind of scope, and the wall between them and
//! the roles of a managed HSM.

use reqwest::Method;
use serde_json::{Value, json};

use crate::az::Az;
use crate::deployment::Deployment;
use crate::directory::{Program, directory};
use crate::hsm::{self, Hsm};
use crate::rest::Rest;

const HSM: &str = "walled-hsm";
const OTHER: &str = "beside-hsm";
/// The role Reader.
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

/// A deployment, its administrator's CLI, and a program that holds no role.
struct Scene {
    deployment: Deployment,
    rest: Rest,
    az: Az,
    program: Program,
    secret: String,
    subscription: String,
    group: String,
}

impl Scene {
    fn new() -> Self {
        let deployment = Deployment::start();
        let (rest, az) = (deployment.rest(), Az::signed_in(&deployment));
        let program = Program::add(&deployment, "visitor");
        let secret = directory(&deployment, "secret add", &["visitor", "--days", "1"]);
        let subscription = format!("/subscriptions/{}", rest.variable("STRONGROOM_SUBSCRIPTION_ID"));
        let group = format!("{subscription}/resourceGroups/{}", rest.variable("STRONGROOM_RESOURCE_GROUP"));
        Self { secret: text(&secret, "password").to_owned(), deployment, rest, az, program, subscription, group }
    }

    /// A CLI signed in as the program.
    fn visitor(&self) -> Az {
        let az = Az::set_up(&self.deployment);
        let tenant = self.rest.variable("STRONGROOM_TENANT_ID");
        let who = ["login", "--service-principal", "--username", &self.program.client_id, "--password", &self.secret];
        az.ok(&[&who[..], &["--tenant", tenant, "--allow-no-subscriptions"]].concat());
        az
    }

    /// A token of the program, asked for with its secret.
    fn token(&self, resource: &str) -> String {
        let answer = self.rest.token_answer(&[
            ("grant_type", "client_credentials"),
            ("client_id", &self.program.client_id),
            ("client_secret", &self.secret),
            ("scope", &format!("{resource}/.default")),
        ]);
        text(&answer.expect(200), "access_token").to_owned()
    }

    /// A request to the management plane as the program, below the subscription.
    fn arm(&self, method: &Method, path: &str) -> crate::rest::Answer {
        let management = self.rest.variable("STRONGROOM_MANAGEMENT_URL");
        let url = format!("{management}{}{path}", self.subscription);
        self.rest.send(method, &url, Some(&self.token(management)), None)
    }

    fn assign(&self, principal: &str, kind: &str, role: &str, scope: &str) -> Value {
        let who = ["--assignee-object-id", principal, "--assignee-principal-type", kind];
        self.az.ok(&[&["role", "assignment", "create", "--role", role, "--scope", scope], &who[..]].concat())
    }

    fn assignments(&self, arguments: &[&str]) -> Vec<Value> {
        let listed = self.az.ok(&[&["role", "assignment", "list"], arguments].concat());
        listed.as_array().expect("a list").clone()
    }

    fn hsm_id(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.KeyVault/managedHSMs/{name}", self.group)
    }
}

#[track_caller]
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|it| text(it, "name")).collect()
}

#[test]
fn a_custom_role_is_made_assigned_changed_and_deleted_with_az_role() {
    let mut scene = Scene::new();
    for name in [HSM, OTHER] {
        hsm::create(&scene.rest, name, &scene.rest.hsm_to_create());
    }
    let az = &scene.az;
    let document = |actions: &[&str]| {
        json!({
            "Name": "HSM watcher", "Description": "Looks at managed HSMs", "Actions": actions, "NotActions": [],
            "DataActions": [], "NotDataActions": [], "AssignableScopes": [scene.subscription],
        })
        .to_string()
    };
    let watch = document(&["Microsoft.KeyVault/managedHSMs/read", "Microsoft.Resources/subscriptions/read"]);
    let made = az.ok(&["role", "definition", "create", "--role-definition", &watch]);
    assert_eq!((text(&made, "roleName"), text(&made, "roleType")), ("HSM watcher", "CustomRole"));
    let custom = ["role", "definition", "list", "--custom-role-only", "true"];
    let by_name = ["role", "definition", "list", "--name", "HSM watcher"];
    assert_eq!(names(&az.ok(&custom)), [text(&made, "name")]);
    assert_eq!(names(&az.ok(&by_name)), [text(&made, "name")]);

    scene.assign(&scene.program.object_id, "ServicePrincipal", "HSM watcher", &scene.hsm_id(HSM));
    let visitor = scene.visitor();
    let list = ["keyvault", "list", "--resource-type", "hsm"];
    assert_eq!(names(&visitor.ok(&list)), [HSM], "of two");
    visitor.ok(&[
        "keyvault",
        "show",
        "--hsm-name",
        HSM,
        "--resource-group",
        scene.rest.variable("STRONGROOM_RESOURCE_GROUP"),
    ]);
    visitor.refused(&["keyvault", "update-hsm", "--hsm-name", HSM, "--bypass", "None"], "AuthorizationFailed");

    let delete = ["role", "definition", "delete", "--name", "HSM watcher"];
    assert!(!az.run(&delete).status.success(), "a role that is assigned is kept");
    let changed = az.ok(&["role", "definition", "update", "--role-definition", &document(&["Microsoft.Support/*"])]);
    assert_eq!(changed["id"], made["id"]);
    visitor.refused(&list, "AuthorizationFailed");

    let of_program = ["--assignee", &scene.program.client_id, "--scope", &scene.hsm_id(HSM)];
    az.ok(&[&["role", "assignment", "delete"], &of_program[..]].concat());
    az.ok(&delete);
    assert_eq!(az.ok(&custom), json!([]));
    az.refused(&["role", "definition", "create", "--role-definition", &document(&["a b"])], "properties.permissions");
    scene.deployment.stop();
}

#[test]
fn assignments_are_made_listed_and_deleted_at_every_kind_of_scope() {
    let mut scene = Scene::new();
    hsm::create(&scene.rest, HSM, &scene.rest.hsm_to_create());
    let (program, hsm) = (scene.program.object_id.as_str(), scene.hsm_id(HSM));
    let team = scene.az.ok(&["ad", "group", "create", "--display-name", "team", "--mail-nickname", "team"]);
    let team = text(&team, "id");
    scene.az.ok(&["ad", "group", "member", "add", "--group", "team", "--member-id", program]);

    let on_hsm = scene.assign(program, "ServicePrincipal", "Reader", &hsm);
    let on_group = scene.assign(program, "ServicePrincipal", "Managed HSM contributor", &scene.group);
    let of_team = scene.assign(team, "Group", "Reader", &scene.subscription);
    assert_eq!((text(&on_hsm, "scope"), text(&of_team, "principalType")), (hsm.as_str(), "Group"));

    let ids = |arguments: &[&str]| {
        let mut ids: Vec<_> = scene.assignments(arguments).iter().map(|it| text(it, "name").to_owned()).collect();
        ids.sort_unstable();
        ids
    };
    let these = |made: &[&Value]| {
        let mut ids: Vec<_> = made.iter().map(|it| text(it, "name").to_owned()).collect();
        ids.sort_unstable();
        ids
    };
    let assignee = ["--assignee", program];
    let at_hsm = ["--scope", hsm.as_str()];
    assert_eq!(ids(&[&assignee[..], &at_hsm].concat()), these(&[&on_hsm]), "there and nowhere else");
    let inherited = [&assignee[..], &at_hsm, &["--include-inherited"]].concat();
    assert_eq!(ids(&inherited), these(&[&on_hsm, &on_group]));
    let with_groups = [&inherited[..], &["--include-groups"]].concat();
    assert_eq!(ids(&with_groups), these(&[&on_hsm, &on_group, &of_team]));
    assert_eq!(ids(&[&assignee[..], &["--all"]].concat()), these(&[&on_hsm, &on_group]), "below the subscription too");
    // With --all the CLI itself cannot look a role up by its name.
    assert_eq!(ids(&[&inherited[..], &["--role", "Reader"]].concat()), these(&[&on_hsm]));
    assert_eq!(ids(&[&assignee[..], &["--all", "--role", READER]].concat()), these(&[&on_hsm]));
    let group = scene.rest.variable("STRONGROOM_RESOURCE_GROUP");
    assert_eq!(ids(&[&assignee[..], &["--resource-group", group]].concat()), these(&[&on_group]));
    let shown = scene.assignments(&[&assignee[..], &at_hsm].concat());
    assert_eq!((text(&shown[0], "roleDefinitionName"), text(&shown[0], "principalId")), ("Reader", program));
    assert_eq!(text(&shown[0], "principalName"), scene.program.client_id);

    let visitor = scene.visitor();
    visitor.ok(&["group", "list"]);
    scene.az.ok(&["role", "assignment", "delete", "--ids", text(&on_hsm, "id")]);
    scene.az.ok(&["role", "assignment", "delete", "--assignee", program, "--resource-group", group]);
    assert_eq!(ids(&[&assignee[..], &["--all"]].concat()), Vec::<String>::new());
    visitor.ok(&["group", "list"]);
    scene.az.ok(&[
        "role",
        "assignment",
        "delete",
        "--assignee",
        team,
        "--role",
        "Reader",
        "--scope",
        &scene.subscription,
    ]);
    visitor.refused(&["group", "list"], "AuthorizationFailed");
    let nobody = ["role", "assignment", "create", "--role", "No such role", "--scope", &scene.group];
    scene.az.refused(&[&nobody[..], &["--assignee-object-id", program]].concat(), "doesn't exist");
    scene.deployment.stop();
}

#[test]
fn an_owner_deletes_an_hsm_and_touches_no_key_and_an_administrator_the_reverse() {
    let mut scene = Scene::new();
    let own = Hsm::activated(&scene.rest, HSM);
    own.post("/keys/kept/create", &json!({"kty": "EC-HSM"})).expect(200);
    let program = scene.program.object_id.as_str();
    let path = format!("{}?api-version=2026-02-01", scene.hsm_id(HSM).replace(&scene.subscription, ""));
    let digest = json!({"alg": "ES256", "value": "A".repeat(43)});

    // As Managed HSM Administrator: rights on keys, none on the resource.
    let who = ["--assignee-object-id", program, "--assignee-principal-type", "ServicePrincipal"];
    let local = ["keyvault", "role", "assignment", "create", "--hsm-name", HSM, "--scope", "/"];
    scene.az.ok(&[&local[..], &who, &["--role", "Managed HSM Administrator"]].concat());
    let administrator = Hsm::with_token(&scene.rest, HSM, scene.token(&scene.rest.hsm_resource()));
    administrator.grant_key_roles_to(program);
    administrator.post("/keys/kept/sign", &digest).expect(200);
    for method in [Method::GET, Method::DELETE, Method::PATCH] {
        scene.arm(&method, &path).expect_error(403, "AuthorizationFailed");
    }
    let roles = "/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01";
    scene.arm(&Method::GET, roles).expect_error(403, "AuthorizationFailed");
    let gone = ["keyvault", "role", "assignment", "delete", "--hsm-name", HSM, "--scope", "/"];
    for role in ["Managed HSM Administrator", "Managed HSM Crypto User", "Managed HSM Crypto Officer"] {
        scene.az.ok(&[&gone[..], &who[..2], &["--role", role]].concat());
    }

    // As owner of the subscription: the resource, and nothing of what is in it.
    scene.assign(program, "ServicePrincipal", "Owner", &scene.subscription);
    let owner = Hsm::with_token(&scene.rest, HSM, scene.token(&scene.rest.hsm_resource()));
    for path in ["/keys", "/keys/kept", "/settings", "/providers/Microsoft.Authorization/roleAssignments"] {
        owner.get(path).expect_error(403, "AccessDenied");
    }
    owner.post("/keys/kept/sign", &digest).expect_error(403, "AccessDenied");
    owner.post("/keys/new/create", &json!({"kty": "EC-HSM"})).expect_error(403, "AccessDenied");
    owner.send(&Method::DELETE, "/keys/kept", None).expect_error(403, "AccessDenied");
    assert_eq!(scene.arm(&Method::GET, &path).status, 200);
    own.post("/keys/kept/sign", &digest).expect(200);
    let visitor = scene.visitor();
    visitor.refused(&["keyvault", "key", "list", "--hsm-name", HSM], "AccessDenied");
    visitor.ok(&["keyvault", "delete", "--hsm-name", HSM]);
    assert_eq!(names(&visitor.ok(&["keyvault", "list-deleted", "--resource-type", "hsm"])), [HSM]);
    scene.deployment.stop();
}
