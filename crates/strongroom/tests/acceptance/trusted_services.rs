//! Trusted services: who passes network rules whose bypass is AzureServices, and who does not.

use reqwest::Method;
use serde_json::json;

use crate::az::Az;
use crate::deployment::Deployment;
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
    let az = Az::set_up(&deployment);
    person.sign_in(&az, &rest, &["--allow-no-subscriptions"]);
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
