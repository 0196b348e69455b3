//! A deployment with an activated HSM and keys in it, on a disk, behind the edge.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use strongroom_core::deployment::{Deployment, Expectation};
use strongroom_core::identity::{Directory, Foundation};
use strongroom_core::network::TrustedServices;
use strongroom_core::pools::{Pools, machine_identity_id, subscription_id};
use strongroom_core::ports::{AuditSink, Clock, CryptoPool};
use strongroom_core::rbac::CRYPTO_USER;
use strongroom_core::request::Request as Asked;
use strongroom_core::witness::Witness;
use strongroom_core::{Core, Foundations, Limits};
use strongroom_crypto::{Entropy, SystemEntropy};
use strongroom_server::audit_log::{AuditLog, AuditTerms, OutboxOf, Starting, Strangers, open_or_create_key};
use strongroom_server::authentication::{
    Authenticator, Authorities, OutsideIssuers, PublicAddress, PublicNames, Unlisted,
};
use strongroom_server::authority::Authority;
use strongroom_server::backup_jobs::BackupJobs;
use strongroom_server::clock::SystemClock;
use strongroom_server::crypto_pool::ThreadPool;
use strongroom_server::data_dir::DataDir;
use strongroom_server::data_plane::{DataPlane, Gate, ReleaseParts};
use strongroom_server::http::edge::Edge;
use strongroom_server::http::exchange::{Inbound, Outbound, Peer, empty};
use strongroom_server::http::health::{Condition, Facts, Health};
use strongroom_server::http::host::{Domain, Hosts, Suffixes};
use strongroom_server::http::planes::{Handle, Planes, PublicPlanes};
use strongroom_server::statements::Statements;
use strongroom_server::tasks::TaskOwner;
use strongroom_server::witness_file::WitnessFile;
use strongroom_store::{EmbeddedStore, Kv};
use strongroom_testkit::{MemoryRoot, add_hsm, custodians, draw_uuid, managed_hsm, program, request_of};
use strongroom_types::{HsmName, NodeId, Scope};
use tempfile::TempDir;

use crate::Result;
use crate::cases::{EC, OCT, RSA};

/// Everything a server has but for sockets and jobs.
pub(crate) struct World {
    edge: Edge,
    node: Node,
    foundation: Foundation,
    /// What gets a token.
    form: String,
    token: String,
    /// The path of the only version of each key.
    paths: HashMap<&'static str, String>,
    signature: String,
    made: Cell<u32>,
    _tasks: TaskOwner,
    _folder: TempDir,
}

/// What the core stands on.
struct Node {
    core: Arc<Core>,
    audit: Arc<AuditLog>,
    store: Arc<dyn Kv>,
    strangers: Arc<Strangers>,
    facts: Facts,
}

