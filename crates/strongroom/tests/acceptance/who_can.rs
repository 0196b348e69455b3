//! `strongroom who-can` against what the server really allows, for many sets of roles.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::az::said;
use crate::crash::Dice;
use crate::deployment::Deployment;
use crate::directory::{Program, directory};
use crate::hsm::Hsm;
use crate::rest::Rest;

const HSM: &str = "who-can-hsm";
const KEYS: [&str; 2] = ["alpha", "beta"];

/// Asks, and returns the answers.
#[track_caller]
fn who_can(deployment: &Deployment, arguments: &[&str]) -> Vec<Value> {
    let output = deployment.command("who-can").args(arguments).arg("--json").output().expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    let answers: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    answers.as_array().expect("a list").clone()
}

/// Those of an answer that hold the right itself.
fn holding(answer: &Value) -> BTreeSet<String> {
    let holders = answer["holders"].as_array().expect("holders").iter();
    let holds = |holder: &&Value| holder["ways"].as_array().expect("ways").iter().any(|way| way["way"] == "holds");
    holders.filter(holds).map(|holder| holder["id"].as_str().expect("an id").to_owned()).collect()
}

/// A program that can sign in, and its token.
struct Caller {
    id: String,
    token: String,
}

fn callers(deployment: &Deployment, rest: &Rest, count: usize) -> Vec<Caller> {
    let one = |number: usize| {
        let name = format!("caller-{number}");
        let program = Program::add(deployment, &name);
        let secret = directory(deployment, "secret add", &[&name]);
        let scope = format!("{}/.default", rest.hsm_resource());
        let answer = rest.token_answer(&[
            ("grant_type", "client_credentials"),
            ("client_id", &program.client_id),
            ("client_secret", secret["password"].as_str().expect("a secret")),
            ("scope", &scope),
        ]);
        let token = answer.expect(200)["access_token"].as_str().expect("a token").to_owned();
        Caller { id: program.object_id, token }
    };
    (0..count).map(one).collect()
}

#[test]
fn it_agrees_with_the_server_for_random_roles_of_an_hsm() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    for key in KEYS {
        hsm.post(&format!("/keys/{key}/create"), &json!({"kty": "EC-HSM"})).expect(200);
    }
    let callers = callers(&deployment, &rest, 4);
    let group = directory(&deployment, "group add", &["signers"])["id"].as_str().expect("an id").to_owned();
    directory(&deployment, "group add-member", &["signers", "caller-0"]);
    directory(&deployment, "group add-member", &["signers", "caller-1"]);
    let mut principals: Vec<&str> = callers.iter().map(|caller| caller.id.as_str()).collect();
    principals.push(&group);
    let custom = custom_role(&hsm);
    let roles = [custom.as_str(), CRYPTO_USER, CRYPTO_OFFICER, CRYPTO_AUDITOR];

    let mut dice = Dice::seeded(20_261_126);
    let (mut asked, mut allowed) = (0, 0);
    for round in 0..ROUNDS {
        let mut assigned = Vec::new();
        for _ in 0..dice.below(6) {
            let scope = *dice.choose(&["", "/keys", "/keys/alpha", "/keys/Beta"]);
            let (role, principal) = (*dice.choose(&roles), *dice.choose(&principals));
            assigned.extend(assign(&hsm, scope, role, principal));
        }
        for (action, key) in [("sign", "alpha"), ("sign", "beta"), ("read", "alpha"), ("create", "beta")] {
            let answer = &who_can(&deployment, &[action, "--hsm", HSM, "--key", key])[0];
            let holding = holding(answer);
            for caller in &callers {
                let really = may(&rest, caller, action, key);
                assert_eq!(
                    holding.contains(&caller.id),
                    really,
                    "round {round}, {action} {key}, {}: {answer}",
                    caller.id
                );
                asked += 1;
                allowed += usize::from(really);
            }
        }
        for path in assigned {
            hsm.send(&Method::DELETE, &path, None).expect(200);
        }
    }
    println!("{asked} questions, {allowed} of them allowed");
    assert!(allowed > 10 && asked - allowed > 10, "the roles were too one-sided to tell");
    deployment.stop();
}

