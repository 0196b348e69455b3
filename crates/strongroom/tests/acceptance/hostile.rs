//! Hostile and broken input: each gets its proper error, and the server goes on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Map, Value, json};

use crate::deployment::Deployment;
use crate::hsm::Hsm;
use crate::rest::Rest;
use crate::wrapping_keys::WrappingKeys;

const HSM: &str = "hostile-hsm";

#[test]
fn a_download_request_that_cannot_be_right_is_refused_and_the_next_one_works() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let hsm = Hsm::created(&rest, HSM);
    let keys = WrappingKeys::make(3);
    let [one, two, three] = [keys.jwk(0), keys.jwk(1), keys.jwk(2)];

    let twice = [one.clone(), two.clone(), one.clone()];
    hsm.download(&twice, 2).expect_error(400, "BadParameter");
    hsm.download(&keys.jwks(), 4).expect_error(400, "BadParameter");
    hsm.download(&keys.jwks(), 1).expect_error(400, "BadParameter");
    hsm.download(&[one.clone(), two.clone()], 2).expect_error(400, "BadParameter");

    let small = WrappingKeys::make_of_size(1, 1024);
    hsm.download(&[one.clone(), two.clone(), small.jwk(0)], 2).expect_error(400, "BadParameter");

    for (member, value) in [("n", &three["n"]), ("x5t#S256", &three["x5t#S256"]), ("kty", &json!("EC"))] {
        let mut other = one.clone();
        other[member] = value.clone();
        let answer = hsm.download(&[other, two.clone(), three.clone()], 2);
        assert_eq!(answer.status, 400, "a JWK whose {member} is not its certificate's: {answer:?}");
    }
    hsm.get("/keys").expect_error(403, "Forbidden");
    hsm.activate(&keys);
    assert!(rest.is_healthy());
    deployment.stop();
}

#[test]
fn a_body_of_eleven_megabytes_is_refused() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    let token = rest.token(&rest.hsm_resource());
    let host = rest.hsm_url(HSM).trim_start_matches("https://").to_owned();
    let mut stream = tls(&deployment, &rest, &host);
    let length = 11 * 1024 * 1024;
    let head = format!(
        "POST /keys/large/create?api-version=7.6 HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the head is read");
    let piece = vec![b' '; 64 * 1024];
    for _ in 0..length / piece.len() {
        // The server may answer and close before it has read everything.
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    let answer = read_until_closed(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(rest.is_healthy());
    hsm.get("/keys").expect(200);
    deployment.stop();
}

#[test]
fn ten_thousand_tags_and_a_name_of_128_characters_are_refused() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    let tags: Map<String, Value> = (0..10_000).map(|number| (format!("tag-{number}"), json!("value"))).collect();
    hsm.post("/keys/tagged/create", &json!({"kty": "EC-HSM", "tags": tags})).expect_error(400, "BadParameter");
    let create = |name: &str| hsm.post(&format!("/keys/{name}/create"), &json!({"kty": "EC-HSM"}));
    let refused = create(&"n".repeat(128));
    assert_eq!(refused.status, 400, "{refused:?}");
    create(&"n".repeat(127)).expect(200);
    for name in ["under_score", "dot.dot", "%F0%9F%94%91"] {
        let refused = create(name);
        assert_eq!(refused.status, 400, "{name}: {refused:?}");
    }
    for no_path in ["a%2fb", "a%00b"] {
        let refused = create(no_path);
        assert!(matches!(refused.status, 400 | 404), "{no_path}: {refused:?}");
    }
    assert_eq!(hsm.list("/keys").len(), 1);
    deployment.stop();
}

#[test]
fn bodies_that_are_not_what_they_should_be_are_refused() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    hsm.post("/keys/good/create", &json!({"kty": "oct-HSM", "key_size": 256})).expect(200);
    for body in [
        json!({"kty": "oct-HSM", "key_size": 255}),
        json!({"kty": "RSA-HSM", "key_size": 1024}),
        json!([]),
        json!({"kty": "EC-HSM", "crv": "P-224"}),
        json!({"kty": 7}),
        json!({}),
        json!(null),
    ] {
        let refused = hsm.post("/keys/bad/create", &body);
        assert_eq!(refused.status, 400, "{body}: {refused:?}");
    }
    let deep = "[".repeat(100_000);
    let token = rest.token(&rest.hsm_resource());
    let url = hsm.address("/keys/deep/create");
    let request = rest.request(Method::POST, &url).bearer_auth(token).header("content-type", "application/json");
    assert_eq!(rest.finish(request.body(deep)).expect("the server answers").status, 400);
    let forged = json!({"alg": "A256GCM", "value": "AAAA", "iv": "AAAAAAAAAAAAAAAA", "tag": "AAAAAAAAAAAAAAAAAAAAAA"});
    let refused = hsm.post("/keys/good/decrypt", &forged);
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(rest.is_healthy());
    deployment.stop();
}

