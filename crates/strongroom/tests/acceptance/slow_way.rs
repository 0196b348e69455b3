//! A long way to a server: bytes arrive later, in both directions, and none is lost.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::environment::now;

/// Passes connections on to a server on loopback; answers with where. It goes on until the test ends.
pub(crate) fn slow_way(to: &str, delay: Duration) -> String {
    let to: SocketAddr = to.trim_start_matches("http://").parse().expect("an address");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for near in listener.incoming() {
            let (near, far) = (near.expect("a connection"), TcpStream::connect(to).expect("the server is there"));
            for stream in [&near, &far] {
                stream.set_nodelay(true).expect("a socket");
            }
            carry(near.try_clone().expect("a socket"), far.try_clone().expect("a socket"), delay);
            carry(far, near, delay);
        }
    });
    format!("http://{address}")
}

/// What was read, and when.
type Piece = (Instant, Vec<u8>);

fn carry(mut from: TcpStream, to: TcpStream, delay: Duration) {
    let (sender, receiver): (Sender<Piece>, Receiver<Piece>) = channel();
    thread::spawn(move || deliver(&receiver, to, delay));
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send((now(), buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    });
}

fn deliver(pieces: &Receiver<Piece>, mut to: TcpStream, delay: Duration) {
    for (read, piece) in pieces {
        thread::sleep((read + delay).saturating_duration_since(now()));
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown(Shutdown::Both);
}
