//! Paths, queries, headers, pages and error bodies as clients of Managed HSM know them (data-plane.md §1, §5, §6, §7).

use serde_json::{Value, json};
use strongroom_core::rbac::{CRYPTO_OFFICER, CRYPTO_USER};
use uuid::Uuid;

use crate::data_plane::tests::world::{Answer, HSM, World};
use crate::http::exchange::Peer;

const VERSION: &str = "api-version=7.6";

/// A world, and the token of a program that may do everything with keys and roles.
async fn scene() -> (World, String) {
    let world = World::new().await;
    let (principal, token) = world.program("operator").await;
    for role in [CRYPTO_USER, CRYPTO_OFFICER] {
        world.assign(HSM, principal, role, "/").await;
    }
    (world, token)
}

async fn create(world: &World, token: &str, name: &str) -> Value {
    let answer = world.send(token, "POST", &format!("/keys/{name}/create?{VERSION}"), &json!({"kty": "EC-HSM"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// An error in Azure's shape, with the request's id in its message and in the header.
#[track_caller]
fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    let id = answer.header("x-ms-request-id").unwrap();
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with(&format!(" (Activity ID: {id})")), "{message}");
}

#[tokio::test]
async fn every_spelling_of_a_path_reaches_its_operation() {
    let (world, token) = scene().await;
    let kid = create(&world, &token, "n").await["key"]["kid"].as_str().unwrap().to_owned();
    let version = kid.rsplit('/').next().unwrap();
    let sign = json!({"alg": "ES256", "value": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    let gets = ["/keys/n", "/keys/n/", "//keys//n//", "/KEYS/N", "/keys/%6e", &format!("/keys/n/{version}")];
    for path in gets {
        let answer = world.send(&token, "GET", &format!("{path}?{VERSION}"), &Value::Null).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["key"]["kid"]), (200, &json!(kid)), "{path} {answer:?}");
    }
    for path in ["/keys/n/sign", "/keys/n//sign", "/Keys/n//SIGN/", &format!("/keys/n/{version}/sign")] {
        let answer = world.send(&token, "POST", &format!("{path}?{VERSION}"), &sign).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["kid"]), (200, &json!(kid)), "{path} {answer:?}");
    }
    for slashes in ["/", "//", "///", "/keys/", "//keys/", "/keys//", "/keys/n/", "//keys/n//"] {
        let path = format!("{slashes}providers/Microsoft.Authorization/roleDefinitions?{VERSION}");
        let answer = world.send(&token, "GET", &path, &Value::Null).await;
        assert_eq!(answer.json()["value"].as_array().map(Vec::len), Some(9), "{path} {answer:?}");
    }
}

#[tokio::test]
async fn what_was_refused_for_want_of_threads_is_refused_at_the_door_as_long_as_there_are_none() {
    let (world, token) = scene().await;
    let create = format!("/keys/slow/create?{VERSION}");
    assert_eq!(world.send(&token, "POST", &create, &json!({"kty": "RSA-HSM"})).await.status, 200);
    let sign = format!("/keys/slow/sign?{VERSION}");
    let body = json!({"alg": "RS256", "value": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    let ask = async || world.send(&token, "POST", &sign, &body).await;
    assert_eq!(ask().await.status, 200);
    let (_, other) = world.program("other").await;
    world.test.audit.take();
    world.test.pool.fill(true);
    assert_error(&ask().await, 429, "Throttled");
    assert_eq!(world.test.audit.take().len(), 1, "the first one comes as far as the key");
    let refused = ask().await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "TooManyRequests"));
    assert_eq!((refused.header("retry-after"), refused.operation), (Some("1"), "none"), "{refused:?}");
    assert_eq!(world.test.audit.take(), [], "nobody looked who asks");
    // Nobody learns from it that there is such a key, and nobody else's request is judged by it.
    assert_eq!(world.send("", "POST", &sign, &body).await.status, 401);
    assert_error(&world.send(&other, "POST", &sign, &body).await, 403, "AccessDenied");
    let peer = Peer { remote: "192.0.2.8:50000".parse().unwrap(), local: "127.0.0.1:8443".parse().unwrap() };
    let elsewhere = world.send_over(peer, &token, "POST", &sign, &[], body.to_string()).await;
    assert_error(&elsewhere, 429, "Throttled");
    // What needs no thread is answered, and so is the key itself.
    assert_eq!(world.send(&token, "GET", &format!("/keys/slow?{VERSION}"), &Value::Null).await.status, 200);
    world.test.pool.fill(false);
    assert_eq!(ask().await.status, 200);
}