#[test]
fn tokens_that_nobody_signed_are_refused_with_the_challenge() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    Hsm::activated(&rest, HSM);
    let good = rest.token(&rest.hsm_resource());
    let (head, payload_and_signature) = good.split_once('.').expect("a JWT has three parts");
    let (payload, signature) = payload_and_signature.split_once('.').expect("a JWT has three parts");
    let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "typ": "JWT"}).to_string());
    let symmetric = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "typ": "JWT"}).to_string());
    let other_payload = URL_SAFE_NO_PAD.encode(json!({"oid": "somebody"}).to_string());
    let management = rest.token(rest.variable("STRONGROOM_MANAGEMENT_URL"));
    let forged = [
        ("alg none", format!("{none}.{payload}.")),
        ("alg none with a signature", format!("{none}.{payload}.{signature}")),
        ("a symmetric algorithm", format!("{symmetric}.{payload}.{signature}")),
        ("other claims", format!("{head}.{other_payload}.{signature}")),
        ("no signature", format!("{head}.{payload}.")),
        ("another plane's audience", management),
        ("no JWT at all", "x".repeat(9000)),
    ];
    for (what, token) in forged {
        let answer = Hsm::with_token(&rest, HSM, token).get("/keys");
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains(&format!("resource=\"{}\"", rest.hsm_resource())), "{what}: {challenge}");
    }
    Hsm::with_token(&rest, HSM, good).get("/keys").expect(200);
    deployment.stop();
}

#[test]
fn an_unknown_host_is_misdirected() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let mut stream = tls(&deployment, &rest, "management.localhost");
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: elsewhere.example\r\nconnection: close\r\n\r\n").expect("sent");
    let answer = read_until_closed(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    deployment.stop();
}

#[test]
fn garbage_on_the_tls_port_and_inside_of_tls_ends_the_connection_only() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    for garbage in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"\x16\x03\x01\xff\xff\x01\x00", b"\x00", b"SSH-2.0-x\r\n"] {
        let mut stream = TcpStream::connect(("127.0.0.1", deployment.ports().https)).expect("it listens");
        stream.set_read_timeout(Some(READ_MAX)).expect("a timeout");
        stream.write_all(garbage).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("half closed");
        let answer = read_until_closed(&mut stream);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    for garbage in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"NONSENSE\r\n\r\n", b"\x00\x01\x02\x03\r\n\r\n"] {
        let mut stream = tls(&deployment, &rest, "management.localhost");
        stream.write_all(garbage).expect("sent");
        let answer = read_until_closed(&mut stream);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4"), "{answer}");
    }
    assert!(rest.is_healthy());
    deployment.stop();
}

#[test]
fn five_hundred_idle_connections_do_not_keep_others_out() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let port = deployment.ports().https;
    let idle: Vec<_> = (0..500).filter_map(|_| TcpStream::connect(("127.0.0.1", port)).ok()).collect();
    assert!(rest.is_healthy(), "{} idle connections", idle.len());
    drop(idle);
    deployment.stop();
}

/// A TLS connection to the deployment under one of its names.
fn tls(deployment: &Deployment, rest: &Rest, host: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let authority = CertificateDer::from_pem_file(rest.variable("STRONGROOM_CA_FILE")).expect("the CA");
    let mut roots = RootCertStore::empty();
    roots.add(authority).expect("the CA is good");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let configuration = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = host.split(':').next().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).expect("a host name");
    let connection = ClientConnection::new(Arc::new(configuration), name).expect("a connection");
    let stream = TcpStream::connect(("127.0.0.1", deployment.ports().https)).expect("it listens");
    stream.set_read_timeout(Some(READ_MAX)).expect("a timeout");
    stream.set_write_timeout(Some(READ_MAX)).expect("a timeout");
    StreamOwned::new(connection, stream)
}

/// What the other side says until it closes, resets or falls silent.
fn read_until_closed(stream: &mut impl Read) -> String {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..length]);
        if answer.starts_with(b"HTTP/1.1 4") {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

const READ_MAX: Duration = Duration::from_secs(20);