/// Whether the server lets a caller do it.
fn may(rest: &Rest, caller: &Caller, action: &str, key: &str) -> bool {
    let hsm = Hsm::with_token(rest, HSM, caller.token.clone());
    let answer = match action {
        "sign" => hsm.post(&format!("/keys/{key}/sign"), &json!({"alg": "ES256", "value": "A".repeat(43)})),
        "read" => hsm.get(&format!("/keys/{key}")),
        _ => hsm.post(&format!("/keys/{key}/create"), &json!({"kty": "EC-HSM"})),
    };
    if answer.status != 200 {
        answer.expect_error(403, "AccessDenied");
    }
    answer.status == 200
}

/// A role that allows to sign and to create, but for signing.
fn custom_role(hsm: &Hsm<'_>) -> String {
    let id = uuid::Uuid::new_v4().to_string();
    let actions = ["keys/create", "keys/read/action", "keys/sign/action"];
    let actions = actions.map(|action| format!("Microsoft.KeyVault/managedHsm/{action}"));
    let body = json!({"properties": {
        "roleName": "All but sign", "assignableScopes": ["/"],
        "permissions": [{"dataActions": actions, "notDataActions": [actions[2]]}],
    }});
    hsm.send(&Method::PUT, &format!("/providers/Microsoft.Authorization/roleDefinitions/{id}"), Some(&body))
        .expect(201);
    id
}

/// Assigns a role; `None` if it is assigned already.
fn assign(hsm: &Hsm<'_>, scope: &str, role: &str, principal: &str) -> Option<String> {
    let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", uuid::Uuid::new_v4());
    let definition = format!("Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/{role}");
    let body = json!({"properties": {"principalId": principal, "roleDefinitionId": definition}});
    let answer = hsm.send(&Method::PUT, &path, Some(&body));
    assert!(matches!(answer.status, 201 | 409), "{answer:?}");
    (answer.status == 201).then_some(path)
}

