//! Networks that are real: namespaces with cables as a virtual network, a peered one, and the outside, each with names of
//! its own; and who gets through from where.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::az::{Az, said};
use crate::deployment::Deployment;
use crate::environment;
use crate::hsm::Hsm;
use crate::namespace::{Cable, Namespace, Prober, inner_code};
use crate::rest::Rest;

const HSM: &str = "guarded-hsm";
const OTHER: &str = "other-hsm";
const NAMES: &[&str] = &[
    "management.localhost",
    "login.localhost",
    "graph.localhost",
    "guarded-hsm.managedhsm.localhost",
    "other-hsm.managedhsm.localhost",
];

/// Addresses for tests between networks (RFC 2544): the virtual network, one that is peered with it, the outside.
const PLANT: Cable<'_> =
    Cable { server: "198.18.1.1/24", machine: "198.18.1.5/24", behind: None, resolves_to: "198.18.1.1", names: NAMES };
const OFFICE: Cable<'_> = Cable {
    server: "198.18.2.1/24",
    machine: "198.18.2.5/24",
    behind: Some("198.18.1.0/24"),
    resolves_to: "198.18.1.1",
    names: NAMES,
};
const OUTSIDE: Cable<'_> = Cable {
    server: "198.18.3.1/24",
    machine: "198.18.3.5/24",
    behind: Some("198.18.1.0/24"),
    resolves_to: "198.18.3.1",
    names: NAMES,
};

/// The server's machine listens on loopback, in the virtual network and outside; the office has a route into the virtual
/// network, and so has whoever outside guesses one.
const NETWORKS: &str = "[[network]]\nsubnet = 'plant/clients'\nlisten = '198.18.1.1:{port}'\n\
     clients = ['198.18.1.0/24', '198.18.2.0/24']\n\
     [[network]]\nsubnet = 'internet/anywhere'\nlisten = '198.18.3.1:{port}'\n";

/// One request from somewhere, and what comes back.
struct From<'a> {
    prober: Prober,
    port: u16,
    token: &'a str,
}

impl From<'_> {
    fn request(&self, address: &str, method: &str, target: &str) -> Value {
        let name = format!("{HSM}.managedhsm.localhost");
        json!({
            "address": address,
            "port": self.port,
            "sni": name,
            "host": format!("{name}:{}", self.port),
            "method": method,
            "target": target,
            "headers": {"authorization": format!("Bearer {}", self.token), "content-type": "application/json"},
            "body": "",
        })
    }

    /// Lists the keys; over one connection if it is named.
    fn list(&mut self, address: &str, connection: Option<&str>) -> Value {
        let mut request = self.request(address, "GET", LIST);
        request["connection"] = json!(connection);
        self.prober.send(&request)
    }

    fn send(&mut self, mut request: Value, changes: &[(&str, Value)]) -> Value {
        for (pointer, value) in changes {
            match pointer.strip_prefix("headers/") {
                Some(header) => request["headers"][header] = value.clone(),
                None => request[*pointer] = value.clone(),
            }
        }
        self.prober.send(&request)
    }
}

