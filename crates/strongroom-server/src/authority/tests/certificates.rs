//! Clients that sign their assertions with the key of a registered certificate (RFC 7523 §2.2).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use strongroom_core::identity::ProgramIds;
use strongroom_core::identity::record::PrincipalState;
use strongroom_crypto::digest::{hmac_sha256, sha1, sha256};
use strongroom_crypto::{KeyMaterial, KeySpecification, PublicKey, RsaPrivateKey, SystemEntropy};
use strongroom_security_domain::{CertificateTerms, self_signed};
use strongroom_testkit::{START, draw_uuid};
use strongroom_types::{Algorithm, RsaSize};

use super::SCOPE;
use super::world::{World, own};
use crate::authority::client_certificate;

/// A key and its certificate, which ends after ten days.
struct Pair {
    key: KeyMaterial,
    der: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        let key = KeyMaterial::generate(KeySpecification::Rsa(RsaSize::Bits2048), &SystemEntropy).unwrap();
        let private = RsaPrivateKey::from_pkcs8(key.to_sealable().unwrap().expose()).unwrap();
        let terms = CertificateTerms { name: "client", not_before: START, days: 10 };
        Self { der: self_signed(&private, terms, &SystemEntropy).unwrap(), key }
    }

    fn sha1(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha1(&self.der))
    }

    fn sha256(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(&self.der))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let algorithm = if header["alg"] == "PS256" { Algorithm::Ps256 } else { Algorithm::Rs256 };
        let signature = self.key.sign(algorithm, &sha256(signed.as_bytes())).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".")
}

/// A program with a registered certificate.
struct Scene {
    world: World,
    program: ProgramIds,
    pair: Pair,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let program = world.directory.create_service_principal(&own(), "program").await.unwrap();
        let scene = Self { world, program, pair: Pair::new() };
        scene.register(&scene.pair).await;
        scene
    }

    async fn register(&self, pair: &Pair) {
        let certificate = client_certificate(&pair.der).unwrap();
        self.world.directory.add_certificate(&own(), self.program.object_id, &certificate).await.unwrap();
    }

    fn header(&self) -> Value {
        json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.pair.sha256()})
    }

    /// Claims of a good assertion that has not been used.
    fn claims(&self) -> Value {
        let (client, now) = (self.program.client_id.to_string(), START.seconds());
        let audience = format!("https://login.localhost:8443/{}/oauth2/v2.0/token", self.world.foundation.tenant);
        json!({"aud": audience, "iss": client, "sub": client, "jti": draw_uuid().unwrap().to_string(),
            "nbf": now, "iat": now, "exp": now + 600})
    }

    fn good(&self) -> String {
        self.pair.sign(&self.header(), &self.claims())
    }

    async fn send(&self, assertion: &str) -> (u16, Value) {
        let form = World::assertion_of(&self.program.client_id.to_string(), assertion, SCOPE);
        self.world.token("adfs", &form).await
    }

    #[track_caller]
    fn refused(answer: &(u16, Value), code: u32, part: &str) {
        let (status, body) = answer;
        assert_eq!((*status, &body["error"]), (401, &json!("invalid_client")), "{part}: {body}");
        assert_eq!(body["error_codes"], json!([code]), "{part}: {body}");
        assert!(body["error_description"].as_str().unwrap().contains(part), "{part}: {body}");
    }
}

#[tokio::test]
async fn each_way_to_name_the_certificate_and_each_algorithm_gets_a_token() {
    let scene = Scene::new().await;
    let (sha1, sha256) = (scene.pair.sha1(), scene.pair.sha256());
    let chain = json!([STANDARD.encode(&scene.pair.der)]);
    for header in [
        json!({"alg": "RS256", "x5t": sha1}),
        json!({"alg": "PS256", "x5t": format!("{sha1}=")}),
        json!({"alg": "RS256", "x5t#S256": sha256}),
        json!({"alg": "PS256", "x5t#S256": sha256, "x5c": chain}),
        json!({"alg": "PS256", "x5t#S256": sha256, "x5t": sha1, "kid": "whatever"}),
    ] {
        let (status, body) = scene.send(&scene.pair.sign(&header, &scene.claims())).await;
        assert_eq!(status, 200, "{header}: {body}");
        assert_eq!(World::claims(&body["access_token"])["oid"], scene.program.object_id.to_string());
        assert_eq!(World::claims(&body["access_token"])["appid"], scene.program.client_id.to_string());
    }
}

