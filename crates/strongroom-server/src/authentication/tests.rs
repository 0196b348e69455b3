use std::net::{Ipv4Addr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use strongroom_core::identity::{ACCESS_TOKEN_SECONDS, AccessTokenOrder, Foundation, IssuerForm};
use strongroom_core::pools::{machine_identity_id, subscription_id};
use strongroom_core::request::Request;
use strongroom_testkit::{START, TestCore, core_in_memory, draw_uuid};

use super::*;
use crate::http::exchange::{Host, Peer, Plane, Target};

const HSM: &str = "https://managedhsm.localhost:8443";

struct World {
    _test: TestCore,
    directory: Arc<Directory>,
    foundation: Foundation,
    authenticator: Authenticator,
}

impl World {
    async fn new() -> Self {
        let test = core_in_memory().await.unwrap();
        let core = Arc::clone(&test.core);
        let directory = Arc::new(Directory::new(Arc::clone(&core), "https://login.localhost:8443".into()).unwrap());
        let machine = machine_identity_id(subscription_id(core.deployment().id));
        let foundation = directory.found(&own(), &machine).await.unwrap();
        let address = PublicAddress { domain: "localhost".parse().unwrap(), port: 8443 };
        let names = Arc::new(PublicNames::new(address, Vec::new()));
        let outside = OutsideIssuers::new(Vec::new(), foundation.tenant, &rustls::RootCertStore::empty()).unwrap();
        let authenticator = Authenticator::new(Arc::clone(&directory), names, Arc::new(outside));
        Self { _test: test, directory, foundation, authenticator }
    }

    async fn token(&self, audience: &str) -> String {
        let administrator = self.foundation.administrator.object_id;
        let principal = self.directory.principal(administrator).await.unwrap().unwrap().value;
        let client_id = principal.client_id().unwrap();
        let order = AccessTokenOrder { principal: &principal, client_id, audience, form: IssuerForm::V2 };
        self.directory.issue_access_token(order, START).await.unwrap().text.expose().clone()
    }

    async fn ask(&self, token: &str, audience: Audience, now: Timestamp) -> Result<Arc<Caller>, AuthenticationError> {
        self.authenticator.authenticate(&inbound(token), audience, now).await
    }
}

fn own() -> Request {
    Request::internal(draw_uuid().unwrap(), START, "Test", String::new())
}

fn inbound(token: &str) -> Inbound {
    let mut headers = HeaderMap::new();
    if !token.is_empty() {
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    }
    let end = SocketAddr::from((Ipv4Addr::LOCALHOST, 8443));
    Inbound {
        id: draw_uuid().unwrap(),
        received: START,
        peer: Peer { remote: end, local: end },
        method: Method::GET,
        host: Arc::new(Host {
            plane: Plane::ManagedHsm("a".to_owned()),
            authority: "a.managedhsm.localhost:8443".to_owned(),
            domain: "localhost:8443".to_owned(),
        }),
        target: Target::new("/keys", ""),
        headers,
        body: Bytes::new(),
    }
}

fn reason<T>(outcome: Result<T, AuthenticationError>) -> TokenError {
    match outcome {
        Err(AuthenticationError::Token(reason)) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the token was accepted"),
    }
}

/// The token with other claims, under its own signature.
fn altered(token: &str, from: &str, to: &str) -> String {
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert!(claims.contains(from), "{claims}");
    format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.replace(from, to)))
}

#[tokio::test]
async fn a_token_is_a_caller_for_its_audience_until_it_ends() {
    let world = World::new().await;
    let token = world.token(HSM).await;
    for _ in 0..2 {
        let caller = world.ask(&token, Audience::ManagedHsm, START).await.unwrap();
        assert_eq!(caller.principal, world.foundation.administrator.object_id);
        assert_eq!(caller.tenant, world.foundation.tenant);
        // Remembered or not: the audience is looked at on every use.
        assert_eq!(reason(world.ask(&token, Audience::Management, START).await), TokenError::WrongAudience);
    }
    let end = START.plus_seconds(ACCESS_TOKEN_SECONDS + 3600);
    assert_eq!(reason(world.ask(&token, Audience::ManagedHsm, end).await), TokenError::Expired);
}

