//! A way to a member on which requests or answers are held up.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// Passes connections on to a member on loopback, until the test ends.
pub(crate) struct Relay {
    /// Where it is.
    pub(crate) endpoint: String,
    /// From the client to the member.
    pub(crate) requests: Way,
    /// From the member to the client.
    pub(crate) answers: Way,
}

/// One direction.
#[derive(Clone, Default)]
pub(crate) struct Way(Arc<Mutex<Passing>>);

#[derive(Default)]
struct Passing {
    /// What has come since it is held up.
    held: Option<Vec<u8>>,
    /// Where it goes on the connection made last.
    to: Option<TcpStream>,
}

impl Relay {
    pub(crate) fn to(endpoint: &str) -> Self {
        let member: SocketAddr = endpoint.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let relay = Self { endpoint, requests: Way::default(), answers: Way::default() };
        let (requests, answers) = (relay.requests.clone(), relay.answers.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, member) = (client.unwrap(), TcpStream::connect(member).unwrap());
                requests.carry(client.try_clone().unwrap(), member.try_clone().unwrap());
                answers.carry(member, client);
            }
        });
        relay
    }
}

impl Way {
    /// From now on nothing arrives.
    pub(crate) fn hold(&self) {
        self.passing().held.get_or_insert_default();
    }

    /// What was held up arrives, except that somebody has given up waiting; what comes after it still does not.
    pub(crate) fn release(&self) {
        let mut passing = self.passing();
        let held = passing.held.replace(Vec::new()).unwrap();
        let kept: Vec<u8> = frames(&held).filter(|frame| frame[TYPE] != RST_STREAM).flatten().copied().collect();
        passing.to.as_mut().unwrap().write_all(&kept).unwrap();
    }

    /// Whether a request or an answer is held up, and not just what connections say about themselves.
    pub(crate) fn has_held(&self) -> bool {
        self.passing().held.as_ref().is_some_and(|held| frames(held).any(|frame| frame[TYPE] == HEADERS))
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        self.passing().to = Some(to.try_clone().unwrap());
        let way = self.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                match &mut way.passing().held {
                    Some(held) => held.extend_from_slice(&buffer[..length]),
                    None if to.write_all(&buffer[..length]).is_err() => return,
                    None => {}
                }
            }
        });
    }

    fn passing(&self) -> MutexGuard<'_, Passing> {
        self.0.lock().unwrap()
    }
}

/// The whole frames of HTTP/2 (RFC 9113 §4.1) in what was read.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes([0, *bytes.first()?, *bytes.get(1)?, *bytes.get(2)?]);
        let (frame, rest) = bytes.split_at_checked(FRAME_HEADER_BYTES + usize::try_from(length).unwrap())?;
        bytes = rest;
        Some(frame)
    })
}

const FRAME_HEADER_BYTES: usize = 9;
/// Where a frame says of what type it is.
const TYPE: usize = 3;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
