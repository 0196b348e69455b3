//! The bare server: HTTPS by the same libraries, which answers every request with the same bytes and does nothing else.
//!
//! It is a process of its own, on the core of the server that is measured, so that the same is counted of both. It lives as
//! long as its standard input is open.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header::HeaderName};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::MeasureError;
use crate::cores::on_core;
use crate::load::Endpoint;
use crate::request::Answer;

/// A bare server that runs. Dropping it ends it.
#[derive(Debug)]
pub struct BareServer {
    process: std::process::Child,
    /// Closed last: it is what the process waits for.
    _input: ChildStdin,
    /// Where it listens.
    pub endpoint: Endpoint,
}

/// What a bare server says when it listens.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    address: SocketAddr,
    /// Its certificate, DER.
    certificate: Vec<u8>,
}

impl BareServer {
    /// Starts a program that calls [`serve`], on a core if one is given, with the answer it gives.
    ///
    /// # Errors
    /// If it cannot be started, or does not get ready.
    pub fn start(
        program: &Path,
        arguments: &[&str],
        core: Option<usize>,
        answer: &Answer,
    ) -> Result<Self, MeasureError> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let spawned = on_core(core, || command.spawn())?;
        let mut process = spawned.map_err(MeasureError::io("the bare server cannot be started"))?;
        let ready = process.stdin.take().zip(process.stdout.take()).ok_or(MeasureError::Ended).and_then(|pipes| {
            let (mut input, output) = pipes;
            let mut line = serde_json::to_string(answer)?;
            line.push('\n');
            input.write_all(line.as_bytes()).map_err(MeasureError::io("the bare server has ended"))?;
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).map_err(MeasureError::io("the bare server has ended"))?;
            Ok((input, serde_json::from_str::<Ready>(&line)?))
        });
        match ready.and_then(|(input, ready)| Ok((input, ready.endpoint()?))) {
            Ok((input, endpoint)) => Ok(Self { process, _input: input, endpoint }),
            Err(error) => {
                end(&mut process);
                Err(error)
            }
        }
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn end(process: &mut std::process::Child) {
    // It may have ended by itself.
    let _ = process.kill();
    let _ = process.wait();
}

impl Ready {
    fn endpoint(self) -> Result<Endpoint, MeasureError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.certificate))?;
        Ok(Endpoint { address: self.address, name: NAME.to_owned(), roots: Arc::new(roots) })
    }
}

/// Is a bare server: reads the answer from standard input, says on standard output where it listens, and serves until
/// standard input ends.
///
/// # Errors
/// If it is told something malformed, or cannot listen.
pub async fn serve() -> Result<(), MeasureError> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(MeasureError::io("nothing can be read"))?;
    let listening = Listening::bind(&serde_json::from_str(&line)?).await?;
    say(&serde_json::to_string(&listening.ready)?)?;
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Nothing more is ever written: this waits for the end of the process that started it.
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        drop(ended);
    });
    tokio::select! {
        ended = listening.accept() => ended,
        _ = end => Ok(()),
    }
}

/// A bare server that has an address.
pub(crate) struct Listening {
    socket: TcpListener,
    tls: TlsAcceptor,
    answer: Prepared,
    ready: Ready,
}

impl Listening {
    pub(crate) async fn bind(answer: &Answer) -> Result<Self, MeasureError> {
        let answer = response(answer)?;
        let (tls, certificate) = tls()?;
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let socket = bound.map_err(MeasureError::io("it cannot listen"))?;
        let address = socket.local_addr().map_err(MeasureError::io("it cannot listen"))?;
        Ok(Self { socket, tls, answer, ready: Ready { address, certificate } })
    }

    #[cfg(test)]
    pub(crate) fn endpoint(&self) -> Endpoint {
        Ready { address: self.ready.address, certificate: self.ready.certificate.clone() }.endpoint().unwrap()
    }

    pub(crate) async fn accept(self) -> Result<(), MeasureError> {
        self.accept_with(|answer| async move {
            let (head, body) = answer.as_ref();
            Response::from_parts(head.clone(), Full::new(body.clone()))
        })
        .await
    }

    /// The same, with another way to make the response out of what is prepared.
    pub(crate) async fn accept_with<F, R>(self, respond: F) -> Result<(), MeasureError>
    where
        F: Fn(Prepared) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let mut connections = JoinSet::new();
        loop {
            let accepted = self.socket.accept().await;
            let (stream, _) = accepted.map_err(MeasureError::io("a connection cannot be accepted"))?;
            let (answer, respond) = (Arc::clone(&self.answer), respond.clone());
            connections.spawn(connection(self.tls.clone(), stream, move || respond(Arc::clone(&answer))));
        }
    }
}

/// What is sent back, ready made.
pub(crate) type Prepared = Arc<(http::response::Parts, Bytes)>;

fn response(answer: &Answer) -> Result<Prepared, MeasureError> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        let name = HeaderName::try_from(name).map_err(http::Error::from)?;
        response = response.header(name, HeaderValue::try_from(value).map_err(http::Error::from)?);
    }
    let (head, ()) = response.body(())?.into_parts();
    Ok(Arc::new((head, answer.body.clone())))
}

async fn connection<R>(tls: TlsAcceptor, stream: TcpStream, respond: impl Fn() -> R + Send + Sync + 'static)
where
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let response = respond();
        async move {
            // A body that breaks off breaks the connection too.
            let _ = request.into_body().collect().await;
            Ok::<_, Infallible>(response.await)
        }
    });
    // The client is ours, and sees how its connection ends.
    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// As the server that is measured has it: a certificate for P-256, both versions of HTTP.
fn tls() -> Result<(TlsAcceptor, Vec<u8>), MeasureError> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|_| MeasureError::Crypto("a key"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), certificate.to_vec()))
}

fn say(line: &str) -> Result<(), MeasureError> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).map_err(MeasureError::io("nobody listens"))
}

const NAME: &str = "bare.localhost";
