//! Members that are killed, that hang, that come back.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strongroom_store::{Commit, EtcdOptions, EtcdStore, Kv, Outcome, Precondition, StoreError};

use crate::fixture::{PREFIX, next, open, options, put, put_at_last, put_of, raw, until, value};
use crate::server::EtcdServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_member_is_killed_every_write_is_done_once() {
    let mut server = EtcdServer::start_with(3, "http", &[]);
    let store = open(&server).await;
    let start = store.revision().await.unwrap();
    let mut watch = store.watch("", start).await.unwrap();
    for member in 0..3 {
        put(&store, "k", &format!("before {member}")).await;
        server.kill(member);
        // It may meet the broken connection, and then a member that has yet to notice that its leader is gone.
        put(&store, "k", &format!("without {member}")).await;
        assert_eq!(value(&store, "k").await.unwrap(), format!("without {member}"));
        put(&store, "k", &format!("calm {member}")).await;
        server.restart(member);
    }
    for member in 0..3 {
        for word in ["before", "without", "calm"] {
            assert_eq!(
                next(&mut watch).await,
                [format!("k={word} {member}")],
                "nothing is missing, nothing comes twice"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_two_nodes_count_together_while_members_hang() {
    let server = EtcdServer::start_with(3, "http", &[]);
    let options = EtcdOptions { timeout: Duration::from_secs(2), ..options(&server) };
    let nodes = [EtcdStore::open(options.clone()).await.unwrap(), EtcdStore::open(options).await.unwrap()];
    put(&nodes[0], "sum", "0 of nobody").await;
    let hang = async {
        for member in 0..3 {
            server.signal(member, "-STOP");
            tokio::time::sleep(Duration::from_secs(3)).await;
            server.signal(member, "-CONT");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let ended = AtomicBool::new(false);
    let hang = async {
        hang.await;
        ended.store(true, Ordering::Release);
    };
    let ((), first, second) = tokio::join!(hang, count(&nodes[0], "a", &ended), count(&nodes[1], "b", &ended));
    let (done, unknown) = (first.0 + second.0, first.1 + second.1);
    until(async || nodes[0].get("sum").await.is_ok()).await;
    let sum = number(&value(&nodes[0], "sum").await.unwrap());
    println!("{done} acknowledged, {unknown} unknown, the sum is {sum}");
    assert!(done <= sum && sum <= done + unknown, "{done} were acknowledged, {unknown} are unknown, the sum is {sum}");
    assert!(done > 20, "hardly anything was counted: {done}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_hangs_costs_one_time_limit_and_no_more() {
    let server = EtcdServer::start_with(3, "http", &[]);
    let options = EtcdOptions { timeout: Duration::from_secs(3), ..options(&server) };
    let store = EtcdStore::open(options).await.unwrap();
    put(&store, "k", "before").await;
    led_by_another(&server, 0).await;
    server.signal(0, "-STOP");
    // A read goes to the next member by itself.
    assert_eq!(value(&store, "k").await.unwrap(), "before");
    put_at_last(&store, "k", "after").await;
    server.signal(0, "-CONT");
    assert_eq!(value(&store, "k").await.unwrap(), "after");
}

/// Makes another member lead than one that is to hang: choosing a leader may take longer than a call.
async fn led_by_another(server: &EtcdServer, member: usize) {
    let endpoint = server.endpoints().into_iter().nth(member).unwrap();
    let mut client = etcd_client::Client::connect([endpoint], None).await.unwrap();
    for _ in 0..300 {
        let status = client.status().await.unwrap();
        let own = status.header().unwrap().member_id();
        if status.leader() != own && status.leader() != 0 {
            return;
        }
        let members = client.member_list().await.unwrap();
        let other = members.members().iter().map(etcd_client::Member::id).find(|id| *id != own).unwrap();
        // Refused while there is no leader, and while the other has not caught up.
        let _ = client.move_leader(other).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no other member leads");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_every_call_ends_and_with_one_all_go_on() {
    let mut server = EtcdServer::start_with(3, "http", &[]);
    let options = EtcdOptions { timeout: Duration::from_secs(3), ..options(&server) };
    let store = EtcdStore::open(options).await.unwrap();
    let revision = put(&store, "k", "1").await;
    let mut watch = store.watch("", revision).await.unwrap();
    server.kill(1);
    server.kill(2);
    for _ in 0..2 {
        let failed = store.commit(put_of("k", b"2")).await;
        assert!(matches!(failed, Err(StoreError::OutcomeUnknown(_) | StoreError::Unavailable(_))), "{failed:?}");
        assert!(matches!(store.get("k").await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.range("", None, 1, None).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.revision().await, Err(StoreError::Unavailable(_))));
    }
    // Both at once: neither becomes healthy alone at the first start after a crash.
    server.restart(1);
    server.restart(2);
    until(async || store.get("k").await.is_ok()).await;
    put_at_last(&store, "k", "3").await;
    loop {
        if next(&mut watch).await == ["k=3"] {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_says_so_and_repeating_it_with_its_precondition_is_safe() {
    let mut server = EtcdServer::start();
    let options = EtcdOptions { timeout: Duration::from_secs(2), ..options(&server) };
    let store = EtcdStore::open(options).await.unwrap();
    let first = put(&store, "sum", "0").await;
    let increment = Commit { preconditions: vec![Precondition::Unchanged("sum".into(), first)], ..put_of("sum", b"1") };
    server.signal(0, "-STOP");
    let lost = store.commit(increment.clone()).await;
    assert!(matches!(lost, Err(StoreError::OutcomeUnknown(_))), "{lost:?}");
    server.signal(0, "-CONT");
    // The member had the request in its socket and does it now, or never.
    until(async || store.get("sum").await.is_ok()).await;
    let repeated = store.commit(increment).await.unwrap();
    let now = value(&store, "sum").await.unwrap();
    assert_eq!(now, "1", "{repeated:?}");
    assert!(matches!(repeated, Outcome::Conflict | Outcome::Committed(_)));
    // Nobody there at all: nothing was sent, so nothing is unknown.
    server.kill(0);
    let unsent = loop {
        // The first may still meet the connection that broke.
        match store.commit(put_of("sum", b"2")).await {
            Err(StoreError::OutcomeUnknown(_)) => {}
            answer => break answer,
        }
    };
    assert!(matches!(unsent, Err(StoreError::Unavailable(_))), "{unsent:?}");
    server.restart(0);
    assert_eq!(value(&store, "sum").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_put_back_shows_it_in_the_revisions_of_its_commits() {
    let mut server = EtcdServer::start();
    let store = open(&server).await;
    put(&store, "k", "1").await;
    let copies = tempfile::tempdir().unwrap();
    let older = copies.path().join("older");
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
    };
    server.kill(0);
    copy(&server.data(0), &older);
    server.restart(0);
    // Somebody loses an answer: this node learns of a turn that the copy knows nothing of.
    raw(&server).await.put(format!("{PREFIX}/turn"), "", None).await.unwrap();
    let newest = put(&store, "k", "2").await;
    server.kill(0);
    std::fs::remove_dir_all(server.data(0)).unwrap();
    copy(&older, &server.data(0));
    server.restart(0);
    put_at_last(&store, "k", "3").await;
    let entry = store.get("k").await.unwrap().unwrap();
    assert!(entry.value == b"3" && entry.modified <= newest, "{entry:?}");
}

/// Adds one to the sum again and again; how often that was acknowledged, and how often nobody could say. The value says whose it is:
/// no two writes are ever the same.
async fn count(store: &EtcdStore, name: &str, ended: &AtomicBool) -> (u64, u64) {
    let (mut done, mut unknown) = (0, 0);
    while !ended.load(Ordering::Acquire) {
        let Ok(Some(entry)) = store.get("sum").await else { continue };
        let sum = number(&String::from_utf8(entry.value).unwrap());
        let preconditions = vec![Precondition::Unchanged("sum".into(), entry.modified)];
        let value = format!("{} of {name}", sum + 1);
        match store.commit(Commit { preconditions, ..put_of("sum", value.as_bytes()) }).await {
            Ok(Outcome::Committed(_)) => done += 1,
            Ok(Outcome::Conflict) | Err(StoreError::Unavailable(_)) => {}
            Err(StoreError::OutcomeUnknown(_)) => unknown += 1,
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (done, unknown)
}

/// What the value begins with.
fn number(value: &str) -> u64 {
    value.split(' ').next().unwrap().parse().unwrap()
}
