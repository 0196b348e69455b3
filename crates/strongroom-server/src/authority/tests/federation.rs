//! Clients for which the token of an outside issuer vouches: federated credentials (workload identity).

use serde_json::{Value, json};
use strongroom_core::identity::{FederatedSpecification, ProgramIds};
use strongroom_testkit::START;
use strongroom_types::PrincipalId;

use super::SCOPE;
use super::issuer::Issuer;
use super::world::{World, own};

const SUBJECT: &str = "system:serviceaccount:bank:signer";
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// A program that a service account of a trusted issuer may act as.
struct Scene {
    world: World,
    issuer: Issuer,
    program: ProgramIds,
}

impl Scene {
    async fn new() -> Self {
        let issuer = Issuer::start().await;
        let world = World::trusting(vec![issuer.configured()], &issuer.roots()).await;
        let program = world.directory.create_service_principal(&own(), "program").await.unwrap();
        let scene = Self { world, issuer, program };
        scene.federate(&scene.issuer.url).await;
        scene
    }

    async fn federate(&self, issuer: &str) {
        self.federate_as("first", issuer, self.program.object_id).await;
    }

    async fn federate_as(&self, name: &str, issuer: &str, principal: PrincipalId) {
        let audiences = [AUDIENCE.to_owned()];
        let specification = FederatedSpecification::new(name, issuer, SUBJECT, &audiences).unwrap();
        self.world.directory.put_federated(&own(), principal, &specification).await.unwrap();
    }

