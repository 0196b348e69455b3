//! Files that are appended to, and an endpoint over TLS.

use std::sync::Mutex;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::tls::provider;

#[test]
fn half_a_line_does_not_spoil_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoints");
    append(&path, "one").unwrap();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"tw").unwrap();
    append(&path, "three").unwrap();
    append(&path, "four").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\nthree\nfour\n");
}

#[test]
fn a_long_file_is_followed_by_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoints");
    append(&path, "one").unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(FILE_BYTES_MAX).unwrap();
    append(&path, "two").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    assert_eq!(fs::metadata(folder.path().join("checkpoints.1")).unwrap().len(), FILE_BYTES_MAX);
}

#[test]
fn a_long_file_that_cannot_be_renamed_is_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoints");
    append(&path, "one").unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(FILE_BYTES_MAX).unwrap();
    // No file takes the place of a folder, whoever asks.
    fs::create_dir(earlier(&path)).unwrap();
    append(&path, "two").unwrap();
    append(&path, "three").unwrap();
    let mut file = fs::File::open(&path).unwrap();
    file.seek(SeekFrom::Start(FILE_BYTES_MAX)).unwrap();
    let mut end = String::new();
    file.read_to_string(&mut end).unwrap();
    assert_eq!(end, "\ntwo\nthree\n");
}

#[tokio::test]
async fn a_place_that_fails_is_named_and_gets_the_next_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("missing/checkpoints");
    let newest = watch::Sender::new(None);
    let keeper = CheckpointKeeper::new(newest.subscribe(), folder.path().join("newest")).in_file(file.clone());
    let keeper = Arc::new(keeper);
    let signed = crate::audit_log::checkpoint::tests::signed;
    newest.send_replace(Some(Arc::new(signed(1))));
    keeper.finish().await;
    assert_eq!(keeper.failing(), ["audit.checkpoint_file"]);
    fs::create_dir(file.parent().unwrap()).unwrap();
    let second = signed(2);
    newest.send_replace(Some(Arc::new(second.clone())));
    keeper.finish().await;
    keeper.finish().await;
    assert!(keeper.failing().is_empty());
    let line = format!("{}\n", second.jws);
    for path in [file, folder.path().join("newest")] {
        assert_eq!(fs::read_to_string(path).unwrap(), line, "once");
    }
}

/// An endpoint that gives one answer after the other, and keeps what it was sent with each.
struct Receiver {
    url: Url,
    roots: RootCertStore,
    received: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    #[expect(clippy::disallowed_methods, reason = "the task ends with the test, nothing waits for it")]
    async fn start(answers: &'static [&'static str]) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let configuration = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://127.0.0.1:{}/checkpoints", listener.local_addr().unwrap().port());
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (acceptor, shown) = (TlsAcceptor::from(Arc::new(configuration)), Arc::clone(&received));
        tokio::spawn(async move {
            for answer in answers {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that trusts another CA goes away during the handshake.
                if let Ok(request) = take(&acceptor, stream, answer).await {
                    shown.lock().unwrap().push(request);
                }
            }
        });
        Self { url: url.parse().unwrap(), roots, received }
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }
}

/// Reads one request to the end of its body, and answers.
async fn take(acceptor: &TlsAcceptor, stream: TcpStream, answer: &str) -> io::Result<String> {
    let mut stream = acceptor.accept(stream).await?;
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        request.push(char::from(stream.read_u8().await?));
    }
    let head = request.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await?;
    let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(format!("{}{}", head_of(&request), String::from_utf8(body).unwrap()))
}

/// Method and path.
fn head_of(request: &str) -> String {
    request.split(" HTTP").next().unwrap().to_owned() + " "
}

#[tokio::test]
async fn an_endpoint_gets_each_checkpoint_by_post_and_its_refusals_and_redirects_are_failures() {
    let answers = &["503 Service Unavailable", "307 Temporary Redirect\r\nlocation: /elsewhere", "201 Created"];
    let receiver = Receiver::start(answers).await;
    let folder = tempfile::tempdir().unwrap();
    let newest = watch::Sender::new(None);
    let keeper = CheckpointKeeper::new(newest.subscribe(), folder.path().join("newest"));
    let keeper = Arc::new(keeper.at_url(receiver.url.clone(), &receiver.roots).unwrap());
    let signed = crate::audit_log::checkpoint::tests::signed;
    for (number, failing) in [(1, 1), (2, 1), (3, 0)] {
        newest.send_replace(Some(Arc::new(signed(number))));
        keeper.finish().await;
        assert_eq!(keeper.failing(), vec!["audit.checkpoint_url"; failing], "checkpoint {number}");
    }
    // What is there is not sent again.
    keeper.finish().await;
    let received = receiver.received();
    assert_eq!(received.len(), 3, "nobody follows a redirect: {received:?}");
    assert!(received.iter().all(|request| request.starts_with("POST /checkpoints ")), "{received:?}");
    let parts = received.last().unwrap().split(' ').nth(2).unwrap().split('.').count();
    assert_eq!(parts, 3, "a compact JWS: {received:?}");
}

#[tokio::test]
async fn an_endpoint_whose_certificate_nobody_trusts_gets_nothing() {
    let receiver = Receiver::start(&["200 OK"]).await;
    let (folder, newest) = (tempfile::tempdir().unwrap(), watch::Sender::new(None));
    let keeper = CheckpointKeeper::new(newest.subscribe(), folder.path().join("newest"));
    let keeper = Arc::new(keeper.at_url(receiver.url.clone(), &RootCertStore::empty()).unwrap());
    newest.send_replace(Some(Arc::new(crate::audit_log::checkpoint::tests::signed(1))));
    keeper.finish().await;
    assert_eq!(keeper.failing(), ["audit.checkpoint_url"]);
    assert_eq!(receiver.received(), Vec::<String>::new());
}