/// The name of the HSM.
const HSM: &str = "bench";
const HSM_HOST: &str = "bench.managedhsm.localhost:8443";
pub(crate) const LOGIN: &str = "login.localhost:8443";

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let node = Node::open(&DataDir::open(&folder.path().join("data"))?).await?;
        let directory = Arc::new(Directory::new(Arc::clone(&node.core), format!("https://{LOGIN}"))?);
        let machine = machine_identity_id(subscription_id(node.core.deployment().id));
        let foundation = directory.found(&own()?, &machine).await?;
        node.activate(&foundation).await?;
        let tasks = TaskOwner::new();
        let edge = edge(&node, &directory, &foundation, &tasks)?;
        let secret = directory.issue_bootstrap_secret(&own()?, "node").await?.secret;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &foundation.administrator.client_id.to_string()),
            ("client_secret", secret.expose()),
            ("scope", "https://managedhsm.localhost:8443/.default"),
        ];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut world = Self {
            edge,
            node,
            foundation,
            form,
            token: String::new(),
            paths: HashMap::new(),
            signature: String::new(),
            made: Cell::default(),
            _tasks: tasks,
            _folder: folder,
        };
        world.fill().await?;
        Ok(world)
    }

    /// A token, the keys, a page of others, and a signature.
    async fn fill(&mut self) -> Result<()> {
        let request = crate::cases::Ask::Token.request(self)?;
        self.token = text(&self.ask(request).await?, "/access_token")?;
        let keys = [
            (RSA, json!({"kty": "RSA-HSM", "key_size": 2048})),
            (EC, json!({"kty": "EC-HSM", "crv": "P-256"})),
            (OCT, json!({"kty": "oct-HSM", "key_size": 256})),
        ];
        for (name, body) in keys {
            let made = self.ask(self.request(Method::POST, &format!("/keys/{name}/create"), &body)?).await?;
            let kid = text(&made, "/key/kid")?;
            let path = kid.split_once(HSM_HOST).map(|(_, path)| path.to_owned()).ok_or("a kid of another host")?;
            self.paths.insert(name, path);
        }
        for number in 0..PAGE {
            let body = json!({"kty": "oct-HSM", "key_size": 256});
            self.ask(self.request(Method::POST, &format!("/keys/list-{number}/create"), &body)?).await?;
        }
        let body = json!({"alg": "ES256", "value": self.digest()});
        let signed = self.ask(self.request(Method::POST, &format!("{}/sign", self.path(EC)), &body)?).await?;
        self.signature = text(&signed, "/value")?;
        Ok(())
    }

    /// Sends requests one after the other and waits until the last one's audit event is on disk.
    pub(crate) async fn answer(&self, requests: Vec<Request<Full<Bytes>>>) -> Result<()> {
        for request in requests {
            let answer = self.edge.serve(request, peer()).await;
            if !answer.status().is_success() {
                return Err(format!("a request was answered {}", answer.status()).into());
            }
        }
        Ok(self.node.audit.flush().await?)
    }

    /// A request of the administrator to the HSM.
    pub(crate) fn request(&self, method: Method, path: &str, body: &Value) -> Result<Request<Full<Bytes>>> {
        let request = Request::builder().method(method).uri(format!("{path}?api-version=7.6"));
        let request = request.header(header::HOST, HSM_HOST);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        // What official clients send.
        let request =
            request.header(header::ACCEPT, "application/json").header(header::ACCEPT_ENCODING, "gzip, deflate");
        let request = request.header(header::USER_AGENT, "azsdk-python-keyvault-keys/4.11.0 Python/3.11.2 (Linux)");
        let request = request.header("x-ms-client-request-id", "5f2d0f0c-97a8-11ef-b56a-0242ac110002");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request =
            request.header(header::CONTENT_TYPE, "application/json").header(header::CONTENT_LENGTH, body.len());
        Ok(request.body(Full::from(body))?)
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Value> {
        let answer = self.edge.serve(request, peer()).await;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            return Err(format!("{status} {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(serde_json::from_slice(&body)?)
    }

    pub(crate) fn path(&self, key: &str) -> &str {
        self.paths.get(key).map_or("", String::as_str)
    }

    pub(crate) fn digest(&self) -> &'static str {
        "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo"
    }

    pub(crate) fn signature(&self) -> &str {
        &self.signature
    }

    /// A key name that is not in use.
    pub(crate) fn new_name(&self) -> String {
        self.made.set(self.made.get() + 1);
        format!("made-{}", self.made.get())
    }

    pub(crate) fn token_path(&self) -> String {
        format!("/{}/oauth2/v2.0/token", self.foundation.tenant)
    }

    pub(crate) fn token_form(&self) -> String {
        self.form.clone()
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.node.audit.close();
        Ok(self.node.store.close().await?)
    }
}

impl Node {
    async fn open(folder: &DataDir) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store: Arc<dyn Kv> = Arc::new(EmbeddedStore::open(&folder.join("store"))?);
        let root = Arc::new(MemoryRoot::generate()?);
        let deployment =
            Deployment::open(store.as_ref(), root.as_ref(), &SystemEntropy, Expectation::default()).await?;
        let audit_folder = folder.join("audit");
        let audit = Arc::new(AuditLog::open(&audit_folder, Arc::clone(&store), AuditTerms::default())?);
        let (seen, file) = WitnessFile::open(folder)?;
        let witness = Arc::new(Witness::new(seen, Box::new(file)));
        let foundations = Foundations {
            store: Arc::clone(&store),
            entropy: Arc::new(SystemEntropy),
            clock: Arc::clone(&clock),
            audit: Arc::clone(&audit) as Arc<dyn AuditSink>,
            witness: Arc::clone(&witness),
            node: NodeId::from_random(SystemEntropy.sixteen()?),
            root,
            pool: Arc::new(ThreadPool::start()?) as Arc<dyn CryptoPool>,
        };
        let core = Arc::new(Core::new(deployment, foundations).with_limits(Limits::default()));
        audit.recover(&core, OutboxOf::Everybody).await?;
        let key = open_or_create_key(&core, &own()?).await?;
        let facts = Facts {
            deployment: core.deployment().id.to_string(),
            version: env!("CARGO_PKG_VERSION"),
            root_provider: "file",
            locked_memory: true,
            core_dumps_disabled: true,
            audit_key: key.public().clone(),
        };
        audit.start(Starting { key, witness, clock, new_log: draw_uuid()? })?;
        let strangers = Arc::new(Strangers::open(&audit_folder)?);
        Ok(Self { core, audit, store, strangers, facts })
    }

    /// Makes the HSM; its administrator may use keys.
    async fn activate(&self, foundation: &Foundation) -> Result<()> {
        let (tenant, administrator) = (foundation.tenant, foundation.administrator.object_id);
        let request = || request_of(program(tenant, administrator), SystemClock.now());
        let name: HsmName = HSM.parse()?;
        add_hsm(&self.core, &managed_hsm(name.clone(), tenant, administrator)?, &own()?).await?;
        let hsm = self.core.hsm(&name).await?;
        let download = hsm.download_security_domain(&request()?, custodians()?).await?;
        hsm.confirm_download(&request()?, download.operation).await?;
        hsm.create_role_assignment(&request()?, &Scope::Root, draw_uuid()?, CRYPTO_USER, administrator).await?;
        Ok(())
    }
}