#[tokio::test]
async fn every_spelling_of_the_token_endpoint_is_the_audience_and_nothing_else_is() {
    let scene = Scene::new().await;
    let tenant = scene.world.foundation.tenant.to_string();
    let send = async |audience: &str| {
        let mut claims = scene.claims();
        claims["aud"] = json!(audience);
        scene.send(&scene.pair.sign(&scene.header(), &claims)).await
    };
    for path in [
        format!("{tenant}/oauth2/v2.0/token"),
        format!("{tenant}/oauth2/token"),
        format!("{tenant}/v2.0"),
        "adfs/oauth2/token".to_owned(),
    ] {
        let (status, body) = send(&format!("https://login.localhost:8443/{path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    for audience in [
        "https://login.localhost:8443".to_owned(),
        format!("https://login.localhost:8443/{tenant}/oauth2/v2.0/devicecode"),
        "https://login.localhost:8443/00000000-0000-4000-8000-0000000000ff/oauth2/v2.0/token".to_owned(),
        format!("https://login.localhost.example/{tenant}/oauth2/v2.0/token"),
        format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"),
        format!("http://login.localhost:8443/{tenant}/oauth2/v2.0/token"),
        "https://managedhsm.localhost:8443".to_owned(),
        String::new(),
    ] {
        Scene::refused(&send(&audience).await, 700_023, "its audience is not the token endpoint");
    }
}

#[tokio::test]
async fn claims_that_are_missing_wrong_or_out_of_time_are_refused() {
    let scene = Scene::new().await;
    let now = START.seconds();
    for (claim, value, code, part) in [
        ("exp", json!(now - 61), 700_024, "expired"),
        ("exp", json!(now + 86_401), 700_024, "more than a day"),
        ("exp", Value::Null, 700_027, "exp"),
        ("nbf", json!(now + 61), 700_024, "not valid yet"),
        ("nbf", json!("soon"), 700_027, "nbf"),
        ("sub", json!("00000000-0000-4000-8000-0000000000ff"), 700_027, "sub"),
        ("sub", Value::Null, 700_027, "sub"),
        ("jti", Value::Null, 700_027, "jti"),
        ("aud", Value::Null, 700_023, "audience"),
    ] {
        let mut claims = scene.claims();
        claims[claim] = value;
        Scene::refused(&scene.send(&scene.pair.sign(&scene.header(), &claims)).await, code, part);
    }
    // Clocks differ, and some clients send fractions.
    let mut claims = scene.claims();
    claims["exp"] = json!(now as f64 - 58.5);
    assert_eq!(scene.send(&scene.pair.sign(&scene.header(), &claims)).await.0, 200);
}

#[tokio::test]
async fn an_assertion_of_another_issuer_is_not_the_clients_own() {
    let scene = Scene::new().await;
    let mut claims = scene.claims();
    claims["iss"] = json!("00000000-0000-4000-8000-0000000000ff");
    let answer = scene.send(&scene.pair.sign(&scene.header(), &claims)).await;
    Scene::refused(&answer, 70_021, "No federated credential");
}

#[tokio::test]
async fn an_assertion_counts_once() {
    let scene = Scene::new().await;
    let assertion = scene.good();
    assert_eq!(scene.send(&assertion).await.0, 200);
    Scene::refused(&scene.send(&assertion).await, 700_027, "used before");
    scene.world.test.clock.advance_seconds(600);
    Scene::refused(&scene.send(&assertion).await, 700_027, "used before");
    scene.world.test.clock.advance_seconds(60);
    Scene::refused(&scene.send(&assertion).await, 700_024, "expired");
    // The same id in another signature is the same assertion.
    let mut claims = scene.claims();
    claims["exp"] = json!(START.seconds() + 3600);
    assert_eq!(scene.send(&scene.pair.sign(&scene.header(), &claims)).await.0, 200);
    claims["exp"] = json!(START.seconds() + 3601);
    Scene::refused(&scene.send(&scene.pair.sign(&scene.header(), &claims)).await, 700_027, "used before");
}

#[tokio::test]
async fn a_refused_assertion_is_not_used_up() {
    let scene = Scene::new().await;
    let (good, claims) = (scene.good(), scene.claims());
    let stranger = Pair::new().sign(&scene.header(), &claims);
    Scene::refused(&scene.send(&stranger).await, 700_027, "signature is wrong");
    assert_eq!(scene.send(&scene.pair.sign(&scene.header(), &claims)).await.0, 200, "nobody can spend another's id");
    assert_eq!(scene.send(&good).await.0, 200);
}

#[tokio::test]
async fn another_key_no_signature_and_keyed_hashes_are_refused() {
    let scene = Scene::new().await;
    let claims = scene.claims();
    let good = scene.pair.sign(&scene.header(), &claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let altered = {
        let mut claims = claims.clone();
        claims["exp"] = json!(START.seconds() + 601);
        format!("{}.{signature}", unsigned(&scene.header(), &claims))
    };
    let wrong_algorithm =
        good.replacen(signed, &unsigned(&json!({"alg": "RS256", "x5t": scene.pair.sha1()}), &claims), 1);
    for assertion in [Pair::new().sign(&scene.header(), &claims), altered, wrong_algorithm, format!("{signed}.")] {
        Scene::refused(&scene.send(&assertion).await, 700_027, "signature is wrong");
    }
    let PublicKey::Rsa { n, .. } = scene.pair.key.public_key() else { panic!("an RSA key") };
    for alg in ["none", "None", "HS256", "RS384", "ES384"] {
        let signed = unsigned(&json!({"alg": alg, "x5t#S256": scene.pair.sha256()}), &claims);
        // The public modulus as the secret of a keyed hash; one that long is hashed first (RFC 2104 §2).
        let confused = URL_SAFE_NO_PAD.encode(hmac_sha256(&sha256(n), &[signed.as_bytes()]));
        for assertion in [format!("{signed}."), format!("{signed}.{confused}"), format!("{signed}.{signature}")] {
            Scene::refused(&scene.send(&assertion).await, 700_027, "algorithm is not accepted");
        }
    }
    let elliptic = unsigned(&json!({"alg": "ES256", "x5t#S256": scene.pair.sha256()}), &claims);
    Scene::refused(&scene.send(&format!("{elliptic}.{signature}")).await, 700_027, "algorithm is not accepted");
    for text in ["x", "a.b", "a.b.c.d", "...", &"a".repeat(20_000)] {
        assert_eq!(scene.send(text).await.0, 401, "{}", text.len());
    }
    assert_eq!(scene.send(&good).await.0, 200);
}

#[tokio::test]
async fn only_a_certificate_of_this_application_counts_whatever_the_header_brings() {
    let scene = Scene::new().await;
    let stranger = Pair::new();
    let chain = json!([STANDARD.encode(&stranger.der)]);
    for header in [
        json!({"alg": "RS256", "x5t": stranger.sha1()}),
        json!({"alg": "RS256", "x5t#S256": stranger.sha256()}),
        json!({"alg": "RS256", "x5c": chain}),
        json!({"alg": "RS256", "x5t#S256": stranger.sha256(), "x5t": scene.pair.sha1()}),
        json!({"alg": "RS256", "kid": scene.pair.sha1()}),
    ] {
        let answer = scene.send(&stranger.sign(&header, &scene.claims())).await;
        Scene::refused(&answer, 700_027, "no certificate of the application");
    }
    // A chain in the header is no key.
    let header = json!({"alg": "RS256", "x5t": scene.pair.sha1(), "x5c": chain});
    Scene::refused(&scene.send(&stranger.sign(&header, &scene.claims())).await, 700_027, "signature is wrong");

    let other = scene.world.directory.create_service_principal(&own(), "other").await.unwrap();
    let form = World::assertion_of(&other.client_id.to_string(), &scene.good(), SCOPE);
    Scene::refused(&scene.world.token("adfs", &form).await, 70_021, "No federated credential");
    let claims = {
        let mut claims = scene.claims();
        let id = json!(other.client_id.to_string());
        (claims["iss"], claims["sub"]) = (id.clone(), id);
        claims
    };
    let form = World::assertion_of(&other.client_id.to_string(), &scene.pair.sign(&scene.header(), &claims), SCOPE);
    Scene::refused(&scene.world.token("adfs", &form).await, 700_027, "no certificate of the application");
}

#[tokio::test]
async fn a_certificate_ends_and_its_successor_counts_beside_it_before() {
    let scene = Scene::new().await;
    let second = Pair::new();
    scene.register(&second).await;
    for pair in [&scene.pair, &second] {
        let header = json!({"alg": "RS256", "x5t#S256": pair.sha256()});
        assert_eq!(scene.send(&pair.sign(&header, &scene.claims())).await.0, 200);
    }
    scene.world.test.clock.advance_days(10);
    let mut claims = scene.claims();
    let now = START.plus_days(10).seconds();
    (claims["nbf"], claims["exp"]) = (json!(now), json!(now + 60));
    Scene::refused(&scene.send(&scene.pair.sign(&scene.header(), &claims)).await, 700_027, "certificate has expired");
}

#[tokio::test]
async fn a_disabled_program_and_another_kind_of_assertion_get_nothing() {
    let scene = Scene::new().await;
    let client = scene.program.client_id.to_string();
    let other_kind = World::assertion_of(&client, &scene.good(), SCOPE).replace("jwt-bearer", "saml2-bearer");
    Scene::refused(&scene.world.token("adfs", &other_kind).await, 700_027, "client_assertion_type");
    let directory = &scene.world.directory;
    directory.set_state(&own(), scene.program.object_id, PrincipalState::Disabled).await.unwrap();
    let (status, body) = scene.send(&scene.good()).await;
    assert_eq!((status, &body["error_codes"]), (400, &json!([7_000_112])), "{body}");
    let (_, body) = scene.send(&Pair::new().sign(&scene.header(), &scene.claims())).await;
    assert_eq!(body["error_codes"], json!([700_027]), "only who proves to be it is told that it is disabled");
}

#[tokio::test]
async fn an_assertion_is_never_repeated_in_an_answer() {
    let scene = Scene::new().await;
    let assertion = scene.good();
    assert_eq!(scene.send(&assertion).await.0, 200);
    let (_, body) = scene.send(&assertion).await;
    let payload = assertion.split('.').nth(1).unwrap();
    assert!(!body.to_string().contains(payload), "{body}");
}
