//! Token buckets of keys: who takes a token, and who does not (the caller's bucket is the data plane's to ask for).

use strongroom_core::Error;
use strongroom_core::keys::{CipherInput, CreateKey, KeyAttributes, KeyReference, UpdateKey};
use strongroom_core::throttle::{Limited, Rate, Rates};
use strongroom_crypto::{CryptoError, KeySpecification};
use strongroom_types::{Algorithm, PrincipalId, RsaSize, Secret};

use crate::support::{CRYPTO_USER, World, ec, stranger};

const DIGEST: [u8; 32] = [7; 32];

/// One use a second of each key, and so many at once.
fn per_key(burst: u32) -> Rates {
    let rate = Rate { per_second: 1.try_into().unwrap(), burst: burst.try_into().unwrap() };
    Rates { per_key: Some(rate), ..Rates::default() }
}

/// A world with the keys `a` and `b`, whose keys may be used so often at once.
async fn limited(burst: u32) -> (World, KeyReference, KeyReference) {
    let mut world = World::active().await;
    let (a, b) = (world.ec_key("a").await, world.ec_key("b").await);
    world.test = world.test.restarted_throttled(per_key(burst)).await.unwrap();
    (world, a, b)
}

async fn sign(world: &World, who: PrincipalId, key: &KeyReference) -> Result<(), Error> {
    let signed = world.hsm().await.sign(&world.request(who), key, Algorithm::Es256, DIGEST.to_vec()).await;
    signed.map(drop)
}

#[track_caller]
fn assert_exceeded<T: std::fmt::Debug>(refused: Result<T, Error>) {
    let Err(Error::RateExceeded { limited: Limited::Key, wait }) = refused else { panic!("{refused:?}") };
    assert_eq!(wait.as_millis(), 1000);
}

#[tokio::test]
async fn a_key_is_used_as_often_as_allowed_whoever_asks_and_other_keys_all_the_same() {
    let (world, a, b) = limited(3).await;
    let other = stranger();
    world.assign(other, CRYPTO_USER, "/").await;
    for who in [world.administrator, other, world.administrator] {
        sign(&world, who, &a).await.unwrap();
    }
    assert_exceeded(sign(&world, other, &a).await);
    sign(&world, other, &b).await.unwrap();
    world.test.clock.advance_seconds(1);
    sign(&world, other, &a).await.unwrap();
    assert_exceeded(sign(&world, world.administrator, &a).await);
}

#[tokio::test]
async fn versions_of_a_key_have_one_bucket() {
    let (world, old, _) = limited(1).await;
    let new = world.ec_key("a").await;
    assert_ne!(new.version, old.version);
    sign(&world, world.administrator, &new).await.unwrap();
    assert_exceeded(sign(&world, world.administrator, &old).await);
}

#[tokio::test]
async fn who_may_not_use_a_key_takes_none_of_its_tokens_and_does_not_learn_that_there_are_none() {
    let (world, a, _) = limited(1).await;
    let nobody = stranger();
    for _ in 0..3 {
        assert!(matches!(sign(&world, nobody, &a).await, Err(Error::Forbidden { .. })));
    }
    sign(&world, world.administrator, &a).await.unwrap();
    assert_exceeded(sign(&world, world.administrator, &a).await);
    assert!(matches!(sign(&world, nobody, &a).await, Err(Error::Forbidden { .. })));
}

#[tokio::test]
async fn what_is_refused_for_another_reason_and_what_only_looks_at_a_key_takes_no_token() {
    let (world, a, b) = limited(1).await;
    let (hsm, request) = (world.hsm().await, || world.administration());
    let disable = |enabled| UpdateKey {
        attributes: KeyAttributes { enabled: Some(enabled), ..KeyAttributes::default() },
        ..UpdateKey::default()
    };
    hsm.update_key(&request(), &a, &disable(false)).await.unwrap();
    assert!(matches!(sign(&world, world.administrator, &a).await, Err(Error::KeyDisabled { .. })));
    hsm.update_key(&request(), &a, &disable(true)).await.unwrap();
    let unsuitable = hsm.sign(&request(), &a, Algorithm::RsaOaep256, DIGEST.to_vec()).await;
    assert!(matches!(unsuitable, Err(Error::Crypto(CryptoError::UnsuitableAlgorithm { .. }))), "{unsuitable:?}");
    for _ in 0..3 {
        hsm.key(&request(), &a).await.unwrap();
    }
    sign(&world, world.administrator, &a).await.unwrap();
    sign(&world, world.administrator, &b).await.unwrap();
}

#[tokio::test]
async fn every_operation_on_data_takes_a_token() {
    let mut world = World::active().await;
    let rsa = world.create("rsa", CreateKey { specification: KeySpecification::Rsa(RsaSize::Bits2048), ..ec() }).await;
    let oaep = Algorithm::RsaOaep256;
    let input = |value: &[u8]| CipherInput { value: value.to_vec(), ..CipherInput::default() };
    let sealed = world.hsm().await.encrypt(&world.administration(), &rsa, oaep, input(b"text")).await.unwrap().value;
    for operation in ["sign", "verify", "encrypt", "decrypt", "wrap", "unwrap"] {
        world.test = world.test.restarted_throttled(per_key(1)).await.unwrap();
        let (hsm, request) = (world.hsm().await, world.administration());
        let (ps256, digest) = (Algorithm::Ps256, DIGEST.to_vec());
        let perform = async || match operation {
            "sign" => hsm.sign(&request, &rsa, ps256, digest.clone()).await.map(drop),
            "verify" => hsm.verify(&request, &rsa, ps256, digest.clone(), vec![0; 256]).await.map(drop),
            "encrypt" => hsm.encrypt(&request, &rsa, oaep, input(b"text")).await.map(drop),
            "decrypt" => hsm.decrypt(&request, &rsa, oaep, input(&sealed)).await.map(drop),
            "wrap" => hsm.wrap_key(&request, &rsa, oaep, Secret::new(vec![1; 32])).await.map(drop),
            _ => hsm.unwrap_key(&request, &rsa, oaep, sealed.clone()).await.map(drop),
        };
        perform().await.unwrap_or_else(|error| panic!("{operation}: {error:?}"));
        assert_exceeded(perform().await);
    }
}

#[tokio::test]
async fn nothing_is_limited_by_default() {
    let world = World::active().await;
    let a = world.ec_key("a").await;
    let caller = world.administration().caller;
    for _ in 0..1000 {
        world.test.core.admit(&caller).unwrap();
    }
    for _ in 0..100 {
        sign(&world, world.administrator, &a).await.unwrap();
    }
}
