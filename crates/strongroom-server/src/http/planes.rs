//! The planes as the edge knows them.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;

use crate::http::exchange::{Host, Inbound, Outbound, Peer, Plane};
use crate::http::host::Hosts;

/// Answers the requests of one plane.
#[async_trait]
pub trait Handle: Send + Sync {
    /// Answers one request. Errors become answers in the shape the plane's clients expect.
    async fn handle(&self, inbound: Inbound) -> Outbound;

    /// Whether the same was asked for before by the same client, and would be refused again because too much of it waits. It
    /// is asked before a request is read: the less a refusal costs, the more is left for what is served.
    fn is_full_for(&self, _host: &Host, _peer: Peer, _path: &str, _headers: &HeaderMap) -> bool {
        false
    }
}

/// A host of ours, and who answers there.
#[derive(Clone)]
pub struct Found {
    /// What a `Host` header means.
    pub host: Arc<Host>,
    /// Its plane.
    pub plane: Arc<dyn Handle>,
}

/// The planes behind one listener.
#[derive(Clone)]
pub enum Planes {
    /// The planes behind TLS, told apart by Host.
    Public(Box<PublicPlanes>),
    /// The instance metadata service: any Host is let through, the plane judges it itself.
    Metadata(Arc<dyn Handle>),
    /// What watches the server: any Host is let through as well.
    Monitoring(Arc<dyn Handle>),
}

/// The planes behind TLS.
#[derive(Clone)]
pub struct PublicPlanes {
    /// The names they answer to.
    pub hosts: Hosts,
    /// `login.<domain>`.
    pub authority: Arc<dyn Handle>,
    /// `management.<domain>`.
    pub management: Arc<dyn Handle>,
    /// `graph.<domain>`.
    pub graph: Arc<dyn Handle>,
    /// `<hsm>.managedhsm.<domain>` and `<vault>.vault.<domain>`.
    pub keys: Arc<dyn Handle>,
}

impl std::fmt::Debug for Planes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Public(_) => "Public",
            Self::Metadata(_) => "Metadata",
            Self::Monitoring(_) => "Monitoring",
        })
    }
}

impl Planes {
    /// The plane that `host[:port]` means; `None` if it is none of ours.
    pub fn find(&self, authority: &str) -> Option<Found> {
        match self {
            Self::Public(planes) => {
                let host = Arc::new(planes.hosts.find(authority)?);
                let plane = Arc::clone(planes.of(&host.plane));
                Some(Found { host, plane })
            }
            Self::Metadata(plane) => Some(any(Plane::Metadata, authority, plane)),
            Self::Monitoring(plane) => Some(any(Plane::Monitoring, authority, plane)),
        }
    }
}

/// A Host that the plane judges itself.
fn any(of: Plane, authority: &str, plane: &Arc<dyn Handle>) -> Found {
    let authority = authority.to_ascii_lowercase();
    let host = Arc::new(Host { plane: of, domain: authority.clone(), authority });
    Found { host, plane: Arc::clone(plane) }
}

impl PublicPlanes {
    fn of(&self, plane: &Plane) -> &Arc<dyn Handle> {
        match plane {
            Plane::Authority => &self.authority,
            Plane::Management => &self.management,
            Plane::Graph => &self.graph,
            // The last two have listeners of their own and are never found by name.
            Plane::ManagedHsm(_) | Plane::Vault(_) | Plane::Metadata | Plane::Monitoring => &self.keys,
        }
    }
}
