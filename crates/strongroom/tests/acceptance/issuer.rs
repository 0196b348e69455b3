//! An OIDC issuer of somebody else: discovery and key set over TLS, tokens signed on demand.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// A running issuer; its thread ends with the process.
pub(crate) struct Issuer {
    /// What `iss` says.
    pub(crate) url: String,
    /// The CA of its certificate, as PEM.
    pub(crate) authority: String,
    signing_key: KeyPair,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let url = format!("https://localhost:{}", listener.local_addr().expect("it is bound").port());
        let signing_key = KeyPair::generate().expect("a P-256 key");
        let (authority, configuration) = certificate();
        let pages = Arc::new(pages(&url, &signing_key));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(configuration.clone()).expect("the configuration is good");
                let pages = pages.clone();
                // A client that goes away early is its own affair.
                thread::spawn(move || answer(StreamOwned::new(connection, stream), &*pages).ok());
            }
        });
        Self { url, authority, signing_key }
    }

    /// A token with these claims beside `iss`.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let mut claims = claims.clone();
        claims["iss"] = Value::from(self.url.as_str());
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(KEY_ID.to_owned());
        let key = EncodingKey::from_ec_der(self.signing_key.serialized_der());
        jsonwebtoken::encode(&header, &claims, &key).expect("the token is signed")
    }
}

/// A CA of its own and the TLS configuration for `localhost` under it.
fn certificate() -> (String, Arc<ServerConfig>) {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate().expect("a P-256 key");
    let authority = CertifiedIssuer::self_signed(authority, authority_key).expect("a CA");
    let key = KeyPair::generate().expect("a P-256 key");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, &authority).expect("a leaf");
    let private_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private_key)
        .expect("key and certificate fit");
    (authority.pem(), Arc::new(configuration))
}

/// Path and body of what the issuer publishes.
fn pages(url: &str, signing_key: &KeyPair) -> [(&'static str, String); 2] {
    // An uncompressed point: 4, x, y.
    let point = signing_key.public_key_raw();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
    let key = json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID, "x": x, "y": y});
    let discovery = json!({
        "issuer": url,
        "jwks_uri": format!("{url}/keys"),
        "id_token_signing_alg_values_supported": ["ES256"],
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
    });
    [("/.well-known/openid-configuration", discovery.to_string()), ("/keys", json!({"keys": [key]}).to_string())]
}

fn answer(
    mut stream: StreamOwned<ServerConnection, std::net::TcpStream>,
    pages: &[(&str, String)],
) -> std::io::Result<()> {
    let mut request = BufReader::new(&mut stream);
    let mut first = String::new();
    request.read_line(&mut first)?;
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let page = pages.iter().find(|(name, _)| *name == path);
    let (status, body) = page.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", body.as_str()));
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}

const KEY_ID: &str = "outside-1";
