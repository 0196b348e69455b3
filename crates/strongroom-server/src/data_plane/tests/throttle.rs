//! What clients are told whose bucket, or whose key's bucket, is empty.

use serde_json::{Value, json};
use strongroom_core::rbac::{CRYPTO_OFFICER, CRYPTO_USER};
use strongroom_core::throttle::{Rate, Rates};

use crate::data_plane::tests::world::{Answer, HSM, OTHER, World};

const VERSION: &str = "api-version=7.6";

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    Some(Rate { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() })
}

/// A world with these buckets, and the token of a program that may do everything with keys.
async fn scene(rates: Rates) -> (World, String) {
    let world = World::limited(rates).await;
    let (principal, token) = world.program("operator").await;
    for role in [CRYPTO_USER, CRYPTO_OFFICER] {
        world.assign(HSM, principal, role, "/").await;
    }
    world.test.audit.take();
    (world, token)
}

async fn sign(world: &World, token: &str, key: &str) -> Answer {
    let body = json!({"alg": "ES256", "value": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    world.send(token, "POST", &format!("/keys/{key}/sign?{VERSION}"), &body).await
}

async fn list(world: &World, token: &str) -> Answer {
    world.send(token, "GET", &format!("/keys?{VERSION}"), &Value::Null).await
}

/// 429 as every other one, with the second from which on there is a token again.
#[track_caller]
fn assert_throttled(answer: &Answer, retry_after: &str, message: &str) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "Throttled"), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some(retry_after), "{answer:?}");
    let told = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(told.starts_with(&format!("{message}; try again in {retry_after} s (Activity ID: ")), "{told}");
}

#[tokio::test]
async fn an_empty_bucket_of_a_key_is_answered_with_429_and_recorded_and_counted_as_the_operation_it_was() {
    let (world, token) = scene(Rates { per_key: rate(1, 2), ..Rates::default() }).await;
    for key in ["n", "m"] {
        let create = format!("/keys/{key}/create?{VERSION}");
        assert_eq!(world.send(&token, "POST", &create, &json!({"kty": "EC-HSM"})).await.status, 200);
    }
    assert_eq!(sign(&world, &token, "n").await.status, 200);
    assert_eq!(sign(&world, &token, "n").await.status, 200);
    world.test.audit.take();
    let refused = sign(&world, &token, "N").await;
    assert_throttled(&refused, "1", "This key is used too often");
    assert_eq!(refused.operation, "KeySign");
    let events = world.test.audit.take();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&*event.operation_name, &*event.result_type), ("KeySign", "Failed"));
    assert_eq!((&*event.result_signature, event.properties.http_status_code), ("Throttled", 429));
    // The key can be looked at, and another one used.
    assert_eq!(world.send(&token, "GET", &format!("/keys/n?{VERSION}"), &Value::Null).await.status, 200);
    assert_eq!(sign(&world, &token, "m").await.status, 200);
    world.test.clock.advance_seconds(1);
    assert_eq!(sign(&world, &token, "n").await.status, 200);
    assert_throttled(&sign(&world, &token, "n").await, "1", "This key is used too often");
}

#[tokio::test]
async fn who_has_no_rights_is_told_so_and_takes_no_token_of_the_key() {
    let (world, token) = scene(Rates { per_key: rate(1, 1), ..Rates::default() }).await;
    let create = format!("/keys/n/create?{VERSION}");
    assert_eq!(world.send(&token, "POST", &create, &json!({"kty": "EC-HSM"})).await.status, 200);
    let (_, nobody) = world.program("nobody").await;
    for _ in 0..3 {
        assert_eq!(sign(&world, &nobody, "n").await.status, 403);
    }
    assert_eq!(sign(&world, "", "n").await.status, 401);
    assert_eq!(sign(&world, &token, "n").await.status, 200);
    assert_eq!(sign(&world, &token, "n").await.status, 429);
    assert_eq!(sign(&world, &nobody, "n").await.status, 403);
}

#[tokio::test]
async fn each_principal_has_a_bucket_of_its_own_for_all_it_asks() {
    let (world, token) = scene(Rates { per_principal: rate(1, 3), ..Rates::default() }).await;
    let (_, other) = world.program("other").await;
    assert_eq!(list(&world, &token).await.status, 200);
    // What is refused counts as well, and so does what another HSM is asked.
    assert_eq!(world.send(&token, "GET", &format!("/nothing?{VERSION}"), &Value::Null).await.status, 404);
    let host = format!("{OTHER}.managedhsm.localhost:8443");
    let elsewhere = async |token: &str| {
        world.send_raw(token, "GET", &format!("/keys?{VERSION}"), &[("host", &host)], String::new()).await
    };
    assert_eq!(elsewhere(&token).await.status, 403);
    world.test.audit.take();
    let refused = list(&world, &token).await;
    assert_throttled(&refused, "1", "This principal asks too often");
    assert_eq!((refused.operation, world.test.audit.take().len()), ("KeyList", 1));
    assert_throttled(&elsewhere(&token).await, "1", "This principal asks too often");
    // Somebody else's bucket is full, and who is nobody has none.
    assert_eq!(list(&world, &other).await.status, 403);
    assert_eq!(list(&world, "").await.status, 401);
    world.test.clock.advance_seconds(2);
    assert_eq!(list(&world, &token).await.status, 200);
    assert_eq!(list(&world, &token).await.status, 200);
    assert_eq!(list(&world, &token).await.status, 429);
}

#[tokio::test]
async fn seconds_to_wait_are_whole_and_never_too_few() {
    let (world, token) = scene(Rates { per_principal: rate(1000, 1), ..Rates::default() }).await;
    assert_eq!(list(&world, &token).await.status, 200);
    assert_throttled(&list(&world, &token).await, "1", "This principal asks too often");
}
