//! A relay between official clients and the server, which keeps what it passes on.
//!
//! It has a certificate of its own, which the clients trust through `client.env`: the server is configured as behind any
//! other load balancer, with its public port and an operator's certificate. Nothing is changed on the way.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, TRANSFER_ENCODING, USER_AGENT};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::exchanges::{Exchange, Exchanges};
use crate::rest::Loopback;

/// A relay on loopback; it ends when it is dropped.
pub(crate) struct Relay {
    certificate: Certificate,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The files of a certificate that both the relay and the server show.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    folder: PathBuf,
}

impl Certificate {
    /// Makes a CA and a certificate for every name of a deployment on `localhost`.
    pub(crate) fn make(folder: &Path) -> Self {
        let made = Self { folder: folder.to_owned() };
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "CA of the acceptance tests");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key).expect("a CA");
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = NAMES.iter().map(|name| format!("{name}.localhost")).collect();
        let mut leaf = CertificateParams::new(names).expect("the names are names");
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
        let write = |path: PathBuf, text: String| std::fs::write(path, text).expect("the file is written");
        write(made.authority(), ca_certificate.pem());
        write(made.chain(), leaf.pem());
        write(made.key(), key.serialize_pem());
        made
    }

    /// The configuration of a server behind a relay on this port, whose outgoing TLS trusts these files as well.
    pub(crate) fn configuration(&self, port: u16, ca_files: &[PathBuf]) -> String {
        let trusted = [&[self.authority()], ca_files].concat();
        format!(
            "[public]\nport = {port}\n\n[tls]\ncertificate_file = {:?}\nprivate_key_file = {:?}\nextra_ca_files = {trusted:?}\n",
            self.chain(),
            self.key(),
        )
    }

    fn authority(&self) -> PathBuf {
        self.folder.join("relay-ca.pem")
    }

    fn chain(&self) -> PathBuf {
        self.folder.join("relay.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("relay-key.pem")
    }
}

impl Relay {
    /// Listens on a port and passes everything on to a server behind another one.
    pub(crate) fn start(port: u16, upstream: u16, certificate: &Certificate) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let to_upstream = Arc::new(Upstream::new(upstream, certificate));
        let chain = CertificateDer::pem_file_iter(certificate.chain()).expect("the file is there");
        let chain = chain.collect::<Result<_, _>>().expect("it holds certificates");
        let key = PrivateKeyDer::from_pem_file(certificate.key()).expect("the key is there");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("they fit");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        // Bound before this returns: who starts a client next finds it.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
        listener.set_nonblocking(true).expect("a listener of tokio does not block");
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("it does not block");
                tokio::select! {
                    () = accept(listener, acceptor, to_upstream) => {}
                    _ = ended => {}
                }
            });
        });
        Self { certificate: certificate.clone(), end: Some(end), thread: Some(thread) }
    }

    /// The CA of its certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.certificate.authority()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the relay is a program of its own, in this process for convenience")]
async fn accept(listener: TcpListener, acceptor: TlsAcceptor, upstream: Arc<Upstream>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(serve(stream, acceptor.clone(), Arc::clone(&upstream)));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, upstream: Arc<Upstream>) {
    // A connection that breaks is the client's to notice.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(|request| {
        let upstream = Arc::clone(&upstream);
        async move { upstream.pass_on(request).await }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The server behind.
struct Upstream {
    client: reqwest::Client,
    port: u16,
    exchanges: Exchanges,
}

impl Upstream {
    fn new(port: u16, certificate: &Certificate) -> Self {
        let authority = std::fs::read(certificate.authority()).expect("the CA is there");
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&authority).expect("it is a certificate")])
            .dns_resolver(Loopback(Ipv4Addr::LOCALHOST))
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .no_proxy()
            .build()
            .expect("a client");
        Self { client, port, exchanges: Exchanges::of_this_test() }
    }

    /// One request and its answer; an error closes the connection, as a server that is gone would.
    async fn pass_on(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let authority = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let name = authority.split(':').next().unwrap_or_default();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = head.headers.clone();
        remove_hops(&mut headers);
        let address = format!("https://{name}:{}{path}", self.port);
        let answer =
            self.client.request(head.method.clone(), address).headers(headers).body(body.clone()).send().await?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        let answer = answer.bytes().await?;
        let text = |headers: &HeaderMap, name| {
            headers
                .get(name)
                .and_then(|value: &hyper::header::HeaderValue| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        self.exchanges.keep(&Exchange {
            method: head.method.as_str(),
            url: &format!("https://{authority}{path}"),
            user_agent: &text(&head.headers, USER_AGENT),
            request: &body,
            status: status.as_u16(),
            content_type: &text(&headers, CONTENT_TYPE),
            answer: &answer,
        });
        remove_hops(&mut headers);
        let mut passed_on = Response::new(Full::new(answer));
        (*passed_on.status_mut(), *passed_on.headers_mut()) = (status, headers);
        Ok(passed_on)
    }
}

/// What belongs to one connection and not to the message (RFC 9110 §7.6.1).
fn remove_hops(headers: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING] {
        headers.remove(name);
    }
}

/// Labels in front of `localhost`, as the server's own certificate has them.
const NAMES: [&str; 7] = ["management", "login", "graph", "portal", "*.managedhsm", "*.vault", "*.blob"];
