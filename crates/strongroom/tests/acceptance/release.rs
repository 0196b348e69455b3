//! Secure key release and key attestation: what leaves, for whom, and what is signed about it.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::attestation_authority::{Authority, Environment, policy, python};
use crate::az::{self, Az};
use crate::deployment::Deployment;
use crate::environment;
use crate::hsm::Hsm;
use crate::issuer::Conduct;
use crate::rest::{Answer, Rest};

const HSM: &str = "release-hsm";

/// A deployment in the local profile whose outgoing TLS trusts these authorities' certificates.
fn deployment(authorities: &[&Authority]) -> Deployment {
    let files: Vec<_> = authorities.iter().map(|it| it.ca_file().to_owned()).collect();
    Deployment::start_recorded_with(&files, "")
}

/// Makes an exportable key under a policy.
fn create(hsm: &Hsm<'_>, name: &str, kind: &Value, policy: &Value) -> Value {
    let mut body = kind.clone();
    body["attributes"] = json!({"exportable": true});
    body["release_policy"] = json!({"data": URL_SAFE_NO_PAD.encode(policy.to_string())});
    hsm.post(&format!("/keys/{name}/create"), &body).expect(200)
}

fn release(hsm: &Hsm<'_>, name: &str, target: &str) -> Answer {
    hsm.post(&format!("/keys/{name}/release"), &json!({"target": target}))
}

#[track_caller]
fn expect_refused(answer: &Answer, reason: &str) {
    answer.expect_error(403, "Forbidden");
    let error = &answer.json()["error"];
    assert_eq!(error["innererror"]["code"], "AccessDenied", "{answer:?}");
    let message = error["message"].as_str().unwrap_or_default();
    let sentence = "Target environment attestation statement cannot be verified";
    assert!(message.starts_with(sentence) && message.contains(reason), "{message}");
}

#[test]
fn keys_are_released_to_an_attested_environment_and_open_there() {
    let (authority, tee) = (Authority::start(Conduct::Proper), Environment::start());
    let mut deployment = deployment(&[&authority]);
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    let target = authority.issuer.token(&tee.claims());
    let ca = deployment.data().join("ca.pem");
    for (name, kind, enc) in [
        ("rsa", json!({"kty": "RSA-HSM", "key_size": 2048}), "CKM_RSA_AES_KEY_WRAP"),
        ("ec", json!({"kty": "EC-HSM", "crv": "P-384"}), "RSA_AES_KEY_WRAP_256"),
        ("oct", json!({"kty": "oct-HSM", "key_size": 192}), "RSA_AES_KEY_WRAP_384"),
    ] {
        let made = create(&hsm, name, &kind, &authority.policy());
        assert_eq!(made["attributes"]["exportable"], true);
        let body = json!({"target": target, "nonce": "n-1", "enc": enc});
        let answer = hsm.post(&format!("/keys/{name}/release"), &body).expect(200);
        let opened = tee.open(answer["value"].as_str().expect("a JWS"), &ca);
        let kid = &made["key"]["kid"];
        assert_eq!(opened["request"], json!({"api-version": "2025-07-01", "enc": enc, "kid": kid, "nonce": "n-1"}));
        assert_eq!(opened["recipient"], "environment");
        assert_eq!((&opened["key"]["kid"], &opened["exportable"]), (kid, &json!(true)));
        assert_eq!(opened["key"]["kty"].as_str(), made["key"]["kty"].as_str().map(|kty| kty.trim_end_matches("-HSM")));
        assert_eq!(opened["release_policy"], made["release_policy"]);
        let names = opened["names"].as_array().expect("names");
        assert!(names.contains(&json!("*.managedhsm.localhost")), "{names:?}");
        for member in ["n", "e", "x", "y"] {
            let (inside, outside) = (&opened["public_of_private"][member], &made["key"][member]);
            assert_eq!(inside, outside, "{name}: the private half that arrived belongs to the public half");
        }
        if name == "oct" {
            assert_eq!(opened["public_of_private"]["bytes"], 24);
        }
    }
    deployment.stop();
}

