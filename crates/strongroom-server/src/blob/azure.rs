//! Containers of Azure Blob storage, or of anything that speaks as it does.
//!
//! The protocol is `object_store`'s; the connection, its limits, how often something is tried and what an answer means
//! are ours, so that no redirect is followed, nothing unbounded is read and no credential stands in an error.

mod http;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::azure::{AzureCredential, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig, StaticCredentialProvider};
use reqwest::Client;
use rustls::ClientConfig;
use strongroom_core::blobs::{BlobContainer, BlobCredential, BlobError};
use strongroom_core::pools::{BlobEndpoint, ContainerName};
use strongroom_core::ports::Clock;

use crate::blob::azure::http::{Failure, Limited};
use crate::blob::hosts::AllowedHost;
use crate::blob::sas::Sas;
use crate::blob::{LoopbackRule, Patience, checked_content, checked_path};
use crate::outgoing::Reach;

/// Which places this deployment goes to.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) endpoints: Vec<BlobEndpoint>,
    pub(super) allowed_hosts: Vec<AllowedHost>,
    pub(super) loopback: LoopbackRule,
}

/// What opens containers.
#[derive(Debug)]
pub(super) struct AzureBlobs {
    rules: Rules,
    clients: Clients,
    waits: [Duration; 3],
    clock: Clocked,
}

/// One client for each distance.
#[derive(Debug)]
struct Clients {
    everywhere: Client,
    public: Client,
    loopback: Client,
}

struct Clocked(Arc<dyn Clock>);

impl std::fmt::Debug for Clocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// One container.
pub(super) struct AzureContainer {
    store: MicrosoftAzure,
    waits: [Duration; 3],
    /// Whether the credential says that it cannot write.
    read_only: bool,
}

impl AzureBlobs {
    /// `None` if TLS cannot be set up.
    pub(super) fn new(rules: Rules, patience: Patience, tls: ClientConfig, clock: Arc<dyn Clock>) -> Option<Self> {
        let Patience { attempt, waits } = patience;
        let client = |reach: Reach| {
            let client = reach.client(tls.clone()).http1_only().connect_timeout(CONNECT_MAX.min(attempt));
            client.timeout(attempt).build().ok()
        };
        let clients = Clients {
            everywhere: client(Reach::Everywhere)?,
            public: client(Reach::Public)?,
            loopback: client(Reach::Loopback)?,
        };
        Some(Self { rules, clients, waits, clock: Clocked(clock) })
    }

    /// Tells an address and a credential apart; nothing is asked yet.
    ///
    /// # Errors
    /// [`BlobError::Malformed`], [`BlobError::NotAllowed`].
    pub(super) fn open(&self, address: &str, credential: BlobCredential) -> Result<AzureContainer, BlobError> {
        let (endpoint, container) = BlobEndpoint::split(address).map_err(|problem| {
            BlobError::Malformed(format!("the address of the container cannot be used: {problem}"))
        })?;
        let (reach, credential, read_only) = match credential {
            BlobCredential::None => {
                let problem = "a container of blobs needs a SAS token or a managed identity";
                return Err(BlobError::Malformed(problem.to_owned()));
            }
            BlobCredential::Bearer(token) => {
                if !self.rules.endpoints.contains(&endpoint) || !endpoint.is_https() {
                    return Err(BlobError::NotAllowed(format!(
                        "{endpoint} is no https:// address of a configured storage account: the token of a managed identity \
                         is not sent there"
                    )));
                }
                (Reach::Everywhere, AzureCredential::BearerToken(token.expose().clone()), false)
            }
            BlobCredential::SharedAccessSignature(token) => {
                let sas = Sas::parse(&token, self.clock.0.now())?;
                if !sas.allows_scheme(endpoint.url().scheme()) {
                    return Err(BlobError::Malformed("the SAS token is for https:// only".to_owned()));
                }
                let reach = self.rules.reach(&endpoint)?;
                (reach, AzureCredential::SASToken(sas.pairs()), !sas.may_create())
            }
        };
        let store = store(&endpoint, &container, credential, self.clients.get(reach).clone())?;
        Ok(AzureContainer { store, waits: self.waits, read_only })
    }
}

