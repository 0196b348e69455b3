//! A founded deployment with its management plane, asked with real tokens.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use strongroom_core::identity::{AccessTokenOrder, Directory, Foundation, IssuerForm};
use strongroom_core::pools::{Pools, StorageEndpoint, machine_identity_id, subscription_id};
use strongroom_core::ports::Clock;
use strongroom_core::request::Request;
use strongroom_testkit::{START, TestCore, core_in_memory, draw_uuid};
use strongroom_types::PrincipalId;
use uuid::Uuid;

use crate::arm::{Arm, StorageKeys};
use crate::authentication::{Authenticator, OutsideIssuers, PublicAddress, PublicNames};
use crate::http::exchange::{Host, Inbound, Outbound, Peer, Plane, Target};
use crate::http::host::Suffixes;

pub(super) struct World {
    /// Where the shared key of the storage account `covered` lies.
    pub(super) folder: tempfile::TempDir,
    pub(super) test: TestCore,
    pub(super) arm: Arm,
    pub(super) directory: Arc<Directory>,
    pub(super) foundation: Foundation,
    pub(super) subscription: Uuid,
    /// A bearer token of the administrator.
    pub(super) owner: String,
    /// A bearer token of a program without any role.
    pub(super) stranger: String,
    pub(super) stranger_id: PrincipalId,
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    pub(super) bytes: usize,
    /// What it counts as in the metrics.
    pub(super) operation: &'static str,
}

impl World {
    pub(super) async fn new() -> Self {
        let test = core_in_memory().await.unwrap();
        let core = Arc::clone(&test.core);
        let directory = Arc::new(Directory::new(Arc::clone(&core), "https://login.localhost:8443".into()).unwrap());
        let subscription = subscription_id(core.deployment().id);
        let foundation = directory.found(&own(), &machine_identity_id(subscription)).await.unwrap();
        let endpoint = |name: &str| StorageEndpoint {
            name: name.parse().unwrap(),
            blob: format!("https://{name}.blob.localhost:10000").parse().unwrap(),
        };
        let endpoints = vec![endpoint("covered"), endpoint("keyless")];
        let pools = Arc::new(Pools::new(core, Arc::clone(&directory)).with_storage_endpoints(endpoints));
        pools.found(&own(), &foundation).await.unwrap();
        let address = PublicAddress { domain: "localhost".parse().unwrap(), port: 8443 };
        let names = Arc::new(PublicNames::new(address, Vec::new()));
        let outside = OutsideIssuers::new(Vec::new(), foundation.tenant, &rustls::RootCertStore::empty()).unwrap();
        let authenticator = Arc::new(Authenticator::new(Arc::clone(&directory), names, Arc::new(outside)));
        let suffixes =
            Suffixes { managed_hsm: "managedhsm.localhost:8443".to_owned(), vault: "vault.localhost:8443".to_owned() };
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("covered.key");
        std::fs::write(&key_file, "c2hhcmVkIGtleQ==\n").unwrap();
        let keys = StorageKeys::new(vec![("covered".parse().unwrap(), key_file)]);
        let arm = Arm::new(pools, authenticator, suffixes).with_storage_keys(keys);
        let stranger_id = directory.create_service_principal(&own(), "stranger").await.unwrap().object_id;
        let owner = token(&directory, foundation.administrator.object_id).await;
        let stranger = token(&directory, stranger_id).await;
        test.audit.take();
        Self { folder, test, arm, directory, foundation, subscription, owner, stranger, stranger_id }
    }

    /// A bearer token of a principal.
    pub(super) async fn token(&self, principal: PrincipalId) -> String {
        token(&self.directory, principal).await
    }

    /// A program without any role, and a bearer token of it.
    pub(super) async fn program(&self, name: &str) -> (PrincipalId, String) {
        let principal = self.directory.create_service_principal(&own(), name).await.unwrap().object_id;
        (principal, self.token(principal).await)
    }

