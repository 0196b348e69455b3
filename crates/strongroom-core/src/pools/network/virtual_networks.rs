//! Making, showing, changing and removing virtual networks and their subnets.

use uuid::Uuid;

use crate::barrier::Stored;
use crate::network::{AddressRange, SubnetName};
use crate::pools::identities::list_scope;
use crate::pools::network::{PrivateEndpoint, Subnet, VirtualNetwork, VirtualNetworkId, VirtualNetworkSpecification};
use crate::pools::{
    Action, Error, GroupName, NetworkName, Permit, Pools, Removed, ResourceScope, Result, Written, layout,
};
use crate::request::Request;

impl Pools {
    /// A virtual network.
    ///
    /// # Errors
    /// [`Error::ResourceGroupNotFound`], [`Error::ResourceNotFound`].
    pub async fn virtual_network(&self, permit: &Permit, id: &VirtualNetworkId) -> Result<VirtualNetwork> {
        permit.demand(Action::VirtualNetworkRead, &id.scope())?;
        Ok(self.existing_network(id).await?.value)
    }

    /// The virtual networks of a subscription, or of one group of it, that the caller may read, in the order of names.
    pub async fn virtual_networks(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: Option<&GroupName>,
    ) -> Result<Vec<VirtualNetwork>> {
        permit.demand_list(Action::VirtualNetworkRead, &list_scope(subscription, group))?;
        self.readable_networks(permit, subscription, group).await
    }

    pub(in crate::pools) async fn readable_networks(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: Option<&GroupName>,
    ) -> Result<Vec<VirtualNetwork>> {
        if let Some(group) = group {
            self.existing_group(subscription, group).await?;
        }
        let wanted = |network: &VirtualNetwork| {
            network.subscription == subscription
                && group.is_none_or(|group| group.folded() == network.resource_group.folded())
                && permit.allows(Action::VirtualNetworkRead, &network.id().scope())
        };
        Ok(self.all_networks().await?.into_iter().filter(wanted).collect())
    }

    pub(in crate::pools) async fn all_networks(&self) -> Result<Vec<VirtualNetwork>> {
        let barrier = self.barrier();
        let all = barrier.all::<VirtualNetwork>(barrier.deployment(), layout::VIRTUAL_NETWORKS).await?;
        Ok(all.into_iter().map(|stored| stored.value).collect())
    }

    /// Whether a virtual network is there that the caller is about to write: a PUT that makes one is answered otherwise.
    pub async fn virtual_network_is_there(&self, permit: &Permit, id: &VirtualNetworkId) -> Result<bool> {
        permit.demand(Action::VirtualNetworkWrite, &id.scope())?;
        Ok(self.find_network(&id.name).await?.is_some())
    }

    /// Makes a virtual network, or changes an existing one.
    ///
    /// # Errors
    /// [`Error::VirtualNetworkNameTaken`], [`Error::LocationRequired`], [`Error::LocationDiffers`], [`Error::BadProperty`],
    /// [`Error::LimitReached`], [`Error::ResourceGroupNotFound`]; [`Error::SubnetInUse`] if it would take a subnet away
    /// that private endpoints lie in.
    pub async fn put_virtual_network(
        &self,
        request: &Request,
        permit: &Permit,
        id: &VirtualNetworkId,
        specification: VirtualNetworkSpecification,
    ) -> Result<Written<VirtualNetwork>> {
        permit.demand(Action::VirtualNetworkWrite, &id.scope())?;
        check(&specification)?;
        let parent = self.existing_group(id.subscription, &id.group).await?;
        let barrier = self.barrier();
        if let Some(existing) = self.find_network(&id.name).await? {
            if !id.is(&existing.value) {
                return Err(Error::VirtualNetworkNameTaken(id.name.to_string()));
            }
            let changed = changed(&existing.value, specification, request)?;
            return self.replace_network(request, permit, &existing, changed).await.map(Written::Updated);
        }
        if barrier.keys(layout::VIRTUAL_NETWORKS, NETWORKS_MAX).await?.len() >= NETWORKS_MAX {
            return Err(Error::LimitReached { what: "virtual networks", limit: NETWORKS_MAX });
        }
        let VirtualNetworkSpecification { location, tags, address_prefixes, subnets } = specification;
        let network = VirtualNetwork {
            name: id.name.clone(),
            subscription: id.subscription,
            resource_group: parent.value.name.clone(),
            location: location.ok_or(Error::LocationRequired)?,
            tags: tags.unwrap_or_default(),
            address_prefixes: address_prefixes.filter(|prefixes| !prefixes.is_empty()).ok_or_else(|| {
                Error::bad_property(ADDRESS_SPACE, "at least one network such as 10.0.0.0/16 is expected")
            })?,
            subnets: subnets.unwrap_or_default(),
            created: request.received,
            updated: request.received,
        };
        let mut transaction = barrier.transaction().detail(format!("virtual network {}", network.name));
        permit.bind(&mut transaction);
        self.stage_member(&mut transaction, &parent)?;
        transaction.create(barrier.deployment(), network.store_key(), &network)?;
        transaction.commit(request).await?;
        Ok(Written::Created(network))
    }

