//! What is measured: a deployment with an activated managed HSM, its keys, and the requests to them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use strongroom_bench::load::Endpoint;
use strongroom_bench::request::{NUMBER, Request};
use tempfile::TempDir;
use tokio::task::JoinSet;
use url::Url;

use super::rows::{Ask, Key, Way};
use super::server::Server;
use crate::connection::{Connection, is_loopback, text};
use crate::custodians;
use crate::managed_hsm::{DATA_VERSION, ManagedHsm, Owner, Tokens};

/// A deployment that is measured.
pub(super) struct Scene {
    connection: Arc<Connection>,
    tokens: Arc<Tokens>,
    /// Where the server keeps its data.
    pub(super) data_dir: PathBuf,
    /// Ours, unless somebody else's is measured. The last to go.
    server: Option<Server>,
}

/// A request, and where it goes.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) endpoint: Endpoint,
    pub(super) request: Arc<Request>,
}

impl Scene {
    /// A server of our own with a configuration, on a core if one is given.
    pub(super) async fn own(core: Option<usize>, configuration: &str) -> Result<Self> {
        let server = Server::start(core, configuration).await?;
        Self::of(server.data_dir(), Some(server)).await
    }

    /// The server that runs on a data folder.
    pub(super) async fn target(data_dir: &Path) -> Result<Self> {
        Self::of(data_dir.to_owned(), None).await
    }

    async fn of(data_dir: PathBuf, server: Option<Server>) -> Result<Self> {
        let connection = Arc::new(Connection::open(&data_dir)?);
        let tokens = Arc::new(Tokens::get(&connection).await?);
        let scene = Self { connection, tokens, data_dir, server };
        scene.activate().await?;
        Ok(scene)
    }

    /// The same after its server was stopped and started again, and when that start began.
    pub(super) async fn restarted(self, core: Option<usize>) -> Result<(Self, Instant)> {
        let mut server = self.server.context("there is no server of our own")?;
        let begun = server.restart(core).await?;
        Ok((Self::of(self.data_dir, Some(server)).await?, begun))
    }

