//! What one client, and all of them together, may ask of the listeners.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Largest request body, in bytes; a larger one is answered 413 (the largest the planes take is a security domain).
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest time from the end of the headers to the end of the body.
pub const BODY_READ_MAX: Duration = Duration::from_secs(30);
/// Bytes of a refused body that are read and thrown away, so that its sender gets to read the answer.
pub const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest time that is spent on throwing a refused body away.
pub const DISCARD_MAX: Duration = Duration::from_secs(10);
/// Most bytes of request line and headers.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most header lines.
pub const HEADERS_MAX: usize = 100;
/// Longest time to wait for a request's headers; over HTTP/1.1 also between two requests.
pub const HEADER_READ_MAX: Duration = Duration::from_secs(60);
/// Longest TLS handshake.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Longest time a connection may live without a request in flight.
pub const IDLE_MAX: Duration = Duration::from_secs(120);
/// How often idle connections are looked for.
pub const IDLE_CHECK: Duration = Duration::from_secs(15);
/// Longest time a request may take once it has arrived.
pub const REQUEST_MAX: Duration = Duration::from_secs(120);
/// Most requests at work at once, on all connections of the public listeners together.
pub const REQUESTS_MAX: usize = 4096;
/// Most requests at work at once on each of the other listeners, which only programs of this machine reach.
pub const REQUESTS_APART_MAX: usize = 256;
/// Most connections at once.
pub const CONNECTIONS_MAX: usize = 8192;
/// Most connections at once from one address (IPv6: from one /64).
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 1024;
/// Most HTTP/2 streams at once on one connection.
pub const STREAMS_MAX: u32 = 128;
/// Most HTTP/2 streams that a client may have reset before they were looked at.
pub const RESET_STREAMS_MAX: usize = 32;
/// Connections that wait in the kernel to be accepted.
pub const BACKLOG: u32 = 1024;

/// Counts the connections there are.
#[derive(Debug)]
pub struct Connections {
    open: Mutex<Open>,
    per_address_max: usize,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection that is within the limits; counted until it is dropped.
#[derive(Debug)]
pub struct Admitted {
    connections: Arc<Connections>,
    /// `None` for a proxy's own, which is many clients'.
    address: Option<IpAddr>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { open: Mutex::default(), per_address_max: CONNECTIONS_PER_ADDRESS_MAX }
    }
}

impl Connections {
    /// Counts one more connection of whomever, or refuses it. [`Admitted::counts_for`] is to be asked as soon as it is known
    /// whose it is.
    pub fn admit(self: &Arc<Self>) -> Option<Admitted> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= CONNECTIONS_MAX {
            return None;
        }
        open.total += 1;
        Some(Admitted { connections: Arc::clone(self), address: None })
    }
}

impl Admitted {
    /// Counts the connection as one of an address, and of none that it counted for before; false if that has as many as
    /// it may.
    pub fn counts_for(&mut self, address: IpAddr) -> bool {
        let address = counted_as(address);
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.release(self.address.take());
        let from_address = open.by_address.entry(address).or_default();
        if *from_address >= self.connections.per_address_max {
            return false;
        }
        *from_address += 1;
        self.address = Some(address);
        true
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        open.release(self.address);
    }
}

impl Open {
    fn release(&mut self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        if let Some(from_address) = self.by_address.get_mut(&address) {
            *from_address = from_address.saturating_sub(1);
            if *from_address == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// One subscriber has a whole /64 of IPv6, so counting its addresses one by one would count nothing.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Connections of which one address may have so many.
    pub(crate) fn connections(per_address_max: usize) -> Connections {
        Connections { per_address_max, ..Connections::default() }
    }

    impl Connections {
        fn admit_from(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
            let mut admitted = self.admit()?;
            admitted.counts_for(address).then_some(admitted)
        }
    }

    #[test]
    fn one_address_cannot_take_all_connections() {
        let connections = Arc::new(Connections::default());
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let held: Vec<_> = (0..CONNECTIONS_PER_ADDRESS_MAX).map(|_| connections.admit_from(one).unwrap()).collect();
        assert!(connections.admit_from(one).is_none());
        assert!(connections.admit_from("::ffff:192.0.2.1".parse().unwrap()).is_none(), "the same address, mapped");
        assert!(connections.admit_from("192.0.2.2".parse().unwrap()).is_some());
        drop(held);
        assert!(connections.admit_from(one).is_some());
    }

    #[test]
    fn a_proxy_brings_as_many_as_there_is_room_for() {
        let connections = Arc::new(Connections::default());
        let held: Vec<_> = (0..CONNECTIONS_MAX).map(|_| connections.admit().unwrap()).collect();
        assert!(connections.admit().is_none() && connections.admit_from("192.0.2.1".parse().unwrap()).is_none());
        drop(held);
        assert_eq!(connections.open.lock().unwrap().total, 0);
    }

    #[test]
    fn a_connection_counts_for_whom_it_turns_out_to_be_and_for_nobody_else() {
        let connections = Arc::new(connections(2));
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut through_proxy: Vec<_> = (0..4).map(|_| connections.admit().unwrap()).collect();
        let counted: Vec<_> = through_proxy[..3].iter_mut().map(|it| it.counts_for(one)).collect();
        assert_eq!(counted, [true, true, false]);
        assert!(through_proxy[2].counts_for(other) && through_proxy[3].counts_for(other));
        assert!(through_proxy[3].counts_for(other), "it does not count twice");
        drop(through_proxy);
        let open = connections.open.lock().unwrap();
        assert!(open.total == 0 && open.by_address.is_empty());
    }

    #[test]
    fn a_whole_network_of_ipv6_counts_as_one_address() {
        let connections = Arc::new(Connections::default());
        let address = |last: usize| format!("2001:db8::{last:x}").parse().unwrap();
        let _held: Vec<_> =
            (0..CONNECTIONS_PER_ADDRESS_MAX).map(|n| connections.admit_from(address(n)).unwrap()).collect();
        assert!(connections.admit_from(address(60_000)).is_none());
        assert!(connections.admit_from("2001:db8:0:1::1".parse().unwrap()).is_some());
    }

    #[test]
    fn all_addresses_together_have_a_limit_and_leave_nothing_behind() {
        let connections = Arc::new(Connections::default());
        let address =
            |n: usize| IpAddr::from([10, 0, u8::try_from(n / 256 % 256).unwrap(), u8::try_from(n % 256).unwrap()]);
        let held: Vec<_> = (0..CONNECTIONS_MAX).map(|n| connections.admit_from(address(n)).unwrap()).collect();
        assert!(connections.admit_from("192.0.2.1".parse().unwrap()).is_none());
        drop(held);
        assert!(connections.open.lock().unwrap().by_address.is_empty());
    }
}
