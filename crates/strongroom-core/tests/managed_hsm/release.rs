use std::num::NonZeroU32;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use strongroom_core::Error;
use strongroom_core::attestation::AttestationProblem;
use strongroom_core::identity::token::{Claims, ParsedToken, TokenError, VerificationKey};
use strongroom_core::keys::{CreateKey, KeyAttributes, Origin, ReleaseOrder, ReleaseTerms, UpdateKey};
use strongroom_core::ports::AttestationAuthorities;
use strongroom_core::throttle::{Limited, Rate, Rates};
use strongroom_crypto::digest::sha256;
use strongroom_crypto::{CryptoError, KeyMaterial, KeySpecification, PublicKey, RsaPrivateKey, SystemEntropy};
use strongroom_testkit::START;
use strongroom_types::{
    Algorithm, CurveName, DataAction, KeyEncryptionAlgorithm, KeyOperation, RsaSize, SymmetricSize, Timestamp,
};

use crate::support::{CRYPTO_SERVICE_RELEASE, World, ec, exportable, stranger};

const AUTHORITY: &str = "https://attest.example";

#[tokio::test]
async fn the_release_terms_of_a_key_are_those_of_its_first_version() {
    let world = World::active().await;
    let hsm = world.hsm().await;
    let request = || world.administration();
    let name = "k".parse().unwrap();
    let first = hsm.create_key(&request(), &name, exportable(AUTHORITY, false)).await.unwrap();
    assert!(first.release.is_exportable());
    let second = hsm.create_key(&request(), &name, ec()).await.unwrap();
    assert_eq!(second.release, first.release, "what is not said stays as it is");
    let other = exportable("https://other.example", false);
    let third = hsm.create_key(&request(), &name, other).await.unwrap();
    assert_ne!(third.release, first.release);
    let locked = CreateKey { release: ReleaseTerms { exportable: Some(false), policy: None }, ..ec() };
    let refused = hsm.create_key(&request(), &name, locked).await;
    assert!(matches!(refused, Err(Error::BadParameter { parameter: "exportable", .. })), "{refused:?}");

    let plain = world.ec_key("plain").await;
    let refused = hsm.create_key(&request(), &plain.name, exportable(AUTHORITY, false)).await;
    assert!(matches!(refused, Err(Error::BadParameter { parameter: "exportable", .. })), "{refused:?}");
}

#[tokio::test]
async fn an_immutable_policy_outlives_updates_and_new_versions() {
    let world = World::active().await;
    let hsm = world.hsm().await;
    let request = || world.administration();
    let key = world.create("k", exportable(AUTHORITY, false)).await;
    let change = |wanted: CreateKey| UpdateKey { release: wanted.release, ..UpdateKey::default() };
    let sealed = hsm.update_key(&request(), &key, &change(exportable("https://other.example", true))).await.unwrap();
    assert!(
        sealed.release.policy().is_some_and(|policy| policy.is_immutable() && policy.trusts("https://other.example"))
    );
    for wanted in [exportable(AUTHORITY, true), exportable("https://other.example", false)] {
        let refused = hsm.update_key(&request(), &key, &change(wanted.clone())).await;
        assert!(matches!(refused, Err(Error::BadParameter { parameter: "release_policy", .. })), "{refused:?}");
        let refused = hsm.create_key(&request(), &key.name, wanted).await;
        assert!(matches!(refused, Err(Error::BadParameter { parameter: "release_policy", .. })), "{refused:?}");
    }
    let same = hsm.update_key(&request(), &key, &change(exportable("https://other.example", true))).await.unwrap();
    assert_eq!(same.release, sealed.release);
    let shown = hsm.key(&request(), &key).await.unwrap();
    assert_eq!(shown.release, sealed.release, "what was stored is what was shown");
}

/// An attestation authority, and an environment it vouches for.
struct Authority {
    key: KeyMaterial,
    environment: RsaPrivateKey,
}

impl Authority {
    fn new() -> Self {
        let key = KeyMaterial::generate(KeySpecification::Rsa(RsaSize::Bits2048), &SystemEntropy).unwrap();
        Self { key, environment: RsaPrivateKey::generate(RsaSize::Bits2048).unwrap() }
    }

    fn claims(&self) -> Value {
        let [n, e] =
            [self.environment.public().n(), self.environment.public().e()].map(|it| URL_SAFE_NO_PAD.encode(it));
        json!({
            "iss": AUTHORITY,
            "exp": START.seconds() + 600,
            "nbf": START.seconds(),
            "trusted": true,
            "x-ms-runtime": {"keys": [{"kty": "RSA", "kid": "tee", "key_ops": ["encrypt"], "n": n, "e": e}]},
        })
    }

    fn token(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "RS256", "kid": "one"})), part(claims));
        let signature = self.key.sign(Algorithm::Rs256, &sha256(signed.as_bytes())).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// What its policy accepts, with one claim changed.
    fn order_with(&self, claim: &str, value: Value) -> ReleaseOrder {
        let mut claims = self.claims();
        claims[claim] = value;
        order(self.token(&claims))
    }

    fn order(&self) -> ReleaseOrder {
        order(self.token(&self.claims()))
    }
}

