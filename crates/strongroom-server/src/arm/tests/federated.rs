//! Federated credentials of user-assigned identities.

use serde_json::{Value, json};
use strongroom_core::pools::READER;

use crate::arm::tests::world::World;

const GUID: &str = "11111111-1111-4111-8111-111111111111";

struct Scene {
    world: World,
    identity: String,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let identity = format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/signer", world.group());
        assert_eq!(world.put(&identity, json!({"location": "local"})).await.status, 201);
        Self { world, identity }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/federatedIdentityCredentials/{name}?api-version=2025-01-31-preview", self.identity)
    }
}

fn body(subject: &str) -> Value {
    json!({"properties": {"issuer": "https://issuer.example", "subject": subject, "audiences": ["api://a"]}})
}

#[tokio::test]
async fn one_lives_as_the_cli_expects() {
    let scene = Scene::new().await;
    let world = &scene.world;
    assert_eq!(world.ask("GET", &scene.path("one")).await.code(), "ResourceNotFound");
    let made = world.put(&scene.path("One"), body("a")).await;
    let mut expected = json!({
        "id": format!("{}/federatedIdentityCredentials/One", scene.identity),
        "name": "One",
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
        "properties": {"issuer": "https://issuer.example", "subject": "a", "audiences": ["api://a"]},
    });
    assert_eq!((made.status.as_u16(), &made.body), (201, &expected));
    assert_eq!(world.ask("GET", &scene.path("one")).await.body, expected);
    let changed = world.put(&scene.path("one"), body("b")).await;
    expected["properties"]["subject"] = json!("b");
    assert_eq!((changed.status.as_u16(), &changed.body), (200, &expected));
    assert_eq!(world.ask("GET", &scene.path("")).await.body, json!({"value": [expected]}));
    let events = world.test.audit.take();
    let names: Vec<_> = events.iter().map(|event| event.operation_name.as_ref()).collect();
    assert!(names.contains(&"FederatedIdentityCredentialPut"), "{names:?}");
    assert_eq!(world.ask("DELETE", &scene.path("ONE")).await.status, 200);
    assert_eq!(world.ask("DELETE", &scene.path("one")).await.status, 204);
    assert_eq!(world.ask("GET", &scene.path("")).await.body, json!({"value": []}));
}

#[tokio::test]
async fn what_is_wrong_or_too_much_is_refused() {
    let scene = Scene::new().await;
    let world = &scene.world;
    for (name, member, value, part) in [
        ("one", "issuer", json!("http://issuer.example"), "issuer"),
        ("one", "issuer", Value::Null, "issuer"),
        ("one", "subject", json!(""), "subject"),
        ("one", "audiences", json!(["a", "b"]), "audiences"),
        ("one", "audiences", Value::Null, "audiences"),
        ("one", "claimsMatchingExpression", json!({"value": "x", "languageVersion": 1}), "claimsMatchingExpression"),
    ] {
        let mut body = body("a");
        body["properties"][member] = value;
        let answer = world.put(&scene.path(name), body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "BadRequest"), "{member}");
        assert!(answer.message().to_lowercase().contains(&part.to_lowercase()), "{}", answer.message());
    }
    let mut without_expression = body("a");
    without_expression["properties"]["claimsMatchingExpression"] = Value::Null;
    assert_eq!(world.put(&scene.path("one"), without_expression).await.status, 201);
    assert_eq!(world.ask("DELETE", &scene.path("one")).await.status, 200);
    for name in ["-one", "on", "one two", &"x".repeat(121)] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = world.send(&world.owner, method, &scene.path(name), &body("a")).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (400, "InvalidResourceName"), "{method} {name}");
        }
    }
    let long = world.ask("GET", &scene.path(&"x".repeat(5000))).await;
    assert!(long.message().len() < 500, "{}", long.message());
    for number in 0..20 {
        assert_eq!(world.put(&scene.path(&format!("fic-{number}")), body(&number.to_string())).await.status, 201);
    }
    let beyond = world.put(&scene.path("beyond"), body("beyond")).await;
    assert_eq!((beyond.status.as_u16(), beyond.code()), (409, "ResourceCountExceedsLimit"));
    let same = world.put(&scene.path("fic-1"), body("0")).await;
    assert_eq!((same.status.as_u16(), same.code()), (409, "ConflictError"));
    let other = scene.path("one").replace("/signer/", "/nobody/");
    assert_eq!(world.put(&other, body("a")).await.code(), "ResourceNotFound");
    assert_eq!(world.ask("DELETE", &other).await.status, 204);
}

#[tokio::test]
async fn who_may_only_read_adds_none_and_they_end_with_the_identity() {
    let scene = Scene::new().await;
    let world = &scene.world;
    assert_eq!(world.put(&scene.path("one"), body("a")).await.status, 201);
    let role = format!("{}/providers/Microsoft.Authorization/roleDefinitions/{READER}", world.root());
    let assignment = format!("{}/providers/Microsoft.Authorization/roleAssignments/{GUID}", scene.identity);
    let properties = json!({"properties": {"roleDefinitionId": role, "principalId": world.stranger_id}});
    assert_eq!(world.put(&assignment, properties).await.status, 201);
    assert_eq!(world.send(&world.stranger, "GET", &scene.path("one"), &Value::Null).await.status, 200);
    for method in ["PUT", "DELETE"] {
        let answer = world.send(&world.stranger, method, &scene.path("one"), &body("b")).await;
        assert_eq!(answer.code(), "AuthorizationFailed", "{method}");
    }
    assert_eq!(world.ask("DELETE", &scene.identity).await.status, 200);
    assert_eq!(world.put(&scene.identity, json!({"location": "local"})).await.status, 201);
    assert_eq!(world.ask("GET", &scene.path("")).await.body, json!({"value": []}));
}