#[test]
fn it_names_the_ways_and_what_a_change_would_change() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    hsm.post("/keys/alpha/create", &json!({"kty": "EC-HSM"})).expect(200);
    let signer = Program::add(&deployment, "signer");
    let path = assign(&hsm, "/keys/alpha", CRYPTO_USER, &signer.object_id).expect("it is new");
    let name = path.rsplit('/').next().expect("a name");
    let federated = Program::federated(&rest, "workload", "https://issuer.example");
    assign(&hsm, "", CRYPTO_USER, &federated.object_id);

    let answer = &who_can(&deployment, &["sign", "--hsm", HSM, "--key", "alpha"])[0];
    let ways = |id: &str| -> Vec<String> {
        let holders = answer["holders"].as_array().expect("holders");
        let holder = holders.iter().find(|holder| holder["id"] == id).unwrap_or_else(|| panic!("{id} in {answer}"));
        let ways = holder["ways"].as_array().expect("ways").iter();
        ways.map(|way| way["way"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(ways(&signer.object_id), ["holds"]);
    assert_eq!(ways(&federated.object_id), ["holds"]);
    // The deployment's administrator is the HSM's, the directory's and the subscription's owner.
    let administrator = ways(rest.variable("STRONGROOM_PRINCIPAL_ID"));
    for way in [
        "holds",
        "may assign roles",
        "may change what roles allow",
        "may restore a backup, with its assignments",
        "administers the directory and can make credentials of",
        "may let an outside identity act as",
    ] {
        assert!(administrator.iter().any(|known| known == way), "{way}: {administrator:?}");
    }

    // The role at one key shows without that key's name, and after the answer about all keys.
    let without_key = who_can(&deployment, &["sign", "--hsm", HSM]);
    let scopes: Vec<_> = without_key.iter().map(|answer| answer["scope"].as_str().expect("text")).collect();
    assert_eq!(scopes, ["/keys", "/keys/alpha"], "{without_key:?}");
    assert!(
        !holding(&without_key[0]).contains(&signer.object_id) && holding(&without_key[1]).contains(&signer.object_id)
    );

    let lost = &who_can(&deployment, &["sign", "--hsm", HSM, "--key", "alpha", "--if-removed", name])[0];
    assert_eq!((&lost["lost"][0]["name"], &lost["gained"]), (&json!("signer"), &json!([])));
    let added = ["--if-added", "Managed HSM Crypto User", "signer", "/keys"];
    let gained = &who_can(&deployment, &[&["sign", "--hsm", HSM, "--key", "beta"][..], &added].concat())[0];
    assert_eq!((&gained["gained"][0]["name"], &gained["lost"]), (&json!("signer"), &json!([])));

    let everything = who_can(&deployment, &["--hsm", HSM, "--principal", "signer"]);
    let can: Vec<_> =
        everything.iter().filter(|answer| !answer["holders"].as_array().expect("holders").is_empty()).collect();
    assert!(can.iter().all(|answer| answer["scope"] == "/keys/alpha"), "{can:?}");
    assert!(can.iter().any(|answer| answer["action"] == "Microsoft.KeyVault/managedHsm/keys/sign/action"));
    assert!(!can.iter().any(|answer| answer["action"] == "Microsoft.KeyVault/managedHsm/roleAssignments/write/action"));

    for key in [&["--key", "alpha"][..], &[]] {
        let asked = [&["sign", "--hsm", HSM], key].concat();
        let text = deployment.command("who-can").args(asked).output().expect("it starts");
        let text = String::from_utf8(text.stdout).expect("text");
        let line = format!("Managed HSM Crypto User at /keys/alpha, assignment {name}");
        assert!(text.contains(&line) && text.contains("signer (service principal, "), "{text}");
    }
    deployment.stop();
}

#[test]
fn it_knows_azure_roles_and_access_policies() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let vault = "who-can-vault";
    rest.arm(&Method::PUT, &rest.vault_path(vault), Some(&rest.vault_to_create())).expect(200);
    rest.grant_keys_of_vault(vault);
    let administrator = rest.variable("STRONGROOM_PRINCIPAL_ID");
    let answer = &who_can(&deployment, &["sign", "--vault", vault])[0];
    assert!(holding(answer).contains(administrator), "{answer}");
    let delete = &who_can(&deployment, &["Microsoft.KeyVault/managedHSMs/delete"])[0];
    assert_eq!(holding(delete), BTreeSet::from([administrator.to_owned()]), "{delete}");
    let (subscription, group) =
        (rest.variable("STRONGROOM_SUBSCRIPTION_ID"), rest.variable("STRONGROOM_RESOURCE_GROUP"));
    let group = format!("/subscriptions/{subscription}/resourceGroups/{group}");
    let read = &who_can(&deployment, &["Microsoft.KeyVault/managedHSMs/read", "--scope", &group])[0];
    assert_eq!(holding(read).len(), 2, "the identity of the machine reads: {read}");

    let signer = Program::add(&deployment, "signer");
    let policies = "policy-vault";
    let mut body = rest.vault_to_create();
    body["properties"]["enableRbacAuthorization"] = json!(false);
    body["properties"]["accessPolicies"] = json!([{
        "tenantId": rest.variable("STRONGROOM_TENANT_ID"), "objectId": signer.object_id, "permissions": {"keys": ["sign"]},
    }]);
    rest.arm(&Method::PUT, &rest.vault_path(policies), Some(&body)).expect(200);
    let answer = &who_can(&deployment, &["sign", "--vault", policies])[0];
    assert_eq!(holding(answer), BTreeSet::from([signer.object_id.clone()]), "{answer}");
    let ways = answer["holders"].to_string();
    assert!(ways.contains("may change access policies"), "{answer}");
    let verify = &who_can(&deployment, &["verify", "--vault", policies])[0];
    assert!(!holding(verify).contains(&signer.object_id), "{verify}");
    deployment.stop();
}

const CRYPTO_USER: &str = "21dbd100-6940-42c2-9190-5d6cb909625b";
const CRYPTO_OFFICER: &str = "515eb02d-2335-4d2d-92f2-b1cbdf9c3778";
const CRYPTO_AUDITOR: &str = "2c18b078-7c48-4d3a-af88-5a3a1b3f82b3";
const ROUNDS: usize = 12;
