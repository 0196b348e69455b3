//! A blob store in this process that does as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens to the next request.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// This status, with this `x-ms-error-code`.
    Status(u16, &'static str),
    /// The request is done, and then the connection is cut without an answer.
    DoneAndCut,
    /// The connection is cut before anything is done.
    Cut,
    /// Half of the blob, then the connection is cut.
    HalfAndCut,
    /// No answer for so long.
    Silence(Duration),
    /// A blob that has no end.
    Endless,
    /// Other bytes than were written.
    OtherBytes,
    /// A redirect to this address.
    Redirect(String),
}

/// What was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) query: String,
    pub(super) version: String,
    pub(super) if_none_match: String,
}

#[derive(Default)]
struct State {
    blobs: Mutex<BTreeMap<String, Bytes>>,
    faults: Mutex<VecDeque<Fault>>,
    requests: Mutex<Vec<Asked>>,
}

pub(super) struct Store {
    address: SocketAddr,
    state: Arc<State>,
    /// Ends with the store.
    _serving: JoinSet<()>,
}

impl Store {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::new(State::default()));
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&state);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state, _serving: serving }
    }

    pub(super) fn container(&self) -> String {
        format!("http://{}/acct/backups", self.address)
    }

    /// What happens to the next requests, one each.
    pub(super) fn will(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.faults.lock().unwrap().extend(faults);
    }

    pub(super) fn requests(&self) -> Vec<Asked> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(super) fn blobs(&self) -> Vec<String> {
        self.state.blobs.lock().unwrap().keys().cloned().collect()
    }
}

/// Serves a connection; one fault may need the connection itself.
async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let raw = state.faults.lock().unwrap().front().cloned();
    if let Some(Fault::HalfAndCut | Fault::Endless | Fault::Cut) = raw {
        state.faults.lock().unwrap().pop_front();
        return misbehave(&mut stream, raw.unwrap(), &state).await;
    }
    let answer = |request| handle(request, Arc::clone(&state));
    // An error of a connection is what a fault looks like from here.
    let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

async fn misbehave(stream: &mut TcpStream, fault: Fault, state: &State) {
    let asked =
        Asked { method: "?".into(), query: String::new(), version: String::new(), if_none_match: String::new() };
    state.requests.lock().unwrap().push(asked);
    let mut request = Vec::new();
    while fault_needs_request(&fault) && !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let head = |length: &str| {
        format!(
            "HTTP/1.1 200 OK\r\n{length}\r\nETag: \"1\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
             x-ms-blob-type: BlockBlob\r\n\r\n"
        )
    };
    match fault {
        Fault::HalfAndCut => {
            stream.write_all(head("Content-Length: 100").as_bytes()).await.unwrap();
            stream.write_all(&[7; 50]).await.unwrap();
        }
        Fault::Endless => {
            stream.write_all(head("Content-Length: 1099511627776").as_bytes()).await.unwrap();
            while stream.write_all(&[7; 65536]).await.is_ok() {}
        }
        _ => {}
    }
    let _ = stream.shutdown().await;
}

fn fault_needs_request(fault: &Fault) -> bool {
    matches!(fault, Fault::HalfAndCut | Fault::Endless)
}

async fn handle(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Cut> {
    let text = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    state.requests.lock().unwrap().push(Asked {
        method: request.method().to_string(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        version: text("x-ms-version"),
        if_none_match: text("if-none-match"),
    });
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let content = request.into_body().collect().await.unwrap().to_bytes();
    let fault = state.faults.lock().unwrap().pop_front();
    let answer = |status: u16, code: &str| {
        let mut answer = Response::new(Full::new(Bytes::new()));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        if !code.is_empty() {
            answer.headers_mut().insert("x-ms-error-code", code.parse().unwrap());
        }
        answer
    };
    match &fault {
        Some(Fault::Status(status, code)) => return Ok(answer(*status, code)),
        Some(Fault::Silence(duration)) => tokio::time::sleep(*duration).await,
        Some(Fault::Redirect(to)) => {
            let mut redirect = answer(307, "");
            redirect.headers_mut().insert("location", to.parse().unwrap());
            return Ok(redirect);
        }
        _ => {}
    }
    let mut blobs = state.blobs.lock().unwrap();
    let mut done = match (method, blobs.get(&path).cloned()) {
        (Method::PUT, Some(_)) => answer(409, "BlobAlreadyExists"),
        (Method::PUT, None) => {
            blobs.insert(path, content);
            answer(201, "")
        }
        (Method::GET, Some(blob)) => {
            let mut found = answer(200, "");
            let other = Bytes::from(vec![0; blob.len()]);
            *found.body_mut() = Full::new(if matches!(fault, Some(Fault::OtherBytes)) { other } else { blob });
            found
        }
        (Method::GET, None) => answer(404, "BlobNotFound"),
        _ => answer(400, "UnsupportedHttpVerb"),
    };
    done.headers_mut().insert("etag", "\"1\"".parse().unwrap());
    done.headers_mut().insert("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT".parse().unwrap());
    if matches!(fault, Some(Fault::DoneAndCut)) { Err(Cut) } else { Ok(done) }
}

/// Makes hyper drop the connection.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}
