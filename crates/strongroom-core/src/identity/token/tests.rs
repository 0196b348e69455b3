//! What is refused, and why.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use strongroom_crypto::digest::{hmac_sha256, sha256};
use strongroom_crypto::{KeyMaterial, KeySpecification, PublicKey, SystemEntropy};
use strongroom_types::{Algorithm, CurveName, PrincipalId, RsaSize, TenantId, Timestamp};
use uuid::Uuid;

use crate::identity::record::PrincipalState;
use crate::identity::test_support::{NOW, directory, request};
use crate::identity::token::{
    ClaimNames, Claims, KeySet, OwnTokenError, ParsedToken, SKEW_SECONDS, TOKEN_BYTES_MAX, TokenError, VerifiedToken,
};
use crate::identity::{AccessTokenOrder, Directory, IssuerForm};
use crate::request::CallerKind;

const AUDIENCE: &str = "https://managedhsm.localhost:8443";

/// An issuer of tests: one key of each kind.
struct Issuer {
    rsa: KeyMaterial,
    ec: KeyMaterial,
}

impl Issuer {
    fn new() -> Self {
        let generate = |specification| KeyMaterial::generate(specification, &SystemEntropy).unwrap();
        Self {
            rsa: generate(KeySpecification::Rsa(RsaSize::Bits2048)),
            ec: generate(KeySpecification::Ec(CurveName::P256)),
        }
    }

    fn key_set(&self) -> KeySet {
        let (PublicKey::Rsa { n, e }, PublicKey::Ec { x, y, .. }) = (self.rsa.public_key(), self.ec.public_key())
        else {
            panic!("other kinds of keys");
        };
        let [n, e, x, y] = [n, e, x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        let keys = json!({"keys": [
            {"kty": "RSA", "kid": "any", "n": n, "e": e, "use": "sig"},
            {"kty": "RSA", "kid": "pinned", "n": n, "e": e, "alg": "RS256"},
            {"kty": "EC", "kid": "ec", "crv": "P-256", "x": x, "y": y},
            {"kty": "RSA", "kid": "enc", "n": n, "e": e, "use": "enc"},
            {"kty": "oct", "kid": "oct", "k": "AAAA"},
            {"kty": "RSA", "kid": "short", "n": &n[..100], "e": e},
            {"kty": "RSA", "n": n, "e": e},
        ]});
        KeySet::parse(keys.to_string().as_bytes()).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let digest = sha256(signed.as_bytes());
        let signature = match header["alg"].as_str().unwrap() {
            "PS256" => self.rsa.sign(Algorithm::Ps256, &digest),
            "ES256" => self.ec.sign(Algorithm::Es256, &digest),
            _ => self.rsa.sign(Algorithm::Rs256, &digest),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.unwrap()))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".")
}

fn claims() -> Value {
    let now = NOW.seconds();
    json!({"iss": "https://issuer.example", "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 600,
        "oid": "00000000-0000-4000-8000-000000000001", "groups": ["00000000-0000-4000-8000-000000000002", "staff"],
        "preferred_username": "ada"})
}

fn verify(keys: &KeySet, text: &str, now: Timestamp) -> Result<Claims, TokenError> {
    let token = ParsedToken::parse(text)?;
    let kid = token.header().kid.clone().ok_or(TokenError::UnknownKey)?;
    keys.get(&kid).ok_or(TokenError::UnknownKey)?.verify(token, now)
}

#[test]
fn each_algorithm_verifies_with_a_key_that_may_be_used_with_it() {
    let (issuer, keys) = (Issuer::new(), Issuer::new().key_set());
    let own = issuer.key_set();
    for (alg, kid) in [("RS256", "any"), ("PS256", "any"), ("RS256", "pinned"), ("ES256", "ec")] {
        let token = issuer.sign(&json!({"alg": alg, "kid": kid}), &claims());
        assert!(verify(&own, &token, NOW).is_ok(), "{alg} {kid}");
        assert_eq!(verify(&keys, &token, NOW), Err(TokenError::WrongSignature), "another issuer's {alg} {kid}");
    }
    for (alg, kid, expected) in [
        ("PS256", "pinned", TokenError::AlgorithmNotAccepted),
        ("RS256", "ec", TokenError::AlgorithmNotAccepted),
        ("ES256", "any", TokenError::AlgorithmNotAccepted),
        ("RS256", "enc", TokenError::UnknownKey),
        ("RS256", "oct", TokenError::UnknownKey),
        ("RS256", "short", TokenError::UnknownKey),
        ("RS256", "nobody", TokenError::UnknownKey),
    ] {
        let token = issuer.sign(&json!({"alg": alg, "kid": kid}), &claims());
        assert_eq!(verify(&own, &token, NOW), Err(expected), "{alg} {kid}");
    }
}