    /// Removes a virtual network and the role assignments on it.
    ///
    /// # Errors
    /// [`Error::SubnetInUse`] if private endpoints lie in it.
    pub async fn delete_virtual_network(
        &self,
        request: &Request,
        permit: &Permit,
        id: &VirtualNetworkId,
    ) -> Result<Removed> {
        permit.demand(Action::VirtualNetworkDelete, &id.scope())?;
        let found = self.find_network(&id.name).await?;
        let Some(existing) = found.filter(|stored| id.is(&stored.value)) else { return Ok(Removed::WasAbsent) };
        self.check_unused(&existing.value, |_| true).await?;
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("virtual network {}", id.name));
        let what = "role assignments on a removed virtual network";
        permit.bind_and_remove_below(barrier, &mut transaction, &id.scope(), what)?;
        transaction.delete(&existing);
        transaction.commit(request).await?;
        Ok(Removed::Gone)
    }

    /// The virtual network that a subnet is looked for in, with the subnet.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`] for the network or the subnet.
    pub async fn subnet(&self, permit: &Permit, id: &VirtualNetworkId, name: &NetworkName) -> Result<Subnet> {
        permit.demand(Action::SubnetRead, &id.subnet_scope(name))?;
        let network = self.existing_network(id).await?.value;
        network.subnet(name).cloned().ok_or_else(|| subnet_not_found(id, name))
    }

    /// The subnets of a virtual network.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`].
    pub async fn subnets(&self, permit: &Permit, id: &VirtualNetworkId) -> Result<Vec<Subnet>> {
        permit.demand(Action::SubnetRead, &id.scope())?;
        Ok(self.existing_network(id).await?.value.subnets)
    }

    /// Whether a subnet is there that the caller is about to write.
    pub async fn subnet_is_there(&self, permit: &Permit, id: &VirtualNetworkId, name: &NetworkName) -> Result<bool> {
        permit.demand(Action::SubnetWrite, &id.subnet_scope(name))?;
        Ok(self.find_network(&id.name).await?.is_some_and(|stored| stored.value.subnet(name).is_some()))
    }

    /// Makes or changes a subnet of a virtual network.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`] for the network, [`Error::BadProperty`], [`Error::LimitReached`].
    pub async fn put_subnet(
        &self,
        request: &Request,
        permit: &Permit,
        id: &VirtualNetworkId,
        subnet: Subnet,
    ) -> Result<Written<Subnet>> {
        permit.demand(Action::SubnetWrite, &id.subnet_scope(&subnet.name))?;
        let existing = self.existing_network(id).await?;
        let mut subnets = existing.value.subnets.clone();
        let place = subnets.iter_mut().find(|other| other.name.folded() == subnet.name.folded());
        let written = match place {
            Some(other) => {
                other.address_prefixes = subnet.address_prefixes;
                Written::Updated(other.clone())
            }
            None => {
                subnets.push(subnet.clone());
                Written::Created(subnet)
            }
        };
        let specification = VirtualNetworkSpecification { subnets: Some(subnets), ..Default::default() };
        check(&specification)?;
        let changed = changed(&existing.value, specification, request)?;
        self.replace_network(request, permit, &existing, changed).await?;
        Ok(written)
    }

    /// Removes a subnet.
    ///
    /// # Errors
    /// [`Error::SubnetInUse`] if private endpoints lie in it; [`Error::ResourceNotFound`] for the network.
    pub async fn delete_subnet(
        &self,
        request: &Request,
        permit: &Permit,
        id: &VirtualNetworkId,
        name: &NetworkName,
    ) -> Result<Removed> {
        permit.demand(Action::SubnetDelete, &id.subnet_scope(name))?;
        let existing = self.existing_network(id).await?;
        if existing.value.subnet(name).is_none() {
            return Ok(Removed::WasAbsent);
        }
        let mut changed = existing.value.clone();
        changed.subnets.retain(|subnet| subnet.name.folded() != name.folded());
        changed.updated = request.received;
        self.replace_network(request, permit, &existing, changed).await?;
        Ok(Removed::Gone)
    }

    async fn replace_network(
        &self,
        request: &Request,
        permit: &Permit,
        existing: &Stored<VirtualNetwork>,
        changed: VirtualNetwork,
    ) -> Result<VirtualNetwork> {
        self.check_unused(&existing.value, |subnet| changed.subnet(subnet).is_none()).await?;
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("virtual network {}", changed.name));
        permit.bind(&mut transaction);
        transaction.replace(barrier.deployment(), existing, &changed)?;
        transaction.commit(request).await?;
        Ok(changed)
    }

    /// Checks that no private endpoint lies in the subnets that go. One that is made meanwhile depends on the record of the
    /// network being as it was.
    async fn check_unused(&self, network: &VirtualNetwork, goes: impl Fn(&NetworkName) -> bool) -> Result<()> {
        let going: Vec<_> = network.subnets.iter().filter(|subnet| goes(&subnet.name)).collect();
        if going.is_empty() {
            return Ok(());
        }
        let used = |endpoint: &PrivateEndpoint| {
            going.iter().any(|subnet| SubnetName::new(&network.name, &subnet.name) == endpoint.subnet)
        };
        match self.all_endpoints().await?.into_iter().find(used) {
            None => Ok(()),
            Some(endpoint) => Err(Error::SubnetInUse {
                subnet: endpoint.subnet.to_string(),
                endpoint: endpoint.id().scope().to_string(),
            }),
        }
    }

    pub(super) async fn find_network(&self, name: &NetworkName) -> Result<Option<Stored<VirtualNetwork>>> {
        let barrier = self.barrier();
        Ok(barrier.read(barrier.deployment(), &layout::virtual_network(&name.folded())).await?)
    }

    async fn existing_network(&self, id: &VirtualNetworkId) -> Result<Stored<VirtualNetwork>> {
        self.existing_group(id.subscription, &id.group).await?;
        let found = self.find_network(&id.name).await?;
        found.filter(|stored| id.is(&stored.value)).ok_or_else(|| Error::ResourceNotFound {
            resource_type: VirtualNetwork::RESOURCE_TYPE,
            name: id.name.to_string(),
            group: id.group.to_string(),
        })
    }

    /// The virtual network and the subnet that a resource id names, for an endpoint that is to lie there.
    pub(super) async fn network_of_subnet(
        &self,
        subnet_id: &ResourceScope,
    ) -> Result<(Stored<VirtualNetwork>, ResourceScope, SubnetName)> {
        let not_there = || Error::bad_property("properties.subnet.id", "there is no such subnet");
        let name = SubnetName::of_resource_id(subnet_id).ok_or_else(not_there)?;
        let wanted: NetworkName = name.virtual_network().parse().map_err(|_| not_there())?;
        let network = self.find_network(&wanted).await?.ok_or_else(not_there)?;
        let scopes = |subnet: &Subnet| network.value.id().subnet_scope(&subnet.name);
        let scope = network.value.subnets.iter().map(scopes).find(|scope| scope == subnet_id).ok_or_else(not_there)?;
        Ok((network, scope, name))
    }
}