#[test]
fn every_doubt_about_the_environment_keeps_the_key_inside() {
    let (authority, other, tee) =
        (Authority::start(Conduct::Proper), Authority::start(Conduct::Proper), Environment::start());
    let (redirecting, oversized) =
        (Authority::start(Conduct::RedirectsDiscovery), Authority::start(Conduct::OversizedKeys));
    let mut deployment = deployment(&[&authority, &redirecting, &oversized]);
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    let kind = json!({"kty": "EC-HSM"});
    create(&hsm, "key", &kind, &authority.policy());
    let (issuer, claims) = (&authority.issuer, tee.claims());
    let with = |claim: &str, value: Value| {
        let mut claims = claims.clone();
        claims[claim] = value;
        issuer.token(&claims)
    };
    let now = crate::issuer::seconds_now();
    release(&hsm, "key", &issuer.token(&claims)).expect(200);
    expect_refused(&release(&hsm, "key", &other.issuer.token(&claims)), "does not trust its issuer");
    let status = json!({"x-ms-compliance-status": "unknown"});
    expect_refused(&release(&hsm, "key", &with("x-ms-isolation-tee", status)), "do not meet the release policy");
    expect_refused(&release(&hsm, "key", &with("exp", json!(now - 3600))), "has expired");
    expect_refused(&release(&hsm, "key", &with("nbf", json!(now + 3600))), "not valid yet");
    expect_refused(&release(&hsm, "key", &with("x-ms-runtime", json!({"keys": []}))), "no RSA key");
    let unknown = issuer.token_as(&issuer.url, "another-key", &claims);
    expect_refused(&release(&hsm, "key", &unknown), "key its issuer does not publish");
    let foreign = other.issuer.token_as(&issuer.url, "outside-1", &claims);
    expect_refused(&release(&hsm, "key", &foreign), "signature is wrong");
    release(&hsm, "key", "nothing of the kind").expect_error(400, "BadParameter");

    for (name, authority) in [("redirect", &redirecting), ("oversized", &oversized), ("untrusted", &other)] {
        // `other` has a certificate of a CA that nothing here trusts.
        create(&hsm, name, &kind, &authority.policy());
        expect_refused(&release(&hsm, name, &authority.issuer.token(&claims)), "key its issuer does not publish");
    }
    let far = "https://attestation.example.com";
    create(&hsm, "far", &kind, &policy(far));
    let token = issuer.token_as(far, "outside-1", &claims);
    expect_refused(&release(&hsm, "far", &token), "issuer is not known here");
    hsm.post("/keys/plain/create", &kind).expect(200);
    release(&hsm, "plain", &issuer.token(&claims)).expect_error(403, "Forbidden");
    deployment.stop();
}

#[test]
fn a_key_nobody_has_seen_goes_from_the_hsm_to_an_attested_environment() {
    let (authority, tee) = (Authority::start(Conduct::Proper), Environment::start());
    let mut deployment = deployment(&[&authority]);
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    let target = authority.issuer.token(&tee.claims());
    for (name, kind, alg) in [("rsa", "RSA-HSM", "RSA-OAEP-256"), ("oct", "oct-HSM", "A256KW")] {
        let body = json!({
            "kty": kind,
            "key_ops": ["secureWrapKey", "secureUnwrapKey"],
            "release_policy": {"data": URL_SAFE_NO_PAD.encode(authority.policy().to_string())},
        });
        let made = hsm.post(&format!("/keys/{name}/create"), &body).expect(200);
        assert_eq!(made["attributes"]["exportable"], false);
        let newest = |verb: &str, body: &Value| hsm.post_newest(&format!("/keys/{name}/{verb}"), body);
        let wrapped = newest("securewrapkey", &json!({"alg": alg})).expect(200);
        assert_eq!((&wrapped["alg"], &wrapped["kid"]), (&json!(alg), &made["key"]["kid"]));
        let unwrap = json!({"alg": alg, "value": wrapped["value"], "target": target});
        let sent = newest("secureunwrapkey", &unwrap).expect(200);
        let once = tee.unwrap(sent["value"].as_str().expect("a wrapped key"));
        let sent = newest("secureunwrapkey", &unwrap).expect(200);
        let twice = tee.unwrap(sent["value"].as_str().expect("a wrapped key"));
        assert_eq!((once.len(), &once), (64, &twice), "the same 256-bit key each time");
        let mut claims = tee.claims();
        claims["x-ms-isolation-tee"] = json!({});
        let other = json!({"alg": alg, "value": wrapped["value"], "target": authority.issuer.token(&claims)});
        expect_refused(&newest("secureunwrapkey", &other), "do not meet the release policy");
        let plain = json!({"alg": alg, "value": wrapped["value"]});
        hsm.post(&format!("/keys/{name}/unwrapkey"), &plain).expect_error(403, "Forbidden");
    }
    hsm.post("/keys/rsa/securewrapkey", &json!({"alg": "RSA-OAEP-256"})).expect_error(400, "BadParameter");
    deployment.stop();
}

