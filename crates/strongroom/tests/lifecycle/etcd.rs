//! Servers whose records lie in etcd: they come and go, fail with it, and answer only while the cluster counts on them.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;

use crate::etcd_server::{EtcdServer, signal};
use crate::refused::refused;
use crate::server::{Folder, STEP, Server, output, read_all, strongroom, until};

/// `strongroom serve` on an etcd.
pub(crate) fn serve(folder: &Folder, endpoints: &[String], more: &str) -> Command {
    let text = format!("[store]\nkind = \"etcd\"\nendpoints = {endpoints:?}\ntimeout_seconds = 3\n{more}");
    let mut command = folder.serve();
    command.arg("--config").arg(folder.beside("strongroom.toml", &text));
    command
}

/// Another folder with the same root file: another node of the same deployment.
pub(crate) fn another(folder: &Folder) -> Folder {
    let other = Folder::new();
    fs::create_dir(other.data()).unwrap();
    crate::server::set_mode(&other.data(), 0o700);
    fs::copy(folder.file("root.key"), other.file("root.key")).unwrap();
    other
}

pub(crate) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("nothing")
}

/// What needs the store: the keys that tokens are verified with.
pub(crate) fn keys(server: &Server) -> String {
    let tenant = server.variables()["STRONGROOM_TENANT_ID"].clone();
    server.get("login.localhost", &format!("/{tenant}/discovery/v2.0/keys"))
}

#[test]
fn what_one_node_founded_another_serves_after_it() {
    let etcd = EtcdServer::start();
    let folder = Folder::new();
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    let deployment = server.health()["deployment"].clone();
    assert!(!folder.file("store.redb").exists());
    server.stop();
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    assert_eq!(server.health()["deployment"], deployment);
    assert_eq!(server.health()["cluster"]["registeredNodes"], 1);
    server.stop();
    let other = another(&folder);
    let server = Server::start_with(&other, &mut serve(&other, &etcd.endpoints(), ""));
    let health = server.health();
    assert_eq!(health["deployment"], deployment);
    let node = fs::read_to_string(other.file("node-id")).unwrap();
    let cluster = serde_json::json!({"node": node.trim(), "serving": true, "registeredNodes": 1, "draining": false});
    assert_eq!(health["cluster"], cluster, "the first one has given up its registration");
    server.stop();
}

#[test]
fn two_nodes_serve_one_store_and_one_that_leaves_takes_nothing_from_the_other() {
    let etcd = EtcdServer::start();
    let folder = Folder::new();
    let first = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    let other = another(&folder);
    let second = Server::start_with(&other, &mut serve(&other, &etcd.endpoints(), ""));
    for node in [&first, &second] {
        assert_eq!(status(&keys(node)), "200");
        assert_eq!(node.health()["cluster"]["registeredNodes"], 2);
    }
    first.stop();
    assert_eq!(status(&keys(&second)), "200");
    assert_eq!(second.health()["cluster"]["registeredNodes"], 1);
    let first = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    assert_eq!(status(&keys(&first)), "200");
    second.stop();
    assert_eq!(status(&keys(&first)), "200");
    first.stop();
}

