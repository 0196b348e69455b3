//! Trusted services: who passes network rules whose bypass is AzureServices, and who does not.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use reqwest::Method;
use serde_json::json;

use crate::az::Az;
use crate::deployment::{Deployment, ended_within};
use crate::device_page::Person;
use crate::hsm::Hsm;
use crate::identity_endpoint::{machine_principal, machine_token};
use crate::rest::Rest;

const HSM: &str = "bypassed-hsm";

#[test]
fn a_trusted_service_passes_by_its_own_token_and_a_person_at_its_machine_does_not() {
    let mut deployment = Deployment::start();
    let person = Person::add(&deployment, "anna");
    let rest = deployment.rest();
    let machine = machine_principal(&rest);
    let hsm = Hsm::activated(&rest, HSM);
    for principal in [&machine, &person.object_id] {
        hsm.grant_key_roles_to(principal);
    }
    deployment.stop();
    // Naming a person does not make one a service.
    let listed = [("storage", &machine), ("anna", &person.object_id)];
    let services = listed.map(|(name, id)| format!("[[trusted_service]]\nname = '{name}'\nprincipal = '{id}'\n"));
    deployment.configure(&services.concat());
    deployment.run();

    let rest = deployment.rest();
    let az = sign_in(&deployment, &rest, &person);
    let service = Hsm::with_token(&rest, HSM, machine_token(&rest, &rest.hsm_resource()));
    let administrator = Hsm::existing(&rest, HSM);
    let list = ["keyvault", "key", "list", "--hsm-name", HSM];
    service.get("/keys").expect(200);
    az.ok(&list);
    for (public, default_action, code) in
        [("Enabled", "Deny", "ForbiddenByFirewall"), ("Disabled", "Allow", "ForbiddenByConnection")]
    {
        rules(&rest, public, default_action, "AzureServices");
        service.get("/keys").expect(200);
        service.post("/keys/service/create", &json!({"kty": "EC-HSM"})).expect(200);
        az.refused(&list, code);
        let refused = administrator.get("/keys");
        assert_eq!(refused.json()["error"]["innererror"]["code"], code, "{refused:?}");
        rules(&rest, public, default_action, "None");
        let refused = service.get("/keys");
        assert_eq!(refused.json()["error"]["innererror"]["code"], code, "{refused:?}");
    }
    rules(&rest, "Enabled", "Allow", "None");
    az.ok(&list);
    deployment.stop();
}

fn rules(rest: &Rest, public: &str, default_action: &str, bypass: &str) {
    let acls = json!({"bypass": bypass, "defaultAction": default_action, "ipRules": []});
    let body = json!({"properties": {"publicNetworkAccess": public, "networkAcls": acls}});
    rest.arm(&Method::PATCH, &rest.hsm_path(HSM), Some(&body)).expect(200);
}

/// A CLI that a person has signed in to with a device code.
fn sign_in(deployment: &Deployment, rest: &Rest, person: &Person) -> Az {
    let az = Az::set_up(deployment);
    let tenant = rest.variable("STRONGROOM_TENANT_ID");
    let login = ["login", "--use-device-code", "--allow-no-subscriptions", "--tenant", tenant];
    let mut login = az.command(&login);
    let mut login = login.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("az starts");
    let mut messages = BufReader::new(login.stderr.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("enter the code") {
        line.clear();
        assert!(messages.read_line(&mut line).expect("az prints text") > 0, "az ended before it showed a code");
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |word: &str| words[words.iter().position(|it| *it == word).expect("az's usual sentence") + 1];
    let address = words.iter().find(|word| word.starts_with("https://")).expect("the page's address");
    person.confirm(rest, address, after("code"));
    let mut rest_of_messages = String::new();
    let _ = std::io::Read::read_to_string(&mut messages, &mut rest_of_messages);
    let status = ended_within(&mut login, std::time::Duration::from_secs(60));
    assert!(status.is_some_and(|status| status.success()), "{line}{rest_of_messages}");
    az
}
