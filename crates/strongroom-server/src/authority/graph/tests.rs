//! The Graph calls as `az ad` makes them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use strongroom_core::identity::{AccessTokenOrder, Directory, Foundation, IdentityError, IssuerForm};
use strongroom_core::pools::{machine_identity_id, subscription_id};
use strongroom_core::ports::Clock;
use strongroom_core::request::Request;
use strongroom_crypto::{RsaPrivateKey, SystemEntropy};
use strongroom_security_domain::{CertificateTerms, self_signed};
use strongroom_store::{Kv, MemoryStore};
use strongroom_testkit::{FaultyStore, START, TestCore, core_on, draw_uuid};
use strongroom_types::{PrincipalId, RsaSize};

use super::operations::{Access, OPERATIONS};
use super::*;
use crate::authentication::{AuthenticationError, OutsideIssuers, PublicAddress, PublicNames};
use crate::http::exchange::{Host, Peer, Plane, Target};

const GRAPH: &str = "https://graph.localhost:8443";

struct World {
    test: TestCore,
    directory: Arc<Directory>,
    foundation: Foundation,
    graph: Graph,
    administrator: String,
    stranger: String,
    stranger_id: PrincipalId,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new())).await
    }

    async fn on(store: Arc<dyn Kv>) -> Self {
        let test = core_on(store).await.unwrap();
        let core = Arc::clone(&test.core);
        let directory = Arc::new(Directory::new(Arc::clone(&core), "https://login.localhost:8443".into()).unwrap());
        let machine = machine_identity_id(subscription_id(core.deployment().id));
        let foundation = directory.found(&own(), &machine).await.unwrap();
        let address = PublicAddress { domain: "localhost".parse().unwrap(), port: 8443 };
        let names = Arc::new(PublicNames::new(address, Vec::new()));
        let outside = OutsideIssuers::new(Vec::new(), foundation.tenant, &rustls::RootCertStore::empty()).unwrap();
        let authenticator = Arc::new(Authenticator::new(Arc::clone(&directory), names, Arc::new(outside)));
        let folder = tempfile::tempdir().unwrap();
        let strangers = Arc::new(Strangers::open(folder.path()).unwrap());
        let graph = Graph::new(Arc::clone(&directory), authenticator, strangers);
        let stranger_id = directory.create_service_principal(&own(), "stranger").await.unwrap().object_id;
        let administrator = token(&directory, foundation.administrator.object_id).await;
        let stranger = token(&directory, stranger_id).await;
        Self { test, directory, foundation, graph, administrator, stranger, stranger_id, _folder: folder }
    }

    async fn send(&self, token: &str, method: Method, target: &str, body: &Value) -> (u16, Value) {
        let answer = self.answer(token, method, target, body).await;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn answer(&self, token: &str, method: Method, target: &str, body: &Value) -> Outbound {
        let mut inbound = inbound(method, target);
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        inbound.headers.insert(header::AUTHORIZATION, bearer);
        inbound.received = self.test.clock.now();
        if !body.is_null() {
            inbound.body = Bytes::from(body.to_string());
        }
        self.graph.handle(inbound).await
    }

    async fn get(&self, target: &str) -> (u16, Value) {
        self.send(&self.administrator, Method::GET, target, &Value::Null).await
    }

    async fn post(&self, target: &str, body: Value) -> (u16, Value) {
        self.send(&self.administrator, Method::POST, target, &body).await
    }

    async fn patch(&self, target: &str, body: Value) -> (u16, Value) {
        self.send(&self.administrator, Method::PATCH, target, &body).await
    }

    async fn delete(&self, target: &str) -> (u16, Value) {
        self.send(&self.administrator, Method::DELETE, target, &Value::Null).await
    }

    /// An application with its id.
    async fn application(&self, name: &str) -> (String, Value) {
        let (status, made) = self.post("/applications", json!({"displayName": name})).await;
        assert_eq!(status, 201, "{made}");
        (format!("/applications/{}", made["id"].as_str().unwrap()), made)
    }
}

/// A request without a token and a body.
pub(in crate::authority) fn inbound(method: Method, target: &str) -> Inbound {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let end = SocketAddr::from((Ipv4Addr::LOCALHOST, 8443));
    Inbound {
        id: draw_uuid().unwrap(),
        received: START,
        peer: Peer { remote: end, local: end },
        method,
        host: Arc::new(Host {
            plane: Plane::Graph,
            authority: "graph.localhost:8443".to_owned(),
            domain: "localhost:8443".to_owned(),
        }),
        target: Target::new(&format!("/v1.0{path}"), query),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    }
}

