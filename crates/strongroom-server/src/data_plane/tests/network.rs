//! Network rules in front of everything else (protocols.md §9): who passes, who is refused, and before what.

use serde_json::Value;
use strongroom_api::operations::OPERATIONS;
use strongroom_core::managed_hsm::{ManagedHsm, PublicNetworkAccess};
use strongroom_core::network::{ConnectionStatus, PrivateEndpointConnection};
use strongroom_core::rbac::CRYPTO_USER;
use strongroom_testkit::{add_hsm, custodians, managed_hsm};

use crate::data_plane::SubnetListener;
use crate::data_plane::tests::matrix::{body, target};
use crate::data_plane::tests::world::{Answer, HSM, OTHER, World};
use crate::http::exchange::Peer;
use crate::http::proxies::{Proxies, ProxyForm};

const LIST: &str = "/keys?api-version=7.6";
/// Where a client outside arrives.
const PUBLIC: &str = "127.0.0.1:8443";
/// Where the machines of the subnet arrive.
const PRIVATE: &str = "10.1.0.1:8443";

fn subnets() -> Vec<SubnetListener> {
    vec![SubnetListener {
        subnet: "plant/clients".parse().unwrap(),
        listen: PRIVATE.parse().unwrap(),
        clients: vec!["10.1.0.0/16".parse().unwrap()],
    }]
}

/// A world with a subnet, and the token of a program that may use keys of [`HSM`].
async fn scene() -> (World, String) {
    let world = World::guarded(subnets(), None).await;
    let (principal, token) = world.program("operator").await;
    world.assign(HSM, principal, CRYPTO_USER, "/").await;
    world.test.audit.take();
    (world, token)
}

async fn close(world: &World, bypass: &str) {
    world
        .change(HSM, |hsm| {
            hsm.public_network_access = PublicNetworkAccess::Disabled;
            bypass.clone_into(&mut hsm.network_acls.bypass);
        })
        .await;
}

async fn deny(world: &World, bypass: &str, rules: &[&str]) {
    world
        .change(HSM, |hsm| {
            "Deny".clone_into(&mut hsm.network_acls.default_action);
            bypass.clone_into(&mut hsm.network_acls.bypass);
            hsm.network_acls.ip_rules = rules.iter().map(|&rule| rule.to_owned()).collect();
        })
        .await;
}

fn peer(remote: &str, local: &str) -> Peer {
    let remote = if remote.contains(':') { format!("[{remote}]:50000") } else { format!("{remote}:50000") };
    Peer { remote: remote.parse().unwrap(), local: local.parse().unwrap() }
}

async fn list(world: &World, token: &str, from: (&str, &str), headers: &[(&str, &str)]) -> Answer {
    world.send_over(peer(from.0, from.1), token, "GET", LIST, headers, String::new()).await
}

fn inner(answer: &Answer) -> String {
    answer.json()["error"]["innererror"]["code"].as_str().unwrap_or_default().to_owned()
}

/// A refusal by the rules, which names the client's address.
#[track_caller]
fn assert_refused(answer: &Answer, code: &str, address: &str) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "Forbidden"), "{answer:?}");
    assert_eq!(inner(answer), code, "{answer:?}");
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&format!("Client address: {address} (Activity ID: ")), "{message}");
    assert!(answer.header("www-authenticate").is_none() && answer.header("x-ms-keyvault-network-info").is_none());
}

#[tokio::test]
async fn a_refused_address_is_told_so_before_anything_else_of_its_request_is_judged() {
    let (world, token) = scene().await;
    close(&world, "None").await;
    for token in ["", "a.b.c", token.as_str()] {
        for row in OPERATIONS {
            let answer = world.send(token, row.method.as_str(), &target(row), &body(row)).await;
            assert_refused(&answer, "ForbiddenByConnection", "192.0.2.7");
        }
        for (method, target) in
            [("GET", "/nothing"), ("TRACE", "/keys"), ("GET", "/keys?api-version=1"), ("GET", "/%zz")]
        {
            let answer = world.send(token, method, target, &Value::Null).await;
            assert_refused(&answer, "ForbiddenByConnection", "192.0.2.7");
        }
    }
    assert!(world.test.audit.take().is_empty(), "nobody was asked who it is");
    let strangers = world.strangers();
    assert_eq!(strangers[0]["resultSignature"], "ForbiddenByConnection", "{strangers:?}");
    assert_eq!((strangers.len(), &strangers[0]["callerIpAddress"]), (1, &Value::from("192.0.2.7")), "once a minute");
    // The other HSM has rules of its own.
    let host = format!("{OTHER}.managedhsm.localhost:8443");
    assert_eq!(list(&world, "", ("192.0.2.7", PUBLIC), &[("host", &host)]).await.status, 401);
}

