//! Virtual networks, private endpoints, and their connections on the side of HSMs and vaults.

use serde_json::{Value, json};

use crate::arm::tests::world::{Answer, World};
use crate::data_plane::SubnetListener;

const ROLE: &str = "22222222-2222-4222-8222-222222222222";

async fn scene() -> World {
    let world = World::new().await;
    assert_eq!(world.put(&world.network("plant"), world.network_body()).await.status, 201);
    world.create("guarded").await;
    world
}

/// Makes or changes the custom role of the tests.
async fn define(world: &World, actions: &[&str]) {
    let role = json!({"properties": {
        "roleName": "tested", "permissions": [{"actions": actions}], "assignableScopes": [world.root()],
    }});
    let path = format!("{}/providers/Microsoft.Authorization/roleDefinitions/{ROLE}", world.root());
    let made = world.put(&path, role).await;
    assert_eq!(made.status, 201, "{made:?}");
}

/// Gives the stranger these actions.
async fn allow(world: &World, actions: &[&str]) {
    define(world, actions).await;
    let authorization = format!("{}/providers/Microsoft.Authorization", world.root());
    let assignment = json!({"properties": {
        "roleDefinitionId": format!("{authorization}/roleDefinitions/{ROLE}"), "principalId": world.stranger_id,
    }});
    let path = format!("{authorization}/roleAssignments/33333333-3333-4333-8333-333333333333");
    assert_eq!(world.put(&path, assignment).await.status, 201);
}

fn status(connection: &Value) -> &str {
    connection["properties"]["privateLinkServiceConnectionState"]["status"].as_str().unwrap()
}

/// The status that a private endpoint shows.
async fn shown(world: &World, name: &str) -> String {
    let answer = world.ask("GET", &world.endpoint(name)).await;
    let properties = &answer.body["properties"];
    let links = ["privateLinkServiceConnections", "manualPrivateLinkServiceConnections"];
    let link = links.iter().find_map(|kind| properties[*kind].get(0)).unwrap();
    status(link).to_owned()
}

async fn decide(world: &World, connection: &str, status: &str) -> Answer {
    let body = json!({"properties": {
        "privateEndpoint": {}, "privateLinkServiceConnectionState": {"status": status, "description": "because"},
    }});
    world.put(connection, body).await
}

#[tokio::test]
async fn who_may_approve_connections_makes_endpoints_that_are_approved_at_once() {
    let world = scene().await;
    let hsm = world.hsm("guarded");
    let made = world.put(&world.endpoint("inside"), world.endpoint_body(&hsm, "plant")).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(status(&made.body["properties"]["privateLinkServiceConnections"][0]), "Approved");
    assert_eq!(made.body["properties"]["customDnsConfigs"], json!([]));
    let listed = world.ask("GET", &format!("{hsm}/privateEndpointConnections")).await.body;
    let connection = &listed["value"][0];
    assert_eq!(
        (status(connection), &connection["properties"]["privateEndpoint"]["id"]),
        ("Approved", &made.body["id"])
    );
    let resource = world.ask("GET", &hsm).await.body;
    let within = &resource["properties"]["privateEndpointConnections"][0];
    assert_eq!((&within["id"], &within["properties"]), (&connection["id"], &connection["properties"]));
    assert_eq!((within.get("name"), within.get("type")), (None, None), "the reference has neither here");

    let name = connection["id"].as_str().unwrap();
    assert_eq!(world.ask("GET", name).await.body, *connection);
    assert_eq!(decide(&world, name, "rejected").await.status, 200);
    assert_eq!(shown(&world, "inside").await, "Rejected");
    assert_eq!(decide(&world, name, "Approved").await.status, 200);
    for wrong in ["Pending", "Disconnected", ""] {
        assert_eq!(decide(&world, name, wrong).await.code(), "BadRequest", "{wrong}");
    }
    assert_eq!(world.ask("DELETE", name).await.status, 200);
    assert_eq!(world.ask("DELETE", name).await.status, 204);
    assert_eq!(world.ask("GET", name).await.code(), "ResourceNotFound");
    assert_eq!(decide(&world, name, "Approved").await.code(), "ResourceNotFound");
    assert_eq!(shown(&world, "inside").await, "Disconnected");
    assert_eq!(world.ask("DELETE", &world.endpoint("inside")).await.status, 200);
    assert_eq!(world.ask("DELETE", &world.endpoint("inside")).await.status, 204);
}

