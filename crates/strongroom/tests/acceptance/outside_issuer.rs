//! An issuer that is not ours: accepted for its own tenant, with every claim of its tokens checked.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::hsm::{self, Hsm};
use crate::issuer::{Issuer, seconds_now};
use crate::rest::Rest;
use crate::wrapping_keys::WrappingKeys;

const TENANT: &str = "7a1c2d3e-0000-4000-8000-00000000000a";
const OTHER_TENANT: &str = "7a1c2d3e-0000-4000-8000-00000000000b";
const ADMINISTRATOR: &str = "7a1c2d3e-0000-4000-8000-0000000000aa";
const STRANGER: &str = "7a1c2d3e-0000-4000-8000-0000000000bb";
const GROUP: &str = "7a1c2d3e-0000-4000-8000-0000000000cc";
const HSM: &str = "outside-hsm";

/// A deployment that trusts two issuers for a tenant each, and an activated HSM of the first one's tenant.
struct Scene {
    deployment: Deployment,
    issuer: Issuer,
    other_issuer: Issuer,
    _files: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let (issuer, other_issuer) = (Issuer::start(), Issuer::start());
        let files = tempfile::tempdir().expect("a temporary folder");
        let mut authorities = Vec::new();
        for (name, issuer) in [("one.pem", &issuer), ("two.pem", &other_issuer)] {
            fs::write(files.path().join(name), &issuer.authority).expect("written");
            authorities.push(files.path().join(name).display().to_string());
        }
        let deployment = Deployment::start_with(|ports| {
            let issuers = [(&issuer, TENANT), (&other_issuer, OTHER_TENANT)].map(|(issuer, tenant)| {
                let audience = format!("https://managedhsm.localhost:{}", ports.https);
                // The second is as Keycloak is: it knows no object ids.
                let claims = if tenant == OTHER_TENANT { "claims = { oid = \"sub\" }\n" } else { "" };
                let named = format!("[[issuer]]\nurl = \"{}\"\ntenant = \"{tenant}\"\n", issuer.url);
                format!("{named}audience = \"{audience}\"\n{claims}")
            });
            format!("[tls]\nextra_ca_files = {authorities:?}\n\n{}", issuers.join("\n"))
        });
        let rest = deployment.rest();
        let mut body = rest.hsm_to_create();
        body["properties"]["tenantId"] = Value::from(TENANT);
        body["properties"]["initialAdminObjectIds"] = json!([ADMINISTRATOR]);
        hsm::create(&rest, HSM, &body);
        let scene = Self { deployment, issuer, other_issuer, _files: files };
        let administrator = Hsm::with_token(&rest, HSM, scene.issuer.token(&scene.claims(&rest)));
        administrator.activate(&WrappingKeys::make(3));
        administrator.grant_key_roles_to(ADMINISTRATOR);
        scene
    }

    /// Claims of a good token for the HSM's administrator.
    fn claims(&self, rest: &Rest) -> Value {
        let issued = seconds_now();
        json!({
            "aud": rest.hsm_resource(),
            "oid": ADMINISTRATOR,
            "sub": ADMINISTRATOR,
            "tid": TENANT,
            "iat": issued,
            "nbf": issued - 60,
            "exp": issued + 600,
        })
    }
}

/// What Entra ID writes for a program (v2.0 access token), besides what `claims` has.
fn as_entra_writes(mut claims: Value) -> Value {
    let more = json!({
        "ver": "2.0", "azp": STRANGER, "azpacr": "1", "idtyp": "app", "roles": ["Keys.Use"], "aio": "E2ZgYPjv",
        "rh": "1.AAAA", "uti": "cf2Uq1rXzkO6GkTyRCsHAA",
    });
    if let (Some(claims), Value::Object(more)) = (claims.as_object_mut(), more) {
        claims.extend(more);
    }
    claims
}

/// What Keycloak writes for a person: no object id, no tenant, no `nbf`, more than one audience.
fn as_keycloak_writes(rest: &Rest, principal: &str) -> Value {
    let issued = seconds_now();
    json!({
        "exp": issued + 300, "iat": issued, "auth_time": issued, "jti": "onrtac:9c1d2e3f", "typ": "Bearer",
        "aud": [rest.hsm_resource(), "account"], "sub": principal, "azp": "strongroom-cli", "sid": "0b1c2d3e", "acr": "1",
        "realm_access": {"roles": ["offline_access", "uma_authorization"]},
        "resource_access": {"account": {"roles": ["view-profile"]}},
        "scope": "openid profile email", "email_verified": true, "name": "Erin Example", "preferred_username": "erin",
    })
}