#[test]
fn private_endpoints_are_the_way_in_from_their_subnet_and_from_nowhere_else() {
    let (plant, office, outside) = (Namespace::plug(&PLANT), Namespace::plug(&OFFICE), Namespace::plug(&OUTSIDE));
    let mut deployment = Deployment::start_with(|ports| NETWORKS.replace("{port}", &ports.https.to_string()));
    let (rest, az) = (deployment.rest(), Az::signed_in(&deployment));
    for name in [HSM, OTHER] {
        Hsm::activated(&rest, name);
    }
    let (token, ca_file, port) =
        (rest.token(&rest.hsm_resource()), rest.variable("STRONGROOM_CA_FILE").to_owned(), deployment.ports().https);
    let from = |namespace: &Namespace| From { prober: namespace.prober(&ca_file), port, token: &token };
    let (mut plant_client, mut office_client, mut stranger) = (from(&plant), from(&office), from(&outside));
    const INSIDE: &str = "198.18.1.1";
    const PUBLIC: &str = "198.18.3.1";
    for (client, addresses) in
        [(&mut plant_client, &[INSIDE][..]), (&mut office_client, &[INSIDE]), (&mut stranger, &[PUBLIC, INSIDE])]
    {
        for address in addresses {
            assert_eq!(client.list(address, Some(address))["status"], 200, "{address}");
        }
    }

    let group = rest.variable("STRONGROOM_RESOURCE_GROUP").to_owned();
    let endpoint = make_endpoint(&az, &rest, &group);
    let update = ["keyvault", "update-hsm", "--hsm-name", HSM];
    az.ok(&[&update[..], &["--public-network-access", "Disabled", "--bypass", "None"]].concat());

    // The connections that were open before are judged by what holds now.
    assert_eq!(plant_client.list(INSIDE, Some(INSIDE))["status"], 200);
    assert_eq!(office_client.list(INSIDE, Some(INSIDE))["status"], 200);
    for address in [PUBLIC, INSIDE] {
        let refused = stranger.list(address, Some(address));
        assert_eq!((&refused["status"], inner_code(&refused).as_str()), (&json!(403), "ForbiddenByConnection"));
    }
    every_operation_is_refused(&mut stranger, PUBLIC);
    no_trick_helps(&mut stranger, PUBLIC, INSIDE);
    official_clients_agree(&deployment, &az, &plant, &outside, &rest);

    // What the HSM's side decides counts at once.
    let connection = |verb: &str, more: &[&str]| {
        let names = ["--resource-group", &group, "--hsm-name", HSM];
        az.ok(&[&["keyvault", "private-endpoint-connection", verb][..], &names, more].concat())
    };
    let listed = connection("list", &[]);
    let name = listed[0]["name"].as_str().expect("a connection").to_owned();
    for (verb, passes) in [("reject", 403), ("approve", 200)] {
        connection(verb, &["--name", &name]);
        let answer = plant_client.list(INSIDE, Some(INSIDE));
        assert_eq!(answer["status"], passes, "{verb}: {answer}");
    }
    let shown = connection("show", &["--name", &name]);
    assert_eq!(status(&shown), "Approved", "{shown}");
    connection("delete", &["--name", &name]);
    assert_eq!(plant_client.list(INSIDE, Some(INSIDE))["status"], 403);
    let of_endpoint =
        |verb: &str| az.ok(&["network", "private-endpoint", verb, "--name", "inside", "--resource-group", &group]);
    let gone = of_endpoint("show");
    assert_eq!(status(&gone["privateLinkServiceConnections"][0]), "Disconnected", "{gone}");
    of_endpoint("delete");
    assert_eq!(endpoint["name"], "inside");

    // The other HSM never was closed: the same machines reach it, and its rules are not those of the first.
    let name = format!("{OTHER}.managedhsm.localhost");
    let to_other = [("host", json!(format!("{name}:{port}"))), ("sni", json!(name))];
    let request = stranger.request(PUBLIC, "GET", LIST);
    assert_eq!(stranger.send(request, &to_other)["status"], 200);
    deployment.stop();
}