    /// Assigns a role at a scope; that it is assigned there already is as good.
    pub(super) async fn assign(&self, scope: &str, principal: PrincipalId, role: Uuid) {
        let name = draw_uuid().unwrap();
        let body = json!({"properties": {
            "roleDefinitionId": format!("{}/providers/Microsoft.Authorization/roleDefinitions/{role}", self.root()),
            "principalId": principal,
            "principalType": "ServicePrincipal",
        }});
        let made = self.put(&format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"), body).await;
        assert!(made.status == 201 || made.code() == "RoleAssignmentExists", "{scope} {made:?}");
    }

    pub(super) async fn send(&self, token: &str, method: &str, target: &str, body: &Value) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, "api-version=2026-02-01"));
        let mut headers = HeaderMap::new();
        if !token.is_empty() {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        }
        headers.insert("user-agent", HeaderValue::from_static("test"));
        headers.insert("x-ms-client-request-id", HeaderValue::from_static("correlated"));
        let end = SocketAddr::from((Ipv4Addr::LOCALHOST, 8443));
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let inbound = Inbound {
            id: draw_uuid().unwrap(),
            received: self.test.clock.now(),
            peer: Peer { remote: end, local: end },
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            host: Arc::new(Host {
                plane: Plane::Management,
                authority: "management.localhost:8443".to_owned(),
                domain: "localhost:8443".to_owned(),
            }),
            target: Target::new(path, query),
            headers,
            body,
        };
        read(self.arm.handle(inbound).await).await
    }

    /// Asks as the owner of the subscription, without a body.
    pub(super) async fn ask(&self, method: &str, target: &str) -> Answer {
        self.send(&self.owner, method, target, &Value::Null).await
    }

    pub(super) async fn put(&self, target: &str, body: Value) -> Answer {
        self.send(&self.owner, "PUT", target, &body).await
    }

    pub(super) fn root(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }

    pub(super) fn group(&self) -> String {
        format!("{}/resourceGroups/strongroom", self.root())
    }

    pub(super) fn hsm(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.KeyVault/managedHSMs/{name}", self.group())
    }

    pub(super) fn deleted(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.KeyVault/locations/local/deletedManagedHSMs/{name}", self.root())
    }

    /// What `az keyvault create --hsm-name` sends.
    pub(super) fn hsm_body(&self) -> Value {
        json!({
            "location": "local",
            "sku": {"name": "Standard_B1", "family": "B"},
            "properties": {
                "tenantId": self.foundation.tenant,
                "softDeleteRetentionInDays": "7",
                "initialAdminObjectIds": [self.foundation.administrator.object_id],
                "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow", "ipRules": []},
            },
        })
    }

    pub(super) fn vault(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.KeyVault/vaults/{name}", self.group())
    }

    /// What `az keyvault create --name` sends.
    pub(super) fn vault_body(&self) -> Value {
        json!({
            "location": "local",
            "properties": {
                "tenantId": self.foundation.tenant,
                "sku": {"family": "A", "name": "standard"},
                "accessPolicies": [],
                "softDeleteRetentionInDays": 7,
                "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow"},
            },
        })
    }

    pub(super) fn network(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.Network/virtualNetworks/{name}", self.group())
    }

    /// What `az network vnet create --subnet-name covered` sends.
    pub(super) fn network_body(&self) -> Value {
        json!({
            "location": "local",
            "properties": {
                "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]},
                "subnets": [{"name": "covered", "properties": {"addressPrefix": "10.1.1.0/24"}}],
            },
        })
    }

    pub(super) fn endpoint(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.Network/privateEndpoints/{name}", self.group())
    }

    /// What `az network private-endpoint create` sends, for a subnet `covered` of a network.
    pub(super) fn endpoint_body(&self, target: &str, network: &str) -> Value {
        let group = if target.contains("/managedHSMs/") { "managedhsm" } else { "vault" };
        json!({
            "location": "local",
            "properties": {
                "privateLinkServiceConnections": [{
                    "name": "link",
                    "properties": {"groupIds": [group], "privateLinkServiceId": target},
                }],
                "subnet": {"id": format!("{}/subnets/covered", self.network(network))},
            },
        })
    }

    /// Makes an HSM and waits until it is there.
    pub(super) async fn create(&self, name: &str) -> Value {
        let answer = self.put(&self.hsm(name), self.hsm_body()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        self.arm.run_pending().await;
        self.ask("GET", &self.hsm(name)).await.body
    }
}

impl Answer {
    pub(super) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub(super) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The path and query of `Location`.
    pub(super) fn location(&self) -> String {
        self.header("location").strip_prefix("https://management.localhost:8443").unwrap().to_owned()
    }

    /// The names in a list.
    pub(super) fn names(&self) -> Vec<&str> {
        self.body["value"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
    }
}

async fn read(outbound: Outbound) -> Answer {
    let operation = crate::metrics::operation(&outbound);
    let (parts, body) = outbound.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Answer { status: parts.status, headers: parts.headers, body, bytes: bytes.len(), operation }
}

async fn token(directory: &Directory, principal: PrincipalId) -> String {
    let principal = directory.principal(principal).await.unwrap().unwrap().value;
    let order = AccessTokenOrder {
        principal: &principal,
        client_id: principal.client_id().unwrap(),
        audience: "https://management.localhost:8443",
        form: IssuerForm::V2,
    };
    directory.issue_access_token(order, START).await.unwrap().text.expose().clone()
}

fn own() -> Request {
    Request::internal(draw_uuid().unwrap(), START, "Test", String::new())
}
