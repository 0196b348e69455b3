//! The instance-metadata endpoint as clients meet it, before and after they know what to send.

use reqwest::Method;
use serde_json::json;

use crate::deployment::Deployment;
use crate::rest::{Answer, Rest};

fn ask(rest: &Rest, query: &str, headers: &[(&str, &str)]) -> Answer {
    let url = format!("{}/metadata/identity/oauth2/token{query}", rest.variable("STRONGROOM_IMDS_URL"));
    let mut request = rest.request(Method::GET, &url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    rest.finish(request).expect("the endpoint answers")
}

const METADATA: (&str, &str) = ("Metadata", "true");

#[test]
fn a_bare_probe_is_told_400_in_json() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let answer = ask(&rest, "", &[]);
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.json()["error"].is_string(), "{answer:?}");
    deployment.stop();
}

#[test]
fn a_request_that_was_forwarded_gets_no_token() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let management = rest.variable("STRONGROOM_MANAGEMENT_URL");
    let query = format!("?api-version=2018-02-01&resource={management}");
    assert_eq!(ask(&rest, &query, &[METADATA]).status, 200);
    assert_eq!(ask(&rest, &query, &[]).status, 400);
    assert_eq!(ask(&rest, &query, &[METADATA, ("X-Forwarded-For", "192.0.2.7")]).status, 400);
    deployment.stop();
}

#[test]
fn an_identity_is_chosen_by_each_selector_and_an_unknown_one_is_refused() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let group = rest.variable("STRONGROOM_RESOURCE_GROUP");
    let path = format!("/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/job");
    let path = format!("{path}?api-version=2023-01-31");
    let made = rest.arm(&Method::PUT, &path, Some(&json!({"location": "westeurope"})));
    assert!(matches!(made.status, 200 | 201), "{made:?}");
    let identity = made.json();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let client = text(&identity["properties"]["clientId"]);
    let principal = text(&identity["properties"]["principalId"]);
    let id = text(&identity["id"]);
    let resource = format!("?api-version=2018-02-01&resource={}", rest.variable("STRONGROOM_MANAGEMENT_URL"));
    for (selector, value) in
        [("client_id", &client), ("object_id", &principal), ("msi_res_id", &id), ("mi_res_id", &id)]
    {
        let answer = ask(&rest, &format!("{resource}&{selector}={value}"), &[METADATA]).expect(200);
        assert_eq!(claims(&text(&answer["access_token"]))["oid"], principal.as_str(), "{selector}");
        assert!(answer["expires_in"].is_string() && answer["expires_on"].is_string(), "{answer}");
    }
    let administrator = rest.variable("STRONGROOM_CLIENT_ID");
    for unknown in ["00000000-0000-4000-8000-000000000000", administrator] {
        let answer = ask(&rest, &format!("{resource}&client_id={unknown}"), &[METADATA]);
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")), "{answer:?}");
    }
    deployment.stop();
}

/// The object id of the identity that is served when none is named.
pub(crate) fn machine_principal(rest: &Rest) -> String {
    let token = machine_token(rest, rest.variable("STRONGROOM_MANAGEMENT_URL"));
    claims(&token)["oid"].as_str().expect("an object id").to_owned()
}

/// A token of that identity.
pub(crate) fn machine_token(rest: &Rest, resource: &str) -> String {
    let answer = ask(rest, &format!("?api-version=2018-02-01&resource={resource}"), &[METADATA]).expect(200);
    answer["access_token"].as_str().expect("a token").to_owned()
}

/// What a token says of itself.
fn claims(token: &str) -> serde_json::Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).expect("a JWT has three parts");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&bytes).expect("claims are JSON")
}