#[tokio::test]
async fn paths_that_hide_something_or_lead_nowhere_are_not_found() {
    let (world, token) = scene().await;
    for path in ["/", "/nothing", "/keys/a%2fb", "/keys/%zz", "/keys/a/b/c/d", "/secrets/s"] {
        assert_error(&world.send(&token, "GET", &format!("{path}?{VERSION}"), &Value::Null).await, 404, "NotFound");
    }
    // Dots are no way up: they are no name of a key either.
    for path in ["/keys/a_b", "/keys/../keys", "/keys/./versions"] {
        assert_error(&world.send(&token, "GET", &format!("{path}?{VERSION}"), &Value::Null).await, 400, "BadParameter");
    }
    assert_error(&world.send(&token, "GET", &format!("/keys/n/x?{VERSION}"), &Value::Null).await, 404, "KeyNotFound");
}

#[tokio::test]
async fn the_verb_is_the_one_that_was_sent() {
    let (world, token) = scene().await;
    create(&world, &token, "n").await;
    let target = format!("/keys/n?{VERSION}");
    for header in ["x-http-method", "x-http-method-override", "x-method-override"] {
        let read = world.send_raw(&token, "GET", &target, &[(header, "DELETE")], String::new()).await;
        assert_eq!(read.status, 200, "{header}");
        let posted = world.send_raw(&token, "POST", &target, &[(header, "DELETE")], String::new()).await;
        assert_error(&posted, 405, "MethodNotAllowed");
    }
    assert_eq!(world.send(&token, "GET", &target, &Value::Null).await.status, 200, "it is still there");
    for method in ["HEAD", "OPTIONS", "TRACE", "get", "FROB"] {
        assert_error(&world.send(&token, method, &target, &Value::Null).await, 405, "MethodNotAllowed");
    }
}

#[tokio::test]
async fn an_api_version_must_be_given_known_and_late_enough() {
    let (world, token) = scene().await;
    for query in ["", "?", "?api-version=", "?api-version=7", "?api-version=2099-01-01", "?version=7.6"] {
        assert_error(&world.send(&token, "GET", &format!("/keys{query}"), &Value::Null).await, 400, "BadParameter");
    }
    for query in ["api-version=7.6", "API-Version=7.6", "x=1&api-version=7.6&y", "api-version=2025-06-01-PREVIEW"] {
        assert_eq!(world.send(&token, "GET", &format!("/keys?{query}"), &Value::Null).await.status, 200, "{query}");
    }
    let early = world.send(&token, "POST", "/rng?api-version=7.2", &json!({"count": 1})).await;
    assert_error(&early, 400, "BadParameter");
}

#[tokio::test]
async fn the_bearer_scheme_is_taken_in_any_case_and_others_are_not() {
    let (world, token) = scene().await;
    let target = format!("/keys?{VERSION}");
    for (scheme, status) in [("bearer", 200), ("BEARER", 200), ("Basic", 401), ("PoP", 401)] {
        let value = format!("{scheme} {token}");
        let answer = world.send_raw("", "GET", &target, &[("Authorization", &value)], String::new()).await;
        assert_eq!(answer.status, status, "{scheme}");
    }
}

#[tokio::test]
async fn without_a_token_every_path_and_verb_is_answered_with_the_same_challenge() {
    let (world, _) = scene().await;
    let expected = format!(
        "Bearer authorization=\"https://login.localhost:8443/{}\", resource=\"https://managedhsm.localhost:8443\"",
        world.tenant
    );
    for (method, target) in [
        ("GET", "/keys?api-version=7.6"),
        ("GET", "/nothing"),
        ("POST", "/keys/n/create"),
        ("PUT", "/keys/n?api-version=1"),
        ("PATCH", "/settings/x"),
        ("DELETE", "//keys/n"),
        ("FROB", "/%zz"),
    ] {
        let answer = world.send("", method, target, &Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, Some(expected.as_str())));
        let body: &[u8] = if method == "GET" { b"OK" } else { b"" };
        assert_eq!(answer.body, body, "{method} {target}");
        assert_eq!(answer.header("x-ms-keyvault-region"), None);
        assert_eq!(answer.header("x-ms-keyvault-network-info"), None);
    }
}

