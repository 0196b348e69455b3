//! The gate in front of the data plane: from where a request comes, and who passes all the same (protocols.md §9).
//!
//! The core judges ([`strongroom_core::network`]). Here is only what this server knows: which of its addresses is a
//! subnet's, and which programs its operator calls trusted services.

use serde::Deserialize;
use std::net::SocketAddr;
use strongroom_core::network::{AddressRange, Origin, Refusal, SubnetName, TrustedServices, Verdict};
use strongroom_core::request::Caller;

use crate::http::exchange::Peer;

/// `[[network]]`: an address of this machine that is a subnet's, as far as private endpoints go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubnetListener {
    /// `VNET/SUBNET`.
    pub subnet: SubnetName,
    /// What requests of the subnet arrive at.
    pub listen: SocketAddr,
    /// Whose requests count as the subnet's; whoever reaches the address, if it is empty.
    #[serde(default)]
    pub clients: Vec<AddressRange>,
}

/// What the gate of a server is made of.
#[derive(Debug, Default)]
pub struct Gate {
    subnets: Vec<SubnetListener>,
    trusted: TrustedServices,
}

impl Gate {
    /// The gate of a server that listens for these subnets and trusts these services.
    pub fn new(subnets: Vec<SubnetListener>, trusted: TrustedServices) -> Self {
        Self { subnets, trusted }
    }

    /// Where a connection comes from.
    pub(super) fn origin(&self, peer: Peer) -> Origin {
        let address = peer.remote.ip().to_canonical();
        let local = SocketAddr::new(peer.local.ip().to_canonical(), peer.local.port());
        let arrived = |subnet: &&SubnetListener| {
            let counts = subnet.clients.is_empty() || subnet.clients.iter().any(|range| range.contains(address));
            subnet.listen == local && counts
        };
        Origin { address, subnet: self.subnets.iter().find(arrived).map(|subnet| subnet.subnet.clone()) }
    }

    /// Why a caller does not pass whose identity is proved by now.
    pub(super) fn refusal(&self, verdict: Verdict, caller: &Caller) -> Option<Refusal> {
        match verdict {
            Verdict::Allowed => None,
            Verdict::TrustedServiceOnly(refusal) => (!self.trusted.admit(caller)).then_some(refusal),
            Verdict::Refused(refusal) => Some(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        let listener = |subnet: &str, listen: &str, clients: &[&str]| SubnetListener {
            subnet: subnet.parse().unwrap(),
            listen: listen.parse().unwrap(),
            clients: clients.iter().map(|range| range.parse().unwrap()).collect(),
        };
        let subnets = vec![
            listener("plant/clients", "10.1.0.1:8443", &["10.1.0.0/16", "10.2.0.0/16"]),
            listener("office/clients", "10.9.0.1:8443", &[]),
        ];
        Gate::new(subnets, TrustedServices::default())
    }

    fn subnet(remote: &str, local: &str) -> Option<String> {
        let peer = Peer { remote: remote.parse().unwrap(), local: local.parse().unwrap() };
        gate().origin(peer).subnet.map(|subnet| subnet.to_string())
    }

    #[test]
    fn the_address_a_request_arrived_at_says_the_subnet() {
        assert_eq!(subnet("10.1.3.4:5000", "10.1.0.1:8443").as_deref(), Some("plant/clients"));
        assert_eq!(subnet("10.2.3.4:5000", "10.1.0.1:8443").as_deref(), Some("plant/clients"));
        assert_eq!(subnet("10.1.3.4:5000", "10.9.0.1:8443").as_deref(), Some("office/clients"));
        assert_eq!(subnet("[::ffff:10.1.3.4]:5000", "[::ffff:10.1.0.1]:8443").as_deref(), Some("plant/clients"));
        assert_eq!(subnet("10.1.3.4:5000", "10.1.0.1:8444"), None);
        assert_eq!(subnet("10.1.3.4:5000", "127.0.0.1:8443"), None);
    }

    #[test]
    fn an_address_that_strangers_reach_is_not_theirs() {
        assert_eq!(subnet("203.0.113.5:5000", "10.1.0.1:8443"), None);
    }
}