#[test]
fn tokens_in_the_shapes_of_entra_and_keycloak_are_good_for_the_tenant_each_is_bound_to() {
    let mut scene = Scene::new();
    let rest = scene.deployment.rest();
    let entra = as_entra_writes(scene.claims(&rest));
    Hsm::with_token(&rest, HSM, scene.issuer.token(&entra)).get("/keys").expect(200);

    let mut body = rest.hsm_to_create();
    body["properties"]["tenantId"] = Value::from(OTHER_TENANT);
    body["properties"]["initialAdminObjectIds"] = json!([STRANGER]);
    hsm::create(&rest, "realm-hsm", &body);
    let erin = as_keycloak_writes(&rest, STRANGER);
    let administrator = Hsm::with_token(&rest, "realm-hsm", scene.other_issuer.token(&erin));
    administrator.activate(&WrappingKeys::make(3));
    administrator.grant_key_roles_to(STRANGER);
    administrator.post("/keys/first/create", &json!({"kty": "EC-HSM"})).expect(200);
    // The same object id, as the other issuer says it, is somebody else.
    let mut namesake = entra;
    namesake["oid"] = Value::from(STRANGER);
    assert_eq!(Hsm::with_token(&rest, "realm-hsm", scene.issuer.token(&namesake)).get("/keys").status, 401);
    // A claim of Entra's says nothing in a realm: the object id is where the configuration looks for it.
    let mut pretender = as_keycloak_writes(&rest, ADMINISTRATOR);
    pretender["oid"] = Value::from(STRANGER);
    let pretender = Hsm::with_token(&rest, "realm-hsm", scene.other_issuer.token(&pretender));
    pretender.get("/keys").expect_error(403, "AccessDenied");
    scene.deployment.stop();
}

#[test]
fn tokens_of_an_outside_issuer_are_good_for_its_own_tenant_only() {
    let mut scene = Scene::new();
    let rest = scene.deployment.rest();
    let claims = scene.claims(&rest);
    let administrator = Hsm::with_token(&rest, HSM, scene.issuer.token(&claims));
    administrator.post("/keys/first/create", &json!({"kty": "EC-HSM"})).expect(200);

    let mut stranger = claims.clone();
    stranger["oid"] = Value::from(STRANGER);
    let stranger = Hsm::with_token(&rest, HSM, scene.issuer.token(&stranger));
    stranger.get("/keys").expect_error(403, "AccessDenied");

    let other = Hsm::with_token(&rest, HSM, scene.other_issuer.token(&claims));
    assert_eq!(other.get("/keys").status, 401, "the other issuer cannot choose this tenant");
    let own = Hsm::existing(&rest, HSM);
    assert_eq!(own.get("/keys").status, 401, "the built-in authority's tenant is another one");
    scene.deployment.stop();
}

#[test]
fn expired_early_and_misdirected_tokens_are_refused() {
    let mut scene = Scene::new();
    let rest = scene.deployment.rest();
    let claims = scene.claims(&rest);
    let now = seconds_now();
    let faults = [
        ("expired", "exp", json!(now - 3600)),
        ("not yet good", "nbf", json!(now + 3600)),
        ("for another audience", "aud", json!("https://vault.localhost")),
    ];
    let good = Hsm::with_token(&rest, HSM, scene.issuer.token(&claims));
    assert_eq!(good.get("/keys").status, 200);
    for (fault, claim, value) in faults {
        let mut claims = claims.clone();
        claims[claim] = value;
        let hsm = Hsm::with_token(&rest, HSM, scene.issuer.token(&claims));
        assert_eq!(hsm.get("/keys").status, 401, "a token that is {fault}");
    }
    let answer = rest.try_send(&Method::GET, &good.address("/keys"), None, None);
    let answer = answer.expect("the server goes on");
    assert!(answer.header("www-authenticate").contains(TENANT), "{answer:?}");
    scene.deployment.stop();
}

#[test]
fn a_group_in_an_outside_token_gives_its_role_and_a_token_without_it_does_not() {
    let mut scene = Scene::new();
    let rest = scene.deployment.rest();
    let mut claims = scene.claims(&rest);
    let administrator = Hsm::with_token(&rest, HSM, scene.issuer.token(&claims));
    administrator.post("/keys/first/create", &json!({"kty": "EC-HSM"})).expect(200);
    administrator.grant_key_roles_to(GROUP);
    claims["oid"] = Value::from(STRANGER);
    let list = |claims: &Value| Hsm::with_token(&rest, HSM, scene.issuer.token(claims)).get("/keys");
    list(&claims).expect_error(403, "AccessDenied");

    claims["groups"] = json!(["staff", GROUP]);
    let member = Hsm::with_token(&rest, HSM, scene.issuer.token(&claims));
    assert_eq!(member.list("/keys").len(), 1);
    let digest = json!({"alg": "ES256", "value": "A".repeat(43)});
    member.post("/keys/first/sign", &digest).expect(200);
    // The role is the group's, and only for the tenant of the issuer that says so.
    claims["groups"] = json!(["7a1c2d3e-0000-4000-8000-0000000000cd"]);
    list(&claims).expect_error(403, "AccessDenied");
    claims["groups"] = json!([GROUP]);
    let other = Hsm::with_token(&rest, HSM, scene.other_issuer.token(&claims));
    assert_eq!(other.get("/keys").status, 401);
    // Groups are believed for an hour from the issue, however long the token lives.
    claims["iat"] = Value::from(seconds_now() - 3600 - 61);
    list(&claims).expect_error(403, "AccessDenied");
    scene.deployment.stop();
}
