use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{Empty, Full};
use strongroom_crypto::SystemEntropy;
use strongroom_types::Timestamp;

use super::*;
use crate::http::exchange::empty;
use crate::http::health::Phase;
use crate::http::health::tests::health_under;
use crate::http::host::{Domain, Hosts};
use crate::http::limits::{REQUESTS_APART_MAX, REQUESTS_MAX};
use crate::http::planes::PublicPlanes;
use crate::tasks::TaskOwner;

mod cluster;

/// A plane that remembers what reached it and answers as its path says.
#[derive(Default)]
struct Recorder {
    seen: Mutex<Vec<Inbound>>,
    finished: AtomicUsize,
}

#[async_trait]
impl Handle for Recorder {
    async fn handle(&self, inbound: Inbound) -> Outbound {
        let path = inbound.path().to_owned();
        self.seen.lock().unwrap().push(inbound);
        match path.as_str() {
            "/panic" => panic!("a plane panics"),
            "/slow" => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => {}
        }
        self.finished.fetch_add(1, Ordering::SeqCst);
        json(StatusCode::OK, &path)
    }
}

struct Nowhere;

#[async_trait]
impl Handle for Nowhere {
    async fn handle(&self, _inbound: Inbound) -> Outbound {
        empty(StatusCode::IM_A_TEAPOT)
    }
}

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }
}

struct Fixture {
    edge: Edge,
    plane: Arc<Recorder>,
    health: Arc<Health>,
    owner: TaskOwner,
}

fn fixture() -> Fixture {
    fixture_under("file")
}

fn fixture_under(root_provider: &'static str) -> Fixture {
    let (plane, owner) = (Arc::new(Recorder::default()), TaskOwner::new());
    let health = Arc::new(health_under(root_provider));
    let edge = edge_over(Arc::clone(&plane) as Arc<dyn Handle>, &health, &owner);
    Fixture { edge, plane, health, owner }
}

/// An edge whose data plane is the one given.
fn edge_over(keys: Arc<dyn Handle>, health: &Arc<Health>, owner: &TaskOwner) -> Edge {
    let planes = Planes::Public(Box::new(PublicPlanes {
        hosts: Hosts::new(vec![Domain::localhost()]),
        authority: Arc::new(Nowhere),
        management: Arc::new(Nowhere),
        graph: Arc::new(Nowhere),
        keys,
    }));
    Edge::new(planes, Arc::clone(health), Arc::new(FixedClock), Arc::new(SystemEntropy), owner.tasks())
}

fn peer() -> Peer {
    Peer { remote: "192.0.2.1:5".parse().unwrap(), local: "127.0.0.1:8443".parse().unwrap() }
}

fn request(host: &str, path: &str) -> http::request::Builder {
    Request::post(path).header(header::HOST, host)
}

const HSM: &str = "Contoso.managedhsm.LOCALHOST:8443";

