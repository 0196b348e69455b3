//! What reaches the listeners, good and bad.

use std::io::{Read as _, Write as _};

use crate::server::{Folder, Server, read_all};

#[test]
fn garbage_on_the_tls_port_and_inside_of_tls_harms_nobody() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for garbage in
        [&b"GET / HTTP/1.0\r\n\r\n"[..], b"\x16\x03\x01\xff\xff\x01\x00", b"\x00", b"SSH-2.0-x\r\n", &[0x80; 70_000]]
    {
        let mut stream = server.connect_tcp(server.port());
        // It may be refused in the middle.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = read_all(&mut stream);
        assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    for garbage in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"NONSENSE\r\n\r\n", b"\x00\x01\x02\x03\r\n\r\n", long.as_bytes()] {
        let mut stream = server.connect("management.localhost");
        let _ = stream.write_all(garbage);
        let answer = read_all(&mut stream);
        assert!(answer.contains(" 4"), "{answer}");
    }
    assert_eq!(server.health()["status"], "ready");
    let said = server.stop();
    assert!(!said.contains("ERROR"), "{said}");
}

#[test]
fn eleven_megabytes_are_refused_to_a_client_that_reads_only_at_the_end() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let length = 11 * 1024 * 1024;
    for framing in [format!("content-length: {length}"), "transfer-encoding: chunked".to_owned()] {
        let host = "login.localhost";
        let mut stream = server.connect(host);
        write!(
            stream,
            "POST /common/oauth2/v2.0/token HTTP/1.1\r\nhost: {host}:{}\r\n{framing}\r\n\r\n",
            server.port()
        )
        .unwrap();
        let chunk = vec![b'x'; 64 * 1024];
        for _ in 0..length / chunk.len() {
            if framing.contains("chunked") {
                write!(stream, "{:x}\r\n", chunk.len()).unwrap();
                stream.write_all(&chunk).unwrap();
                stream.write_all(b"\r\n").unwrap();
            } else {
                stream.write_all(&chunk).unwrap();
            }
        }
        if framing.contains("chunked") {
            stream.write_all(b"0\r\n\r\n").unwrap();
        }
        let answer = read_all(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("RequestEntityTooLarge"), "{framing}: {answer}");
    }
    assert_eq!(server.health()["status"], "ready");
    server.stop();
}

#[test]
fn hosts_are_matched_in_any_case_and_others_are_misdirected() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let status = |hosts: &str| {
        let mut stream = server.connect("management.localhost");
        write!(stream, "GET /health HTTP/1.1\r\n{hosts}connection: close\r\n\r\n").unwrap();
        read_all(&mut stream).get(9..12).unwrap_or_default().to_owned()
    };
    assert_eq!(status("Host: MANAGEMENT.LocalHost\r\n"), "200");
    assert_eq!(status("host: management.localhost:1\r\n"), "200");
    assert_eq!(status("host: elsewhere.example\r\n"), "421");
    assert_eq!(status("host: localhost\r\n"), "421");
    assert_eq!(status(""), "400");
    assert_eq!(status("host: management.localhost\r\nhost: management.localhost\r\n"), "400");
    server.stop();
}

#[test]
fn every_plane_answers_under_its_host_with_an_id() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for (host, path, status) in [
        ("management.localhost", "/metadata/endpoints?api-version=2022-09-01", "200"),
        ("management.localhost", "/subscriptions?api-version=2022-12-01", "401"),
        ("login.localhost", "/common/v2.0/.well-known/openid-configuration", "200"),
        ("graph.localhost", "/v1.0/users", "401"),
        ("contoso.managedhsm.localhost", "/keys?api-version=7.6", "401"),
    ] {
        let answer = server.get(host, path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}{path}: {answer}");
        assert!(answer.contains("\r\nx-ms-request-id: ") && answer.contains("\r\nx-content-type-options: nosniff"));
    }
    server.stop();
}

#[test]
fn http_2_is_spoken_where_it_is_agreed_on() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let ca = std::fs::read(folder.file("ca.pem")).unwrap();
    // Only the first one in the process is taken; all are the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (version, status) = runtime.block_on(async {
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()])
            .resolve("management.localhost", ([127, 0, 0, 1], server.port()).into())
            .no_proxy()
            .build()
            .unwrap();
        let url = format!("https://management.localhost:{}/health", server.port());
        let answer = client.get(&url).send().await.unwrap();
        let large = client.post(&url).body(vec![0; 3 * 1024 * 1024]).send().await;
        drop(large);
        (answer.version(), client.get(&url).send().await.unwrap().status())
    });
    assert_eq!((version, status), (reqwest::Version::HTTP_2, reqwest::StatusCode::OK));
    server.stop();
}

#[test]
fn the_metadata_service_speaks_plain_http_and_demands_its_header() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let ask = |headers: &str| {
        let mut stream = server.connect_tcp(server.metadata_port());
        let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://managedhsm.azure.net";
        write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("metadata: true\r\n").starts_with("HTTP/1.1 200 "));
    assert!(ask("").starts_with("HTTP/1.1 400 "));
    assert!(ask("metadata: true\r\nx-forwarded-for: 192.0.2.1\r\n").starts_with("HTTP/1.1 400 "));
    server.stop();
}

#[test]
fn idle_connections_do_not_keep_others_out() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let idle: Vec<_> = (0..300).map(|_| server.connect_tcp(server.port())).collect();
    assert_eq!(server.health()["status"], "ready");
    drop(idle);
    server.stop();
}
