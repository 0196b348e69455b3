//! The rules of one HSM or vault, and the judgement over one request.

use std::fmt;
use std::net::IpAddr;

use crate::managed_hsm::{ManagedHsm, NetworkAcls, PublicNetworkAccess};
use crate::network::{AddressRange, ConnectionStatus, PrivateEndpointConnection, SubnetName};
use crate::vault::{Vault, VaultNetworkAccess, VirtualNetworkRule};

/// Who may reach the data plane of an HSM or a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRules {
    /// `publicNetworkAccess`.
    pub public_access: VaultNetworkAccess,
    /// `networkAcls.defaultAction`.
    pub default_action: DefaultAction,
    /// `networkAcls.bypass`.
    pub bypass: Bypass,
    /// `networkAcls.ipRules`; empty where [`NetworkRules::judge`] asks for none.
    pub addresses: Vec<AddressRange>,
    /// `networkAcls.virtualNetworkRules`, as the addresses; a vault's only.
    pub subnets: Vec<SubnetName>,
    /// The subnets of approved private endpoints.
    pub private_endpoints: Vec<SubnetName>,
}

/// What happens to a request that no rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultAction {
    /// It passes.
    Allow,
    /// It does not.
    Deny,
}

/// Whether trusted services pass whatever the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bypass {
    /// They do.
    AzureServices,
    /// They do not.
    None,
}

/// Where a request comes from, as the accepted connection itself tells; nothing that a client can write into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub address: IpAddr,
    /// The subnet whose listener it arrived at, if it was one.
    pub subnet: Option<SubnetName>,
}

/// The judgement over a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Allowed,
    /// It passes only if it proves to come from a trusted service; everybody else is refused for this.
    TrustedServiceOnly(Refusal),
    /// It does not pass, whoever asks.
    Refused(Refusal),
}

/// Why a request does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that is in the way.
    pub by: RefusedBy,
    /// Where the request came from.
    pub origin: Origin,
}

/// The rule that is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedBy {
    /// `publicNetworkAccess` is `Disabled`, and no approved private endpoint leads here from where the request came.
    PublicAccessDisabled,
    /// `publicNetworkAccess` is `SecuredByPerimeter`, and there is no perimeter.
    NoPerimeter,
    /// `networkAcls.defaultAction` is `Deny`, and no rule is about the request.
    DefaultAction,
}

impl NetworkRules {
    /// What the record of a managed HSM says.
    pub(crate) fn of_hsm(hsm: &ManagedHsm) -> Self {
        let public_access = match hsm.public_network_access {
            PublicNetworkAccess::Enabled => VaultNetworkAccess::Enabled,
            PublicNetworkAccess::Disabled => VaultNetworkAccess::Disabled,
        };
        let private_endpoints = approved(&hsm.private_endpoint_connections);
        Self { private_endpoints, ..Self::of_acls(public_access, Some(&hsm.network_acls), &[]) }
    }

    /// What the record of a vault says.
    pub(crate) fn of_vault(vault: &Vault) -> Self {
        let acls = vault.network_acls.as_ref();
        let subnets = acls.map(|acls| acls.virtual_network_rules.as_slice()).unwrap_or_default();
        let private_endpoints = approved(&vault.private_endpoint_connections);
        Self { private_endpoints, ..Self::of_acls(vault.public_network_access, acls.map(|acls| &acls.acls), subnets) }
    }

    /// Without `networkAcls` everybody passes, as in Azure.
    fn of_acls(
        public_access: VaultNetworkAccess,
        acls: Option<&NetworkAcls>,
        virtual_network_rules: &[VirtualNetworkRule],
    ) -> Self {
        let (default_action, bypass) = match acls {
            None => (DefaultAction::Allow, Bypass::AzureServices),
            Some(acls) => (
                if acls.default_action == ALLOW { DefaultAction::Allow } else { DefaultAction::Deny },
                if acls.bypass == AZURE_SERVICES { Bypass::AzureServices } else { Bypass::None },
            ),
        };
        let (private_endpoints, mut addresses, mut subnets) = (Vec::new(), Vec::new(), Vec::new());
        // This is made for every request, and reading the rules would be most of it.
        if (public_access, default_action) == (VaultNetworkAccess::Enabled, DefaultAction::Deny) {
            let ip_rules = acls.map(|acls| acls.ip_rules.as_slice()).unwrap_or_default();
            // A rule that cannot be read allows nobody.
            addresses = ip_rules.iter().filter_map(|rule| rule.parse().ok()).collect();
            let named = |rule: &VirtualNetworkRule| SubnetName::of_resource_id(&rule.id.parse().ok()?);
            subnets = virtual_network_rules.iter().filter_map(named).collect();
        }
        Self { public_access, default_action, bypass, addresses, subnets, private_endpoints }
    }

    /// Judges a request by where it comes from, and by nothing else of it.
    pub fn judge(&self, origin: &Origin) -> Verdict {
        let comes_from = |subnets: &[SubnetName]| origin.subnet.as_ref().is_some_and(|subnet| subnets.contains(subnet));
        if comes_from(&self.private_endpoints) {
            return Verdict::Allowed;
        }
        let by = match self.public_access {
            VaultNetworkAccess::Enabled => {
                let named = || self.addresses.iter().any(|range| range.contains(origin.address));
                if self.default_action == DefaultAction::Allow || named() || comes_from(&self.subnets) {
                    return Verdict::Allowed;
                }
                RefusedBy::DefaultAction
            }
            VaultNetworkAccess::Disabled => RefusedBy::PublicAccessDisabled,
            VaultNetworkAccess::SecuredByPerimeter => RefusedBy::NoPerimeter,
        };
        let refusal = Refusal { by, origin: origin.clone() };
        match self.bypass {
            // What a perimeter lets in is for the perimeter to say.
            Bypass::AzureServices if by != RefusedBy::NoPerimeter => Verdict::TrustedServiceOnly(refusal),
            Bypass::AzureServices | Bypass::None => Verdict::Refused(refusal),
        }
    }
}

fn approved(connections: &[PrivateEndpointConnection]) -> Vec<SubnetName> {
    let approved = connections.iter().filter(|connection| connection.status == ConnectionStatus::Approved);
    approved.map(|connection| connection.subnet.clone()).collect()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.to_canonical();
        match &self.subnet {
            Some(subnet) => write!(f, "{address} (subnet {subnet})"),
            None => write!(f, "{address}"),
        }
    }
}

const ALLOW: &str = "Allow";
const AZURE_SERVICES: &str = "AzureServices";

#[cfg(test)]
#[path = "rules/tests.rs"]
mod tests;
