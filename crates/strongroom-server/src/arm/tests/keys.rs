//! Keys of a managed HSM through the management plane.

use serde_json::{Value, json};
use strongroom_core::request::Request;
use strongroom_testkit::{custodians, program, request_of};

use crate::arm::tests::world::World;

const HSM: &str = "keyed";

/// An active HSM, and a request of its administrator.
async fn scene() -> (World, Request) {
    let world = World::new().await;
    world.create(HSM).await;
    let caller = program(world.foundation.tenant, world.foundation.administrator.object_id);
    let request = request_of(caller, strongroom_testkit::START).unwrap();
    let hsm = world.test.core.hsm(&HSM.parse().unwrap()).await.unwrap();
    let download = hsm.download_security_domain(&request, custodians().unwrap()).await.unwrap();
    hsm.confirm_download(&request, download.operation).await.unwrap();
    drop(hsm);
    (world, request)
}

async fn allow(world: &World, request: &Request, value: &str) {
    let hsm = world.test.core.hsm(&HSM.parse().unwrap()).await.unwrap();
    hsm.update_setting(request, "AllowKeyManagementOperationsThroughARM", value).await.unwrap();
}

fn keys(world: &World, rest: &str) -> String {
    format!("{}/keys{rest}", world.hsm(HSM))
}

#[tokio::test]
async fn keys_are_no_business_of_the_management_plane_unless_the_setting_says_so() {
    let (world, request) = scene().await;
    let body = json!({"properties": {"kty": "EC-HSM"}});
    for value in [None, Some("true"), Some("false")] {
        if let Some(value) = value {
            allow(&world, &request, value).await;
        }
        let allowed = value == Some("true");
        let put = world.put(&keys(&world, "/k"), body.clone()).await;
        let list = world.ask("GET", &keys(&world, "")).await;
        let versions = world.ask("GET", &keys(&world, "/k/versions")).await;
        for answer in [put, list, versions] {
            let expected = if allowed { (200, "") } else { (403, "Forbidden") };
            assert_eq!((answer.status.as_u16(), answer.code()), expected, "{value:?} {answer:?}");
            assert!(allowed || answer.message().contains("AllowKeyManagementOperationsThroughARM"));
        }
    }
}

#[tokio::test]
async fn a_key_is_made_once_and_never_changed() {
    let (world, request) = scene().await;
    allow(&world, &request, "true").await;
    let body = json!({
        "tags": {"a": "b"},
        "properties": {"kty": "EC", "curveName": "P-384", "keyOps": ["sign"], "attributes": {"enabled": true}},
    });
    let made = world.put(&keys(&world, "/Mine"), body).await;
    assert_eq!(made.status, 200, "{made:?}");
    let properties = &made.body["properties"];
    assert_eq!(made.body["id"], keys(&world, "/Mine"));
    assert_eq!(made.body["type"], "Microsoft.KeyVault/managedHSMs/keys");
    assert_eq!((&properties["kty"], &properties["curveName"]), (&json!("EC-HSM"), &json!("P-384")));
    assert_eq!((&properties["keyOps"], &made.body["tags"]), (&json!(["sign"]), &json!({"a": "b"})));
    assert_eq!(properties["keyUri"], "https://keyed.managedhsm.localhost:8443/keys/Mine");
    let again = world.put(&keys(&world, "/mine"), json!({"properties": {"kty": "RSA", "keySize": 2048}})).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &made.body));
    assert_eq!(world.ask("GET", &keys(&world, "/MINE")).await.body, made.body);
    assert_eq!(world.ask("GET", &keys(&world, "")).await.body["value"], json!([made.body]));

    let versions = world.ask("GET", &keys(&world, "/mine/versions")).await;
    let version = versions.body["value"][0]["name"].as_str().unwrap().to_owned();
    assert!(properties["keyUriWithVersion"].as_str().unwrap().ends_with(&version));
    let shown = world.ask("GET", &keys(&world, &format!("/mine/versions/{version}"))).await;
    assert_eq!(shown.body, versions.body["value"][0]);
    for missing in ["/other", "/mine/versions/0123456789abcdef0123456789abcdef", "/mine/versions/x"] {
        let answer = world.ask("GET", &keys(&world, missing)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (404, "ResourceNotFound"), "{missing}");
    }
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_clearly() {
    let (world, request) = scene().await;
    allow(&world, &request, "true").await;
    for properties in [
        json!({}),
        json!({"kty": "DSA"}),
        json!({"kty": "RSA", "keySize": 1024}),
        json!({"kty": "EC", "keyOps": ["encrypt"]}),
        json!({"kty": "EC", "attributes": {"exportable": true}}),
        json!({"kty": "EC", "rotationPolicy": {"lifetimeActions": []}}),
    ] {
        let answer = world.put(&keys(&world, "/k"), json!({"properties": properties})).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "BadRequest"), "{properties} {answer:?}");
    }
    let listed = world.ask("GET", &keys(&world, "")).await;
    assert_eq!(listed.body["value"], Value::Array(Vec::new()));
}
