use async_trait::async_trait;
use http::StatusCode;
use strongroom_crypto::SystemEntropy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::clock::SystemClock;
use crate::http::exchange::{Inbound, Outbound, empty};
use crate::http::health::tests::starting_health;
use crate::http::limits::tests::connections;
use crate::http::planes::{Handle, Planes};
use crate::http::proxies::ProxyForm;
use crate::tasks::TaskOwner;

/// Answers everything with one status.
struct Always(StatusCode);

#[async_trait]
impl Handle for Always {
    async fn handle(&self, _inbound: Inbound) -> Outbound {
        empty(self.0)
    }
}

fn edge(status: StatusCode, owner: &TaskOwner) -> Edge {
    let (health, clock) = (Arc::new(starting_health()), Arc::new(SystemClock));
    let plane = Planes::Monitoring(Arc::new(Always(status)));
    Edge::new(plane, health, clock, Arc::new(SystemEntropy), owner.tasks())
}

/// A listener in the clear, where one address may have two connections, behind a proxy on this machine.
async fn listening(form: ProxyForm) -> (SocketAddr, TaskOwner) {
    let owner = TaskOwner::new();
    let edge = edge(StatusCode::IM_A_TEAPOT, &owner);
    let proxies = Proxies { addresses: vec!["127.0.0.1".parse().unwrap()], form };
    let listener = Listener::new(Arc::new(edge), None, Arc::new(connections(2)), owner.tasks());
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    listener.behind(Some(Arc::new(proxies))).accept(socket);
    (address, owner)
}

/// A connection with a request on it, and whether that was answered.
async fn ask(server: SocketAddr, proxy_header: &str) -> (TcpStream, bool) {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!("{proxy_header}GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    let answered = stream.read_exact(&mut start).await.is_ok();
    assert!(!answered || &start == b"HTTP/1.1 418", "{start:?}");
    (stream, answered)
}

fn of(client: &str) -> String {
    format!("PROXY TCP4 {client} 10.1.0.1 4660 8443\r\n")
}

#[tokio::test]
async fn one_client_cannot_take_all_connections_of_a_proxy() {
    let (server, _owner) = listening(ProxyForm::ProxyProtocol).await;
    let (_first, first) = ask(server, &of("192.0.2.7")).await;
    let (_second, second) = ask(server, &of("192.0.2.7")).await;
    let (_third, third) = ask(server, &of("192.0.2.7")).await;
    assert_eq!((first, second, third), (true, true, false));
    assert!(ask(server, &of("192.0.2.8")).await.1, "another client has connections of its own");
    let mut own = Vec::new();
    for _ in 0..3 {
        own.push(ask(server, "PROXY UNKNOWN\r\n").await);
    }
    assert!(own.iter().all(|(_, answered)| *answered), "the proxy itself is many clients'");
}

#[tokio::test]
async fn connections_of_a_proxy_that_speaks_by_a_header_are_many_clients() {
    let (server, _owner) = listening(ProxyForm::XForwardedFor).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(ask(server, "").await);
    }
    assert!(all.iter().all(|(_, answered)| *answered));
}

#[tokio::test]
async fn a_connection_of_a_proxy_is_never_paused_and_every_other_one_is() {
    let owner = TaskOwner::new();
    let edge = edge(StatusCode::IM_A_TEAPOT, &owner);
    let listener = Listener::new(Arc::new(edge), None, Arc::new(connections(2)), owner.tasks());
    let [proxy, other] = ["127.0.0.1:1", "127.0.0.2:1"].map(|address| address.parse().unwrap());
    assert!(listener.pace(proxy).pauses(), "there is no proxy");
    let proxies = Proxies { addresses: vec!["127.0.0.1".parse().unwrap()], form: ProxyForm::XForwardedFor };
    let listener = listener.behind(Some(Arc::new(proxies)));
    assert!(!listener.pace(proxy).pauses() && listener.pace(other).pauses());
}

#[tokio::test]
async fn who_is_refused_is_answered_and_the_next_request_on_the_connection_is_heard_later() {
    let owner = TaskOwner::new();
    let edge = edge(StatusCode::TOO_MANY_REQUESTS, &owner);
    let listener = Listener::new(Arc::new(edge), None, Arc::new(connections(2)), owner.tasks());
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    listener.accept(socket);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    // At the third, the pause after the first is over for sure: a read may be under way when the first answer is noted.
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 429"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(began.elapsed() >= crate::http::pace::PAUSE, "{:?}", began.elapsed());
}