    /// The server, if it is our own.
    pub(super) fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("there is no server of our own")
    }

    /// So many more keys, made many at a time.
    pub(super) async fn fill(&self, keys: u32) -> Result<()> {
        let bar = ProgressBar::new(u64::from(keys));
        bar.set_style(ProgressStyle::with_template("creating keys {bar:30} {pos}/{len} {eta}")?);
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let (connection, tokens, bar) = (Arc::clone(&self.connection), Arc::clone(&self.tokens), bar.clone());
            workers.spawn(async move {
                let hsm = Owner { connection: &connection, tokens: &tokens }.managed_hsm(HSM).await?;
                for number in (worker..keys).step_by(WORKERS as usize) {
                    let path = format!("/keys/{}/create", filled(number));
                    hsm.call(Method::POST, &path, Some(&specification(Key::Oct))).await?;
                    bar.inc(1);
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended??;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// The custodians' keys go with their folder: nobody shall ever recover what is measured.
    async fn activate(&self) -> Result<()> {
        let hsm = self.hsm().await?;
        if !hsm.is_active().await? {
            let folder = TempDir::with_prefix("strongroom-bench-")?;
            let certificates = custodians::make_or_read(folder.path())?;
            hsm.activate(&certificates, 2, &folder.path().join("SD.json")).await?;
        }
        hsm.assign_crypto_user().await
    }

    pub(super) async fn hsm(&self) -> Result<ManagedHsm<'_>> {
        Owner { connection: &self.connection, tokens: &self.tokens }.managed_hsm(HSM).await
    }

    /// The request of a row, with everything it needs made.
    pub(super) async fn question(&self, ask: Ask) -> Result<Question> {
        match ask {
            Ask::Sign(key, alg) => {
                let body = json!({"alg": alg, "value": encoded(&DIGEST)});
                self.use_key(key, "sign", body).await
            }
            Ask::Verify(key, alg) => {
                let digest = encoded(&DIGEST);
                let signed = self.answer(key, "sign", json!({"alg": alg, "value": digest})).await?;
                let body = json!({"alg": alg, "digest": digest, "value": text(&signed, "/value")?});
                self.use_key(key, "verify", body).await
            }
            Ask::Forth(key, way, alg) => self.use_key(key, way.forth(), plain(alg).into()).await,
            Ask::Back(key, way, alg) => {
                let mut body = plain(alg);
                let mut answer = self.answer(key, way.forth(), body.clone().into()).await?;
                // What the HSM chose comes from its answer, the rest is what was sent.
                for member in ["value", "iv", "tag"] {
                    if let Some(chosen) = answer.get_mut(member).map(Value::take).filter(|chosen| !chosen.is_null()) {
                        body.insert(member.to_owned(), chosen);
                    }
                }
                self.use_key(key, way.back(), body.into()).await
            }
            Ask::GetKey => self.data(Method::GET, &self.key_path(Key::Oct).await?, None).await,
            Ask::ListKeys => self.list().await,
            Ask::Create(key) => self.create(key).await,
            Ask::Rotate => self.rotate().await,
            Ask::AssignRole => self.assign_role().await,
            Ask::Token => self.token(),
        }
    }

    async fn use_key(&self, key: Key, operation: &str, body: Value) -> Result<Question> {
        let path = format!("{}/{operation}", self.key_path(key).await?);
        self.data(Method::POST, &path, Some(&body)).await
    }

    async fn answer(&self, key: Key, operation: &str, body: Value) -> Result<Value> {
        let path = format!("{}/{operation}", self.key_path(key).await?);
        self.hsm().await?.call(Method::POST, &path, Some(&body)).await
    }

    /// The path of the newest version of a key; makes the key if it is not there.
    async fn key_path(&self, key: Key) -> Result<String> {
        let (hsm, path) = (self.hsm().await?, format!("/keys/{}", key.name()));
        let shown = match hsm.call(Method::GET, &path, None).await {
            Ok(shown) => shown,
            Err(_) => hsm.call(Method::POST, &format!("{path}/create"), Some(&specification(key))).await?,
        };
        Ok(Url::parse(&text(&shown, "/key/kid")?)?.path().to_owned())
    }

    /// A whole page of keys is there to be listed.
    async fn list(&self) -> Result<Question> {
        let hsm = self.hsm().await?;
        for number in 0..PAGE {
            hsm.call(Method::POST, &format!("/keys/bench-list-{number}/create"), Some(&specification(Key::Oct)))
                .await?;
        }
        self.data(Method::GET, "/keys", None).await
    }

    async fn create(&self, key: Key) -> Result<Question> {
        // Each run of a row has names of its own: a deployment may be measured again and again.
        let run = uuid::Uuid::new_v4().simple().to_string();
        let path = format!("/keys/{}-{run}-{NUMBER}/create", key.name());
        self.data(Method::POST, &path, Some(&specification(key))).await
    }

    /// Many keys take turns: one may have only so many versions.
    async fn rotate(&self) -> Result<Question> {
        let (hsm, run) = (self.hsm().await?, uuid::Uuid::new_v4().simple().to_string());
        let policy = json!({
            "lifetimeActions": [{"trigger": {"timeAfterCreate": "P90D"}, "action": {"type": "Rotate"}}],
            "attributes": {"expiryTime": "P2Y"},
        });
        for number in 0..ROTATED_KEYS {
            let path = format!("/keys/bench-{run}-{number:012}");
            hsm.call(Method::POST, &format!("{path}/create"), Some(&specification(Key::Oct))).await?;
            hsm.call(Method::PUT, &format!("{path}/rotationpolicy"), Some(&policy)).await?;
        }
        let question = self.data(Method::POST, &format!("/keys/bench-{run}-{NUMBER}/rotate"), None).await?;
        question.with_period(ROTATED_KEYS)
    }

    async fn assign_role(&self) -> Result<Question> {
        let principal = self.connection.environment.get("STRONGROOM_PRINCIPAL_ID")?;
        // A name is a UUID; the random part keeps names of several runs apart.
        let id = uuid::Uuid::new_v4().to_string();
        let stem = id.get(..24).context("a UUID has 36 characters")?;
        let body = json!({"properties": {"roleDefinitionId": CRYPTO_AUDITOR, "principalId": principal}});
        let scope = format!("/keys/bench-role-{stem}{NUMBER}");
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{stem}{NUMBER}");
        self.data(Method::PUT, &path, Some(&body)).await
    }

    fn token(&self) -> Result<Question> {
        let environment = &self.connection.environment;
        let url = environment.get("STRONGROOM_AUTHORITY_URL")?;
        let path = format!("/{}/oauth2/v2.0/token", environment.get("STRONGROOM_TENANT_ID")?);
        let audience = environment.get("STRONGROOM_MHSM_SUFFIX")?.trim_start_matches('.');
        let form = Url::parse_with_params(
            "form:",
            [
                ("grant_type", "client_credentials"),
                ("client_id", environment.get("STRONGROOM_CLIENT_ID")?),
                ("client_secret", environment.get("STRONGROOM_CLIENT_SECRET")?),
                ("scope", &format!("https://{audience}/.default")),
            ],
        )?;
        let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        let body = form.query().unwrap_or_default().to_owned();
        self.to(url, |host| Request::new(http::Method::POST, host, &path, headers, body))
    }

    /// A request to the data plane.
    async fn data(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Question> {
        let hsm = self.hsm().await?;
        let path = format!("{path}?api-version={DATA_VERSION}");
        let mut headers = vec![("authorization", format!("Bearer {}", self.tokens.data()))];
        if body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        self.to(&hsm.url, |host| Request::new(method, host, &path, headers, body))
    }

    fn to(&self, url: &str, request: impl FnOnce(&str) -> Request) -> Result<Question> {
        let url = Url::parse(url)?;
        let name = url.host_str().context("a URL has no host")?.to_owned();
        let port = url.port_or_known_default().context("a URL has no port")?;
        let endpoint = Endpoint { address: address(&name, port)?, name: name.clone(), roots: self.roots()? };
        let host = if url.port().is_some() { format!("{name}:{port}") } else { name };
        Ok(Question { endpoint, request: Arc::new(request(&host)) })
    }

    fn roots(&self) -> Result<Arc<RootCertStore>> {
        let file = self.connection.environment.get("STRONGROOM_CA_FILE")?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file)? {
            roots.add(certificate?)?;
        }
        Ok(Arc::new(roots))
    }
}

impl Question {
    fn with_period(self, period: u64) -> Result<Self> {
        let request = Arc::into_inner(self.request).context("the request is in use")?;
        Ok(Self { endpoint: self.endpoint, request: Arc::new(request.with_period(period)) })
    }
}

impl Way {
    fn forth(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Wrap => "wrapkey",
        }
    }

    fn back(self) -> &'static str {
        match self {
            Self::Encrypt => "decrypt",
            Self::Wrap => "unwrapkey",
        }
    }
}