fn own() -> Request {
    Request::internal(draw_uuid().unwrap(), START, "Test", String::new())
}

async fn token(directory: &Directory, principal: PrincipalId) -> String {
    let principal = directory.principal(principal).await.unwrap().unwrap().value;
    let client_id = principal.client_id().unwrap();
    let order = AccessTokenOrder { principal: &principal, client_id, audience: GRAPH, form: IssuerForm::V2 };
    directory.issue_access_token(order, START).await.unwrap().text.expose().clone()
}

fn certificate() -> String {
    let key = RsaPrivateKey::generate(RsaSize::Bits2048).unwrap();
    let terms = CertificateTerms { name: "client", not_before: START, days: 10 };
    STANDARD.encode(self_signed(&key, terms, &SystemEntropy).unwrap())
}

fn escaped(filter: &str) -> String {
    form_urlencoded::byte_serialize(filter.as_bytes()).collect()
}

fn names(list: &Value) -> Vec<&str> {
    list["value"].as_array().unwrap().iter().map(|item| item["displayName"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn only_the_administrator_changes_anything_or_sees_credentials() {
    let world = World::new().await;
    for row in OPERATIONS {
        let path = row.path.as_str().trim_start_matches("/v1.0").replace("{id}", &world.stranger_id.to_string());
        let path = path.replace("{member}", &world.stranger_id.to_string()).replace("{federated}", "one");
        let (status, body) = world.send(&world.stranger, row.method.clone(), &path, &Value::Null).await;
        let refused = body["error"]["code"] == "Authorization_RequestDenied";
        match row.access {
            Access::Administrator => assert!(refused && status == 403, "{:?} {body}", row.id),
            Access::Tenant => assert!(row.method == Method::GET || status == 400 || status == 404, "{:?}", row.id),
        }
        assert!(!body.to_string().contains("passwordCredentials"), "{:?} {body}", row.id);
        let (status, _) = world.send("not.a.token", row.method.clone(), &path, &Value::Null).await;
        assert_eq!(status, 401, "{:?}", row.id);
    }
    let target = format!("/servicePrincipals/{}", world.foundation.administrator.object_id);
    let (status, seen) = world.send(&world.stranger, Method::GET, &target, &Value::Null).await;
    assert_eq!((status, &seen["displayName"]), (200, &json!("administrator")));
    assert!(seen.get("passwordCredentials").is_none() && world.get(&target).await.1["passwordCredentials"].is_array());
    for list in ["users", "groups", "servicePrincipals", "servicePrincipals?$filter=startswith(displayName,'a')"] {
        let (status, _) = world.send(&world.stranger, Method::GET, &format!("/{list}"), &Value::Null).await;
        assert_eq!(status, 403, "{list}");
    }
}

#[tokio::test]
async fn every_operation_has_a_path_and_a_name_in_the_audit_log_of_its_own() {
    let world = World::new().await;
    for (index, row) in OPERATIONS.iter().enumerate() {
        let same = |other: &&operations::Row| other.method == row.method && other.path.as_str() == row.path.as_str();
        assert_eq!(OPERATIONS.iter().position(|other| same(&other)), Some(index), "{:?}", row.id);
        assert_eq!(OPERATIONS.iter().filter(|other| other.audit_name == row.audit_name).count(), 1, "{:?}", row.id);
    }
    world.test.audit.take();
    let (path, _) = world.application("app").await;
    world.delete(&path).await;
    let events = world.test.audit.take();
    let seen: Vec<_> = events.iter().map(|event| event.operation_name.to_string()).collect();
    assert_eq!(seen, ["ApplicationCreate", "ApplicationDelete"]);
    for (path, counted) in [("/users", "UserList"), ("/users/nobody", "UserGet"), ("/nothing", "GraphUnknown")] {
        let answer = world.answer(&world.administrator, Method::GET, path, &Value::Null).await;
        assert_eq!(crate::metrics::operation(&answer), counted, "{path}");
    }
}

#[test]
fn a_directory_that_cannot_be_read_is_no_wrong_token() {
    let inbound = inbound(Method::GET, "/users");
    let unavailable = AuthenticationError::Unavailable(IdentityError::NotFounded);
    for (error, status, retry, challenge) in [
        (AuthenticationError::Missing, 401, None, Some("Bearer")),
        (AuthenticationError::TooManyFailures { retry_after_seconds: 7 }, 429, Some("7"), None),
        (unavailable, 503, Some("1"), None),
    ] {
        let answer = GraphError::NotAuthenticated(error).answer(&inbound);
        let header = |name| answer.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap());
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!((header(header::RETRY_AFTER), header(header::WWW_AUTHENTICATE)), (retry, challenge), "{status}");
    }
}

#[tokio::test]
async fn an_application_is_its_service_principal_and_lives_as_az_ad_sp_expects() {
    let world = World::new().await;
    let (path, made) = world.application("signer").await;
    assert_eq!(made["passwordCredentials"], json!([]));
    let (status, principal) =
        world.post("/servicePrincipals", json!({"appId": made["appId"], "accountEnabled": true})).await;
    assert_eq!((status, &principal["id"]), (201, &made["id"]));
    for list in ["applications", "servicePrincipals"] {
        let filter = escaped(&format!("appId eq '{}'", made["appId"].as_str().unwrap()));
        assert_eq!(names(&world.get(&format!("/{list}?$filter={filter}")).await.1), ["signer"]);
        let filter = escaped("startswith(displayName,'SIG')");
        assert_eq!(names(&world.get(&format!("/{list}?$filter={filter}")).await.1), ["signer"]);
    }
    assert_eq!(world.patch(&path, json!({"displayName": "other", "web": {}})).await.0, 204);
    assert_eq!(world.get(&path).await.1["displayName"], "other");
    let refused = world.patch(&path, json!({"identifierUris": ["api://x"]})).await;
    assert_eq!(refused.0, 400, "{}", refused.1);
    let service_principal = path.replace("applications", "servicePrincipals");
    assert_eq!(world.patch(&service_principal, json!({"accountEnabled": false})).await.0, 204);
    assert_eq!(world.get(&service_principal).await.1["accountEnabled"], false);
    assert_eq!(world.delete(&service_principal).await.0, 204);
    assert_eq!(world.get(&path).await.1["error"]["code"], "Request_ResourceNotFound");
    let administrator = format!("/servicePrincipals/{}", world.foundation.administrator.object_id);
    assert_eq!(world.delete(&administrator).await.0, 403);
    let machine = format!("/applications/{}", world.foundation.machine.object_id);
    assert_eq!(world.get(&machine).await.0, 404, "a managed identity is Azure Resource Manager's");
}

#[tokio::test]
async fn a_password_is_shown_once_works_until_it_ends_and_is_listed_without_itself() {
    let world = World::new().await;
    let (path, made) = world.application("signer").await;
    let end = "2027-03-01T00:00:00+01:00";
    let (status, password) =
        world.post(&format!("{path}/addPassword"), json!({"passwordCredential": {"endDateTime": end}})).await;
    assert_eq!((status, &password["endDateTime"]), (200, &json!("2027-02-28T23:00:00.000Z")), "{password}");
    let (secret, client) = (password["secretText"].as_str().unwrap(), made["appId"].as_str().unwrap().parse().unwrap());
    assert!(world.directory.authenticate_with_secret(client, secret, START).await.is_ok());
    let shown = world.get(&path).await.1;
    let listed = &shown["passwordCredentials"][0];
    assert_eq!((&listed["keyId"], &listed["hint"]), (&password["keyId"], &password["hint"]));
    assert!(secret.starts_with(password["hint"].as_str().unwrap()) && password["hint"] != "sr_");
    assert!(!shown.to_string().contains(secret));
    let default = world.post(&format!("{path}/addPassword"), Value::Null).await.1;
    assert_eq!(default["endDateTime"], json!(strongroom_core::audit::rfc3339(START.plus_days(730))));
    for (member, value) in
        [("endDateTime", "2027-01-01"), ("endDateTime", "soon"), ("startDateTime", "2030-01-01T00:00:00Z")]
    {
        let (status, body) =
            world.post(&format!("{path}/addPassword"), json!({"passwordCredential": {member: value}})).await;
        assert_eq!(status, 400, "{member} {value} {body}");
    }
    let remove = format!("{path}/removePassword");
    assert_eq!(world.post(&remove, json!({"keyId": password["keyId"]})).await.0, 204);
    assert_eq!(world.post(&remove, json!({"keyId": password["keyId"]})).await.0, 400);
    assert!(world.directory.authenticate_with_secret(client, secret, START).await.is_err());
    for event in world.test.audit.take() {
        assert!(!format!("{event:?}").contains(secret));
    }
}

#[tokio::test]
async fn certificates_replace_each_other_but_for_those_that_are_kept() {
    let world = World::new().await;
    let (path, _) = world.application("signer").await;
    let lines = |text: &str| {
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n")
    };
    let credential = |key: &str| json!({"type": "AsymmetricX509Cert", "usage": "Verify", "key": lines(key)});
    let (one, two) = (certificate(), certificate());
    assert_eq!(world.patch(&path, json!({"keyCredentials": [credential(&one)]})).await.0, 204);
    let known = world.get(&path).await.1["keyCredentials"].clone();
    assert_eq!(known.as_array().unwrap().len(), 1);
    let both = json!({"keyCredentials": [known[0], credential(&two)]});
    assert_eq!(world.patch(&path, both).await.0, 204);
    assert_eq!(world.get(&path).await.1["keyCredentials"].as_array().unwrap().len(), 2);
    assert_eq!(world.patch(&path, json!({"keyCredentials": [credential(&two)]})).await.0, 204);
    let left = world.get(&path).await.1["keyCredentials"].clone();
    assert!(left.as_array().unwrap().len() == 1 && left[0]["keyId"] != known[0]["keyId"]);
    for wrong in [known[0].clone(), credential("AAAA"), json!({"key": "*"}), json!({"type": "Symmetric", "key": one})] {
        let (status, body) = world.patch(&path, json!({"keyCredentials": [wrong]})).await;
        assert_eq!(status, 400, "{body}");
    }
    assert_eq!(world.get(&path).await.1["keyCredentials"], left, "a refused change changes nothing");
}

#[tokio::test]
async fn federated_credentials_live_as_az_ad_app_expects() {
    let world = World::new().await;
    let (path, _) = world.application("signer").await;
    let list = format!("{path}/federatedIdentityCredentials");
    let body =
        json!({"name": "one", "issuer": "https://i.example", "subject": "s", "audiences": ["a"], "description": "d"});
    let (status, made) = world.post(&list, body.clone()).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(world.post(&list, body).await.0, 400, "the name is taken");
    for key in ["one", made["id"].as_str().unwrap()] {
        assert_eq!(world.get(&format!("{list}/{key}")).await.1, made);
    }
    assert_eq!(world.patch(&format!("{list}/one"), json!({"subject": "t"})).await.0, 204);
    let changed = world.get(&list).await.1["value"][0].clone();
    assert_eq!((&changed["subject"], &changed["description"], &changed["id"]), (&json!("t"), &json!("d"), &made["id"]));
    assert_eq!(world.patch(&format!("{list}/one"), json!({"name": "two"})).await.0, 400);
    assert_eq!(world.patch(&format!("{list}/one"), json!({"claimsMatchingExpression": {"value": "x"}})).await.0, 400);
    assert_eq!(world.delete(&format!("{list}/one")).await.0, 204);
    assert_eq!(world.delete(&format!("{list}/one")).await.0, 404);
}

#[tokio::test]
async fn a_group_and_its_members_live_as_az_ad_group_expects() {
    let world = World::new().await;
    let group =
        json!({"displayName": "operators", "mailNickname": "ops", "mailEnabled": false, "securityEnabled": true});
    let (status, made) = world.post("/groups", group).await;
    assert_eq!(status, 201, "{made}");
    let filter = escaped("displayName eq 'operators' and mailNickname eq 'ops'");
    assert_eq!(names(&world.get(&format!("/groups?$filter={filter}")).await.1), ["operators"]);
    let path = format!("/groups/{}", made["id"].as_str().unwrap());
    let reference = json!({"@odata.id": format!("{GRAPH}/v1.0/directoryObjects/{}", world.stranger_id)});
    for _ in 0..2 {
        assert_eq!(world.post(&format!("{path}/members/$ref"), reference.clone()).await.0, 204);
    }
    assert_eq!(names(&world.get(&format!("{path}/members")).await.1), ["stranger"]);
    let check = json!({"groupIds": [made["id"], "00000000-0000-4000-8000-000000000001"]});
    let member = format!("/directoryObjects/{}/checkMemberGroups", world.stranger_id);
    assert_eq!(world.post(&member, check).await.1, json!({"value": [made["id"]]}));
    assert_eq!(world.delete(&path).await.0, 400, "it still has members");
    let remove = format!("{path}/members/{}/$ref", world.stranger_id);
    assert_eq!((world.delete(&remove).await.0, world.delete(&remove).await.0), (204, 404));
    assert_eq!(world.delete(&path).await.0, 204);
    assert_eq!(world.post("/groups", json!({"displayName": "x", "mailEnabled": true})).await.0, 400);
}

#[tokio::test]
async fn a_user_is_found_by_name_or_id_disabled_reset_and_removed() {
    let world = World::new().await;
    let (status, made) = world.post("/users", json!({"userPrincipalName": "ada@localhost"})).await;
    assert_eq!(status, 201, "{made}");
    for (member, value) in [
        ("passwordProfile", json!({"password": "x"})),
        ("passwordProfile", json!({"forceChangePasswordNextSignIn": false})),
        ("passwordProfile", json!({"forceChangePasswordNextSignInWithMfa": true})),
        ("accountEnabled", json!(false)),
        ("onPremisesImmutableId", json!("x")),
        ("mail", json!("b@example")),
    ] {
        let (status, body) = world.post("/users", json!({"userPrincipalName": "b@localhost", member: value})).await;
        assert_eq!(status, 400, "{member} {body}");
        let problem = body["error"]["message"].as_str().unwrap();
        assert!(problem.contains(member) || problem.contains("NextSignInWithMfa"), "{problem}");
    }
    // What `az ad user create` sends, without a password.
    let usual = json!({"userPrincipalName": "b@localhost", "accountEnabled": true, "displayName": "B",
        "mailNickname": "b", "passwordProfile": {"forceChangePasswordNextSignIn": true}});
    let (status, made_as_usual) = world.post("/users", usual).await;
    assert_eq!((status, &made_as_usual["displayName"]), (201, &json!("B")), "{made_as_usual}");
    for key in ["ADA@localhost", made["id"].as_str().unwrap()] {
        assert_eq!(world.get(&format!("/users/{key}")).await.1["id"], made["id"]);
    }
    let path = "/users/ada@localhost";
    assert_eq!(world.patch(path, json!({"accountEnabled": false, "displayName": "Ada"})).await.0, 204);
    let changed = world.get(path).await.1;
    assert_eq!((&changed["accountEnabled"], &changed["displayName"]), (&json!(false), &json!("Ada")));
    let reset = format!("{path}/authentication/methods/28c10230-6103-485e-b985-444c60001490/resetPassword");
    let (status, password) = world.post(&reset, json!({})).await;
    assert_eq!(status, 202);
    assert_ne!(password["newPassword"], made["passwordProfile"]["password"]);
    assert_eq!(world.post(&reset, json!({"newPassword": "x"})).await.0, 400);
    assert_eq!(world.delete(path).await.0, 204);
    assert_eq!(world.get(path).await.0, 404);
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let world = World::new().await;
    for number in 0..7 {
        world.application(&format!("app-{number}")).await;
    }
    world.post("/groups", json!({"displayName": "group"})).await;
    let filter = escaped("startswith(displayName,'app-')");
    let (mut seen, mut next) = (Vec::new(), Some(format!("/applications?$top=2&$filter={filter}")));
    while let Some(target) = next {
        let (status, page) = world.get(&target).await;
        assert_eq!(status, 200, "{page}");
        let items = page["value"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["displayName"].as_str().unwrap().to_owned()));
        let link = page["@odata.nextLink"].as_str().map(|link| link.strip_prefix(&format!("{GRAPH}/v1.0")).unwrap());
        next = link.map(str::to_owned);
    }
    seen.sort();
    assert_eq!(seen, (0..7).map(|number| format!("app-{number}")).collect::<Vec<_>>());
    for wrong in ["$top=0", "$top=1000", "$skiptoken=x", "$filter=x"] {
        assert_eq!(world.get(&format!("/applications?{wrong}")).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_page_that_shows_little_reads_records_many_at_a_time() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let world = World::on(Arc::<FaultyStore>::clone(&store)).await;
    for number in 0..40 {
        world.application(&format!("app-{number}")).await;
    }
    let filter = escaped("displayName eq 'nobody'");
    let before = store.counts().ranges;
    let (status, page) = world.get(&format!("/applications?$top=1&$filter={filter}")).await;
    assert_eq!((status, &page), (200, &json!({"value": []})));
    // One, the others, and that there are no more.
    assert!(store.counts().ranges - before <= 3, "{} reads", store.counts().ranges - before);
}

#[tokio::test]
async fn a_page_reads_as_many_records_as_it_shows() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let world = World::on(Arc::<FaultyStore>::clone(&store)).await;
    for number in 0..110 {
        world.application(&format!("app-{number}")).await;
    }
    for top in [1, 105] {
        let before = store.counts();
        let (status, page) = world.get(&format!("/servicePrincipals?$top={top}")).await;
        assert_eq!((status, page["value"].as_array().unwrap().len()), (200, top), "{page}");
        let after = store.counts();
        let read = (after.ranges - before.ranges, after.entries - before.entries);
        assert_eq!(read, (1, u64::try_from(top).unwrap()));
    }
}
