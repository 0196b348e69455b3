//! An issuer of somebody else in this process: its two documents over TLS, and tokens.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use strongroom_crypto::digest::sha256;
use strongroom_crypto::{KeyMaterial, KeySpecification, PublicKey, SystemEntropy};
use strongroom_types::{Algorithm, RsaSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::authentication::OutsideIssuer;
use crate::tls::provider;

/// A running issuer; it ends with the test's runtime.
pub(super) struct Issuer {
    /// What `iss` says.
    pub(super) url: String,
    authority: CertifiedIssuer<'static, KeyPair>,
    published: Arc<Published>,
}

/// What it shows to whoever asks.
struct Published {
    url: String,
    key: Mutex<(String, Arc<KeyMaterial>)>,
    connections: AtomicUsize,
    redirects: AtomicBool,
    /// Where its discovery document says that its keys are.
    keys_at: Mutex<String>,
}

impl Issuer {
    #[expect(clippy::disallowed_methods, reason = "the task ends with the test, nothing waits for it")]
    pub(super) async fn start() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let private_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let configuration = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], private_key)
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let published = Arc::new(Published {
            url: url.clone(),
            key: Mutex::new(("one".to_owned(), new_key())),
            connections: AtomicUsize::new(0),
            redirects: AtomicBool::new(false),
            keys_at: Mutex::new(format!("{url}/keys")),
        });
        let (acceptor, shown) = (TlsAcceptor::from(Arc::new(configuration)), Arc::clone(&published));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shown.connections.fetch_add(1, Ordering::SeqCst);
                // A client that goes away early is its own affair.
                let _ = shown.answer(&acceptor, stream).await;
            }
        });
        Self { url, authority, published }
    }

    /// As the configuration lists it.
    pub(super) fn configured(&self) -> OutsideIssuer {
        OutsideIssuer {
            url: self.url.clone(),
            tenant: "7a1c2d3e-0000-4000-8000-00000000000a".parse().unwrap(),
            audience: "api://nobody".to_owned(),
            claims: Default::default(),
            ca_file: None,
        }
    }

    /// The authority under which its TLS certificate is.
    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        roots
    }

    /// A token with these claims, under the key that is published now.
    pub(super) fn token(&self, claims: &Value) -> String {
        let (kid, key) = self.published.key.lock().unwrap().clone();
        let header = json!({"alg": "RS256", "kid": kid});
        let signed = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = key.sign(Algorithm::Rs256, &sha256(signed.as_bytes())).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Publishes a new key in the place of the old one.
    pub(super) fn rotate(&self, kid: &str) {
        *self.published.key.lock().unwrap() = (kid.to_owned(), new_key());
    }

    /// Sends whoever asks for discovery elsewhere from now on.
    pub(super) fn redirect(&self) {
        self.published.redirects.store(true, Ordering::SeqCst);
    }

    /// Names another place for its keys from now on.
    pub(super) fn names_keys_at(&self, url: &str) {
        url.clone_into(&mut self.published.keys_at.lock().unwrap());
    }

    /// How often somebody has come so far.
    pub(super) fn connections(&self) -> usize {
        self.published.connections.load(Ordering::SeqCst)
    }
}

impl Published {
    async fn answer(&self, acceptor: &TlsAcceptor, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = acceptor.accept(stream).await?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
        }
        let request = String::from_utf8_lossy(&request).into_owned();
        let (head, body) = match request.split(' ').nth(1) {
            Some("/keys") => ("200 OK".to_owned(), self.keys()),
            Some("/.well-known/openid-configuration") if self.redirects.load(Ordering::SeqCst) => {
                (format!("302 Found\r\nlocation: {}/elsewhere", self.url), String::new())
            }
            Some("/.well-known/openid-configuration" | "/elsewhere") => {
                let document = json!({"issuer": self.url, "jwks_uri": *self.keys_at.lock().unwrap()});
                ("200 OK".to_owned(), document.to_string())
            }
            _ => ("404 Not Found".to_owned(), String::new()),
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }

    fn keys(&self) -> String {
        let (kid, key) = self.key.lock().unwrap().clone();
        let PublicKey::Rsa { n, e } = key.public_key() else { panic!("an RSA key") };
        let [n, e] = [n, e].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({"keys": [{"kty": "RSA", "use": "sig", "kid": kid, "n": n, "e": e}]}).to_string()
    }
}

fn new_key() -> Arc<KeyMaterial> {
    Arc::new(KeyMaterial::generate(KeySpecification::Rsa(RsaSize::Bits2048), &SystemEntropy).unwrap())
}