#[test]
fn none_and_keyed_hashes_are_refused_before_anything_is_computed() {
    let issuer = Issuer::new();
    let keys = issuer.key_set();
    for alg in ["none", "None", "HS256", "HS512", "RS512", "ES384", "EdDSA", ""] {
        let token = issuer.sign(&json!({"alg": alg, "kid": "any"}), &claims());
        assert_eq!(verify(&keys, &token, NOW), Err(TokenError::AlgorithmNotAccepted), "{alg}");
        let bare = format!("{}.", unsigned(&json!({"alg": alg, "kid": "any"}), &claims()));
        assert_eq!(verify(&keys, &bare, NOW), Err(TokenError::AlgorithmNotAccepted), "{alg}");
    }
    // The classic confusion: the public modulus used as the secret of a keyed hash.
    let PublicKey::Rsa { n, .. } = issuer.rsa.public_key() else { panic!("an RSA key") };
    let signed = unsigned(&json!({"alg": "HS256", "kid": "any"}), &claims());
    let mac = hmac_sha256(&sha256(n), &[signed.as_bytes()]);
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac));
    assert_eq!(verify(&keys, &forged, NOW), Err(TokenError::AlgorithmNotAccepted));
}

#[test]
fn an_altered_token_is_refused() {
    let issuer = Issuer::new();
    let keys = issuer.key_set();
    let header = json!({"alg": "RS256", "kid": "any"});
    let token = issuer.sign(&header, &claims());
    let (_, signature) = token.rsplit_once('.').unwrap();
    let mut other = claims();
    other["oid"] = json!("00000000-0000-4000-8000-000000000009");
    let moved = format!("{}.{signature}", unsigned(&header, &other));
    assert_eq!(verify(&keys, &moved, NOW), Err(TokenError::WrongSignature));
    for text in
        ["", ".", "..", "a.b.c", "e30.e30.", &format!("{token}.x"), &format!("x{token}"), &token[..token.len() - 4]]
    {
        assert!(verify(&keys, text, NOW).is_err(), "{text}");
    }
    let critical = issuer.sign(&json!({"alg": "RS256", "kid": "any", "crit": ["b64"], "b64": false}), &claims());
    assert_eq!(verify(&keys, &critical, NOW), Err(TokenError::Malformed));
    assert_eq!(verify(&keys, &"a".repeat(TOKEN_BYTES_MAX + 1), NOW), Err(TokenError::TooLong));
}

#[test]
fn time_is_judged_with_sixty_seconds_of_patience() {
    let issuer = Issuer::new();
    let keys = issuer.key_set();
    let token = issuer.sign(&json!({"alg": "RS256", "kid": "any"}), &claims());
    let ends = NOW.plus_seconds(600 + SKEW_SECONDS);
    assert!(verify(&keys, &token, ends.plus_seconds(-1)).is_ok());
    assert_eq!(verify(&keys, &token, ends), Err(TokenError::Expired));
    assert!(verify(&keys, &token, NOW.plus_seconds(-SKEW_SECONDS)).is_ok());
    assert_eq!(verify(&keys, &token, NOW.plus_seconds(-SKEW_SECONDS - 1)), Err(TokenError::NotYetValid));

    for (exp, expected) in [
        (Value::Null, Err(TokenError::MissingClaim("exp"))),
        (json!("1800000600"), Err(TokenError::MissingClaim("exp"))),
        (json!(-1), Err(TokenError::MissingClaim("exp"))),
        (json!(1e300), Err(TokenError::MissingClaim("exp"))),
        (json!(1_800_000_600.75), Ok(())),
    ] {
        let mut claims = claims();
        claims["exp"] = exp.clone();
        let token = issuer.sign(&json!({"alg": "RS256", "kid": "any"}), &claims);
        assert_eq!(verify(&keys, &token, NOW).map(|_| ()), expected, "{exp}");
    }
}