#[tokio::test]
async fn answers_carry_the_headers_of_the_service() {
    let (world, token) = scene().await;
    let key = create(&world, &token, "n").await;
    assert!(key["key"]["kid"].as_str().unwrap().starts_with("https://right.managedhsm.localhost:8443/keys/n/"));
    for (method, path, status) in [("GET", "/keys/n", 200), ("POST", "/rng", 400), ("GET", "/keys/missing", 404)] {
        let sent = [("x-ms-client-request-id", "mine")];
        let answer = world.send_raw(&token, method, &format!("{path}?{VERSION}"), &sent, "{}".to_owned()).await;
        assert_eq!(answer.status, status);
        for (name, value) in [
            ("content-type", "application/json; charset=utf-8"),
            ("cache-control", "no-cache"),
            ("content-security-policy", "default-src 'self'"),
            ("strict-transport-security", "max-age=31536000; includeSubDomains"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "SAMEORIGIN"),
            ("x-ms-server-latency", "0"),
            ("x-ms-keyvault-region", "local"),
            ("x-ms-keyvault-network-info", "conn_type=Ipv4;addr=192.0.2.7;act_addr_fam=Ipv4;"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path} {name}");
        }
        assert!(Uuid::try_parse(answer.header("x-ms-request-id").unwrap()).is_ok());
        assert_eq!(answer.header("x-ms-build-version").is_some(), method == "GET");
        assert_eq!(answer.header("x-ms-client-request-id"), None, "it is not echoed");
    }
}

