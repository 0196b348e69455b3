//! The name of a subnet.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strongroom_types::ParseError;

use crate::pools::{NetworkName, ResourceScope};

/// A subnet of a virtual network: `VNET/SUBNET`, compared without case.
///
/// Names of virtual networks are unique in a deployment, so that the configuration can name them this way and a listener
/// means one of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubnetName {
    virtual_network: String,
    subnet: String,
}

impl SubnetName {
    /// A subnet of a network.
    pub fn new(virtual_network: &NetworkName, subnet: &NetworkName) -> Self {
        Self { virtual_network: virtual_network.folded(), subnet: subnet.folded() }
    }

    /// The subnet that a resource id names; `None` if it names something else.
    pub fn of_resource_id(id: &ResourceScope) -> Option<Self> {
        let segments: Vec<&str> = id.as_str().split('/').skip(6).collect();
        let [namespace, networks, network, subnets, subnet] = segments.as_slice() else { return None };
        let named = ["Microsoft.Network", "virtualNetworks", "subnets"];
        let is = [namespace, networks, subnets].iter().zip(named).all(|(word, name)| word.eq_ignore_ascii_case(name));
        let (network, subnet) = (network.parse().ok()?, subnet.parse().ok()?);
        is.then(|| Self::new(&network, &subnet))
    }

    /// The name of the network, in lower case.
    pub fn virtual_network(&self) -> &str {
        &self.virtual_network
    }

    /// The name of the subnet in it, in lower case.
    pub fn subnet(&self) -> &str {
        &self.subnet
    }
}

impl FromStr for SubnetName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseError::new("subnet", "VNET/SUBNET, the names of a virtual network and of a subnet in it");
        let (network, subnet) = text.split_once('/').ok_or_else(error)?;
        Ok(Self::new(&network.parse().map_err(|_| error())?, &subnet.parse().map_err(|_| error())?))
    }
}

impl fmt::Display for SubnetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.virtual_network, self.subnet)
    }
}

impl Serialize for SubnetName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SubnetName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_named_shortly_or_by_its_resource_id() {
        let short: SubnetName = "Plant/Hsm-Clients".parse().unwrap();
        assert_eq!(short.to_string(), "plant/hsm-clients");
        let group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/a/providers";
        let of = |rest: &str| SubnetName::of_resource_id(&format!("{group}/{rest}").parse().unwrap());
        assert_eq!(of("microsoft.network/virtualnetworks/PLANT/subnets/hsm-clients"), Some(short));
        assert_eq!(of("Microsoft.Network/virtualNetworks/plant"), None);
        assert_eq!(of("Microsoft.Other/virtualNetworks/plant/subnets/x"), None);
        for text in ["", "plant", "plant/", "/x", "plant/x/y", "pl ant/x"] {
            assert!(text.parse::<SubnetName>().is_err(), "{text}");
        }
    }
}
