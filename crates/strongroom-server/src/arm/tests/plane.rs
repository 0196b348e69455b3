//! What holds for every request: api-versions, authentication, paths, audit.

use serde_json::{Value, json};

use crate::arm::tests::world::World;

#[tokio::test]
async fn api_versions_are_checked_before_anything_else() {
    let world = World::new().await;
    let hsms = format!("{}/providers/Microsoft.KeyVault/managedHSMs", world.root());
    let cases = [
        ("", "MissingApiVersionParameter"),
        ("api-version=", "MissingApiVersionParameter"),
        ("api-version=7.4", "InvalidApiVersionParameter"),
        ("api-version=2099-01-01", "NoRegisteredProviderFound"),
    ];
    for (query, code) in cases {
        let answer = world.send("", "GET", &format!("{hsms}?{query}"), &Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, code), "{query}");
    }
    for version in ["2023-02-01", "2024-11-01", "2026-05-15"] {
        let answer = world.ask("GET", &format!("{hsms}?Api-Version={version}")).await;
        assert_eq!(answer.status, 200, "{version}");
    }
}

#[tokio::test]
async fn without_a_good_token_the_challenge_names_the_authority() {
    let world = World::new().await;
    let other_audience = {
        let principal = world.directory.principal(world.stranger_id).await.unwrap().unwrap().value;
        let order = strongroom_core::identity::AccessTokenOrder {
            principal: &principal,
            client_id: principal.client_id().unwrap(),
            audience: "https://managedhsm.localhost:8443",
            form: strongroom_core::identity::IssuerForm::V2,
        };
        let issued = world.directory.issue_access_token(order, strongroom_testkit::START).await.unwrap();
        issued.text.expose().clone()
    };
    for token in ["", "x", "a.b.c", &other_audience] {
        let answer = world.send(token, "GET", "/subscriptions", &Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "AuthenticationFailed"), "{token}");
        let challenge = answer.header("www-authenticate");
        let uri = format!("Bearer authorization_uri=\"https://login.localhost:8443/{}\"", world.foundation.tenant);
        assert!(challenge.starts_with(&uri) && challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    world.test.clock.advance_days(1);
    let answer = world.ask("GET", "/subscriptions").await;
    assert_eq!(answer.code(), "AuthenticationFailed");
}

#[tokio::test]
async fn unknown_paths_providers_and_methods_are_told_apart() {
    let world = World::new().await;
    let cases = [
        ("GET", format!("{}/nothing", world.root()), 404, "InvalidResourceType"),
        ("GET", format!("{}/providers/Microsoft.Nothing/things", world.root()), 404, "InvalidResourceNamespace"),
        ("GET", format!("{}/providers/Microsoft.Nothing", world.root()), 404, "InvalidResourceNamespace"),
        ("POST", "/tenants".to_owned(), 405, "MethodNotAllowed"),
        ("GET", "/subscriptions/x/resourceGroups".to_owned(), 400, "InvalidSubscriptionId"),
        ("GET", "/subscriptions/%zz".to_owned(), 400, "InvalidRequestUri"),
        ("GET", world.hsm("1"), 400, "ManagedHsmNameNotValid"),
        ("GET", format!("/subscriptions/{}/resourceGroups", uuid::Uuid::nil()), 404, "SubscriptionNotFound"),
    ];
    for (method, path, status, code) in cases {
        let answer = world.ask(method, &path).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}");
    }
}

#[tokio::test]
async fn paths_are_compared_without_case_and_extra_slashes() {
    let world = World::new().await;
    let upper = world.group().replace("/resourceGroups/strongroom", "//RESOURCEGROUPS/Strongroom/");
    assert_eq!(world.ask("GET", &upper).await.body["name"], "strongroom");
}

#[tokio::test]
async fn a_body_that_is_no_json_or_misses_is_refused() {
    let world = World::new().await;
    for body in [Value::Null, json!([]), json!("x"), json!({"tags": 5}), json!({"properties": {"tenantId": {}}})] {
        let answer = world.put(&world.hsm("refused"), body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "InvalidRequestContent"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_is_not_looked_at_before_the_caller_is_authorized() {
    let world = World::new().await;
    let answer = world.send(&world.stranger, "PUT", &world.hsm("refused"), &json!([])).await;
    assert_eq!(answer.code(), "AuthorizationFailed");
}

#[tokio::test]
async fn each_request_is_recorded_once_with_what_was_answered() {
    let world = World::new().await;
    world.put(&format!("{}/resourceGroups/made", world.root()), json!({"location": "local"})).await;
    world.put(&format!("{}/resourceGroups/made", world.root()), json!({"location": "local"})).await;
    world.ask("GET", &world.hsm("missing")).await;
    let events = world.test.audit.take();
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            (event.operation_name.as_ref(), event.properties.http_status_code, event.result_signature.as_ref())
        })
        .collect();
    let expected =
        [("ResourceGroupPut", 201, "OK"), ("ResourceGroupPut", 200, "OK"), ("ManagedHsmGet", 404, "ResourceNotFound")];
    assert_eq!(seen, expected);
    let event = &events[2];
    assert_eq!(event.identity.as_ref().unwrap().oid, world.foundation.administrator.object_id);
    assert_eq!((event.caller_ip_address.as_str(), &*event.correlation_id), ("127.0.0.1", "correlated"));
    assert_eq!(event.properties.client_info, "test");
    assert_eq!(event.resource_id, world.hsm("missing"));
}

#[tokio::test]
async fn the_endpoints_are_told_without_a_token() {
    let world = World::new().await;
    let expected = json!({
        "name": "strongroom",
        "portal": "https://portal.localhost:8443",
        "authentication": {
            "loginEndpoint": "https://login.localhost:8443",
            "audiences": ["https://management.localhost:8443"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": "https://management.localhost:8443",
        "graph": "https://graph.localhost:8443",
        "graphAudience": "https://graph.localhost:8443",
        "microsoftGraphResourceId": "https://graph.localhost:8443",
        "suffixes": {
            "keyVaultDns": "vault.localhost:8443",
            "mhsmDns": "managedhsm.localhost:8443",
            "storage": "localhost:8443",
        },
    });
    for path in ["/metadata/endpoints", "//metadata/endpoints"] {
        let answer = world.send("", "GET", &format!("{path}?api-version=2022-09-01"), &Value::Null).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &expected));
        assert_eq!(answer.operation, "MetadataEndpoints");
    }
    let listed = world.send("", "GET", "/metadata/endpoints?api-version=2019-05-01", &Value::Null).await;
    assert_eq!(listed.body, json!([expected]));
}
