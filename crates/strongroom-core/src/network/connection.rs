//! Private endpoint connections, as the HSM or vault they lead to knows them.

use serde::{Deserialize, Serialize};

use crate::network::SubnetName;

/// A private endpoint that leads, or wants to lead, to a managed HSM or a vault. It is part of the record of that one: who
/// manages the HSM decides who is connected, whoever owns the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateEndpointConnection {
    /// Its name below the HSM or vault; no other connection of it has it.
    pub name: String,
    /// The resource id of the private endpoint, as written.
    pub endpoint: String,
    /// The subnet that the endpoint lies in.
    pub subnet: SubnetName,
    /// Whether requests pass.
    pub status: ConnectionStatus,
    /// What was said when it was asked for, or decided on.
    pub description: String,
}

/// `privateLinkServiceConnectionState.status`, as far as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionStatus {
    /// Nobody has decided yet; nothing passes.
    Pending,
    /// Requests from the endpoint's subnet pass.
    Approved,
    /// Nothing passes.
    Rejected,
}

impl ConnectionStatus {
    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Approved => "Approved",
            Self::Rejected => "Rejected",
        }
    }
}
