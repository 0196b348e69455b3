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

/// How an issuer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// As the documents say.
    Proper,
    /// Discovery sends the reader elsewhere.
    RedirectsDiscovery,
    /// The key set is far longer than any real one.
    OversizedKeys,
}

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
        Self::start_with(Conduct::Proper)
    }

    pub(crate) fn start_with(conduct: Conduct) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let url = format!("https://localhost:{}", listener.local_addr().expect("it is bound").port());
        let signing_key = KeyPair::generate().expect("a P-256 key");
        let (authority, configuration) = certificate();
        let pages = Arc::new(pages(&url, &signing_key, conduct));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(configuration.clone()).expect("the configuration is good");
                let pages = pages.clone();
                // A client that goes away early is its own affair.
                thread::spawn(move || answer(StreamOwned::new(connection, stream), &pages).ok());
            }
        });
        Self { url, authority, signing_key }
    }

    /// A token with these claims beside `iss`.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_as(&self.url, KEY_ID, claims)
    }

    /// A token that names any issuer and key, signed with this one's.
    pub(crate) fn token_as(&self, issuer: &str, kid: &str, claims: &Value) -> String {
        let mut claims = claims.clone();
        claims["iss"] = Value::from(issuer);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid.to_owned());
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

/// Seconds since 1970, as tokens count.
#[expect(clippy::disallowed_methods, reason = "tokens made by a test are dated by the machine's clock")]
pub(crate) fn seconds_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_secs()).expect("and long before the year 292277026596")
}

/// What the issuer publishes at a path.
struct Page {
    path: &'static str,
    /// Status line and headers of its own.
    head: String,
    body: String,
}

fn pages(url: &str, signing_key: &KeyPair, conduct: Conduct) -> Vec<Page> {
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
    let found = || "200 OK".to_owned();
    let mut keys = json!({"keys": [key]});
    if conduct == Conduct::OversizedKeys {
        keys["padding"] = Value::from("x".repeat(OVERSIZED_BYTES));
    }
    let mut pages = vec![
        Page { path: "/elsewhere", head: found(), body: discovery.to_string() },
        Page { path: "/keys", head: found(), body: keys.to_string() },
    ];
    let path = "/.well-known/openid-configuration";
    pages.push(match conduct {
        Conduct::RedirectsDiscovery => {
            Page { path, head: format!("302 Found\r\nlocation: {url}/elsewhere"), body: String::new() }
        }
        Conduct::Proper | Conduct::OversizedKeys => Page { path, head: found(), body: discovery.to_string() },
    });
    pages
}

fn answer(mut stream: StreamOwned<ServerConnection, std::net::TcpStream>, pages: &[Page]) -> std::io::Result<()> {
    let mut request = BufReader::new(&mut stream);
    let mut first = String::new();
    request.read_line(&mut first)?;
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let page = pages.iter().find(|page| page.path == path);
    let (head, body) = page.map_or(("404 Not Found", ""), |page| (page.head.as_str(), page.body.as_str()));
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {head}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// Longer than any document of an issuer may be.
const OVERSIZED_BYTES: usize = 300 * 1024;
const KEY_ID: &str = "outside-1";