fn plain(alg: &str) -> Map<String, Value> {
    let mut body = Map::from_iter([("alg".to_owned(), alg.into()), ("value".to_owned(), encoded(&DIGEST).into())]);
    if alg.contains("CBC") {
        body.insert("iv".to_owned(), encoded(&[7; 16]).into());
    }
    body
}

fn specification(key: Key) -> Value {
    match key {
        Key::Rsa => json!({"kty": "RSA-HSM", "key_size": 2048}),
        Key::Rsa4096 => json!({"kty": "RSA-HSM", "key_size": 4096}),
        Key::Ec => json!({"kty": "EC-HSM", "crv": "P-256"}),
        Key::Oct => json!({"kty": "oct-HSM", "key_size": 256}),
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The name of one of the keys that fill a managed HSM.
pub(super) fn filled(number: u32) -> String {
    format!("key-{number:07}")
}

fn address(name: &str, port: u16) -> Result<SocketAddr> {
    if is_loopback(name) {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    let found = std::net::ToSocketAddrs::to_socket_addrs(&(name, port));
    found
        .with_context(|| format!("{name} cannot be looked up"))?
        .next()
        .with_context(|| format!("{name} has no address"))
}

const HSM: &str = "bench";
/// Stands for a digest, a key and a text; all have 32 bytes.
pub(super) const DIGEST: [u8; 32] = [0x5a; 32];
const PAGE: u32 = 25;
const ROTATED_KEYS: u64 = 64;
/// What the versions of these keys leave room for in all repetitions together: each has one already, and may have 100 where
/// nobody says otherwise.
pub(super) const ROTATIONS_MAX: u64 = ROTATED_KEYS * 99;
/// Requests at a time that fill a managed HSM: enough for the store to commit in groups.
const WORKERS: u32 = 64;
/// Managed HSM Crypto Auditor: may read.
const CRYPTO_AUDITOR: &str =
    "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/2c18b078-7c48-4d3a-af88-5a3a1b3f82b3";
/// As a server is by itself, but for the log, which would be a second measurement.
pub(super) const PLAIN: &str = "[log]\nlevel = \"error\"\n";