    fn claims(&self) -> Value {
        let now = START.seconds();
        json!({"iss": self.issuer.url, "sub": SUBJECT, "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + 600})
    }

    async fn send(&self, assertion: &str) -> (u16, Value) {
        let form = World::assertion_of(&self.program.client_id.to_string(), assertion, SCOPE);
        self.world.token("adfs", &form).await
    }

    async fn code(&self, claims: &Value) -> Value {
        self.send(&self.issuer.token(claims)).await.1["error_codes"][0].clone()
    }
}

#[tokio::test]
async fn a_token_that_fits_is_answered_with_one_of_the_program_as_often_as_it_comes() {
    let scene = Scene::new().await;
    let assertion = scene.issuer.token(&scene.claims());
    for _ in 0..3 {
        let (status, body) = scene.send(&assertion).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(World::claims(&body["access_token"])["oid"], scene.program.object_id.to_string());
        assert_eq!(World::claims(&body["access_token"])["tid"], scene.world.foundation.tenant.to_string());
    }
    assert_eq!(scene.issuer.connections(), 2, "discovery and keys, once each");
}

#[tokio::test]
async fn issuer_subject_and_audience_fit_to_the_letter_or_nothing_is_read() {
    let scene = Scene::new().await;
    for (claim, value) in [
        ("iss", json!(format!("{}/", scene.issuer.url))),
        ("iss", json!("https://elsewhere.example")),
        ("iss", Value::Null),
        ("sub", json!(SUBJECT.to_ascii_uppercase())),
        ("sub", json!("system:serviceaccount:bank:signer2")),
        ("sub", json!([SUBJECT])),
        ("sub", Value::Null),
        ("aud", json!("api://azureadtokenexchange")),
        ("aud", json!(["api://other", "api://another"])),
        ("aud", Value::Null),
    ] {
        let mut claims = scene.claims();
        claims[claim] = value.clone();
        assert_eq!(scene.code(&claims).await, 70_021, "{claim} {value}");
    }
    assert_eq!(scene.issuer.connections(), 0, "a token that does not fit costs no request");
    let mut claims = scene.claims();
    claims["aud"] = json!(["api://other", AUDIENCE]);
    assert_eq!(scene.send(&scene.issuer.token(&claims)).await.0, 200);
}

#[tokio::test]
async fn an_issuer_that_is_not_configured_is_never_asked() {
    let scene = Scene::new().await;
    let stranger = Issuer::start().await;
    scene.federate_as("second", &stranger.url, scene.program.object_id).await;
    let mut claims = scene.claims();
    claims["iss"] = json!(stranger.url);
    let (status, body) = scene.send(&stranger.token(&claims)).await;
    assert_eq!((status, &body["error_codes"]), (401, &json!([700_027])), "{body}");
    assert!(body["error_description"].as_str().unwrap().contains("issuer is not known here"), "{body}");
    assert_eq!(stranger.connections(), 0, "only the configuration says where keys are read");
    // Neither does the stranger's key count under the name of the trusted issuer.
    assert_eq!(scene.send(&stranger.token(&scene.claims())).await.1["error_codes"][0], 700_027);
}

#[tokio::test]
async fn a_token_out_of_time_is_refused() {
    let scene = Scene::new().await;
    let now = START.seconds();
    for (claim, value, code) in
        [("exp", json!(now - 61), 700_024), ("exp", Value::Null, 700_027), ("nbf", json!(now + 61), 700_024)]
    {
        let mut claims = scene.claims();
        claims[claim] = value;
        assert_eq!(scene.code(&claims).await, code, "{claim}");
    }
}

#[tokio::test]
async fn a_new_key_of_the_issuer_is_found_and_the_old_one_dies() {
    let scene = Scene::new().await;
    let old = scene.issuer.token(&scene.claims());
    assert_eq!(scene.send(&old).await.0, 200);
    scene.issuer.rotate("two");
    // Its keys are read at most once a minute, whatever comes.
    assert_eq!(scene.code(&scene.claims()).await, 700_027);
    scene.world.test.clock.advance_seconds(60);
    assert_eq!(scene.send(&scene.issuer.token(&scene.claims())).await.0, 200);
    assert_eq!(scene.send(&old).await.1["error_codes"][0], 700_027, "its key is published no more");
    assert_eq!(scene.issuer.connections(), 4);
    // The same name for another key is another key.
    scene.issuer.rotate("two");
    assert_eq!(scene.code(&scene.claims()).await, 700_027);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let scene = Scene::new().await;
    scene.issuer.redirect();
    let (status, body) = scene.send(&scene.issuer.token(&scene.claims())).await;
    assert_eq!((status, &body["error_codes"]), (401, &json!([700_027])), "{body}");
    assert_eq!(scene.issuer.connections(), 1, "discovery alone");
}

#[tokio::test]
async fn keys_are_read_where_the_issuer_is_and_nowhere_else() {
    let elsewhere = Issuer::start().await;
    let port = elsewhere.url.rsplit_once(':').unwrap().1;
    for host in ["https://127.0.0.1", "https://localhost", "https://[::ffff:127.0.0.1]", "http://127.0.0.1"] {
        let scene = Scene::new().await;
        scene.issuer.names_keys_at(&format!("{host}:{port}/keys"));
        let (status, body) = scene.send(&scene.issuer.token(&scene.claims())).await;
        assert_eq!((status, &body["error_codes"]), (401, &json!([700_027])), "{host} {body}");
        assert_eq!(scene.issuer.connections(), 1, "discovery alone");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn the_token_of_one_program_is_no_other_programs() {
    let scene = Scene::new().await;
    let other = scene.world.directory.create_service_principal(&own(), "other").await.unwrap();
    let token = scene.issuer.token(&scene.claims());
    let form = World::assertion_of(&other.client_id.to_string(), &token, SCOPE);
    assert_eq!(scene.world.token("adfs", &form).await.1["error_codes"][0], 70_021);
    assert_eq!(scene.issuer.connections(), 0);
}

#[tokio::test]
async fn a_managed_identity_is_vouched_for_until_its_credential_is_removed() {
    let scene = Scene::new().await;
    let machine = scene.world.foundation.machine;
    let token = scene.issuer.token(&scene.claims());
    let form = World::assertion_of(&machine.client_id.to_string(), &token, SCOPE);
    assert_eq!(scene.world.token("adfs", &form).await.1["error_codes"][0], 70_021);
    scene.federate_as("first", &scene.issuer.url, machine.object_id).await;
    let (status, body) = scene.world.token("adfs", &form).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(World::claims(&body["access_token"])["oid"], machine.object_id.to_string());
    scene.world.directory.remove_federated(&own(), machine.object_id, "first").await.unwrap();
    assert_eq!(scene.world.token("adfs", &form).await.1["error_codes"][0], 70_021);
    let secret = World::client_credentials_of(&machine.client_id.to_string(), "x", SCOPE);
    assert_eq!(scene.world.token("adfs", &secret).await.1["error_codes"][0], 700_016, "it has no secrets");
}