#[test]
fn an_outside_caller_is_bound_to_the_tenant_of_its_issuer() {
    let tenant = TenantId::from_uuid(Uuid::from_u128(5));
    let parse = |value: Value| serde_json::from_value::<Claims>(value).unwrap();
    let names = ClaimNames::default();
    let caller = names.caller(&parse(claims()), tenant, NOW).unwrap();
    assert_eq!((caller.tenant, caller.kind), (tenant, CallerKind::Application));
    assert_eq!(caller.groups, ["00000000-0000-4000-8000-000000000002".parse::<PrincipalId>().unwrap()]);
    assert_eq!(caller.name.as_deref(), Some("ada"));

    let late = NOW.plus_seconds(3600 + SKEW_SECONDS + 1);
    assert!(names.caller(&parse(claims()), tenant, late).unwrap().groups.is_empty());

    let mut foreign = claims();
    foreign["tid"] = json!(Uuid::from_u128(6).to_string());
    assert_eq!(names.caller(&parse(foreign), tenant, NOW), Err(TokenError::WrongTenant));
    let mut nameless = claims();
    nameless["oid"] = json!("ada");
    assert_eq!(names.caller(&parse(nameless), tenant, NOW), Err(TokenError::MissingClaim("oid")));

    let mapped = ClaimNames { oid: "sub".to_owned(), ..ClaimNames::default() };
    let mut keycloak = claims();
    keycloak["sub"] = json!(Uuid::from_u128(7).to_string());
    assert_eq!(mapped.caller(&parse(keycloak), tenant, NOW).unwrap().principal.uuid(), Uuid::from_u128(7));
}

async fn own_token(directory: &Directory, principal: PrincipalId, form: IssuerForm) -> String {
    let principal = directory.principal(principal).await.unwrap().unwrap().value;
    let order = AccessTokenOrder { principal: &principal, client_id: Uuid::from_u128(3), audience: AUDIENCE, form };
    directory.issue_access_token(order, NOW).await.unwrap().text.expose().clone()
}

