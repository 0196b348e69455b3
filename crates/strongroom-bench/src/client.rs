//! Connections of the load generator: kept alive, and as cheap as they can be, so that they are not what is measured.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::MeasureError;
use crate::load::Protocol;
use crate::request::{Answer, Request};

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The address that is connected to.
    pub address: SocketAddr,
    /// The name its certificate must have.
    pub name: String,
    /// Who may have issued it.
    pub roots: Arc<RootCertStore>,
}

impl Endpoint {
    async fn connect(&self, protocol: Protocol) -> Result<TlsStream<TcpStream>, MeasureError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        let name = ServerName::try_from(self.name.clone());
        let name = name.map_err(|_| MeasureError::HostName(self.name.clone()))?;
        let stream = TcpStream::connect(self.address).await.map_err(MeasureError::io("no connection"))?;
        stream.set_nodelay(true).map_err(MeasureError::io("no connection"))?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        connecting.await.map_err(MeasureError::io("no TLS connection"))
    }
}

/// Asks one request at a time.
pub(crate) enum Client {
    Http1(Box<Http1>),
    Http2(Http2),
}

/// All connections of a measurement.
pub(crate) struct Clients {
    pub(crate) clients: Vec<Client>,
    /// What drives the connections of HTTP/2; they end with it.
    _drivers: JoinSet<()>,
}

impl Clients {
    /// So many clients: each on a connection of its own, or over HTTP/2 up to [`CLIENTS`] on one.
    pub(crate) async fn connect(endpoint: &Endpoint, protocol: Protocol, count: usize) -> Result<Self, MeasureError> {
        let (mut clients, mut drivers) = (Vec::with_capacity(count), JoinSet::new());
        while clients.len() < count {
            match protocol {
                Protocol::Http1 => clients.push(Client::Http1(Box::new(Http1::connect(endpoint).await?))),
                Protocol::Http2 => {
                    let connection = Http2::connect(endpoint, &mut drivers).await?;
                    let more = CLIENTS.min(count - clients.len());
                    clients.extend((0..more).map(|_| Client::Http2(connection.clone())));
                }
            }
        }
        Ok(Self { clients, _drivers: drivers })
    }
}

impl Client {
    /// Asks once. `fixed` are the bytes of a request that never changes.
    pub(crate) async fn ask(&mut self, request: &Request, fixed: Option<&Bytes>) -> Result<Answer, MeasureError> {
        match self {
            Self::Http1(connection) => match fixed {
                Some(wire) => connection.ask(wire).await,
                None => connection.ask(&request.http1()).await,
            },
            Self::Http2(connection) => connection.send(request.http2()?).await,
        }
    }
}

/// A connection that carries several requests at a time.
#[derive(Clone)]
pub(crate) struct Http2(http2::SendRequest<Full<Bytes>>);

impl Http2 {
    /// What drives the connection is one of `drivers`, and ends with them.
    pub(crate) async fn connect(endpoint: &Endpoint, drivers: &mut JoinSet<()>) -> Result<Self, MeasureError> {
        let stream = endpoint.connect(Protocol::Http2).await?;
        let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        drivers.spawn(async move {
            // A broken connection shows at the requests on it.
            let _ = driver.await;
        });
        Ok(Self(sender))
    }

    /// Hands a request to the connection at once; what it answers with is waited for.
    pub(crate) fn send(
        &mut self,
        request: http::Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Answer, MeasureError>> + Send + use<> {
        let answer = self.0.send_request(request);
        async move {
            let (head, body) = answer.await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), headers: Vec::new(), body })
        }
    }
}

/// A connection that writes whole requests and reads whole answers.
pub(crate) struct Http1 {
    stream: TlsStream<TcpStream>,
    read: BytesMut,
}

impl Http1 {
    async fn connect(endpoint: &Endpoint) -> Result<Self, MeasureError> {
        let stream = endpoint.connect(Protocol::Http1).await?;
        Ok(Self { stream, read: BytesMut::with_capacity(READ_BYTES) })
    }

