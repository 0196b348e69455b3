//! Private endpoints, and the connections they are on the side of managed HSMs and vaults (management-plane.md §5).

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::network::{ConnectionStatus, PrivateEndpointConnection};
use strongroom_core::pools::{
    ConnectionDecision, Error, HsmId, LinkTarget, NetworkName, Permit, PrivateEndpoint, PrivateEndpointSpecification,
    PrivateEndpointView, ResourceScope, VaultId,
};

use crate::arm::error::ArmError;
use crate::arm::wire::{self, TagsBody, list_of, removed, without_port};
use crate::arm::{Arm, Call};
use crate::http::exchange::{Outbound, json as answer};

#[derive(Deserialize)]
struct EndpointBody {
    location: Option<String>,
    tags: Option<TagsBody>,
    properties: Option<EndpointProperties>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EndpointProperties {
    subnet: Option<IdBody>,
    private_link_service_connections: Option<Vec<LinkBody>>,
    manual_private_link_service_connections: Option<Vec<LinkBody>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IdBody {
    id: Option<String>,
}

#[derive(Deserialize)]
struct LinkBody {
    name: Option<String>,
    properties: Option<LinkProperties>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LinkProperties {
    private_link_service_id: Option<String>,
    group_ids: Option<Vec<String>>,
    request_message: Option<String>,
}

#[derive(Deserialize)]
struct ConnectionBody {
    properties: Option<ConnectionProperties>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConnectionProperties {
    private_link_service_connection_state: Option<StateBody>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StateBody {
    status: Option<String>,
    description: Option<String>,
}

impl EndpointBody {
    fn into_specification(self) -> Result<PrivateEndpointSpecification, ArmError> {
        let properties = self.properties.unwrap_or_default();
        let automatic = properties.private_link_service_connections.unwrap_or_default();
        let by_hand = properties.manual_private_link_service_connections.unwrap_or_default();
        let manual = automatic.is_empty();
        let mut links = automatic.into_iter().chain(by_hand);
        let (Some(link), None) = (links.next(), links.next()) else {
            return Err(Error::bad_property(LINKS, "exactly one connection is expected").into());
        };
        let LinkProperties { private_link_service_id, group_ids, request_message } =
            link.properties.unwrap_or_default();
        let target = LinkTarget::of_private_link_service(&private_link_service_id.unwrap_or_default())?;
        let group_ids = group_ids.unwrap_or_default();
        if !matches!(group_ids.as_slice(), [one] if one.eq_ignore_ascii_case(target.group_id())) {
            let problem = format!("it has one group of members: {}", target.group_id());
            return Err(Error::bad_property(GROUP_IDS, problem).into());
        }
        let subnet = properties.subnet.and_then(|subnet| subnet.id).unwrap_or_default();
        let subnet_id: ResourceScope =
            subnet.parse().map_err(|_| Error::bad_property(SUBNET, "the resource id of a subnet is expected"))?;
        let link_name: NetworkName = link
            .name
            .unwrap_or_default()
            .parse()
            .map_err(|error| Error::bad_property(LINKS, format!("name: {error}")))?;
        Ok(PrivateEndpointSpecification {
            location: wire::location(self.location)?,
            tags: wire::tags(self.tags)?,
            subnet_id,
            link_name,
            target,
            manual,
            request_message,
        })
    }
}

/// `GET …/privateEndpoints` of a subscription.
pub(super) async fn list(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let views = call.arm.pools.private_endpoints(permit, call.place.subscription()?, None).await?;
    Ok(list_of(views.iter().map(|view| endpoint(call.arm, view)).collect()))
}

/// `GET …/privateEndpoints` of a group.
pub(super) async fn list_of_group(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let group = call.place.group()?;
    let views = call.arm.pools.private_endpoints(permit, call.place.subscription()?, Some(&group)).await?;
    Ok(list_of(views.iter().map(|view| endpoint(call.arm, view)).collect()))
}

/// `GET …/privateEndpoints/{name}`.
pub(super) async fn get(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let view = call.arm.pools.private_endpoint(permit, &call.place.private_endpoint()?).await?;
    Ok(answer(StatusCode::OK, &endpoint(call.arm, &view)))
}

/// `PUT …/privateEndpoints/{name}`: 201 if it is new.
pub(super) async fn put(call: &mut Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let specification = wire::body::<EndpointBody>(call.inbound)?.into_specification()?;
    let id = call.place.private_endpoint()?;
    let there = call.arm.pools.private_endpoint_is_there(permit, &id).await?;
    call.request.context.success_status = if there { 200 } else { 201 };
    let written = call.arm.pools.put_private_endpoint(call.request, permit, &id, specification).await?;
    Ok(wire::written(&written, |view| endpoint(call.arm, view)))
}

/// `DELETE …/privateEndpoints/{name}`: 204 if there was none.
pub(super) async fn delete(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let id = call.place.private_endpoint()?;
    Ok(removed(call.arm.pools.delete_private_endpoint(call.request, permit, &id).await?))
}

/// `GET …/privateEndpointConnections`.
pub(super) async fn connections(call: &Call<'_>, permit: &Permit, target: &LinkTarget) -> Result<Outbound, ArmError> {
    let connections = call.arm.pools.connections(permit, target).await?;
    Ok(list_of(connections.iter().map(|it| connection(target, it)).collect()))
}

/// `GET …/privateEndpointConnections/{name}`.
pub(super) async fn get_connection(
    call: &Call<'_>,
    permit: &Permit,
    target: &LinkTarget,
) -> Result<Outbound, ArmError> {
    let found = call.arm.pools.connection(permit, target, call.place.text(CONNECTION)).await?;
    Ok(answer(StatusCode::OK, &connection(target, &found)))
}

/// `PUT …/privateEndpointConnections/{name}`: approves or rejects.
pub(super) async fn put_connection(
    call: &Call<'_>,
    permit: &Permit,
    target: &LinkTarget,
) -> Result<Outbound, ArmError> {
    let properties = wire::body::<ConnectionBody>(call.inbound)?.properties.unwrap_or_default();
    let StateBody { status, description } = properties.private_link_service_connection_state.unwrap_or_default();
    let asked = status.unwrap_or_default();
    let status = [ConnectionStatus::Approved, ConnectionStatus::Rejected]
        .into_iter()
        .find(|status| status.as_str().eq_ignore_ascii_case(&asked))
        .ok_or_else(|| Error::bad_property(STATUS, "Approved or Rejected is expected"))?;
    let decision = ConnectionDecision { status, description };
    let name = call.place.text(CONNECTION);
    let decided = call.arm.pools.decide_connection(call.request, permit, target, name, decision).await?;
    Ok(answer(StatusCode::OK, &connection(target, &decided)))
}

/// `DELETE …/privateEndpointConnections/{name}`: 204 if there was none.
pub(super) async fn delete_connection(
    call: &Call<'_>,
    permit: &Permit,
    target: &LinkTarget,
) -> Result<Outbound, ArmError> {
    let name = call.place.text(CONNECTION);
    Ok(removed(call.arm.pools.remove_connection(call.request, permit, target, name).await?))
}

/// The one private link resource of an HSM or a vault.
pub(super) fn private_link_resource(arm: &Arm, target: &LinkTarget) -> Value {
    let (group, suffix) = (target.group_id(), without_port(suffix(arm, target)));
    json!({
        "id": format!("{}/privateLinkResources/{group}", target.scope()),
        "name": group,
        "type": format!("{}/privateLinkResources", resource_type(target)),
        "properties": {
            "groupId": group,
            "requiredMembers": ["default"],
            "requiredZoneNames": [format!("privatelink.{suffix}")],
        },
    })
}

/// `privateEndpointConnections` of the resource itself; absent when there are none.
pub(super) fn stage_connections(resource: &mut Value, target: &LinkTarget, connections: &[PrivateEndpointConnection]) {
    if connections.is_empty() {
        return;
    }
    let shown: Vec<_> = connections.iter().map(|it| item(target, it)).collect();
    if let Some(properties) = resource.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("privateEndpointConnections".to_owned(), json!(shown));
    }
}

/// A connection as a resource of its own (`PrivateEndpointConnection`).
fn connection(target: &LinkTarget, connection: &PrivateEndpointConnection) -> Value {
    let mut resource = item(target, connection);
    if let Some(members) = resource.as_object_mut() {
        members.insert("name".to_owned(), json!(connection.name));
        members.insert("type".to_owned(), json!(format!("{}/privateEndpointConnections", resource_type(target))));
    }
    resource
}

/// A connection within its HSM or vault (`PrivateEndpointConnectionItem`, which has neither name nor type).
fn item(target: &LinkTarget, connection: &PrivateEndpointConnection) -> Value {
    let PrivateEndpointConnection { name, endpoint, subnet: _, status, description } = connection;
    json!({
        "id": format!("{}/privateEndpointConnections/{name}", target.scope()),
        "properties": {
            "privateEndpoint": {"id": endpoint},
            "privateLinkServiceConnectionState": state(status.as_str(), description),
            "provisioningState": "Succeeded",
        },
    })
}

fn state(status: &str, description: &str) -> Value {
    json!({"status": status, "description": description, "actionsRequired": "None"})
}

fn resource_type(target: &LinkTarget) -> &'static str {
    match target {
        LinkTarget::ManagedHsm(_) => HsmId::RESOURCE_TYPE,
        LinkTarget::Vault(_) => VaultId::RESOURCE_TYPE,
    }
}

fn suffix<'a>(arm: &'a Arm, target: &LinkTarget) -> &'a str {
    match target {
        LinkTarget::ManagedHsm(_) => &arm.suffixes.managed_hsm,
        LinkTarget::Vault(_) => &arm.suffixes.vault,
    }
}

fn endpoint(arm: &Arm, view: &PrivateEndpointView) -> Value {
    let PrivateEndpointView { endpoint, status } = view;
    let scope = endpoint.id().scope();
    let (words, description) = match status {
        Some((status, description)) => (status.as_str(), description.as_str()),
        None => ("Disconnected", "The other side has removed the connection, or is gone."),
    };
    let kind = if endpoint.manual { "manualPrivateLinkServiceConnections" } else { "privateLinkServiceConnections" };
    let mut link = json!({
        "provisioningState": "Succeeded",
        "privateLinkServiceId": endpoint.target.scope().as_str(),
        "groupIds": [endpoint.target.group_id()],
        "privateLinkServiceConnectionState": state(words, description),
    });
    if let (Some(message), Some(members)) = (&endpoint.request_message, link.as_object_mut()) {
        members.insert("requestMessage".to_owned(), json!(message));
    }
    let links = json!([{
        "id": format!("{scope}/{kind}/{}", endpoint.link_name),
        "name": endpoint.link_name,
        "type": format!("{}/{kind}", PrivateEndpoint::RESOURCE_TYPE),
        "properties": link,
    }]);
    let (automatic, by_hand) = if endpoint.manual { (json!([]), links) } else { (links, json!([])) };
    let properties = json!({
        "provisioningState": "Succeeded",
        "subnet": {"id": endpoint.subnet_id.as_str()},
        "privateLinkServiceConnections": automatic,
        "manualPrivateLinkServiceConnections": by_hand,
        "networkInterfaces": [],
        "ipConfigurations": [],
        "customDnsConfigs": dns(arm, endpoint),
    });
    wire::with_members(wire::endpoint_resource(endpoint), json!({"properties": properties}))
}

/// Under which addresses of this machine the subnet finds what the endpoint leads to: what its name service must say.
fn dns(arm: &Arm, endpoint: &PrivateEndpoint) -> Value {
    let listeners = arm.networks.iter().filter(|network| network.subnet == endpoint.subnet);
    let addresses: Vec<_> = listeners.map(|network| network.listen.ip().to_string()).collect();
    if addresses.is_empty() {
        return json!([]);
    }
    let label = match &endpoint.target {
        LinkTarget::ManagedHsm(id) => id.name.folded(),
        LinkTarget::Vault(id) => id.name.folded(),
    };
    json!([{"fqdn": format!("{label}.{}", without_port(suffix(arm, &endpoint.target))), "ipAddresses": addresses}])
}

/// The placeholder of the table.
const CONNECTION: &str = "connection";
const LINKS: &str = "properties.privateLinkServiceConnections";
const GROUP_IDS: &str = "properties.privateLinkServiceConnections.groupIds";
const SUBNET: &str = "properties.subnet.id";
const STATUS: &str = "properties.privateLinkServiceConnectionState.status";
