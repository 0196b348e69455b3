//! Virtual networks and subnets (az-cli.md §6).

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::pools::{
    Error, NetworkName, Permit, Subnet, VirtualNetwork, VirtualNetworkId, VirtualNetworkSpecification,
};

use crate::arm::Call;
use crate::arm::error::ArmError;
use crate::arm::wire::{self, TagsBody, list_of};
use crate::http::exchange::{Outbound, json as answer};

/// The body of PUT; what strongroom has no use for is not kept.
#[derive(Deserialize)]
struct NetworkBody {
    location: Option<String>,
    tags: Option<TagsBody>,
    properties: Option<NetworkProperties>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NetworkProperties {
    address_space: Option<AddressSpace>,
    subnets: Option<Vec<SubnetBody>>,
    virtual_network_peerings: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AddressSpace {
    address_prefixes: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct SubnetBody {
    name: Option<String>,
    properties: Option<SubnetProperties>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SubnetProperties {
    address_prefix: Option<String>,
    address_prefixes: Option<Vec<String>>,
}

impl NetworkBody {
    fn into_specification(self) -> Result<VirtualNetworkSpecification, ArmError> {
        let NetworkProperties { address_space, subnets, virtual_network_peerings } =
            self.properties.unwrap_or_default();
        if virtual_network_peerings.is_some_and(|peerings| !peerings.is_empty()) {
            let problem = "peerings are not records here: a network whose packets reach a subnet's address is peered";
            return Err(Error::bad_property("properties.virtualNetworkPeerings", problem).into());
        }
        let subnet = |body: SubnetBody| {
            let name = body.name.as_deref().unwrap_or_default().parse::<NetworkName>();
            let name = name.map_err(|error| Error::bad_property("properties.subnets.name", error.to_string()))?;
            Ok::<_, Error>(Subnet { name, address_prefixes: body.prefixes() })
        };
        Ok(VirtualNetworkSpecification {
            location: wire::location(self.location)?,
            tags: wire::tags(self.tags)?,
            address_prefixes: address_space.and_then(|space| space.address_prefixes),
            subnets: subnets.map(|list| list.into_iter().map(subnet).collect::<Result<_, _>>()).transpose()?,
        })
    }
}

impl SubnetBody {
    fn prefixes(self) -> Vec<String> {
        let SubnetProperties { address_prefix, address_prefixes } = self.properties.unwrap_or_default();
        address_prefixes.filter(|list| !list.is_empty()).unwrap_or_else(|| address_prefix.into_iter().collect())
    }
}

/// `GET …/virtualNetworks` of a subscription.
pub(super) async fn list(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let networks = call.arm.pools.virtual_networks(permit, call.place.subscription()?, None).await?;
    Ok(list_of(networks.iter().map(network).collect()))
}

/// `GET …/virtualNetworks` of a group.
pub(super) async fn list_of_group(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let group = call.place.group()?;
    let networks = call.arm.pools.virtual_networks(permit, call.place.subscription()?, Some(&group)).await?;
    Ok(list_of(networks.iter().map(network).collect()))
}

/// `GET …/virtualNetworks/{name}`.
pub(super) async fn get(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let found = call.arm.pools.virtual_network(permit, &call.place.virtual_network()?).await?;
    Ok(answer(StatusCode::OK, &network(&found)))
}

/// `PUT …/virtualNetworks/{name}`: 201 if it is new.
pub(super) async fn put(call: &mut Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let specification = wire::body::<NetworkBody>(call.inbound)?.into_specification()?;
    let id = call.place.virtual_network()?;
    let there = call.arm.pools.virtual_network_is_there(permit, &id).await?;
    call.request.context.success_status = if there { 200 } else { 201 };
    let written = call.arm.pools.put_virtual_network(call.request, permit, &id, specification).await?;
    Ok(wire::written(&written, network))
}

/// `DELETE …/virtualNetworks/{name}`: 204 if there was none.
pub(super) async fn delete(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let id = call.place.virtual_network()?;
    Ok(wire::removed(call.arm.pools.delete_virtual_network(call.request, permit, &id).await?))
}

/// `GET …/subnets`.
pub(super) async fn list_subnets(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let id = call.place.virtual_network()?;
    let subnets = call.arm.pools.subnets(permit, &id).await?;
    Ok(list_of(subnets.iter().map(|it| subnet(&id, it)).collect()))
}

/// `GET …/subnets/{name}`.
pub(super) async fn get_subnet(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (id, name) = (call.place.virtual_network()?, call.place.subnet()?);
    let found = call.arm.pools.subnet(permit, &id, &name).await?;
    Ok(answer(StatusCode::OK, &subnet(&id, &found)))
}

/// `PUT …/subnets/{name}`: 201 if it is new.
pub(super) async fn put_subnet(call: &mut Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let body = wire::body::<SubnetBody>(call.inbound)?;
    let (id, name) = (call.place.virtual_network()?, call.place.subnet()?);
    let there = call.arm.pools.subnet_is_there(permit, &id, &name).await?;
    call.request.context.success_status = if there { 200 } else { 201 };
    let wanted = Subnet { name, address_prefixes: body.prefixes() };
    let written = call.arm.pools.put_subnet(call.request, permit, &id, wanted).await?;
    Ok(wire::written(&written, |it| subnet(&id, it)))
}

/// `DELETE …/subnets/{name}`: 204 if there was none.
pub(super) async fn delete_subnet(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let (id, name) = (call.place.virtual_network()?, call.place.subnet()?);
    Ok(wire::removed(call.arm.pools.delete_subnet(call.request, permit, &id, &name).await?))
}

fn network(network: &VirtualNetwork) -> Value {
    let id = network.id();
    let subnets: Vec<_> = network.subnets.iter().map(|it| subnet(&id, it)).collect();
    let properties = json!({
        "provisioningState": "Succeeded",
        "addressSpace": {"addressPrefixes": network.address_prefixes},
        "subnets": subnets,
        "virtualNetworkPeerings": [],
        "enableDdosProtection": false,
    });
    wire::with_members(wire::network_resource(network), json!({"properties": properties}))
}

fn subnet(network: &VirtualNetworkId, subnet: &Subnet) -> Value {
    let mut properties = json!({
        "provisioningState": "Succeeded",
        "delegations": [],
        "privateEndpointNetworkPolicies": "Disabled",
        "privateLinkServiceNetworkPolicies": "Enabled",
    });
    let (member, value) = match subnet.address_prefixes.as_slice() {
        [one] => ("addressPrefix", json!(one)),
        several => ("addressPrefixes", json!(several)),
    };
    if let Some(members) = properties.as_object_mut() {
        members.insert(member.to_owned(), value);
    }
    json!({
        "id": network.subnet_scope(&subnet.name).as_str(),
        "name": subnet.name,
        "type": VirtualNetwork::SUBNET_TYPE,
        "properties": properties,
    })
}