impl Rules {
    /// How far the host of a SAS may be away.
    fn reach(&self, endpoint: &BlobEndpoint) -> Result<Reach, BlobError> {
        let host = endpoint.url().host_str().unwrap_or_default();
        let listed = self.endpoints.contains(endpoint).then_some(Reach::Everywhere);
        let by_name = || self.allowed_hosts.iter().find_map(|allowed| allowed.reach(host));
        let local = || (self.loopback == LoopbackRule::Allowed).then_some(Reach::Loopback);
        let reach = listed.or_else(by_name).or_else(local).filter(|reach| reach.admits(endpoint.url()));
        reach.ok_or_else(|| {
            BlobError::NotAllowed(format!(
                "this deployment sends no backups to {host}: the operator allows hosts by [backup] allowed_hosts"
            ))
        })
    }
}

impl Clients {
    fn get(&self, reach: Reach) -> &Client {
        match reach {
            Reach::Everywhere => &self.everywhere,
            Reach::Public => &self.public,
            Reach::Loopback => &self.loopback,
        }
    }
}

fn store(
    endpoint: &BlobEndpoint,
    container: &ContainerName,
    credential: AzureCredential,
    client: Client,
) -> Result<MicrosoftAzure, BlobError> {
    // Attempts are counted by us: what was lost, and what must not be repeated, is known here.
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    MicrosoftAzureBuilder::new()
        // Means something for shared keys only, which are not used.
        .with_account("account")
        .with_endpoint(endpoint.as_str().to_owned())
        .with_container_name(container.as_str())
        .with_credentials(Arc::new(StaticCredentialProvider::new(credential)))
        .with_retry(retry)
        .with_http_connector(Limited::new(client))
        .build()
        .map_err(|_| BlobError::Malformed("the address of the container cannot be used".to_owned()))
}

impl AzureContainer {
    async fn put(&self, path: &str, content: PutPayload) -> Result<(), Failure> {
        let path = Path::from(path);
        let put = self.store.put_opts(&path, content, PutMode::Create.into()).await;
        put.map(|_| ()).map_err(|error| Failure::of(&error))
    }

    async fn get(&self, path: &str, limit: usize) -> Result<Result<Vec<u8>, BlobError>, Failure> {
        let location = Path::from(path);
        let found = self.store.get(&location).await.map_err(|error| Failure::of(&error))?;
        let too_large = || BlobError::TooLarge { path: path.to_owned(), limit };
        if usize::try_from(found.meta.size).map_or(true, |size| size > limit) {
            return Ok(Err(too_large()));
        }
        // Not more than was announced: the size is part of the answer, and the connection counts.
        let content = found.bytes().await.map_err(|error| Failure::of(&error))?;
        Ok(if content.len() > limit { Err(too_large()) } else { Ok(content.into()) })
    }

    /// Tries until it is done, until it is known that it cannot be, or until the attempts are used up.
    async fn attempts<T, A>(&self, path: &str, attempt: impl Fn() -> A) -> Result<T, BlobError>
    where
        A: Future<Output = Result<T, Failure>>,
    {
        let mut waits = self.waits.iter();
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(failure) => match waits.next() {
                    Some(wait) if failure.may_pass() => tokio::time::sleep(*wait).await,
                    _ => return Err(failure.into_error(path)),
                },
            }
        }
    }
}

#[async_trait]
impl BlobContainer for AzureContainer {
    async fn create(&self, path: &str, content: Vec<u8>) -> Result<(), BlobError> {
        checked_content(path, &content)?;
        if self.read_only {
            let problem = "the SAS token may not write: its sp has neither c (create) nor w (write)";
            return Err(BlobError::Malformed(problem.to_owned()));
        }
        let payload = PutPayload::from(content);
        self.attempts(path, || self.put(path, payload.clone())).await
    }

    async fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, BlobError> {
        checked_path(path)?;
        self.attempts(path, || self.get(path, limit)).await?
    }
}

/// Longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);