#[tokio::test]
async fn everybody_elses_endpoint_waits_and_nobody_joins_a_subnet_without_leave() {
    let world = scene().await;
    let body = world.endpoint_body(&world.hsm("guarded"), "plant");
    allow(&world, &["Microsoft.Network/privateEndpoints/*"]).await;
    let refused = world.send(&world.stranger, "PUT", &world.endpoint("theirs"), &body).await;
    assert!(refused.message().contains("Microsoft.Network/virtualNetworks/subnets/join/action"), "{refused:?}");
    let join = ["Microsoft.Network/privateEndpoints/*", "Microsoft.Network/virtualNetworks/subnets/join/action"];
    define(&world, &join).await;
    let made = world.send(&world.stranger, "PUT", &world.endpoint("theirs"), &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(shown(&world, "theirs").await, "Pending");
    // Nor can its maker approve it.
    let listed = world.ask("GET", &format!("{}/privateEndpointConnections", world.hsm("guarded"))).await.body;
    let name = listed["value"][0]["id"].as_str().unwrap();
    let approve = json!({"properties": {"privateLinkServiceConnectionState": {"status": "Approved"}}});
    let refused = world.send(&world.stranger, "PUT", name, &approve).await;
    assert_eq!(refused.code(), "AuthorizationFailed");
    assert_eq!(decide(&world, name, "Approved").await.status, 200);
    assert_eq!(shown(&world, "theirs").await, "Approved");
}

#[tokio::test]
async fn an_endpoint_that_was_asked_for_by_hand_waits_with_its_message() {
    let world = scene().await;
    let mut body = world.endpoint_body(&world.hsm("guarded"), "plant");
    let mut links = body["properties"]["privateLinkServiceConnections"].take();
    links[0]["properties"]["requestMessage"] = json!("please");
    body["properties"] = json!({
        "manualPrivateLinkServiceConnections": links,
        "subnet": body["properties"]["subnet"],
    });
    assert_eq!(world.put(&world.endpoint("asked"), body).await.status, 201);
    assert_eq!(shown(&world, "asked").await, "Pending");
    let listed = world.ask("GET", &format!("{}/privateEndpointConnections", world.hsm("guarded"))).await.body;
    let state = &listed["value"][0]["properties"]["privateLinkServiceConnectionState"];
    assert_eq!(state["description"], "please");
}

#[tokio::test]
async fn wrong_endpoints_are_refused_and_made_ones_do_not_move() {
    let world = scene().await;
    let (hsm, good) = (world.hsm("guarded"), world.endpoint_body(&world.hsm("guarded"), "plant"));
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    const LINK: &str = "/properties/privateLinkServiceConnections/0";
    let two = with("/properties/privateLinkServiceConnections", json!([1, 2].map(|_| good.pointer(LINK).unwrap())));
    for (body, code) in [
        (with(&format!("{LINK}/properties/groupIds"), json!(["vault"])), "BadRequest"),
        (with(&format!("{LINK}/properties/privateLinkServiceId"), json!(world.group())), "BadRequest"),
        (with(&format!("{LINK}/properties/privateLinkServiceId"), json!(world.hsm("nowhere"))), "ResourceNotFound"),
        (with(&format!("{LINK}/name"), json!("")), "BadRequest"),
        (with("/properties/subnet/id", json!(format!("{}/subnets/nowhere", world.network("plant")))), "BadRequest"),
        (with("/properties/subnet/id", json!(world.network("plant"))), "BadRequest"),
        (with("/properties/privateLinkServiceConnections", json!([])), "BadRequest"),
        (two, "BadRequest"),
        (with("/location", json!("")), "LocationRequired"),
    ] {
        let refused = world.put(&world.endpoint("wrong"), body.clone()).await;
        assert_eq!(refused.code(), code, "{body} {refused:?}");
    }
    assert_eq!(world.put(&world.endpoint("inside"), good.clone()).await.status, 201);
    assert_eq!(world.put(&world.endpoint("inside"), good).await.status, 200);
    world.create("other").await;
    let moved = world.put(&world.endpoint("inside"), world.endpoint_body(&world.hsm("other"), "plant")).await;
    assert_eq!(moved.code(), "BadRequest");
    let listed = world.ask("GET", &format!("{hsm}/privateEndpointConnections")).await.body;
    assert_eq!(listed["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_subnet_with_endpoints_stays_and_a_networks_name_is_taken_everywhere() {
    let world = scene().await;
    world.put(&world.endpoint("inside"), world.endpoint_body(&world.hsm("guarded"), "plant")).await;
    let (network, subnet) = (world.network("plant"), format!("{}/subnets/covered", world.network("plant")));
    let mut without = world.network_body();
    without["properties"]["subnets"] = json!([]);
    for answer in [
        world.ask("DELETE", &network).await,
        world.ask("DELETE", &subnet).await,
        world.put(&network, without.clone()).await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "InUseSubnetCannotBeDeleted"), "{answer:?}");
    }
    let group = format!("{}/resourceGroups/other", world.root());
    world.put(&group, json!({"location": "local"})).await;
    let same = format!("{group}/providers/Microsoft.Network/virtualNetworks/PLANT");
    assert_eq!(world.put(&same, world.network_body()).await.code(), "ConflictError");
    let refused = world.ask("DELETE", &world.group()).await;
    assert_eq!(refused.code(), "ResourceGroupDeletionBlocked");

    assert_eq!(world.ask("DELETE", &world.endpoint("inside")).await.status, 200);
    assert_eq!(world.ask("DELETE", &subnet).await.status, 200);
    assert_eq!(world.put(&network, without).await.status, 200);
    assert_eq!(world.ask("DELETE", &network).await.status, 200);
    let peered = json!({"location": "local", "properties": {
        "addressSpace": {"addressPrefixes": ["10.2.0.0/16"]}, "virtualNetworkPeerings": [{"name": "x"}],
    }});
    assert_eq!(world.put(&network, peered).await.code(), "BadRequest");
}

#[tokio::test]
async fn an_hsm_that_comes_back_from_its_deletion_has_no_connections() {
    let world = scene().await;
    world.put(&world.endpoint("inside"), world.endpoint_body(&world.hsm("guarded"), "plant")).await;
    world.ask("DELETE", &world.hsm("guarded")).await;
    world.arm.run_pending().await;
    assert_eq!(shown(&world, "inside").await, "Disconnected");
    let mut recover = world.hsm_body();
    recover["properties"]["createMode"] = json!("recover");
    assert_eq!(world.put(&world.hsm("guarded"), recover).await.status, 200);
    assert_eq!(shown(&world, "inside").await, "Disconnected");
    assert_eq!(world.ask("DELETE", &world.endpoint("inside")).await.status, 200);
}

#[tokio::test]
async fn a_vault_has_private_endpoints_too_and_the_subnets_address_is_told() {
    let mut world = scene().await;
    let listener = SubnetListener {
        subnet: "plant/covered".parse().unwrap(),
        listen: "10.1.0.1:8443".parse().unwrap(),
        clients: Vec::new(),
    };
    world.arm = world.arm.listening_for(vec![listener]);
    let vault = world.vault("Kept");
    world.put(&vault, world.vault_body()).await;
    let made = world.put(&world.endpoint("inside"), world.endpoint_body(&vault, "plant")).await;
    let dns = json!([{"fqdn": "kept.vault.localhost", "ipAddresses": ["10.1.0.1"]}]);
    assert_eq!(made.body["properties"]["customDnsConfigs"], dns, "{made:?}");
    let listed = world.ask("GET", &format!("{vault}/privateEndpointConnections")).await.body;
    assert_eq!(status(&listed["value"][0]), "Approved");
    let shown = world.ask("GET", &vault).await.body;
    assert_eq!(shown["properties"]["privateEndpointConnections"][0]["id"], listed["value"][0]["id"]);
    let resources = world.ask("GET", &format!("{vault}/privateLinkResources")).await.body;
    let properties = &resources["value"][0]["properties"];
    assert_eq!(
        (&properties["groupId"], &properties["requiredZoneNames"]),
        (&json!("vault"), &json!(["privatelink.vault.localhost"]))
    );
    let all = world.ask("GET", &format!("{}/resources", world.root())).await;
    assert!(all.names().contains(&"inside") && all.names().contains(&"plant"), "{all:?}");
}