#[tokio::test]
async fn only_a_trusted_service_itself_bypasses_the_rules() {
    let (world, token) = scene().await;
    let service = world.token(world.service).await;
    world.assign(HSM, world.service, CRYPTO_USER, "/").await;
    for closed in [true, false] {
        if closed {
            close(&world, "AzureServices").await;
        } else {
            world.change(HSM, |hsm| hsm.public_network_access = PublicNetworkAccess::Enabled).await;
            deny(&world, "AzureServices", &["198.51.100.0/24"]).await;
        }
        let code = if closed { "ForbiddenByConnection" } else { "ForbiddenByFirewall" };
        let from = ("192.0.2.7", PUBLIC);
        // Who says nothing is asked, as a service's own client has to be.
        assert_eq!(list(&world, "", from, &[]).await.status, 401);
        assert_eq!(list(&world, &service, from, &[]).await.status, 200);
        for row in OPERATIONS {
            let answer = world.send(&token, row.method.as_str(), &target(row), &body(row)).await;
            assert_eq!((answer.status.as_u16(), inner(&answer)), (403, code.to_owned()), "{:?} {answer:?}", row.id);
        }
        let administrator = world.token(world.administrator).await;
        let refused = list(&world, &administrator, from, &[]).await;
        assert_eq!(inner(&refused), code);
        // What bypasses the rules still needs a role.
        let purge = world.send(&service, "DELETE", "/deletedkeys/n?api-version=7.6", &Value::Null).await;
        assert_eq!(purge.code(), "AccessDenied", "{purge:?}");
    }
    let events = world.test.audit.take();
    let refused = events.iter().find(|event| event.properties.http_status_code == 403).unwrap();
    assert!(refused.identity.is_some() && refused.caller_ip_address == "192.0.2.7", "{refused:?}");
    deny(&world, "None", &[]).await;
    assert_eq!(inner(&list(&world, &service, ("192.0.2.7", PUBLIC), &[]).await), "ForbiddenByFirewall");
}

#[tokio::test]
async fn a_status_url_is_behind_the_rules_too() {
    let (world, _) = scene().await;
    let url = "/securitydomain/download/pending?api-version=7.6&operation=11111111-1111-4111-8111-111111111111";
    assert_eq!(world.send("", "GET", url, &Value::Null).await.status, 200, "it needs no token");
    close(&world, "AzureServices").await;
    assert_eq!(world.send("", "GET", url, &Value::Null).await.status, 401);
    close(&world, "None").await;
    assert_refused(&world.send("", "GET", url, &Value::Null).await, "ForbiddenByConnection", "192.0.2.7");
}

#[tokio::test]
async fn who_guesses_status_urls_writes_nothing_into_the_audit_log() {
    let (world, _) = scene().await;
    let url = "/securitydomain/upload/pending?api-version=7.6&operation=11111111-1111-4111-8111-111111111111";
    for (url, counted) in [
        (url.to_owned(), "SecurityDomainUploadStatusGet"),
        (url.replace("upload", "download"), "SecurityDomainDownloadStatusGet"),
        (url.replace("1111-1", ""), "SecurityDomainUploadStatusGet"),
    ] {
        let answer = world.send("", "GET", &url, &Value::Null).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &Value::from("Failed")), "{url}");
        assert_eq!(answer.operation, counted);
        assert!(world.test.audit.take().is_empty(), "{url}");
    }
    // A line a minute for each address, however often it asks.
    let strangers = world.strangers();
    assert_eq!(strangers.len(), 1, "{strangers:?}");
    assert_eq!(strangers[0]["resultSignature"], "UnknownOperation");
    // Who has the URL is told, and recorded.
    let record = managed_hsm("fresh".parse().unwrap(), world.tenant, world.administrator).unwrap();
    add_hsm(&world.test.core, &record, &world.administration()).await.unwrap();
    let hsm = world.test.core.hsm(&record.name).await.unwrap();
    let download = hsm.download_security_domain(&world.administration(), custodians().unwrap()).await.unwrap();
    world.test.audit.take();
    let url = format!("/securitydomain/download/pending?api-version=7.6&operation={}", download.operation);
    for _ in 0..2 {
        let host = [("host", "fresh.managedhsm.localhost:8443")];
        let answer = world.send_raw("", "GET", &url, &host, String::new()).await;
        assert_eq!(answer.json()["status"], "Success", "{answer:?}");
        assert_eq!(world.test.audit.take().len(), 1);
    }
    assert_eq!(world.strangers().len(), 1);
}

