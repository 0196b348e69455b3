//! What depends on the `api-version` of a request.

use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::hsm::Hsm;
use crate::rest::Answer;

#[test]
fn newer_algorithms_and_attributes_need_a_newer_api_version() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, "versions-hsm");
    let token = rest.token(&rest.hsm_resource());
    let send = |method: Method, path: &str, version: &str, body: Option<&Value>| -> Answer {
        let url = format!("{}{path}?api-version={version}", rest.hsm_url("versions-hsm"));
        rest.send(&method, &url, Some(&token), body)
    };
    for (name, body, bits) in [
        ("oct", json!({"kty": "oct-HSM", "key_size": 192}), 192),
        ("rsa", json!({"kty": "RSA-HSM", "key_size": 3072}), 3072),
        ("ec", json!({"kty": "EC-HSM", "crv": "P-521"}), 521),
    ] {
        hsm.post(&format!("/keys/{name}/create"), &body).expect(200);
        let path = format!("/keys/{name}");
        let key_size = |version| send(Method::GET, &path, version, None).expect(200)["attributes"]["key_size"].clone();
        assert_eq!(key_size("2026-04-01"), bits, "{name}");
        assert_eq!(key_size("2025-07-01"), Value::Null, "{name}");
    }
    let sign = json!({"alg": "HS256", "value": "AAEC"});
    send(Method::POST, "/keys/oct/sign", "7.5", Some(&sign)).expect_error(400, "BadParameter");
    send(Method::POST, "/keys/oct/sign", "7.6", Some(&sign)).expect(200);
    let wrap = json!({"alg": "CKM_AES_KEY_WRAP_PAD", "value": "AAEC"});
    send(Method::POST, "/keys/oct/wrapkey", "7.5", Some(&wrap)).expect_error(400, "BadParameter");
    send(Method::POST, "/keys/oct/wrapkey", "7.6", Some(&wrap)).expect(200);
    let external = json!({"kty": "RSA-HSM", "attributes": {"external_key": {"id": "elsewhere"}}});
    send(Method::POST, "/keys/external/create", "2026-04-01", Some(&external)).expect_error(400, "BadParameter");
    send(Method::GET, "/keys/oct", "2026-04-02", None).expect_error(400, "BadParameter");
    deployment.stop();
}