#[test]
fn a_listed_authority_is_trusted_by_its_own_ca_file() {
    let (authority, tee) = (Authority::start(Conduct::Proper), Environment::start());
    let mut deployment = Deployment::start_with(|_| {
        format!("[[attestation]]\nurl = \"{}/\"\nca_file = {:?}\n", authority.issuer.url, authority.ca_file())
    });
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    create(&hsm, "key", &json!({"kty": "EC-HSM"}), &authority.policy());
    release(&hsm, "key", &authority.issuer.token(&tee.claims())).expect(200);
    deployment.stop();
}

#[test]
fn a_release_policy_is_shown_canonically_and_kept_when_it_is_immutable() {
    let authority = Authority::start(Conduct::Proper);
    let mut deployment = deployment(&[]);
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    let refused = |body: Value| hsm.post("/keys/k/create", &body).expect_error(400, "BadParameter");
    let data = |policy: &Value| URL_SAFE_NO_PAD.encode(policy.to_string());
    let good = data(&authority.policy());
    refused(json!({"kty": "EC-HSM", "attributes": {"exportable": true}}));
    refused(json!({"kty": "EC-HSM", "release_policy": {"data": good}}));
    refused(json!({"kty": "EC-HSM", "attributes": {"exportable": true}, "release_policy": {"data": data(&json!({}))}}));
    let made = create(&hsm, "k", &json!({"kty": "EC-HSM"}), &authority.policy());
    let shown = made["release_policy"]["data"].as_str().expect("a policy");
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(shown).expect("base64url")).expect("text");
    let url = &authority.issuer.url;
    let canonical = format!(
        r#"{{"anyOf":[{{"allOf":[{{"claim":"x-ms-isolation-tee.x-ms-compliance-status","equals":"good"}}],"authority":"{url}/"}}],"version":"1.0.0"}}"#
    );
    assert_eq!(text, canonical);
    assert_eq!(made["release_policy"]["contentType"], "application/json; charset=utf-8");
    let other = data(&policy("https://other.example"));
    let seal = json!({"release_policy": {"data": other, "immutable": true}});
    let sealed = hsm.patch("/keys/k", &seal).expect(200);
    assert_eq!(sealed["release_policy"]["immutable"], true);
    let undone = json!({"release_policy": {"data": other, "immutable": false}});
    hsm.patch("/keys/k", &undone).expect_error(400, "BadParameter");
    assert_eq!(hsm.get("/keys/k").expect(200)["release_policy"], sealed["release_policy"]);
    deployment.stop();
}