async fn own(directory: &Directory, text: &str, now: Timestamp) -> Result<Claims, TokenError> {
    match directory.verify_own(ParsedToken::parse(text)?, now).await {
        Ok(claims) => Ok(claims),
        Err(OwnTokenError::Token(error)) => Err(error),
        Err(OwnTokenError::Directory(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn our_own_token_says_who_its_bearer_is_now() {
    let (directory, _) = directory().await;
    let id = directory.create_service_principal(&request(), "program").await.unwrap().object_id;
    let token = own_token(&directory, id, IssuerForm::V2).await;
    let claims = own(&directory, &token, NOW).await.unwrap();
    assert_eq!(claims.text("iss"), Some(directory.issuer().unwrap().as_str()));
    assert_eq!(claims.text("idtyp"), Some("app"));
    assert!(claims.check_audience(|audience| audience == AUDIENCE).is_ok());
    assert_eq!(claims.check_audience(|audience| audience == "x"), Err(TokenError::WrongAudience));
    let token = VerifiedToken::new(claims, String::new());
    let caller = directory.own_caller(&token).await.unwrap();
    assert!(caller.groups.is_empty());
    assert!(Arc::ptr_eq(&caller, &directory.own_caller(&token).await.unwrap()), "nothing has changed");

    let group = directory.create_group(&request(), "operators").await.unwrap();
    directory.add_member(&request(), group, id).await.unwrap();
    assert_eq!(directory.own_caller(&token).await.unwrap().groups, [group]);
    directory.set_state(&request(), id, PrincipalState::Disabled).await.unwrap();
    let gone = directory.own_caller(&token).await.unwrap_err();
    assert!(matches!(gone, OwnTokenError::Token(TokenError::BearerGone)));
}

#[tokio::test]
async fn a_user_token_names_the_user_and_its_scope() {
    let (directory, _) = directory().await;
    let user = directory.create_user(&request(), "ada@example.org", "Ada").await.unwrap().principal;
    let claims = own(&directory, &own_token(&directory, user.object_id, IssuerForm::V2).await, NOW).await.unwrap();
    let said = ["idtyp", "upn", "name", "scp", "ver"].map(|name| claims.text(name).unwrap());
    assert_eq!(said, ["user", "ada@example.org", "Ada", "user_impersonation", "2.0"]);
    let caller = directory.own_caller(&VerifiedToken::new(claims, String::new())).await.unwrap();
    assert_eq!((caller.kind, caller.name.as_deref()), (CallerKind::User, Some("ada@example.org")));
}

#[tokio::test]
async fn a_storage_token_names_the_issuer_storage_looks_for_and_is_never_taken_back() {
    let (directory, foundation) = directory().await;
    let token = own_token(&directory, foundation.machine.object_id, IssuerForm::V1).await;
    let parsed = ParsedToken::parse(&token).unwrap();
    let issuer = format!("https://sts.windows.net/{}/", foundation.tenant);
    assert_eq!(parsed.unproved_claims().text("iss"), Some(issuer.as_str()));
    assert_eq!(own(&directory, &token, NOW).await, Err(TokenError::UnknownIssuer));
}

#[tokio::test]
async fn a_token_dies_with_the_key_that_signed_it() {
    let (directory, foundation) = directory().await;
    let token = own_token(&directory, foundation.machine.object_id, IssuerForm::V2).await;
    let kid = ParsedToken::parse(&token).unwrap().header().kid.clone().unwrap();
    directory.rotate_signing_key(&request()).await.unwrap();
    assert!(own(&directory, &token, NOW).await.is_ok());
    assert!(directory.publishes(&kid, NOW));
    let ended = NOW.plus_seconds(3 * 3600);
    assert!(!directory.publishes(&kid, ended));
    assert_eq!(own(&directory, &token, ended).await, Err(TokenError::UnknownKey));
}

#[tokio::test]
async fn the_token_of_another_deployment_is_refused_even_if_it_names_our_issuer() {
    let ((ours, _), (theirs, foundation)) = (directory().await, directory().await);
    let token = own_token(&theirs, foundation.administrator.object_id, IssuerForm::V2).await;
    assert_eq!(own(&ours, &token, NOW).await, Err(TokenError::UnknownIssuer));
    let issuer = Arc::new(Issuer::new());
    let mut claims = claims();
    claims["iss"] = json!(ours.issuer().unwrap());
    let kid = ours.public_signing_keys(NOW).await.unwrap()[0].kid.clone();
    let forged = issuer.sign(&json!({"alg": "RS256", "kid": kid}), &claims);
    assert_eq!(own(&ours, &forged, NOW).await, Err(TokenError::WrongSignature));
}

#[test]
fn a_key_that_is_published_as_a_certificate_alone_verifies() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/security-domain/");
    let request = std::fs::read(format!("{folder}download-request.json")).unwrap();
    let request: Value = serde_json::from_slice(&request).unwrap();
    let certificate = &request["certificates"][0]["x5c"][0];
    let pem = std::fs::read_to_string(format!("{folder}keys/wrap1.key")).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
    let key = KeyMaterial::from_sealable(KeySpecification::Rsa(RsaSize::Bits2048), &der).unwrap();
    let signed = unsigned(&json!({"alg": "RS256", "kid": "certified"}), &json!({"exp": NOW.seconds() + 60}));
    let signature = key.sign(Algorithm::Rs256, &sha256(signed.as_bytes())).unwrap();
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));

    let set = |key: Value| KeySet::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
    let certified = set(json!({"kty": "RSA", "kid": "certified", "x5c": [certificate]}));
    let verified = certified.get("certified").unwrap().verify(ParsedToken::parse(&token).unwrap(), NOW);
    assert!(verified.is_ok(), "{verified:?}");
    for broken in [json!({"x5c": []}), json!({"x5c": ["AAAA"]}), json!({"x5c": ["%"]}), json!({"n": "AQAB"})] {
        let mut key = json!({"kty": "RSA", "kid": "certified"});
        key.as_object_mut().unwrap().extend(broken.as_object().unwrap().clone());
        assert!(set(key.clone()).is_empty(), "{key}");
    }
}