fn edge(node: &Node, directory: &Arc<Directory>, foundation: &Foundation, tasks: &TaskOwner) -> Result<Edge> {
    let address = PublicAddress { domain: "localhost".parse()?, port: 8443 };
    let names = Arc::new(PublicNames::new(address, Vec::new()));
    let outside = Arc::new(OutsideIssuers::none());
    let authenticator = Authenticator::new(Arc::clone(directory), Arc::clone(&names), Arc::clone(&outside));
    let pools = Arc::new(Pools::new(Arc::clone(&node.core), Arc::clone(directory)));
    let release = ReleaseParts {
        authorities: Authorities::new(&[], Unlisted::Refused, &rustls::RootCertStore::empty())?,
        statements: Statements::new(Arc::clone(&node.core), vec![Domain::localhost()]),
        jobs: Arc::new(BackupJobs::new(Arc::clone(&node.core), pools)),
    };
    let data_plane = DataPlane::new(
        Arc::clone(&node.core),
        Arc::new(authenticator),
        foundation.tenant,
        Suffixes { managed_hsm: "managedhsm.localhost:8443".to_owned(), vault: "vault.localhost:8443".to_owned() },
        Arc::clone(&node.strangers),
        release,
        Gate::new(Vec::new(), TrustedServices::new(&[], foundation.tenant)),
    );
    let login = Authority::new(Arc::clone(directory), names, outside, Arc::clone(&node.strangers));
    let planes = PublicPlanes {
        hosts: Hosts::new(vec![Domain::localhost()]),
        authority: Arc::new(Login(login)),
        management: Arc::new(Elsewhere),
        graph: Arc::new(Elsewhere),
        keys: Arc::new(data_plane),
    };
    let well =
        || Condition { audit_writable: true, cryptography: true, audit_checkpoints_failing: Vec::new(), cluster: None };
    let health = Arc::new(Health::new(node.facts.clone(), well));
    let planes = Planes::Public(Box::new(planes));
    Ok(Edge::new(planes, health, Arc::new(SystemClock), Arc::new(SystemEntropy), tasks.tasks()))
}

struct Login(Authority);

#[async_trait]
impl Handle for Login {
    async fn handle(&self, inbound: Inbound) -> Outbound {
        self.0.handle(inbound).await
    }
}

/// The planes that nothing is asked of.
struct Elsewhere;

#[async_trait]
impl Handle for Elsewhere {
    async fn handle(&self, _inbound: Inbound) -> Outbound {
        empty(StatusCode::NOT_FOUND)
    }
}

fn peer() -> Peer {
    Peer { remote: ([127, 0, 0, 1], 50_000).into(), local: ([127, 0, 0, 1], 8443).into() }
}

fn own() -> Result<Asked> {
    Ok(Asked::internal(draw_uuid()?, SystemClock.now(), "Bench", String::new()))
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    Ok(value.pointer(pointer).and_then(Value::as_str).ok_or_else(|| format!("an answer without {pointer}"))?.to_owned())
}

/// More than a page of a list.
const PAGE: u32 = 30;
