//! A deployment that moves from its file into etcd, and back.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::etcd_server::EtcdServer;
use crate::refused::refused;
use crate::server::{Folder, Server, output, read_all, strongroom};

const HSM: &str = "quickstart.managedhsm.localhost";
const KEYS: [&str; 3] = ["sign-rsa", "sign-ec", "data-aes"];

fn configuration(folder: &Folder, name: &str, store: &str) -> std::path::PathBuf {
    folder.beside(name, &format!("data_dir = {:?}\n[store]\n{store}", folder.data()))
}

fn copy(from: &Path, to: &Path) -> Command {
    let mut command = strongroom();
    command.args(["store", "copy", "--json", "--config"]).arg(from).arg("--to").arg(to);
    command
}

/// What a copy says when it is done.
fn copied(from: &Path, to: &Path) -> Value {
    let done = output(&mut copy(from, to));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Makes a managed HSM with keys, or uses the keys that are there.
fn tell_the_story(config: &Path) {
    let mut command = strongroom();
    command.args(["quickstart", "--exit", "--listen", "127.0.0.1:0", "--imds", "off", "--config"]).arg(config);
    let told = output(&mut command);
    let text = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{text}");
}

fn served(folder: &Folder, config: &Path) -> Server {
    Server::start_with(folder, folder.serve().arg("--config").arg(config))
}

/// The header with a token of the administrator.
fn authorization(server: &Server) -> String {
    let variables = server.variables();
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fmanagedhsm.azure.net%2F.default",
        variables["STRONGROOM_CLIENT_ID"], variables["STRONGROOM_CLIENT_SECRET"],
    );
    let path = format!("/{}/oauth2/v2.0/token", variables["STRONGROOM_TENANT_ID"]);
    let head = "content-type: application/x-www-form-urlencoded";
    let token = ask(server, "login.localhost", &format!("POST {path}"), head, &form);
    format!("authorization: Bearer {}", token["access_token"].as_str().unwrap())
}

/// The keys of the story as they are, with their versions and public parts, but for the server's port.
fn keys(server: &Server) -> Vec<Value> {
    let head = authorization(server);
    let key = |name| {
        let mut key = ask(server, HSM, &format!("GET /keys/{name}?api-version=7.4"), &head, "")["key"].take();
        key["kid"] = key["kid"].as_str().unwrap().replace(&server.port().to_string(), "PORT").into();
        key
    };
    KEYS.map(key).to_vec()
}

fn ask(server: &Server, host: &str, request: &str, head: &str, body: &str) -> Value {
    let (mut stream, port) = (server.connect(host), server.port());
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let answer = read_all(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_deployment_moves_into_etcd_and_back_with_its_keys() {
    let etcd = EtcdServer::start();
    let folder = Folder::new();
    let in_etcd = format!("kind = \"etcd\"\nendpoints = {:?}\n", etcd.endpoints());
    let [embedded, etcd] = [("embedded.toml", ""), ("etcd.toml", in_etcd.as_str())]
        .map(|(name, store)| configuration(&folder, name, store));
    tell_the_story(&embedded);
    let server = served(&folder, &embedded);
    let before = keys(&server);
    let deployment = server.health()["deployment"].clone();
    refused(&mut copy(&embedded, &etcd), &["is in use by process"], "stop that process");
    server.stop();

    let there = copied(&embedded, &etcd);
    assert!(there["records"].as_u64().unwrap() > 30, "{there}");
    refused(&mut copy(&embedded, &etcd), &["not empty"], "empty one");
    refused(&mut copy(&etcd, &etcd), &["the same store"], "another store");
    fs::rename(folder.file("store.redb"), folder.file("store.redb.before")).unwrap();
    let server = served(&folder, &etcd);
    assert_eq!(server.health()["deployment"], deployment);
    assert_eq!(keys(&server), before);
    server.stop();
    tell_the_story(&etcd);
    assert!(!folder.file("store.redb").exists(), "everything lies in etcd now");

    assert!(copied(&etcd, &embedded)["records"].as_u64() >= there["records"].as_u64());
    let server = served(&folder, &embedded);
    assert_eq!(server.health()["deployment"], deployment);
    assert_eq!(keys(&server), before);
    let head = format!("{}\r\ncontent-type: application/json", authorization(&server));
    let path = before[0]["kid"].as_str().unwrap().split_once("/keys/").unwrap().1.to_owned();
    let changed =
        ask(&server, HSM, &format!("PATCH /keys/{path}?api-version=7.4"), &head, r#"{"tags": {"moved": "yes"}}"#);
    assert_eq!(changed["tags"]["moved"], "yes");
    server.stop();
    tell_the_story(&embedded);
    // What was served last is newer than the file it all began with, and every node knows that.
    fs::rename(folder.file("store.redb.before"), folder.file("store.redb")).unwrap();
    refused(folder.serve().arg("--config").arg(&embedded), &["rolled back"], "--accept-rollback");
}

#[test]
fn a_copy_of_nothing_says_so_and_makes_nothing() {
    let folder = Folder::new();
    let from = configuration(&folder, "from.toml", "");
    let other = Folder::new();
    let to = configuration(&other, "to.toml", "");
    refused(&mut copy(&from, &to), &["no deployment"], "--config");
    assert!(!folder.data().exists() && !other.data().exists());
}