/// `az network vnet create` and `az network private-endpoint create`, and what the HSM's side says of it.
fn make_endpoint(az: &Az, rest: &Rest, group: &str) -> Value {
    let located = ["--resource-group", group, "--location", "westeurope"];
    let network = ["network", "vnet", "create", "--name", "plant", "--address-prefixes", "198.18.1.0/24"];
    let subnet = ["--subnet-name", "clients", "--subnet-prefixes", "198.18.1.0/24"];
    az.ok(&[&network[..], &subnet, &located].concat());
    let id = az.ok(&["keyvault", "show", "--hsm-name", HSM])["id"].as_str().expect("an id").to_owned();
    let link = ["keyvault", "private-link-resource", "list", "--hsm-name", HSM, "--resource-group", group];
    let resources = az.ok(&link);
    assert_eq!(resources[0]["groupId"].as_str().or(resources[0]["properties"]["groupId"].as_str()), Some("managedhsm"));
    let place = ["--name", "inside", "--vnet-name", "plant", "--subnet", "clients", "--connection-name", "to-hsm"];
    let target = ["--private-connection-resource-id", &id, "--group-id", "managedhsm"];
    let create = [&["network", "private-endpoint", "create"][..], &place, &target, &located].concat();
    let endpoint = az.ok(&create);
    assert_eq!(status(&endpoint["privateLinkServiceConnections"][0]), "Approved", "{endpoint}");
    let dns = &endpoint["customDnsConfigs"][0];
    assert_eq!(dns["ipAddresses"], json!(["198.18.1.1"]), "{endpoint}");
    assert_eq!(dns["fqdn"], format!("{HSM}.managedhsm.localhost"));
    let shown = az.ok(&["keyvault", "show", "--hsm-name", HSM]);
    assert_eq!(shown["properties"]["privateEndpointConnections"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(rest.arm(&Method::GET, &rest.hsm_path(HSM), None).status, 200);
    endpoint
}

/// `status`, wherever a client puts it.
fn status(link: &Value) -> &str {
    let state = &link["privateLinkServiceConnectionState"];
    let state = if state.is_null() { &link["properties"]["privateLinkServiceConnectionState"] } else { state };
    state["status"].as_str().unwrap_or_else(|| panic!("no status in {link}"))
}

/// Every row of the page that lists the operations of the data plane.
fn every_operation_is_refused(stranger: &mut From<'_>, address: &str) {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md"));
    let page = page.expect("the page is there");
    let section = page
        .split("### Operations of the data plane")
        .nth(1)
        .and_then(|rest| rest.split("\n### ").next())
        .expect("a table");
    let rows: Vec<_> =
        section.lines().filter(|line| line.starts_with("| ")).filter_map(|row| row.split('`').nth(1)).collect();
    assert!(rows.len() > 40, "{} operations", rows.len());
    for row in rows {
        let (method, path) = row.split_once(' ').expect("a verb and a path");
        let segments = path.split('/').map(|it| if it.starts_with('{') { "x" } else { it });
        let target = format!("{}?api-version=2026-04-01", segments.collect::<Vec<_>>().join("/"));
        let request = stranger.request(address, method, &target);
        let answer = stranger.send(request, &[("connection", json!("walk")), ("body", json!("{}"))]);
        let code = inner_code(&answer);
        assert_eq!((&answer["status"], code.as_str()), (&json!(403), "ForbiddenByConnection"), "{row}: {answer}");
        assert!(answer["body"].as_str().is_some_and(|text| text.contains("Client address: 198.18.3.5 ")), "{answer}");
    }
}

/// Whatever a client writes into its request, or however it gets to the machine, says nothing about where it is.
fn no_trick_helps(stranger: &mut From<'_>, public: &str, inside: &str) {
    let (port, name) = (stranger.port, format!("{HSM}.managedhsm.localhost"));
    let other = format!("{OTHER}.managedhsm.localhost");
    let host = format!("{name}:{port}");
    let tricks: &[&[(&str, Value)]] = &[
        &[("headers/x-forwarded-for", json!("198.18.1.5"))],
        &[("headers/forwarded", json!("for=198.18.1.5")), ("headers/x-real-ip", json!("198.18.1.5"))],
        // TLS for the HSM that is open, the request for the one that is not.
        &[("sni", json!(other))],
        &[("target", json!(format!("https://{host}{LIST}")))],
        &[("target", json!(format!("//keys//?api-version=7.6")))],
        &[("headers/authorization", json!(""))],
    ];
    for (address, told) in [(public, "198.18.3.5 (subnet internet/anywhere)"), (inside, "198.18.3.5 (Activity")] {
        for trick in tricks {
            let request = stranger.request(address, "GET", LIST);
            let answer = stranger.send(request, trick);
            assert_eq!(inner_code(&answer), "ForbiddenByConnection", "{trick:?}: {answer}");
            assert!(answer["body"].as_str().is_some_and(|body| body.contains(told)), "{trick:?}: {answer}");
        }
    }
    // A target that names one HSM and a Host that names another are no request at all.
    let request = stranger.request(public, "GET", &format!("https://{other}:{port}{LIST}"));
    let answer = stranger.send(request, &[]);
    assert_eq!(answer["status"], 400, "{answer}");
    // The same machine by its address as IPv6 writes it.
    let request = stranger.request("::ffff:198.18.3.1", "GET", LIST);
    assert_eq!(inner_code(&stranger.send(request, &[])), "ForbiddenByConnection");
}

/// `az` and the SDK at a machine inside and at one outside.
fn official_clients_agree(deployment: &Deployment, az: &Az, plant: &Namespace, outside: &Namespace, rest: &Rest) {
    let list = ["keyvault", "key", "list", "--hsm-name", HSM, "--output", "json"];
    let inside = plant.wrap(&az.command(&list)).output().expect("nsenter is installed");
    assert!(inside.status.success(), "{}", said(&inside));
    let refused = outside.wrap(&az.command(&list)).output().expect("nsenter is installed");
    assert!(!refused.status.success() && said(&refused).contains("ForbiddenByConnection"), "{}", said(&refused));
    let show = ["keyvault", "show", "--hsm-name", HSM, "--output", "json"];
    let shown = outside.wrap(&az.command(&show)).output().expect("nsenter is installed");
    assert!(shown.status.success(), "{}", said(&shown));

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance/python/keys.py");
    let mut sdk = Command::new("bash");
    sdk.env("HOME", deployment.data()).env("PYTHONDONTWRITEBYTECODE", "1");
    sdk.args(["-c", ". \"$1\" && shift && exec \"$@\"", "bash"]).arg(deployment.client_env());
    sdk.arg(environment::sdk_python()).arg(script).arg(rest.hsm_url(HSM));
    let inside = plant.wrap(&sdk).output().expect("nsenter is installed");
    assert!(inside.status.success(), "{}", said(&inside));
    let refused = outside.wrap(&sdk).output().expect("nsenter is installed");
    assert!(!refused.status.success() && said(&refused).contains("ForbiddenByConnection"), "{}", said(&refused));
}

#[test]
fn an_address_that_a_rule_names_passes_until_the_rule_goes() {
    let outside = Namespace::plug(&Cable {
        server: "198.18.4.1/24",
        machine: "198.18.4.5/24",
        behind: None,
        resolves_to: "198.18.4.1",
        names: NAMES,
    });
    let network = "[[network]]\nsubnet = 'internet/anywhere'\nlisten = '198.18.4.1:{port}'\n";
    let mut deployment = Deployment::start_with(|ports| network.replace("{port}", &ports.https.to_string()));
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, HSM);
    let token = rest.token(&rest.hsm_resource());
    let ca_file = rest.variable("STRONGROOM_CA_FILE").to_owned();
    let mut client = From { prober: outside.prober(&ca_file), port: deployment.ports().https, token: &token };
    let rules = |values: &[&str]| {
        let rules: Vec<_> = values.iter().map(|value| json!({"value": value})).collect();
        let acls = json!({"bypass": "None", "defaultAction": "Deny", "ipRules": rules});
        let body = json!({"properties": {"networkAcls": acls}});
        rest.arm(&Method::PATCH, &rest.hsm_path(HSM), Some(&body)).expect(200);
    };
    let kept = Some("kept");
    for (values, passes) in [
        (&["198.18.4.0/24"][..], 200),
        (&["198.18.4.6", "198.18.0.0/24"], 403),
        (&["203.0.113.9", "::ffff:198.18.4.5"], 200),
        (&[], 403),
        (&["198.18.4.5/32"], 200),
    ] {
        rules(values);
        let answer = client.list("198.18.4.1", kept);
        assert_eq!(answer["status"], passes, "{values:?}: {answer}");
        // The machine itself is in none of these rules.
        hsm.get("/keys").expect_error(403, "Forbidden");
    }
    deployment.stop();
}

#[test]
fn a_listed_proxy_says_for_whom_it_connects_and_nobody_else_does() {
    let proxy = "[proxy]\naddresses = ['127.0.0.2']\nclient_address = 'proxy-protocol'\n";
    let mut deployment = Deployment::start_with(|_| proxy.to_owned());
    let rest = deployment.rest();
    Hsm::activated(&rest, HSM);
    let token = rest.token(&rest.hsm_resource());
    let prober = Prober::here(rest.variable("STRONGROOM_CA_FILE"));
    let mut client = From { prober, port: deployment.ports().https, token: &token };
    let acls = json!({"bypass": "None", "defaultAction": "Deny", "ipRules": [{"value": "198.51.100.0/24"}]});
    let body = json!({"properties": {"networkAcls": acls}});
    rest.arm(&Method::PATCH, &rest.hsm_path(HSM), Some(&body)).expect(200);
    let inside = "PROXY TCP4 198.51.100.9 127.0.0.1 40000 443\r\n";
    let outside = "PROXY TCP6 2001:db8::9 ::1 40000 443\r\n";
    for (source, preamble, status, told) in [
        ("127.0.0.2", inside, 200, ""),
        ("127.0.0.2", outside, 403, "Client address: 2001:db8::9 "),
        ("127.0.0.2", "PROXY UNKNOWN\r\n", 403, "Client address: 127.0.0.2 "),
        // Without what was agreed on there is no connection; from anybody else what was not is none either.
        ("127.0.0.2", "", 0, ""),
        ("127.0.0.3", inside, 0, ""),
        ("127.0.0.3", "", 403, "Client address: 127.0.0.3 "),
    ] {
        let request = client.request("127.0.0.1", "GET", LIST);
        let answer = client.send(request, &[("source", json!(source)), ("preamble", json!(preamble))]);
        assert_eq!(answer["status"], status, "{source} {preamble:?}: {answer}");
        assert!(answer["body"].as_str().is_some_and(|body| body.contains(told)), "{source}: {answer}");
    }
    deployment.stop();
}

const LIST: &str = "/keys?api-version=7.6";
