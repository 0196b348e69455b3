//! Servers whose records lie in etcd: they come and go, fail with it, and never two work on one store.

use std::fs;
use std::process::Command;
use std::thread::sleep;

use rustix::process::{Pid, Signal, kill_process};

use crate::etcd_server::EtcdServer;
use crate::refused::refused;
use crate::server::{Folder, STEP, Server, output, strongroom};

/// `strongroom serve` on an etcd.
fn serve(folder: &Folder, endpoints: &[String], more: &str) -> Command {
    let text = format!("[store]\nkind = \"etcd\"\nendpoints = {endpoints:?}\ntimeout_seconds = 3\n{more}");
    let mut command = folder.serve();
    command.arg("--config").arg(folder.beside("strongroom.toml", &text));
    command
}

/// Another folder with the same root file: another node of the same deployment.
fn another(folder: &Folder) -> Folder {
    let other = Folder::new();
    fs::create_dir(other.data()).unwrap();
    crate::server::set_mode(&other.data(), 0o700);
    fs::copy(folder.file("root.key"), other.file("root.key")).unwrap();
    other
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("nothing")
}

/// What needs the store: the keys that tokens are verified with.
fn keys(server: &Server) -> String {
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
    server.stop();
    let other = another(&folder);
    let server = Server::start_with(&other, &mut serve(&other, &etcd.endpoints(), ""));
    assert_eq!(server.health()["deployment"], deployment);
    server.stop();
}

#[test]
fn a_second_node_waits_for_its_turn_and_one_that_takes_over_locks_the_first_out() {
    let etcd = EtcdServer::start();
    let folder = Folder::new();
    let first = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    assert_eq!(status(&keys(&first)), "200");
    let other = another(&folder);
    let place = folder.data().display().to_string();
    refused(&mut serve(&other, &etcd.endpoints(), ""), &["/strongroom", "is in use by", &place], "--take-over");
    assert_eq!(status(&keys(&first)), "200");
    let second = Server::start_with(&other, serve(&other, &etcd.endpoints(), "").arg("--take-over"));
    assert_eq!(status(&keys(&second)), "200");
    assert_eq!(status(&keys(&first)), "503");
    first.stop();
    assert_eq!(status(&keys(&second)), "200");
    second.stop();
}

#[test]
fn a_node_that_was_killed_starts_again() {
    let etcd = EtcdServer::start();
    let folder = Folder::new();
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    server.signal(Signal::KILL);
    server.wait();
    Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), "")).stop();
}

#[test]
fn an_etcd_that_falls_silent_costs_503_and_nothing_else() {
    let etcd = EtcdServer::start();
    let folder = Folder::new();
    let server = Server::start_with(&folder, &mut serve(&folder, &etcd.endpoints(), ""));
    let signal = |signal| {
        kill_process(Pid::from_raw(i32::try_from(etcd.pid(0)).unwrap()).unwrap(), signal).unwrap();
    };
    signal(Signal::STOP);
    let silent = keys(&server);
    signal(Signal::CONT);
    assert_eq!(status(&silent), "503", "{silent}");
    for _ in 0..1000 {
        if status(&keys(&server)) == "200" {
            server.stop();
            return;
        }
        sleep(STEP);
    }
    panic!("it does not come back by itself");
}

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
    refused(&mut { odd }, &["`nothing`"], "prefix");
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
