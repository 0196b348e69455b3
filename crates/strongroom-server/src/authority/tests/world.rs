//! A founded directory behind its authority.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::BodyExt;
use serde_json::Value;
use strongroom_core::identity::{BootstrapSecret, Directory, Foundation};
use strongroom_core::pools::{machine_identity_id, subscription_id};
use strongroom_core::ports::Clock;
use strongroom_core::request::Request;
use strongroom_testkit::{START, TestCore, core_in_memory, draw_uuid};
use tempfile::TempDir;

use crate::audit_log::Strangers;
use crate::authentication::{OutsideIssuer, OutsideIssuers, PublicAddress, PublicNames};
use crate::authority::Authority;
use crate::http::exchange::{Host, Inbound, Peer, Plane, Target};

pub(super) struct World {
    pub(super) test: TestCore,
    pub(super) directory: Arc<Directory>,
    pub(super) foundation: Foundation,
    authority: Authority,
    secret: BootstrapSecret,
    _folder: TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::trusting(Vec::new(), &rustls::RootCertStore::empty()).await
    }

    /// With outside issuers, and authorities that outgoing TLS trusts.
    pub(super) async fn trusting(issuers: Vec<OutsideIssuer>, roots: &rustls::RootCertStore) -> Self {
        let test = core_in_memory().await.unwrap();
        let core = Arc::clone(&test.core);
        let directory = Arc::new(Directory::new(Arc::clone(&core), "https://login.localhost:8443".into()).unwrap());
        let subscription = subscription_id(core.deployment().id);
        let foundation = directory.found(&own(), &machine_identity_id(subscription)).await.unwrap();
        let secret = directory.issue_bootstrap_secret(&own(), "node").await.unwrap();
        let address = PublicAddress { domain: "localhost".parse().unwrap(), port: 8443 };
        let names = Arc::new(PublicNames::new(address, Vec::new()));
        let outside = OutsideIssuers::new(issuers, foundation.tenant, roots).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let strangers = Arc::new(Strangers::open(folder.path()).unwrap());
        let authority = Authority::new(Arc::clone(&directory), names, Arc::new(outside), strangers);
        Self { test, directory, foundation, authority, secret, _folder: folder }
    }

    /// The administrator's secret.
    pub(super) fn secret(&self) -> &str {
        self.secret.secret.expose()
    }

    pub(super) fn client_id(&self) -> String {
        self.foundation.administrator.client_id.to_string()
    }

    /// The form of the administrator's client-credentials grant.
    pub(super) fn client_credentials(&self, secret: &str, scope: &str) -> String {
        Self::client_credentials_of(&self.client_id(), secret, scope)
    }

    pub(super) fn client_credentials_of(client_id: &str, secret: &str, scope: &str) -> String {
        format!("grant_type=client_credentials&client_id={client_id}&client_secret={secret}&scope={scope}")
    }

    /// The form of a grant by client assertion (RFC 7523 §2.2).
    pub(super) fn assertion_of(client_id: &str, assertion: &str, scope: &str) -> String {
        let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let client = format!("client_id={client_id}&client_assertion_type={kind}&client_assertion={assertion}");
        format!("grant_type=client_credentials&{client}&scope={scope}")
    }

    pub(super) async fn token(&self, tenant: &str, form: &str) -> (u16, Value) {
        self.send(Method::POST, &format!("/{tenant}/oauth2/v2.0/token"), form.to_owned()).await
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, String::new()).await
    }

    /// The claims of a token, unproved.
    pub(super) fn claims(token: &Value) -> Value {
        let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }

    async fn send(&self, method: Method, path: &str, body: String) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let end = SocketAddr::from((Ipv4Addr::LOCALHOST, 8443));
        let inbound = Inbound {
            id: draw_uuid().unwrap(),
            received: self.test.clock.now(),
            peer: Peer { remote: end, local: end },
            method,
            host: Arc::new(Host {
                plane: Plane::Authority,
                authority: "login.localhost:8443".to_owned(),
                domain: "localhost:8443".to_owned(),
            }),
            target: Target::new(path, ""),
            headers,
            body: Bytes::from(body),
        };
        let answer = self.authority.handle(inbound).await;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

pub(super) fn own() -> Request {
    Request::internal(draw_uuid().unwrap(), START, "Test", String::new())
}