async fn body(answer: Outbound) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_request_reaches_its_plane_whole() {
    let Fixture { edge, plane, .. } = fixture();
    let request = request(HSM, "/keys//a/?api-version=7.6&x").body(Full::new(Bytes::from("body"))).unwrap();
    let answer = edge.serve(request, peer()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let seen = plane.seen.lock().unwrap();
    let inbound = &seen[0];
    assert_eq!(inbound.host.plane, Plane::ManagedHsm("contoso".to_owned()));
    assert_eq!((inbound.path(), inbound.query()), ("/keys//a/", "api-version=7.6&x"));
    assert_eq!(inbound.body, "body");
    assert_eq!(inbound.received, FixedClock.now());
    assert_eq!(answer.headers()[REQUEST_ID], inbound.id.to_string());
}

#[tokio::test]
async fn every_answer_carries_the_common_headers() {
    let Fixture { edge, .. } = fixture();
    for host in [HSM, "elsewhere.example"] {
        let answer = edge.serve(request(host, "/").body(Empty::new()).unwrap(), peer()).await;
        for (name, value) in COMMON_HEADERS {
            assert_eq!(answer.headers().get(&name), Some(&value), "{host} {name}");
        }
        assert!(answer.headers().contains_key(REQUEST_ID));
    }
}

#[tokio::test]
async fn the_host_is_said_exactly_once() {
    let Fixture { edge, .. } = fixture();
    let status =
        async |builder: http::request::Builder| edge.serve(builder.body(Empty::new()).unwrap(), peer()).await.status();
    assert_eq!(status(Request::get("/")).await, StatusCode::BAD_REQUEST, "no host");
    assert_eq!(status(request("", "/")).await, StatusCode::BAD_REQUEST, "an empty one");
    assert_eq!(status(request(HSM, "/").header(header::HOST, HSM)).await, StatusCode::BAD_REQUEST, "two");
    let other = "https://other.managedhsm.localhost:8443/";
    assert_eq!(status(Request::get(other).header(header::HOST, HSM)).await, StatusCode::BAD_REQUEST, "two opinions");
    assert_eq!(status(Request::get(other)).await, StatusCode::OK, "HTTP/2 says it in :authority");
    assert_eq!(status(request("elsewhere.example", "/")).await, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(status(request("login.localhost", "/")).await, StatusCode::IM_A_TEAPOT, "another plane");
    assert_eq!(status(request(HSM, "/").version(Version::HTTP_10)).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_announced_body_that_is_too_large_is_refused_unread() {
    let Fixture { edge, plane, .. } = fixture();
    let request = request(HSM, "/").header(header::CONTENT_LENGTH, BODY_BYTES_MAX + 1);
    let answer = edge.serve(request.body(Full::new(Bytes::new())).unwrap(), peer()).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.headers()[header::CONNECTION], "close");
    assert!(body(answer).await.contains("RequestEntityTooLarge"));
    assert!(plane.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_refused() {
    let Fixture { edge, .. } = fixture();
    let status = async |bytes: usize| {
        let request = request(HSM, "/").body(Full::new(Bytes::from(vec![b'x'; bytes]))).unwrap();
        edge.serve(request, peer()).await.status()
    };
    assert_eq!(status(BODY_BYTES_MAX).await, StatusCode::OK);
    assert_eq!(status(BODY_BYTES_MAX + 1).await, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_panic_is_answered_with_500_and_the_next_request_is_served() {
    let Fixture { edge, .. } = fixture();
    let status = async |path: &str| edge.serve(request(HSM, path).body(Empty::new()).unwrap(), peer()).await.status();
    assert_eq!(status("/panic").await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(status("/").await, StatusCode::OK);
}

#[tokio::test]
async fn a_request_is_finished_although_its_client_has_gone() {
    let Fixture { edge, plane, owner, .. } = fixture();
    let serving = edge.serve(request(HSM, "/slow").body(Empty::new()).unwrap(), peer());
    assert!(tokio::time::timeout(Duration::from_millis(5), serving).await.is_err(), "the client hangs up");
    assert_eq!(plane.finished.load(Ordering::SeqCst), 0);
    drop(edge);
    assert!(owner.stop(Duration::from_secs(5)).await, "a stop waits for it");
    assert_eq!(plane.finished.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn too_many_requests_at_once_are_told_to_come_back() {
    let Fixture { edge, .. } = fixture();
    let all =
        Arc::clone(&edge.observers.at_work).acquire_many_owned(u32::try_from(REQUESTS_MAX).unwrap()).await.unwrap();
    let answer = edge.serve(request(HSM, "/").body(Empty::new()).unwrap(), peer()).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
    drop(all);
    let answer = edge.serve(request(HSM, "/").body(Empty::new()).unwrap(), peer()).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_server_can_be_watched_while_all_others_are_told_to_come_back() {
    let Fixture { edge, health, owner, .. } = fixture();
    let shared = Observers::default();
    let edge = edge.observed(&shared);
    let _all = Arc::clone(&shared.at_work).acquire_many_owned(u32::try_from(REQUESTS_MAX).unwrap()).await.unwrap();
    let answer = edge.serve(request(HSM, "/").body(Empty::new()).unwrap(), peer()).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let watcher = || Arc::new(Recorder::default()) as Arc<dyn Handle>;
    for planes in [Planes::Monitoring(watcher()), Planes::Metadata(watcher())] {
        let (clock, entropy) = (Arc::new(FixedClock), Arc::new(SystemEntropy));
        let apart = Edge::new(planes, Arc::clone(&health), clock, entropy, owner.tasks()).observed(&shared);
        let ask = async || apart.serve(request("127.0.0.1", "/").body(Empty::new()).unwrap(), peer()).await.status();
        assert_eq!(ask().await, StatusCode::OK, "{apart:?}");
        let at_work = Arc::clone(&apart.observers.at_work);
        let _own = at_work.acquire_many_owned(u32::try_from(REQUESTS_APART_MAX).unwrap()).await.unwrap();
        assert_eq!(ask().await, StatusCode::TOO_MANY_REQUESTS, "{apart:?} has a limit too");
    }
}

#[tokio::test]
async fn health_says_how_far_the_node_is() {
    let Fixture { edge, health, .. } = fixture();
    let get = async || {
        let request = Request::get("/health").header(header::HOST, "management.localhost:8443");
        let answer = edge.serve(request.body(Empty::new()).unwrap(), peer()).await;
        (answer.status(), body(answer).await)
    };
    assert_eq!(get().await.0, StatusCode::SERVICE_UNAVAILABLE);
    health.set(Phase::Ready);
    let (status, text) = get().await;
    assert_eq!(status, StatusCode::OK);
    let expected = "{\"status\":\"ready\",\"sealedHsms\":0,\"deployment\":\"d\",\"version\":\"0\",\"rootProvider\":\"file\",\
                    \"lockedMemory\":false,\"coreDumpsDisabled\":true,\"auditKey\":{\"kty\":\"EC\",";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.ends_with("},\"auditWritable\":true,\"auditCheckpointsFailing\":[]}"), "{text}");
    health.set(Phase::Stopping);
    assert_eq!(get().await.0, StatusCode::SERVICE_UNAVAILABLE);
    let post = request("management.localhost", "/health").body(Empty::new()).unwrap();
    assert_eq!(edge.serve(post, peer()).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn health_counts_the_managed_hsms_that_wait_for_their_quorum_once_they_were_counted() {
    let Fixture { edge, health, .. } = fixture_under("quorum");
    let get = async || {
        let request = Request::get("/health").header(header::HOST, "management.localhost:8443");
        body(edge.serve(request.body(Empty::new()).unwrap(), peer()).await).await
    };
    assert!(!get().await.contains("sealedHsms"));
    health.set_sealed(2);
    assert!(get().await.contains("\"sealedHsms\":2,"));
}

#[tokio::test]
async fn the_metadata_plane_sees_every_host() {
    let plane = Arc::new(Recorder::default());
    let Fixture { health, owner, .. } = fixture();
    let planes = Planes::Metadata(Arc::clone(&plane) as Arc<dyn Handle>);
    let edge = Edge::new(planes, health, Arc::new(FixedClock), Arc::new(SystemEntropy), owner.tasks());
    let request = Request::get("/metadata").header(header::HOST, "169.254.169.254").body(Empty::new()).unwrap();
    assert_eq!(edge.serve(request, peer()).await.status(), StatusCode::OK);
    let seen = plane.seen.lock().unwrap();
    assert_eq!(
        seen[0].host,
        Arc::new(Host {
            plane: Plane::Metadata,
            authority: "169.254.169.254".into(),
            domain: "169.254.169.254".into()
        })
    );
}

const ALL: [Refusal; 13] = [
    OLD_VERSION,
    BAD_HOST,
    BAD_FORWARDED,
    MISDIRECTED,
    BODY_TOO_LARGE,
    BODY_TOO_SLOW,
    BODY_BROKEN,
    TOO_BUSY,
    TOO_SLOW,
    NOT_SERVING,
    WITHHELD,
    NO_ENTROPY,
    FAULT,
];

#[test]
fn only_what_was_not_begun_is_to_be_repeated() {
    for refusal in ALL {
        let passes = matches!(refusal.status.as_u16(), 429 | 503);
        let is_unknown = ["ServiceTimeout", "AnswerWithheld"].contains(&refusal.code);
        let retried = refusal.answer().headers().contains_key(header::RETRY_AFTER);
        assert_eq!(retried, passes && !is_unknown, "{}", refusal.code);
        assert_eq!(refusal.message.contains("may be done: look"), is_unknown, "{}", refusal.code);
    }
}

#[test]
fn the_page_of_errors_lists_every_refusal_and_no_other() {
    let mut refusals: Vec<_> = ALL.iter().map(|one| format!("| {} | {} |", one.status.as_u16(), one.code)).collect();
    let page = include_str!("../../../../../docs/errors.md");
    let (_, section) = page.split_once("\n## All planes").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut listed: Vec<_> = rows.map(|row| row.split('|').take(3).collect::<Vec<_>>().join("|") + "|").collect();
    refusals.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, refusals);
}