#[tokio::test]
async fn a_token_is_good_on_the_plane_it_was_issued_for_and_on_no_other() {
    let world = World::new().await;
    let planes = [
        ("https://managedhsm.localhost:8443", Some(Audience::ManagedHsm)),
        ("https://managedhsm.azure.net", Some(Audience::ManagedHsm)),
        ("https://vault.localhost:8443", Some(Audience::Vault)),
        ("https://vault.azure.net", Some(Audience::Vault)),
        ("https://management.localhost:8443", Some(Audience::Management)),
        ("https://graph.localhost:8443", Some(Audience::Graph)),
        ("https://storage.azure.com", None),
        ("https://covered.blob.localhost:10000", None),
        ("https://a.managedhsm.localhost:8443.evil.example", None),
        ("api://something-else", None),
    ];
    for (issued_for, plane) in planes {
        let token = world.token(issued_for).await;
        for asked in [Audience::ManagedHsm, Audience::Vault, Audience::Management, Audience::Graph] {
            let outcome = world.ask(&token, asked, START).await;
            if plane == Some(asked) {
                assert!(outcome.is_ok(), "{issued_for} on {asked:?}: {outcome:?}");
            } else {
                assert_eq!(reason(outcome), TokenError::WrongAudience, "{issued_for} on {asked:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_trailing_slash_and_the_public_name_are_the_same_audience() {
    let world = World::new().await;
    for audience in
        ["https://managedhsm.localhost:8443/", "https://managedhsm.localhost", "https://managedhsm.azure.net"]
    {
        let token = world.token(audience).await;
        assert!(world.ask(&token, Audience::ManagedHsm, START).await.is_ok(), "{audience}");
    }
}

#[tokio::test]
async fn no_token_an_altered_one_and_one_without_a_signature_are_nobody() {
    let world = World::new().await;
    assert!(matches!(world.ask("", Audience::ManagedHsm, START).await, Err(AuthenticationError::Missing)));
    let token = world.token(HSM).await;
    let oid = world.foundation.administrator.object_id.to_string();
    let other = altered(&token, &oid, "00000000-0000-0000-0000-0000000000ff");
    assert_eq!(reason(world.ask(&other, Audience::ManagedHsm, START).await), TokenError::WrongSignature);
    let (_, rest) = token.split_once('.').unwrap();
    let none =
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"x"}"#), rest.split_once('.').unwrap().0);
    assert!(world.ask(&none, Audience::ManagedHsm, START).await.is_err());
    assert_eq!(reason(world.ask("not.a.token", Audience::ManagedHsm, START).await), TokenError::Malformed);
}

#[tokio::test]
async fn a_removed_bearer_is_nobody_at_once_though_the_token_is_remembered() {
    let world = World::new().await;
    let program = world.directory.create_service_principal(&own(), "program").await.unwrap();
    let principal = world.directory.principal(program.object_id).await.unwrap().unwrap().value;
    let order =
        AccessTokenOrder { principal: &principal, client_id: program.client_id, audience: HSM, form: IssuerForm::V2 };
    let token = world.directory.issue_access_token(order, START).await.unwrap().text.expose().clone();
    assert!(world.ask(&token, Audience::ManagedHsm, START).await.is_ok());
    world.directory.remove(&own(), program.object_id).await.unwrap();
    assert_eq!(reason(world.ask(&token, Audience::ManagedHsm, START).await), TokenError::BearerGone);
}

#[tokio::test]
async fn a_flood_of_wrong_tokens_is_not_looked_at_any_more() {
    let world = World::new().await;
    let good = world.token(HSM).await;
    let mut refused = 0;
    for _ in 0..=UNVERIFIED_LIMITS.free {
        match world.ask("not.a.token", Audience::ManagedHsm, START).await {
            Err(AuthenticationError::TooManyFailures { .. }) => refused += 1,
            other => assert_eq!(reason(other), TokenError::Malformed),
        }
    }
    let now = world.ask(&good, Audience::ManagedHsm, START).await;
    assert!(refused > 0 || matches!(now, Err(AuthenticationError::TooManyFailures { .. })), "{now:?}");
}
