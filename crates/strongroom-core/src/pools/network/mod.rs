//! Virtual networks, subnets and private endpoints (`Microsoft.Network`), as records.
//!
//! Nothing here moves a packet. A subnet is what an operator's `[[network]]` gives a real address to, a private endpoint is
//! a subnet's wish to reach one managed HSM or vault, and the connection in the record of that one says whether it is
//! granted ([`crate::network`] judges by it). Peered networks, gateways and lines need no record: whose packets reach the
//! address of a subnet comes from that subnet, as in Azure whoever reaches the address of a private endpoint does.
//!
//! Read first: [`VirtualNetwork`], [`PrivateEndpoint`], [`LinkTarget`].

mod connections;
mod private_endpoints;
mod target;
mod virtual_networks;

use serde::{Deserialize, Serialize};
use strongroom_types::Timestamp;
use uuid::Uuid;

use crate::barrier::Record;
use crate::network::{ConnectionStatus, SubnetName};
use crate::pools::{GroupName, Location, NetworkName, ResourceScope, Tags, layout};

pub use connections::ConnectionDecision;
pub use target::LinkTarget;

/// A virtual network with its subnets. Its name is unique in the deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualNetwork {
    /// Its name as it was written at creation.
    pub name: NetworkName,
    /// The subscription it belongs to.
    pub subscription: Uuid,
    /// The resource group.
    pub resource_group: GroupName,
    /// The region's name; means nothing here and never changes.
    pub location: Location,
    /// Tags.
    pub tags: Tags,
    /// `addressSpace`, as written; which addresses really come from it is the configuration's to say.
    pub address_prefixes: Vec<String>,
    /// Its subnets, in the order of their making.
    pub subnets: Vec<Subnet>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl Record for VirtualNetwork {
    const FORMAT: u16 = 1;
}

/// A subnet of a virtual network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its name as it was written at creation.
    pub name: NetworkName,
    /// `addressPrefix` or `addressPrefixes`, as written.
    pub address_prefixes: Vec<String>,
}

/// Names a virtual network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualNetworkId {
    /// The subscription.
    pub subscription: Uuid,
    /// The resource group.
    pub group: GroupName,
    /// The name.
    pub name: NetworkName,
}

/// What a user says about a virtual network. What is absent takes its default in a new one, and stays as it is in an
/// existing one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VirtualNetworkSpecification {
    /// Needed to make one; cannot be changed.
    pub location: Option<Location>,
    /// Replaces all tags.
    pub tags: Option<Tags>,
    /// `addressSpace.addressPrefixes`.
    pub address_prefixes: Option<Vec<String>>,
    /// Replaces all subnets.
    pub subnets: Option<Vec<Subnet>>,
}

/// A private endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateEndpoint {
    /// Its name as it was written at creation.
    pub name: NetworkName,
    /// The subscription it belongs to.
    pub subscription: Uuid,
    /// The resource group.
    pub resource_group: GroupName,
    /// The region's name; means nothing here and never changes.
    pub location: Location,
    /// Tags.
    pub tags: Tags,
    /// The resource id of the subnet it lies in.
    pub subnet_id: ResourceScope,
    /// The same, by the names that listeners have.
    pub subnet: SubnetName,
    /// What it leads to.
    pub target: LinkTarget,
    /// The name of its one `privateLinkServiceConnection`.
    pub link_name: NetworkName,
    /// Whether it waits for approval, whoever made it.
    pub manual: bool,
    /// `requestMessage`, for who decides.
    pub request_message: Option<String>,
    /// The name of the connection below what it leads to.
    pub connection: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl Record for PrivateEndpoint {
    const FORMAT: u16 = 1;
}

/// Names a private endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateEndpointId {
    /// The subscription.
    pub subscription: Uuid,
    /// The resource group.
    pub group: GroupName,
    /// The name.
    pub name: NetworkName,
}

/// What a user says about a private endpoint. Only tags can be changed later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateEndpointSpecification {
    /// Needed to make one; cannot be changed.
    pub location: Option<Location>,
    /// Replaces all tags.
    pub tags: Option<Tags>,
    /// The resource id of the subnet.
    pub subnet_id: ResourceScope,
    /// The name of the connection, as the endpoint has it.
    pub link_name: NetworkName,
    /// What it leads to.
    pub target: LinkTarget,
    /// Whether it waits for approval, whoever makes it.
    pub manual: bool,
    /// A word for who decides.
    pub request_message: Option<String>,
}

/// A private endpoint as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateEndpointView {
    /// The record.
    pub endpoint: PrivateEndpoint,
    /// What the other side says, with its words; `None` if it has removed the connection, or is gone itself.
    pub status: Option<(ConnectionStatus, String)>,
}

impl VirtualNetwork {
    /// `{namespace}/{type}` of these resources.
    pub const RESOURCE_TYPE: &'static str = "Microsoft.Network/virtualNetworks";
    /// The same of their subnets.
    pub const SUBNET_TYPE: &'static str = "Microsoft.Network/virtualNetworks/subnets";

    /// Its id.
    pub fn id(&self) -> VirtualNetworkId {
        let Self { subscription, resource_group, name, .. } = self;
        VirtualNetworkId { subscription: *subscription, group: resource_group.clone(), name: name.clone() }
    }

    /// A subnet by its name.
    pub fn subnet(&self, name: &NetworkName) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.name.folded() == name.folded())
    }

    fn store_key(&self) -> String {
        layout::virtual_network(&self.name.folded())
    }
}

impl VirtualNetworkId {
    /// Its scope; its text is the resource id.
    pub fn scope(&self) -> ResourceScope {
        let group = ResourceScope::group(self.subscription, &self.group);
        group.resource("Microsoft.Network", "virtualNetworks", self.name.as_str())
    }

    /// The scope of a subnet in it.
    pub fn subnet_scope(&self, subnet: &NetworkName) -> ResourceScope {
        self.scope().child("subnets", subnet.as_str())
    }

    fn is(&self, network: &VirtualNetwork) -> bool {
        self.subscription == network.subscription && self.group.folded() == network.resource_group.folded()
    }
}

impl PrivateEndpoint {
    /// `{namespace}/{type}` of these resources.
    pub const RESOURCE_TYPE: &'static str = "Microsoft.Network/privateEndpoints";

    /// Its id.
    pub fn id(&self) -> PrivateEndpointId {
        let Self { subscription, resource_group, name, .. } = self;
        PrivateEndpointId { subscription: *subscription, group: resource_group.clone(), name: name.clone() }
    }
}

impl PrivateEndpointId {
    /// Its scope; its text is the resource id.
    pub fn scope(&self) -> ResourceScope {
        let group = ResourceScope::group(self.subscription, &self.group);
        group.resource("Microsoft.Network", "privateEndpoints", self.name.as_str())
    }

    fn store_key(&self) -> String {
        layout::private_endpoint(self.subscription, &self.group.folded(), &self.name.folded())
    }
}
