//! `strongroom cluster …` beside servers that share one etcd.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::Value;

use crate::etcd::{another, serve, status};
use crate::etcd_server::{EtcdServer, signal};
use crate::refused::refused;
use crate::server::{Folder, Server, output, strongroom, until};

/// `strongroom cluster VERB --config …` on a node's folder.
fn cluster(folder: &Folder, etcd: &EtcdServer, arguments: &[&str]) -> Command {
    let mut command = strongroom();
    command.arg("cluster").args(arguments).arg("--config").arg(configuration(folder, etcd));
    command.arg("--data-dir").arg(folder.data());
    command
}

fn configuration(folder: &Folder, etcd: &EtcdServer) -> PathBuf {
    let endpoints = etcd.endpoints();
    folder.beside("cluster.toml", &format!("[store]\nkind = \"etcd\"\nendpoints = {endpoints:?}\n"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What `status --json` shows, and its exit code.
fn shown(folder: &Folder, etcd: &EtcdServer) -> (Value, Option<i32>) {
    let output = output(&mut cluster(folder, etcd, &["status", "--json"]));
    (serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output))), output.status.code())
}

fn id(folder: &Folder) -> String {
    fs::read_to_string(folder.file("node-id")).unwrap().trim().to_owned()
}

#[test]
fn status_shows_who_renews_also_while_nodes_are_down() {
    let etcd = EtcdServer::start();
    let folder = Folder::new();
    refused(&mut cluster(&folder, &etcd, &["status"]), &["/strongroom"], "serve");
    let first = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    let other = another(&folder);
    let second = Server::start_with(&other, &mut serve(&other, &etcd.endpoints(), ""));
    let (view, code) = shown(&folder, &etcd);
    let nodes = view["nodes"].as_array().unwrap();
    assert_eq!((nodes.len(), code), (2, Some(0)), "{view}");
    for node in nodes {
        assert!([id(&folder), id(&other)].contains(&node["node"].as_str().unwrap().to_owned()), "{view}");
        assert_eq!((&node["standing"], &node["renewing"]), (&"registered".into(), &true.into()), "{view}");
        assert_eq!(node["release"], env!("CARGO_PKG_VERSION"));
    }
    second.signal(Signal::KILL);
    second.wait();
    // The store is read, not a server.
    signal(first.pid(), "-STOP");
    let (view, code) = shown(&folder, &etcd);
    assert_eq!(code, Some(1), "{view}");
    assert!(view["nodes"].as_array().unwrap().iter().all(|node| node["renewing"] == false), "{view}");
    signal(first.pid(), "-CONT");
    first.stop();
    let table = output(&mut cluster(&folder, &etcd, &["status"]));
    assert!(said(&table).contains("standing"), "{}", said(&table));
}

#[test]
fn a_node_that_is_emptied_serves_but_is_not_ready_until_that_is_undone_or_it_is_restarted() {
    let etcd = EtcdServer::start();
    let folder = Folder::new();
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    let id = id(&folder);
    let ready = |server: &Server| server.get("management.localhost", "/health/ready");
    let drain = |more: &[&str]| {
        let output = output(&mut cluster(&folder, &etcd, &[&["drain"], more].concat()));
        assert!(output.status.success(), "{}", said(&output));
    };
    drain(&[&id]);
    until("it says that it is emptied", || status(&ready(&server)) == "503");
    assert!(ready(&server).contains("\"draining\""), "{}", ready(&server));
    assert_eq!(status(&crate::etcd::keys(&server)), "200", "it serves");
    drain(&["--undo", &id]);
    until("it is ready again", || status(&ready(&server)) == "200");
    drain(&[&id]);
    until("it says that it is emptied", || status(&ready(&server)) == "503");
    server.stop();
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    assert_eq!(status(&ready(&server)), "200", "it was for the earlier start");
    refused(&mut cluster(&folder, &etcd, &["drain", "nobody"]), &["`nobody`"], "cluster status");
    server.stop();
}

#[test]
fn a_new_node_is_prepared_and_serves_no_other_deployment() {
    let etcd = EtcdServer::start();
    let (folder, empty) = (Folder::new(), Folder::new());
    refused(&mut cluster(&empty, &etcd, &["join"]), &["/strongroom"], "serve");
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    let deployment = server.health()["deployment"].as_str().unwrap().to_owned();
    refused(&mut cluster(&empty, &etcd, &["join"]), &["root.key is missing"], "root");
    let other = another(&folder);
    let joined = output(&mut cluster(&other, &etcd, &["join"]));
    assert!(joined.status.success() && said(&joined).contains(&deployment), "{}", said(&joined));
    assert_eq!(fs::read_to_string(other.file("deployment-id")).unwrap().trim(), deployment);
    let elsewhere = serve(&other, &etcd.endpoints(), "prefix = \"/another\"\n");
    refused(&mut { elsewhere }, &["store"], "put the store back");
    Server::start_with(&other, &mut serve(&other, &etcd.endpoints(), "")).stop();
    server.stop();
}
