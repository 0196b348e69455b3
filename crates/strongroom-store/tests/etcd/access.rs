//! TLS, client certificates, users.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use etcd_client::{Client, Permission, PermissionType};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use strongroom_store::{EtcdOpenError, EtcdOptions, EtcdStore, EtcdTls, EtcdUser, Kv, StoreError};
use strongroom_types::Secret;

use crate::fixture::{options, put, put_of, raw, value};
use crate::server::EtcdServer;

/// A CA, and what it has issued.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn make() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    fn pem(&self) -> Vec<u8> {
        self.issuer.pem().into_bytes()
    }

    /// A certificate for a host, and its private key, both PEM.
    fn issue(&self, name: &str) -> (Vec<u8>, Arc<Secret<Vec<u8>>>) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem().into_bytes(), Arc::new(Secret::new(key.serialize_pem().into_bytes())))
    }
}

/// Whether a member asks its clients who they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clients {
    Anybody,
    WithCertificate,
}

/// A member that speaks TLS.
fn server(authority: &Authority, folder: &Path, clients: Clients) -> EtcdServer {
    let (certificate, key) = authority.issue("127.0.0.1");
    let write = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let mut arguments = vec![
        format!("--cert-file={}", write("server.pem", &certificate)),
        format!("--key-file={}", write("server.key", key.expose())),
    ];
    if clients == Clients::WithCertificate {
        arguments.push("--client-cert-auth".to_owned());
        arguments.push(format!("--trusted-ca-file={}", write("ca.pem", &authority.pem())));
    }
    EtcdServer::start_with(1, "https", &arguments)
}

async fn refused(options: EtcdOptions) -> EtcdOpenError {
    EtcdStore::open(options).await.err().expect("it is refused")
}

#[tokio::test]
async fn etcd_is_believed_if_its_ca_says_so_and_not_otherwise() {
    let (authority, folder) = (Authority::make(), tempfile::tempdir().unwrap());
    let server = server(&authority, folder.path(), Clients::Anybody);
    let with = |ca: Option<Vec<u8>>| EtcdOptions { tls: EtcdTls { ca, identity: None }, ..options(&server) };
    let store = EtcdStore::open(with(Some(authority.pem()))).await.unwrap();
    put(&store, "k", "v").await;
    store.close().await.unwrap();
    for wrong in [Some(Authority::make().pem()), None] {
        let error = refused(with(wrong)).await;
        assert!(matches!(error, EtcdOpenError::Untrusted { .. }), "{error}");
        assert!(error.remedy().contains("ca_file"));
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_not_believed() {
    let (authority, folder) = (Authority::make(), tempfile::tempdir().unwrap());
    let server = server(&authority, folder.path(), Clients::Anybody);
    let tls = EtcdTls { ca: Some(authority.pem()), identity: None };
    let endpoints = server.endpoints().iter().map(|it| it.replace("127.0.0.1", "localhost")).collect();
    let error = refused(EtcdOptions { tls, endpoints, ..options(&server) }).await;
    assert!(matches!(error, EtcdOpenError::Untrusted { .. }), "{error}");
}

#[tokio::test]
async fn a_client_certificate_opens_what_is_closed_without_one() {
    let (authority, folder) = (Authority::make(), tempfile::tempdir().unwrap());
    let server = server(&authority, folder.path(), Clients::WithCertificate);
    let with = |identity| EtcdOptions { tls: EtcdTls { ca: Some(authority.pem()), identity }, ..options(&server) };
    let store = EtcdStore::open(with(Some(authority.issue("a.client")))).await.unwrap();
    put(&store, "k", "v").await;
    assert_eq!(value(&store, "k").await.unwrap(), "v");
    store.close().await.unwrap();
    for wrong in [None, Some(Authority::make().issue("a.client"))] {
        let error = refused(with(wrong)).await;
        assert!(matches!(error, EtcdOpenError::ClientCertificate { .. }), "{error}");
    }
}

#[tokio::test]
async fn plain_http_is_not_spoken_to_a_member_that_wants_tls() {
    let (authority, folder) = (Authority::make(), tempfile::tempdir().unwrap());
    let server = server(&authority, folder.path(), Clients::Anybody);
    let endpoints = server.endpoints().iter().map(|it| it.replace("https", "http")).collect();
    let error = refused(EtcdOptions { endpoints, ..options(&server) }).await;
    assert!(matches!(error, EtcdOpenError::Unreachable { .. }), "{error}");
}

fn user(name: &str, password: &str) -> EtcdUser {
    EtcdUser { name: name.to_owned(), password: Arc::new(Secret::new(password.to_owned())) }
}

/// Users of etcd: `root`, `writer` with all rights below the prefix, `reader` that may only read there.
async fn with_users(server: &EtcdServer) -> Client {
    let mut client = raw(server).await;
    client.user_add("root", "root-password", None).await.unwrap();
    client.role_add("root").await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    for (name, kind) in [("writer", PermissionType::Readwrite), ("reader", PermissionType::Read)] {
        client.role_add(name).await.unwrap();
        let permission = Permission::new(kind, format!("{}/", crate::fixture::PREFIX)).with_prefix();
        client.role_grant_permission(name, permission).await.unwrap();
        client.user_add(name, format!("{name}-password"), None).await.unwrap();
        client.user_grant_role(name, name).await.unwrap();
    }
    client.auth_enable().await.unwrap();
    client
}

#[tokio::test]
async fn a_user_with_its_password_is_let_in_and_nobody_else() {
    let server = EtcdServer::start();
    with_users(&server).await;
    let as_user = |name: &str, password: &str| EtcdOptions { user: Some(user(name, password)), ..options(&server) };
    let store = EtcdStore::open(as_user("writer", "writer-password")).await.unwrap();
    let revision = put(&store, "k", "v").await;
    let mut watch = store.watch("", revision).await.unwrap();
    put(&store, "k", "w").await;
    assert!(watch.next().await.unwrap().is_ok());
    store.close().await.unwrap();
    for wrong in
        [as_user("writer", "wrong"), as_user("nobody", "x"), as_user("reader", "reader-password"), options(&server)]
    {
        let error = refused(wrong).await;
        assert!(matches!(error, EtcdOpenError::Refused { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_user_is_refused_by_an_etcd_that_has_none() {
    let server = EtcdServer::start();
    let user = Some(user("somebody", "x"));
    let error = refused(EtcdOptions { user, ..options(&server) }).await;
    assert!(matches!(error, EtcdOpenError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_login_that_etcd_forgot_is_renewed_and_a_right_that_it_took_is_missed() {
    let mut server = EtcdServer::start();
    with_users(&server).await;
    let user = Some(user("writer", "writer-password"));
    let store = EtcdStore::open(EtcdOptions { user, ..options(&server) }).await.unwrap();
    put(&store, "k", "1").await;
    // Tokens are kept in memory by a member.
    server.kill(0);
    server.restart(0);
    crate::fixture::put_at_last(&store, "k", "2").await;
    assert_eq!(value(&store, "k").await.unwrap(), "2");
    let root = etcd_client::ConnectOptions::new().with_user("root", "root-password");
    let mut client = Client::connect(server.endpoints(), Some(root)).await.unwrap();
    client.user_revoke_role("writer", "writer").await.unwrap();
    assert!(matches!(store.commit(put_of("k", b"3")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.get("k").await, Err(StoreError::Unavailable(_))));
    client.user_grant_role("writer", "writer").await.unwrap();
    assert_eq!(value(&store, "k").await.unwrap(), "2");
}