fn order(target: String) -> ReleaseOrder {
    ReleaseOrder { target, encryption: KeyEncryptionAlgorithm::RsaAesKeyWrap256 }
}

#[async_trait]
impl AttestationAuthorities for Authority {
    async fn verify(&self, token: ParsedToken<'_>, now: Timestamp) -> Result<Claims, TokenError> {
        let PublicKey::Rsa { n, e } = self.key.public_key() else { panic!("another kind of key") };
        let [n, e] = [n, e].map(|it| URL_SAFE_NO_PAD.encode(it));
        VerificationKey::rsa(&n, &e, &[jsonwebtoken::Algorithm::RS256])?.verify(token, now)
    }
}

fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> AttestationProblem {
    match result {
        Err(Error::AttestationRefused { problem }) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_exportable_key_is_released_to_the_environment_its_policy_accepts_and_counted() {
    let (world, authority) = (World::active().await, Authority::new());
    let hsm = world.hsm().await;
    let key = world.create("k", exportable(&format!("{AUTHORITY}/"), false)).await;
    let user = stranger();
    world.assign(user, CRYPTO_SERVICE_RELEASE, "/keys/k").await;
    world.test.audit.take();
    for count in 1..=2 {
        let request = world.request(user);
        let released = hsm.release_key(&request, &key, &authority.order(), &authority).await.unwrap();
        assert_eq!(released.recipient, "tee");
        assert!(released.ciphertext.len() > 256 + 64);
        assert!(request.is_recorded(), "the event is in the commit of the count");
        let known = hsm.key_provenance(&world.administration(), &key).await.unwrap();
        assert_eq!((known.releases, known.origin), (count, Origin::Generated));
    }
    let event = &world.test.audit.take()[0];
    let detail = event.properties.detail.as_deref().unwrap();
    assert!(detail.contains("released") && detail.contains(AUTHORITY) && detail.contains("tee"), "{detail}");
}

#[tokio::test]
async fn an_expired_key_is_released_and_a_disabled_one_is_not() {
    let (world, authority) = (World::active().await, Authority::new());
    let hsm = world.hsm().await;
    let key = world.create("k", exportable(AUTHORITY, false)).await;
    let change = |enabled| UpdateKey {
        attributes: KeyAttributes {
            enabled: Some(enabled),
            expires: Some(Timestamp::from_seconds(1)),
            not_before: None,
        },
        ..UpdateKey::default()
    };
    hsm.update_key(&world.administration(), &key, &change(true)).await.unwrap();
    hsm.release_key(&world.administration(), &key, &authority.order(), &authority).await.unwrap();
    hsm.update_key(&world.administration(), &key, &change(false)).await.unwrap();
    let refused = hsm.release_key(&world.administration(), &key, &authority.order(), &authority).await;
    assert!(matches!(refused, Err(Error::KeyDisabled { .. })), "{refused:?}");
}

#[tokio::test]
async fn what_is_not_exportable_not_allowed_or_not_attested_stays() {
    let (world, authority) = (World::active().await, Authority::new());
    let hsm = world.hsm().await;
    let key = world.create("k", exportable(AUTHORITY, false)).await;
    let refused = hsm.release_key(&world.request(stranger()), &key, &authority.order(), &authority).await;
    assert!(matches!(refused, Err(Error::Forbidden { action: DataAction::KeysRelease, .. })), "{refused:?}");
    let release = async |order: ReleaseOrder| hsm.release_key(&world.administration(), &key, &order, &authority).await;
    let plain = world.ec_key("plain").await;
    let refused = hsm.release_key(&world.administration(), &plain, &authority.order(), &authority).await;
    assert!(matches!(refused, Err(Error::OperationNotPermitted { .. })), "{refused:?}");

    use AttestationProblem::{ClaimsNotMet, NoRecipientKey, NotInPolicy, Token};
    let with = |claim, value| authority.order_with(claim, value);
    assert_eq!(problem(release(with("iss", json!("https://other.example"))).await), NotInPolicy);
    assert_eq!(problem(release(with("iss", json!(7))).await), Token(TokenError::MissingClaim("iss")));
    assert_eq!(problem(release(with("trusted", json!(false))).await), ClaimsNotMet);
    assert_eq!(problem(release(with("trusted", json!(null))).await), ClaimsNotMet);
    assert_eq!(problem(release(with("exp", json!(START.seconds() - 3600))).await), Token(TokenError::Expired));
    assert_eq!(problem(release(with("nbf", json!(START.seconds() + 3600))).await), Token(TokenError::NotYetValid));
    assert_eq!(problem(release(with("x-ms-runtime", json!({}))).await), NoRecipientKey);
    let foreign = Authority::new();
    assert_eq!(problem(release(foreign.order()).await), Token(TokenError::WrongSignature));
    let refused = release(order("no.token".to_owned())).await;
    assert!(matches!(refused, Err(Error::BadParameter { parameter: "target", .. })), "{refused:?}");
    assert_eq!(hsm.key_provenance(&world.administration(), &key).await.unwrap().releases, 0);
}

#[tokio::test]
async fn nothing_is_released_while_the_audit_log_cannot_be_written() {
    let (world, authority) = (World::active().await, Authority::new());
    let key = world.create("k", exportable(AUTHORITY, false)).await;
    world.test.audit.fail();
    let refused = world.hsm().await.release_key(&world.administration(), &key, &authority.order(), &authority).await;
    assert!(matches!(refused, Err(Error::AuditUnavailable)), "{refused:?}");
}

fn secure(authority: &str) -> CreateKey {
    let mut wanted = exportable(authority, false);
    wanted.release.exportable = None;
    wanted.operations = Some([KeyOperation::SecureWrapKey, KeyOperation::SecureUnwrapKey].into_iter().collect());
    CreateKey { specification: KeySpecification::Oct(SymmetricSize::Bits256), ..wanted }
}

#[tokio::test]
async fn a_securely_wrapped_key_is_unwrapped_for_an_attested_environment_only() {
    let (world, authority) = (World::active().await, Authority::new());
    let hsm = world.hsm().await;
    let request = || world.administration();
    let kek = world.create("kek", secure(AUTHORITY)).await;
    let wrapped = hsm.secure_wrap_key(&request(), &kek, Algorithm::A256Kw).await.unwrap().value;
    assert_eq!(wrapped.len(), 40);
    let target = authority.order().target;
    let unwrap = async |wrapped: &[u8], target: &str| {
        hsm.secure_unwrap_key(&request(), &kek, Algorithm::A256Kw, wrapped.to_vec(), target, &authority).await
    };
    let sent = unwrap(&wrapped, &target).await.unwrap();
    assert_eq!(sent.value.len(), 256 + 40, "a key under RSA-2048, and 32 bytes under that");
    let other = authority.order_with("trusted", json!(false)).target;
    assert_eq!(problem(unwrap(&wrapped, &other).await), AttestationProblem::ClaimsNotMet);
    let mut altered = wrapped.clone();
    altered[0] ^= 1;
    let refused = unwrap(&altered, &target).await;
    assert!(matches!(refused, Err(Error::Crypto(CryptoError::Rejected))), "{refused:?}");

    let plain = hsm.unwrap_key(&request(), &kek, Algorithm::A256Kw, wrapped.clone()).await;
    assert!(matches!(plain, Err(Error::OperationNotPermitted { .. })), "{plain:?}");
    let ordinary =
        UpdateKey { operations: Some([KeyOperation::UnwrapKey].into_iter().collect()), ..UpdateKey::default() };
    let refused = hsm.update_key(&request(), &kek, &ordinary).await;
    assert!(matches!(refused, Err(Error::BadParameter { .. })), "{refused:?}");
    let refused = hsm.release_key(&request(), &kek, &authority.order(), &authority).await;
    assert!(matches!(refused, Err(Error::OperationNotPermitted { .. })), "{refused:?}");
}

#[tokio::test]
async fn secure_operations_stand_alone_and_fit_their_keys() {
    let world = World::active().await;
    let hsm = world.hsm().await;
    let mixed = [KeyOperation::SecureUnwrapKey, KeyOperation::UnwrapKey].into_iter().collect();
    for wanted in [
        CreateKey { operations: Some(mixed), ..secure(AUTHORITY) },
        CreateKey { specification: KeySpecification::Ec(CurveName::P256), ..secure(AUTHORITY) },
        CreateKey { release: ReleaseTerms::default(), ..secure(AUTHORITY) },
        CreateKey { release: exportable(AUTHORITY, false).release, ..secure(AUTHORITY) },
    ] {
        let refused = hsm.create_key(&world.administration(), &"kek".parse().unwrap(), wanted).await;
        assert!(matches!(refused, Err(Error::BadParameter { .. })), "{refused:?}");
    }
    let kek = world.create("kek", secure(AUTHORITY)).await;
    let refused = hsm.secure_wrap_key(&world.administration(), &kek, Algorithm::RsaOaep).await;
    assert!(matches!(refused, Err(Error::Crypto(CryptoError::UnsuitableAlgorithm { .. }))), "{refused:?}");
}

#[tokio::test]
async fn a_release_is_a_use_of_its_key() {
    let (mut world, authority) = (World::active().await, Authority::new());
    let key = world.create("k", exportable(AUTHORITY, false)).await;
    let rate = Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::MIN };
    let rates = Rates { per_key: Some(rate), ..Rates::default() };
    world.test = world.test.restarted_throttled(rates).await.unwrap();
    let hsm = world.hsm().await;
    let release = async || hsm.release_key(&world.administration(), &key, &authority.order(), &authority).await;
    release().await.unwrap();
    let refused = release().await;
    assert!(matches!(refused, Err(Error::RateExceeded { limited: Limited::Key, .. })), "{refused:?}");
    assert_eq!(hsm.key_provenance(&world.administration(), &key).await.unwrap().releases, 1);
}
