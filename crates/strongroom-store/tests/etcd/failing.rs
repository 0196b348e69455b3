//! Members that are killed, that hang, that come back.

use std::time::Duration;

use strongroom_store::{EtcdOptions, EtcdStore, Kv, StoreError};

use crate::fixture::{next, open, options, put, put_at_last, put_of, signal, until, value};
use crate::server::EtcdServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_member_is_killed_a_client_that_repeats_is_served() {
    let mut server = EtcdServer::start_with(3, "http", &[]);
    let store = open(&server).await;
    let start = store.revision().await.unwrap();
    let mut watch = store.watch("", start).await.unwrap();
    let mut told = 0;
    for member in 0..3 {
        put(&store, "k", &format!("before {member}")).await;
        server.kill(member);
        // The first write may meet the broken connection, the second a member that has yet to notice that its leader is gone.
        let failures = put_at_last(&store, "k", &format!("without {member}")).await;
        println!("member {member} killed: {failures} failed writes");
        assert_eq!(value(&store, "k").await.unwrap(), format!("without {member}"));
        assert_eq!(put_at_last(&store, "k", &format!("calm {member}")).await, 0);
        server.restart(member);
    }
    // Nothing that was acknowledged is missing in the watch, and nothing comes twice.
    let mut seen = Vec::new();
    while told < 9 {
        let changes = next(&mut watch).await;
        assert_eq!(changes.len(), 1);
        if seen.last() != Some(&changes[0]) {
            told += 1;
        }
        seen.extend(changes);
    }
    let mut distinct = seen.clone();
    distinct.dedup();
    let expected: Vec<String> =
        (0..3).flat_map(|member| ["before", "without", "calm"].map(|word| format!("k={word} {member}"))).collect();
    assert_eq!(distinct, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_hangs_costs_one_time_limit_and_no_more() {
    let server = EtcdServer::start_with(3, "http", &[]);
    let options = EtcdOptions { timeout: Duration::from_secs(3), ..options(&server) };
    let store = EtcdStore::open(options).await.unwrap();
    put(&store, "k", "before").await;
    signal(&server, 0, "-STOP");
    // A read goes to the next member by itself.
    assert_eq!(value(&store, "k").await.unwrap(), "before");
    put_at_last(&store, "k", "after").await;
    signal(&server, 0, "-CONT");
    assert_eq!(value(&store, "k").await.unwrap(), "after");
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
    use strongroom_store::{Commit, Outcome, Precondition};
    let mut server = EtcdServer::start();
    let options = EtcdOptions { timeout: Duration::from_secs(2), ..options(&server) };
    let store = EtcdStore::open(options).await.unwrap();
    let first = put(&store, "sum", "0").await;
    let increment = Commit { preconditions: vec![Precondition::Unchanged("sum".into(), first)], ..put_of("sum", b"1") };
    signal(&server, 0, "-STOP");
    let lost = store.commit(increment.clone()).await;
    assert!(matches!(lost, Err(StoreError::OutcomeUnknown(_))), "{lost:?}");
    signal(&server, 0, "-CONT");
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