#[test]
fn anybody_can_verify_what_is_attested_of_a_key() {
    let (authority, tee) = (Authority::start(Conduct::Proper), Environment::start());
    let mut deployment = deployment(&[&authority]);
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    let made = create(&hsm, "ec", &json!({"kty": "EC-HSM"}), &authority.policy());
    hsm.post("/keys/oct/create", &json!({"kty": "oct-HSM"})).expect(200);
    release(&hsm, "ec", &authority.issuer.token(&tee.claims())).expect(200);
    let files = tempfile::tempdir().expect("a temporary folder");
    let ca = deployment.data().join("ca.pem").display().to_string();
    let verify = |path: &str| {
        let bundle = files.path().join("bundle.json");
        fs::write(&bundle, hsm.get(path).expect(200).to_string()).expect("the bundle is written");
        python("verify", &[&bundle.display().to_string(), &ca])
    };
    let ec = verify("/keys/ec//attestation");
    assert_eq!(ec["version"], "strongroom-1");
    let (private, public) = (&ec["private"], &ec["public"]);
    assert_eq!(private["history"], json!({"origin": "generated", "releases": 1}));
    assert_eq!(private["key"]["exportable"], true);
    assert_eq!(private["protection"]["root_provider"], "file");
    assert_eq!(private["protection"]["certifications"], json!([]));
    assert_eq!(private["hsm"]["name"], HSM);
    assert_eq!(private["key"]["kid"], made["key"]["kid"]);
    assert_eq!(public["jwk"], made["key"]);
    assert!(private["key"]["thumbprint"].is_string() && private["key"]["thumbprint"] == public["key"]["thumbprint"]);
    let oct = verify("/keys/oct/attestation");
    assert_eq!((&oct["public"], &oct["private"]["key"]["thumbprint"]), (&Value::Null, &Value::Null));
    assert_eq!(oct["private"]["history"]["releases"], 0);
    hsm.post("/keys/oct/backup", &json!({})).expect(200);
    let history = verify("/keys/oct/attestation")["private"]["history"].clone();
    assert!(history["backed_up"].is_i64() && history["restored"].is_null(), "{history}");
    assert_eq!(hsm.get("/keys/ec").expect(200)["attributes"]["attestation"], Value::Null);
    deployment.stop();
}

#[test]
fn the_official_cli_makes_exportable_keys_and_reads_attestations() {
    let authority = Authority::start(Conduct::Proper);
    let mut deployment = deployment(&[]);
    Hsm::activated(&deployment.rest(), HSM);
    let az = Az::signed_in(&deployment);
    let file = az.file("policy.json");
    let mut policy = az.ok(&["keyvault", "key", "get-policy-template"]);
    policy["anyOf"][0]["authority"] = json!(authority.issuer.url);
    policy["anyOf"][0]["allOf"][0] = json!({"claim": "x-ms-isolation-tee.x-ms-compliance-status", "equals": "good"});
    fs::write(&file, policy.to_string()).expect("the policy is written");
    let of = ["--hsm-name", HSM, "--name", "k"];
    let create = ["--kty", "RSA-HSM", "--exportable", "true", "--policy", &file.display().to_string()];
    let made = az.ok(&[&["keyvault", "key", "create"][..], &of, &create].concat());
    assert_eq!(made["attributes"]["exportable"], true, "{made}");
    assert!(made["releasePolicy"]["encodedPolicy"].is_string(), "{made}");
    let shown = az.ok(&[&["keyvault", "key", "get-attestation"][..], &of].concat());
    assert_eq!(shown["version"], "strongroom-1", "{shown}");
    let file = az.file("attestation.json");
    let written = ["--file", &file.display().to_string()];
    assert!(az.run(&[&["keyvault", "key", "get-attestation"][..], &of, &written].concat()).status.success());
    let written: Value = serde_json::from_str(&fs::read_to_string(file).expect("written")).expect("JSON");
    assert_eq!(written["version"], "strongroom-1", "{written}");
    deployment.stop();
}

#[test]
fn the_official_python_sdk_releases_a_key() {
    let (authority, tee) = (Authority::start(Conduct::Proper), Environment::start());
    let mut deployment = deployment(&[&authority]);
    let rest: Rest = deployment.rest();
    Hsm::activated(&rest, HSM);
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance/python/release.py");
    let target = authority.issuer.token(&tee.claims());
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut python = Command::new("bash");
    python.env_clear().env("PATH", environment::path()).env("HOME", home.path());
    python.args(["-c", ". \"$1\" && shift && exec \"$@\"", "bash"]).arg(deployment.client_env());
    python.arg(environment::sdk_python()).arg(script).args([&rest.hsm_url(HSM), &target]);
    let output = python.arg(authority.policy().to_string()).output().expect("bash is installed");
    assert!(output.status.success(), "{}", az::said(&output));
    let result: Value = serde_json::from_slice(&output.stdout).expect("the script prints JSON");
    let opened = tee.open(result["released"].as_str().expect("a JWS"), &deployment.data().join("ca.pem"));
    assert_eq!(opened["public_of_private"]["n"], opened["key"]["n"]);
    assert_eq!(result["exportable"], true);
    assert_eq!(result["immutable_refused"], true);
    assert_eq!(result["attestation_version"], "strongroom-1");
    deployment.stop();
}