    async fn ask(&mut self, wire: &[u8]) -> Result<Answer, MeasureError> {
        self.send(wire).await?;
        let head = self.head().await?;
        self.rest(&head, Vec::new()).await
    }

    /// Reads the body, and takes the answer out of the buffer.
    async fn rest(&mut self, head: &Head, headers: Vec<(String, String)>) -> Result<Answer, MeasureError> {
        while self.read.len() < head.bytes + head.body_bytes {
            self.more().await?;
        }
        drop(self.read.split_to(head.bytes));
        Ok(Answer { status: head.status, headers, body: self.read.split_to(head.body_bytes).freeze() })
    }

    async fn send(&mut self, wire: &[u8]) -> Result<(), MeasureError> {
        let broken = MeasureError::io;
        self.stream.write_all(wire).await.map_err(broken("the connection broke"))?;
        self.stream.flush().await.map_err(broken("the connection broke"))
    }

    /// Reads until the head is there, and leaves it in the buffer.
    async fn head(&mut self) -> Result<Head, MeasureError> {
        loop {
            if let Some(head) = Head::parse(&self.read)? {
                return Ok(head);
            }
            if self.read.len() > HEAD_BYTES_MAX {
                return Err(MeasureError::Answer("its head is too long"));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), MeasureError> {
        self.read.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.read).await.map_err(MeasureError::io("the connection broke"))?;
        if read == 0 { Err(MeasureError::Answer("the connection was closed")) } else { Ok(()) }
    }
}

/// What the head of an answer says about its frame.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    fn parse(read: &[u8]) -> Result<Option<Self>, MeasureError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(read).map_err(|_| MeasureError::Answer("its head is malformed"))?;
        let httparse::Status::Complete(bytes) = parsed else { return Ok(None) };
        let status = response.code.ok_or(MeasureError::Answer("it has no status"))?;
        Ok(Some(Self { status, bytes, body_bytes: body_bytes(status, response.headers)? }))
    }
}

/// Bytes of the body (RFC 9112 §6.3). What is measured answers with a length, always.
fn body_bytes(status: u16, headers: &[httparse::Header<'_>]) -> Result<usize, MeasureError> {
    let length = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    match length {
        Some(header) => {
            let length = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
            let length = length.filter(|bytes| *bytes <= BODY_BYTES_MAX);
            length.ok_or(MeasureError::Answer("its length is malformed"))
        }
        None if status == 204 => Ok(0),
        None => Err(MeasureError::Answer("it has no length")),
    }
}

/// One answer with its headers, on a connection of its own.
///
/// # Errors
/// If it cannot be had.
pub async fn ask_once(endpoint: &Endpoint, request: &Request) -> Result<Answer, MeasureError> {
    let mut connection = Http1::connect(endpoint).await?;
    connection.send(&request.http1()).await?;
    let head = connection.head().await?;
    let headers = headers(&connection.read);
    connection.rest(&head, headers).await
}

/// Headers, but for those that frame the message and the one that a server adds by itself.
fn headers(read: &[u8]) -> Vec<(String, String)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    if response.parse(read).is_err() {
        return Vec::new();
    }
    let ours = |name: &str| !["content-length", "connection", "date"].contains(&name.to_ascii_lowercase().as_str());
    let kept = response.headers.iter().filter(|header| ours(header.name));
    kept.map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned())).collect()
}

/// Clients on one connection of HTTP/2.
const CLIENTS: usize = 16;
const READ_BYTES: usize = 4096;
const HEADERS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_of_an_answer_is_read() {
        let parse = |text: &str| Head::parse(text.as_bytes());
        assert_eq!(parse("HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
        let text = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 7\r\n\r\n";
        let head = Head { status: 429, bytes: text.len(), body_bytes: 7 };
        assert_eq!(parse(&format!("{text}{{\"a\":")).unwrap(), Some(head));
        assert_eq!(parse("HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().body_bytes, 0);
        for wrong in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "SSH-2.0\r\n\r\n"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let all = headers(b"HTTP/1.1 200 OK\r\nDate: now\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(all, [("X-A".to_owned(), "1".to_owned())]);
    }
}
