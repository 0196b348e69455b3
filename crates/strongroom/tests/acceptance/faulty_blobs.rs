//! A blob store that goes wrong at the write it is told to. Plain HTTP on loopback, which the local profile allows for a SAS.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What becomes of a write.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Keep,
    Late(Duration),
    Refuse(u16, &'static str),
    Cut,
}

/// What becomes of each write, counted from 0.
pub(crate) type Plan = fn(usize) -> Act;

/// A running store; its threads end with the process.
pub(crate) struct FaultyBlobs {
    port: u16,
    blobs: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl FaultyBlobs {
    /// A store that keeps to a plan.
    pub(crate) fn start(plan: Plan) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let blobs = Arc::new(Mutex::new(BTreeMap::new()));
        let (kept, writes) = (Arc::clone(&blobs), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, writes) = (Arc::clone(&kept), Arc::clone(&writes));
                // A client that goes away early is its own affair.
                thread::spawn(move || answer(stream, plan, &writes, &kept).ok());
            }
        });
        Self { port, blobs }
    }

    /// The address of its container.
    pub(crate) fn container(&self) -> String {
        format!("http://127.0.0.1:{}/account/backups", self.port)
    }

    /// The blobs that were kept, below the container.
    pub(crate) fn names(&self) -> Vec<String> {
        let blobs = self.blobs.lock().expect("no thread panics with it");
        blobs.keys().map(|path| path.trim_start_matches("/account/backups/").to_owned()).collect()
    }
}

fn answer(
    mut stream: TcpStream,
    plan: Plan,
    writes: &AtomicUsize,
    blobs: &Mutex<BTreeMap<String, Vec<u8>>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut content = vec![0; length];
    reader.read_exact(&mut content)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default().to_owned();
    if method == "PUT" {
        match plan(writes.fetch_add(1, Ordering::Relaxed)) {
            Act::Keep => {}
            Act::Late(duration) => thread::sleep(duration),
            Act::Refuse(status, code) => return respond(&mut stream, status, code, &[]),
            Act::Cut => return Ok(()),
        }
    }
    let mut blobs = blobs.lock().expect("no thread panics with it");
    match (method, blobs.get(&path).cloned()) {
        ("PUT", Some(_)) => respond(&mut stream, 409, "BlobAlreadyExists", &[]),
        ("PUT", None) => {
            blobs.insert(path, content);
            respond(&mut stream, 201, "", &[])
        }
        (_, Some(blob)) => respond(&mut stream, 200, "", &blob),
        (_, None) => respond(&mut stream, 404, "BlobNotFound", &[]),
    }
}

fn respond(stream: &mut TcpStream, status: u16, code: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let code = if code.is_empty() { String::new() } else { format!("x-ms-error-code: {code}\r\n") };
    write!(
        stream,
        "HTTP/1.1 {status} Answer\r\ncontent-length: {length}\r\nconnection: close\r\netag: \"1\"\r\n\
         last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n{code}\r\n"
    )?;
    stream.write_all(body)?;
    stream.flush()
}