#[test]
fn a_node_that_was_killed_starts_again() {
    let etcd = EtcdServer::start();
    let folder = Folder::new();
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    server.signal(Signal::KILL);
    server.wait();
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    assert_eq!(server.health()["cluster"]["registeredNodes"], 1, "what it was before is not waited for");
    server.stop();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is promised is a time")]
fn an_etcd_that_falls_silent_costs_503_and_nothing_else() {
    let etcd = EtcdServer::start();
    let folder = Folder::new();
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    etcd.signal(0, "-STOP");
    let stopped = Instant::now();
    loop {
        let (asked, answer) = (stopped.elapsed(), keys(&server));
        if status(&answer) == "503" {
            assert!(
                answer.contains("\"NotServing\"") && answer.to_lowercase().contains("\r\nretry-after: 1\r\n"),
                "{answer}"
            );
            break;
        }
        assert!(status(&answer) == "200" && asked < SERVING, "after {asked:?}: {answer}");
        sleep(STEP);
    }
    let ready = server.get("management.localhost", "/health/ready");
    assert!(status(&ready) == "503" && ready.contains("\"notServing\""), "{ready}");
    assert_eq!(server.health()["cluster"]["serving"], false);
    etcd.signal(0, "-CONT");
    until("it serves again", || status(&keys(&server)) == "200");
    server.stop();
}

#[test]
fn a_node_that_stood_still_refuses_what_came_meanwhile() {
    let etcd = EtcdServer::start();
    let folder = Folder::new();
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    let mut waiting = server.connect("login.localhost");
    // The handshake is done before the node stands still.
    waiting.conn.complete_io(&mut waiting.sock).unwrap();
    let (tenant, port) = (server.variables()["STRONGROOM_TENANT_ID"].clone(), server.port());
    signal(server.pid(), "-STOP");
    // Nor can it renew its registration when it goes on: what it remembers is all that it has.
    etcd.signal(0, "-STOP");
    let path = format!("/{tenant}/discovery/v2.0/keys");
    write!(waiting, "GET {path} HTTP/1.1\r\nhost: login.localhost:{port}\r\nconnection: close\r\n\r\n").unwrap();
    waiting.flush().unwrap();
    sleep(SERVING);
    signal(server.pid(), "-CONT");
    let answer = read_all(&mut waiting);
    assert_eq!(status(&answer), "503", "{answer}");
    etcd.signal(0, "-CONT");
    until("it serves again", || status(&keys(&server)) == "200");
    server.stop();
}

#[test]
fn a_node_whose_store_was_put_back_ends() {
    let mut etcd = EtcdServer::start();
    let folder = Folder::new();
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    let older = folder.data().with_file_name("older");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
    };
    etcd.kill(0);
    copy(&etcd.data(0), &older);
    etcd.restart(0);
    lose_an_answer(&etcd);
    // Who serves after that time has renewed its registration since, so the store has gone on.
    sleep(SERVING);
    until("it serves again", || status(&keys(&server)) == "200");
    etcd.kill(0);
    fs::remove_dir_all(etcd.data(0)).unwrap();
    copy(&older, &etcd.data(0));
    etcd.restart(0);
    let said = server.fails();
    assert!(said.contains("strongroom: this node has left the cluster by itself") && said.contains("help: "), "{said}");
    Server::start_with(&folder, serve(&folder, &etcd.endpoints(), "").arg("--accept-rollback")).stop();
}

/// Writes what a node writes that has lost an answer: from then on every commit compares something that the copy does not know.
fn lose_an_answer(etcd: &EtcdServer) {
    let mut member = TcpStream::connect(etcd.endpoints()[0].trim_start_matches("http://")).unwrap();
    let put = serde_json::json!({"key": STANDARD.encode("/strongroom/turn")}).to_string();
    write!(member, "POST /v3/kv/put HTTP/1.0\r\ncontent-length: {}\r\n\r\n{put}", put.len()).unwrap();
    let answer = read_all(&mut member);
    assert_eq!(status(&answer), "200", "{answer}");
}

/// T: nobody answers for longer who cannot renew.
const SERVING: Duration = Duration::from_secs(4);

#[test]
fn starts_that_cannot_work_say_why() {
    let mut etcd = EtcdServer::start();
    let endpoints = etcd.endpoints();
    let folder = Folder::new();
    Server::start_with(&folder, &mut serve(&folder, &endpoints, "")).stop();
    let stranger = Folder::new();
    let mut serve_stranger = serve(&stranger, &endpoints, "");
    refused(&mut serve_stranger, &["root"], "root");
    // It gave the store back.
    Server::start_with(&folder, &mut serve(&folder, &endpoints, "")).stop();
    let empty = serve(&folder, &endpoints, "prefix = \"/nothing-there\"\n");
    refused(&mut { empty }, &["store"], "put the store back");
    let odd = serve(&folder, &endpoints, "prefix = \"nothing\"\n");
    refused(&mut { odd }, &["store.prefix: \"nothing\""], "name a path");
    let unreadable = serve(&folder, &["https://127.0.0.1:1".to_owned()], "ca_file = \"missing.pem\"\n");
    refused(&mut { unreadable }, &["missing.pem", "No such file"], "[store]");
    etcd.kill(0);
    refused(&mut serve(&folder, &endpoints, ""), &["cannot be reached", &endpoints[0]], "endpoints");
    etcd.restart(0);
    Server::start_with(&folder, &mut serve(&folder, &endpoints, "")).stop();
}

#[test]
fn a_configuration_is_checked_without_asking_etcd() {
    let folder = Folder::new();
    let text = "data_dir = \"data\"\n[store]\nkind = \"etcd\"\nendpoints = [\"https://127.0.0.1:1\"]\n";
    let file = folder.beside("strongroom.toml", text);
    let checked = output(strongroom().args(["check-config", "--config"]).arg(&file));
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && said.contains("/strongroom in etcd at https://127.0.0.1:1"), "{said}");
    fs::write(&file, format!("{text}password_file = \"p\"\nuser = \"u\"\n")).unwrap();
    refused(strongroom().args(["check-config", "--config"]).arg(&file), &["p: No such file"], "[store]");
}
