//! Sockets: binding them, accepting connections within the limits, TLS, HTTP/1.1 and HTTP/2.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::http::edge::Edge;
use crate::http::exchange::Peer;
use crate::http::limits::{
    Admitted, BACKLOG, Connections, HANDSHAKE_MAX, HEADER_BYTES_MAX, HEADER_READ_MAX, HEADERS_MAX, IDLE_CHECK,
    IDLE_MAX, RESET_STREAMS_MAX, STREAMS_MAX,
};
use crate::http::pace::{Pace, Paced};
use crate::http::proxies::{Proxies, proxied};
use crate::tasks::Tasks;

/// Binds a socket. An IPv6 one takes IPv6 only, so that both families can be asked for on one port.
///
/// # Errors
/// Whatever the system says, such as that the port is in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What a listener needs to turn a connection into requests.
#[derive(Clone)]
pub struct Listener {
    edge: Arc<Edge>,
    tls: Option<TlsAcceptor>,
    connections: Arc<Connections>,
    tasks: Tasks,
    http1: http1::Builder,
    http2: http2::Builder<Tasks>,
    proxies: Option<Arc<Proxies>>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("edge", &self.edge).field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Listener {
    /// Requests to `edge`; over TLS, or in the clear without a configuration.
    pub fn new(edge: Arc<Edge>, tls: Option<Arc<ServerConfig>>, connections: Arc<Connections>, tasks: Tasks) -> Self {
        let (mut http1, mut http2) = (http1::Builder::new(), http2::Builder::new(tasks.clone()));
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ_MAX)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEADER_BYTES_MAX);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX));
        Self { edge, tls: tls.map(TlsAcceptor::from), connections, tasks, http1, http2, proxies: None }
    }

    /// The same behind proxies, of which some may put a header in front of each connection.
    #[must_use]
    pub fn behind(self, proxies: Option<Arc<Proxies>>) -> Self {
        Self { proxies, ..self }
    }

    /// Accepts connections until the process stops.
    pub fn accept(self, socket: TcpListener) {
        let tasks = self.tasks.clone();
        tasks.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    biased;
                    () = self.tasks.stopping() => return,
                    accepted = socket.accept() => accepted,
                };
                match accepted {
                    Ok((stream, remote)) => self.admit(stream, remote),
                    Err(error) => {
                        // Out of descriptors, most likely: give connections time to end.
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
    }

    fn admit(&self, stream: TcpStream, remote: SocketAddr) {
        let Some(mut admitted) = self.connections.admit() else {
            tracing::debug!(%remote, "too many connections: one more was closed");
            return;
        };
        if !self.has_room_for(remote, &mut admitted) {
            return;
        }
        let Ok(local) = stream.local_addr() else { return };
        let listener = self.clone();
        self.tasks.spawn(async move {
            listener.connection(stream, Peer { remote, local }, admitted).await;
        });
    }

    /// Whether an address may have one more connection. A proxy's own are many clients'.
    fn has_room_for(&self, remote: SocketAddr, admitted: &mut Admitted) -> bool {
        let has_room = self.is_proxy(remote) || admitted.counts_for(remote.ip());
        if !has_room {
            tracing::debug!(%remote, "too many connections of one address: one more was closed");
        }
        has_room
    }

    fn is_proxy(&self, remote: SocketAddr) -> bool {
        self.proxies.as_ref().is_some_and(|proxies| proxies.list(remote.ip()))
    }

    /// How a connection of an address is read.
    fn pace(&self, remote: SocketAddr) -> Pace {
        if self.is_proxy(remote) { Pace::of_many_clients() } else { Pace::of_one_client() }
    }

    async fn connection(self, mut stream: TcpStream, mut peer: Peer, mut admitted: Admitted) {
        // An answer is one write; waiting for more to send with it only costs time.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        if self.proxies.as_ref().is_some_and(|proxies| proxies.announce(peer.remote.ip())) {
            match timeout(HANDSHAKE_MAX, proxied(&mut stream)).await {
                Ok(Ok(client)) => peer.remote = client.unwrap_or(peer.remote),
                Ok(Err(_)) | Err(_) => {
                    tracing::debug!(proxy = %peer.remote, "a proxy did not say for whom it connects");
                    return;
                }
            }
            if !self.has_room_for(peer.remote, &mut admitted) {
                return;
            }
        }
        match self.tls.clone() {
            None => self.serve(stream, Protocol::Http1, peer).await,
            Some(tls) => match timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let protocol = Protocol::agreed(stream.get_ref().1.alpn_protocol());
                    // A TLS stream is large; so is the future that holds it.
                    Box::pin(self.serve(stream, protocol, peer)).await;
                }
                Ok(Err(error)) => tracing::debug!(remote = %peer.remote, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(remote = %peer.remote, "a TLS handshake took too long"),
            },
        }
        drop(admitted);
    }

    async fn serve<S>(self, stream: S, protocol: Protocol, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::new());
        let (edge, seen) = (Arc::clone(&self.edge), Arc::clone(&activity));
        let pace = self.pace(peer.remote);
        let stream = TokioIo::new(Paced::new(stream, pace.clone()));
        let service = service_fn(move |request| {
            let (edge, running, pace) = (Arc::clone(&edge), Activity::begin(&seen), pace.clone());
            async move {
                let answer = edge.serve(request, peer).await;
                pace.note(&answer);
                // Whatever else has arrived is answered first, and then all of it is sent in one go: a client is woken once for
                // many answers, and each step finds in the processor's caches what the one before it has used.
                yield_now().await;
                drop(running);
                Ok::<_, Infallible>(answer)
            }
        });
        match protocol {
            Protocol::Http1 => self.drive(self.http1.serve_connection(stream, service), peer, &activity).await,
            // Its state is several times as large.
            Protocol::Http2 => {
                Box::pin(self.drive(self.http2.serve_connection(stream, service), peer, &activity)).await;
            }
        }
    }

    /// Serves a connection to its end: its client's, its own when it has been idle for long, or the server's.
    async fn drive<C>(&self, connection: C, peer: Peer, activity: &Activity)
    where
        C: GracefulConnection,
        C::Error: std::fmt::Display,
    {
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return log_end(peer, ended),
            () = self.tasks.stopping() => {}
            () = activity.idle() => {}
        }
        connection.as_mut().graceful_shutdown();
        // A client that does not even read its answer is not waited for longer than the process's own stop takes.
        match timeout(FAREWELL_MAX, connection).await {
            Ok(ended) => log_end(peer, ended),
            Err(_) => tracing::debug!(remote = %peer.remote, "a connection was cut off"),
        }
    }
}