#[tokio::test]
async fn bodies_that_are_wrong_are_named_and_not_repeated() {
    let (world, token) = scene().await;
    let target = format!("/keys/n/create?{VERSION}");
    for body in
        ["", "{", "[]", "null", "\"secret-text\"", r#"{"kty": {"secret-text": 1}}"#, r#"{"key_size": "secret-text"}"#]
    {
        let answer = world.send_raw(&token, "POST", &target, &[], body.to_owned()).await;
        assert_error(&answer, 400, "BadParameter");
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret-text"), "{body}");
    }
    // Members that nobody knows are passed over, as Azure does: newer clients send them.
    let answer = world.send(&token, "POST", &target, &json!({"kty": "EC-HSM", "unheard-of": [1]})).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn pages_hold_one_to_twenty_five_entries() {
    let (world, token) = scene().await;
    for lists in ["/keys", "/keys/n/versions", "/deletedkeys"] {
        for wrong in ["0", "26", "-1", "1.5", "x", "", "99999999999999999999"] {
            let target = format!("{lists}?{VERSION}&maxresults={wrong}");
            assert_error(&world.send(&token, "GET", &target, &Value::Null).await, 400, "BadParameter");
        }
        let target = format!("{lists}?{VERSION}&$skiptoken=nonsense");
        assert_error(&world.send(&token, "GET", &target, &Value::Null).await, 400, "BadParameter");
    }
}

#[tokio::test]
async fn a_list_goes_on_by_an_absolute_link_until_there_is_none() {
    let (world, token) = scene().await;
    for name in ["a", "b", "c"] {
        create(&world, &token, name).await;
    }
    for name in ["b", "b"] {
        create(&world, &token, name).await;
    }
    for (list, expected) in [("/keys", ["a", "b", "c"]), ("//keys/b/versions", ["b", "b", "b"])] {
        let mut target = format!("{list}?api-version=7.5&maxresults=1");
        let mut seen = Vec::new();
        loop {
            let answer = world.send(&token, "GET", &target, &Value::Null).await;
            assert_eq!(answer.status, 200, "{target} {answer:?}");
            let page = answer.json();
            let items = page["value"].as_array().unwrap();
            assert_eq!(items.len(), 1, "{page}");
            let kid = items[0]["kid"].as_str().unwrap();
            let path: Vec<_> = kid.split('/').skip(4).collect();
            assert_eq!(path.len(), if list == "/keys" { 1 } else { 2 }, "{kid}");
            seen.push(path[0].to_owned());
            assert!(items[0].get("key").is_none(), "no key material in a list");
            let Some(next) = page.get("nextLink") else { break };
            let next = next.as_str().unwrap().strip_prefix("https://right.managedhsm.localhost:8443").unwrap();
            for part in ["api-version=7.5", "$skiptoken=", "maxresults=1"] {
                assert!(next.contains(part), "{next}");
            }
            target = next.to_owned();
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn roles_and_settings_have_the_shapes_of_the_reference() {
    let (world, token) = scene().await;
    let guid = "11111111-1111-4111-8111-111111111111";
    let provider = "/providers/Microsoft.Authorization";
    let role = json!({"properties": {"roleName": "r", "permissions": [{"notDataActions": [DECRYPT]}]}});
    let target = format!("/{provider}/roleDefinitions/{guid}?{VERSION}");
    let shown = json!({
        "id": format!("Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/{guid}"),
        "name": guid,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "assignableScopes": ["/"],
            "description": "",
            "permissions": [{"actions": [], "dataActions": [], "notActions": [], "notDataActions": [DECRYPT]}],
            "roleName": "r",
            "type": "CustomRole",
        },
    });
    for (method, status) in [("PUT", 201), ("PUT", 201), ("GET", 200), ("DELETE", 200)] {
        let body = if method == "PUT" { &role } else { &Value::Null };
        let answer = world.send(&token, method, &target, body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (status, shown.clone()), "{method}");
    }
    assert_error(&world.send(&token, "GET", &target, &Value::Null).await, 404, "RoleDefinitionNotFound");
    let wrong = format!("{provider}/roleDefinitions/no-guid?{VERSION}");
    assert_error(&world.send(&token, "PUT", &wrong, &role).await, 400, "BadParameter");
    let assignment = format!("/keys{provider}/roleAssignments/{guid}?{VERSION}");
    assert_error(&world.send(&token, "DELETE", &assignment, &Value::Null).await, 404, "RoleAssignmentNotFound");

    let administrator = world.token(world.administrator).await;
    let setting = |value: &str| json!({"name": THROUGH_ARM, "type": "boolean", "value": value});
    let answer = world.send(&administrator, "GET", &format!("/settings?{VERSION}"), &Value::Null).await;
    assert_eq!(answer.json(), json!({"settings": [setting("false")]}));
    let target = format!("/settings/{THROUGH_ARM}?{VERSION}");
    let answer = world.send(&administrator, "PATCH", &target, &json!({"value": "true"})).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, setting("true")));
    let answer = world.send(&administrator, "GET", &target, &Value::Null).await;
    assert_eq!(answer.json(), setting("true"));
    let missing = world.send(&administrator, "GET", &format!("/settings/nothing?{VERSION}"), &Value::Null).await;
    assert_error(&missing, 404, "SettingNotFound");
}

#[tokio::test]
async fn a_group_gives_its_members_a_role_and_takes_it_with_the_membership() {
    let (world, _) = scene().await;
    let (member, token) = world.program("member").await;
    let group = world.group("operators").await;
    world.assign(HSM, group, CRYPTO_USER, "/keys").await;
    let target = format!("/keys?{VERSION}");
    assert_error(&world.send(&token, "GET", &target, &Value::Null).await, 403, "AccessDenied");
    world.join(group, member).await;
    assert_eq!(world.send(&token, "GET", &target, &Value::Null).await.status, 200, "with the token it had");
    world.leave(group, member).await;
    assert_error(&world.send(&token, "GET", &target, &Value::Null).await, 403, "AccessDenied");
}

const DECRYPT: &str = "Microsoft.KeyVault/managedHsm/keys/decrypt/action";
const THROUGH_ARM: &str = "AllowKeyManagementOperationsThroughARM";

#[tokio::test]
async fn an_active_hsm_says_what_its_security_domain_is_and_what_another_file_takes() {
    let world = World::new().await;
    let token = world.token(world.administrator).await;
    let shown = world.send(&token, "GET", &format!("/securitydomain?{VERSION}"), &Value::Null).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let shown = shown.json();
    assert_eq!((&shown["state"], &shown["epoch"], &shown["oldest_epoch"]), (&json!("Active"), &json!(1), &json!(1)));
    assert_eq!(shown["custodians"]["required"], 2);
    assert_eq!(shown["custodians"]["x5t#S256"].as_array().map(Vec::len), Some(3));
    assert_eq!((&shown["download_policy"], &shown["unconfirmed_download"]), (&json!("quorum"), &json!(false)));
    assert!(shown.get("rotation").is_none() && shown.get("quorum_proved_until").is_none());
    let body: Value = serde_json::from_slice(DOWNLOAD).unwrap();
    for path in ["/securitydomain/download", "/securitydomain/rotate"] {
        let answer = world.send(&token, "POST", &format!("{path}?{VERSION}"), &body).await;
        assert_error(&answer, 403, "Forbidden");
        let error = &answer.json()["error"];
        assert_eq!(error["innererror"]["code"], "QuorumNotProved", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("download_again = \"quorum\"") && message.contains("init-recovery"), "{message}");
    }
    let foreign =
        world.send(&token, "POST", &format!("/securitydomain/upload?{VERSION}"), &json!({"value": "{}"})).await;
    assert_error(&foreign, 409, "Conflict");
}

const DOWNLOAD: &[u8] = include_bytes!("../../../../../vectors/security-domain/download-request.json");