fn changed(
    network: &VirtualNetwork,
    specification: VirtualNetworkSpecification,
    request: &Request,
) -> Result<VirtualNetwork> {
    let VirtualNetworkSpecification { location, tags, address_prefixes, subnets } = specification;
    if let Some(asked) = location {
        asked.check_unchanged(network.location.as_str(), &network.name, &network.resource_group)?;
    }
    Ok(VirtualNetwork {
        tags: tags.unwrap_or_else(|| network.tags.clone()),
        address_prefixes: address_prefixes.unwrap_or_else(|| network.address_prefixes.clone()),
        subnets: subnets.unwrap_or_else(|| network.subnets.clone()),
        updated: request.received,
        ..network.clone()
    })
}

fn check(specification: &VirtualNetworkSpecification) -> Result<()> {
    check_prefixes(ADDRESS_SPACE, specification.address_prefixes.as_deref().unwrap_or_default())?;
    let subnets = specification.subnets.as_deref().unwrap_or_default();
    if subnets.len() > SUBNETS_MAX {
        return Err(Error::LimitReached { what: "subnets of a virtual network", limit: SUBNETS_MAX });
    }
    for (at, subnet) in subnets.iter().enumerate() {
        check_prefixes("properties.addressPrefix", &subnet.address_prefixes)?;
        if subnets.iter().take(at).any(|earlier| earlier.name.folded() == subnet.name.folded()) {
            return Err(Error::bad_property("properties.subnets", format!("{} stands there twice", subnet.name)));
        }
    }
    Ok(())
}

fn check_prefixes(property: &'static str, prefixes: &[String]) -> Result<()> {
    if prefixes.len() > PREFIXES_MAX {
        return Err(Error::LimitReached { what: "address prefixes", limit: PREFIXES_MAX });
    }
    match prefixes.iter().map(|prefix| prefix.parse::<AddressRange>()).find_map(std::result::Result::err) {
        None => Ok(()),
        Some(error) => Err(Error::bad_property(property, error.to_string())),
    }
}

fn subnet_not_found(id: &VirtualNetworkId, name: &NetworkName) -> Error {
    Error::ResourceNotFound {
        resource_type: VirtualNetwork::SUBNET_TYPE,
        name: format!("{}/{name}", id.name),
        group: id.group.to_string(),
    }
}

const ADDRESS_SPACE: &str = "properties.addressSpace.addressPrefixes";
/// Most virtual networks of a deployment; Azure allows as many in a subscription.
const NETWORKS_MAX: usize = 1000;
/// Most subnets of a virtual network; they stand in one record.
const SUBNETS_MAX: usize = 200;
/// Most prefixes of an address space, and of a subnet.
const PREFIXES_MAX: usize = 100;