#[tokio::test]
async fn an_ip_rule_lets_its_addresses_in_at_once_and_no_header_replaces_an_address() {
    let (world, token) = scene().await;
    let spoofed = [
        ("x-forwarded-for", "198.51.100.9"),
        ("forwarded", "for=198.51.100.9"),
        ("x-real-ip", "198.51.100.9"),
        ("true-client-ip", "198.51.100.9"),
    ];
    deny(&world, "None", &["198.51.100.0/24", "2001:db8::/32"]).await;
    for address in ["198.51.100.9", "::ffff:198.51.100.9", "2001:db8::9"] {
        assert_eq!(list(&world, &token, (address, PUBLIC), &[]).await.status, 200, "{address}");
    }
    for (address, told) in
        [("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db9::9", "2001:db9::9"), ("::1", "::1")]
    {
        assert_refused(&list(&world, &token, (address, PUBLIC), &spoofed).await, "ForbiddenByFirewall", told);
    }
    deny(&world, "None", &["192.0.2.7"]).await;
    assert_eq!(list(&world, &token, ("192.0.2.7", PUBLIC), &[]).await.status, 200);
    assert_eq!(list(&world, &token, ("198.51.100.9", PUBLIC), &[]).await.status, 403);
}

fn connect(hsm: &mut ManagedHsm, status: ConnectionStatus) {
    hsm.private_endpoint_connections = vec![PrivateEndpointConnection {
        name: "inside".to_owned(),
        endpoint: "/subscriptions/x".to_owned(),
        subnet: "Plant/Clients".parse().unwrap(),
        status,
        description: String::new(),
    }];
}

#[tokio::test]
async fn an_approved_private_endpoint_is_the_way_in_for_its_subnet_only() {
    let (world, token) = scene().await;
    close(&world, "None").await;
    let (inside, outside) = (("10.1.2.3", PRIVATE), ("203.0.113.5", PRIVATE));
    let refused = list(&world, &token, inside, &[]).await;
    assert_refused(&refused, "ForbiddenByConnection", "10.1.2.3 (subnet plant/clients)");
    for (status, passes) in [
        (ConnectionStatus::Pending, 403),
        (ConnectionStatus::Approved, 200),
        (ConnectionStatus::Rejected, 403),
        (ConnectionStatus::Approved, 200),
    ] {
        world.change(HSM, |hsm| connect(hsm, status)).await;
        assert_eq!(list(&world, &token, inside, &[]).await.status, passes, "{status:?}");
        // Neither the right address at the wrong listener nor the wrong one at the right listener.
        assert_eq!(list(&world, &token, ("10.1.2.3", PUBLIC), &[]).await.status, 403, "{status:?}");
        assert_eq!(list(&world, &token, outside, &[("x-forwarded-for", "10.1.2.3")]).await.status, 403, "{status:?}");
    }
    // The endpoint leads to one HSM, whatever host is asked.
    world.change(OTHER, |hsm| hsm.public_network_access = PublicNetworkAccess::Disabled).await;
    let host = format!("{OTHER}.managedhsm.localhost:8443");
    let refused = list(&world, &token, inside, &[("host", &host)]).await;
    assert_eq!(inner(&refused), "ForbiddenByConnection");
    world.change(HSM, |hsm| hsm.private_endpoint_connections.clear()).await;
    assert_eq!(list(&world, &token, inside, &[]).await.status, 403);
}

#[tokio::test]
async fn a_listed_proxy_says_for_whom_it_speaks_and_nobody_else_does() {
    let proxies = Proxies { addresses: vec!["198.51.100.1".parse().unwrap()], form: ProxyForm::XForwardedFor };
    let world = World::guarded(subnets(), Some(proxies)).await;
    let (principal, token) = world.program("operator").await;
    world.assign(HSM, principal, CRYPTO_USER, "/").await;
    deny(&world, "None", &["192.0.2.0/24"]).await;
    let through = |chain: &'static str| [("x-forwarded-for", chain)];
    let proxy = ("198.51.100.1", PUBLIC);
    assert_eq!(list(&world, &token, proxy, &through("192.0.2.7")).await.status, 200);
    assert_eq!(list(&world, &token, proxy, &through("192.0.2.7, 203.0.113.5")).await.status, 403);
    assert_eq!(list(&world, &token, proxy, &[]).await.status, 403, "the proxy itself is in no rule");
    assert_eq!(list(&world, &token, proxy, &through("somebody")).await.code(), "InvalidForwardedFor");
    let refused = list(&world, &token, ("203.0.113.5", PUBLIC), &through("192.0.2.7")).await;
    assert_refused(&refused, "ForbiddenByFirewall", "203.0.113.5");
}