fn log_end<E: std::fmt::Display>(peer: Peer, ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(remote = %peer.remote, %error, "a connection ended early");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    /// What was agreed on by ALPN (RFC 7301); nothing means HTTP/1.1 (RFC 9113 §3.2).
    fn agreed(alpn: Option<&[u8]>) -> Self {
        if alpn == Some(ALPN_HTTP2) { Self::Http2 } else { Self::Http1 }
    }
}

/// What a connection is doing.
struct Activity {
    opened: Instant,
    in_flight: AtomicUsize,
    /// Milliseconds from `opened` to the last end of a request.
    last_milliseconds: AtomicU64,
}

/// A request in flight on a connection.
struct Running(Arc<Activity>);

impl Activity {
    fn new() -> Self {
        Self { opened: Instant::now(), in_flight: AtomicUsize::new(0), last_milliseconds: AtomicU64::new(0) }
    }

    fn begin(activity: &Arc<Self>) -> Running {
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(activity))
    }

    /// Resolves when there has been no request in flight for too long.
    async fn idle(&self) {
        loop {
            sleep(IDLE_CHECK).await;
            let last = Duration::from_millis(self.last_milliseconds.load(Ordering::Relaxed));
            let idle = self.opened.elapsed().saturating_sub(last);
            if self.in_flight.load(Ordering::Relaxed) == 0 && idle >= IDLE_MAX {
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Self(activity) = self;
        let now = u64::try_from(activity.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        activity.last_milliseconds.store(now, Ordering::Relaxed);
        activity.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The protocols that are offered, best first.
pub const ALPN: [&[u8]; 2] = [ALPN_HTTP2, b"http/1.1"];

const ALPN_HTTP2: &[u8] = b"h2";

#[cfg(test)]
mod tests;

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest time that a connection is given to end by itself.
const FAREWELL_MAX: Duration = Duration::from_secs(10);
