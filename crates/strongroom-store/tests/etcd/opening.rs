//! Who may open which store.

use std::time::Duration;

use strongroom_store::{EtcdOpenError, EtcdOptions, EtcdStore, Kv, StoreError};

use crate::fixture::{PREFIX, node, open, options, put, put_of, raw, signal, value};
use crate::server::EtcdServer;

fn is_unavailable<T>(answer: Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable(_)))
}

async fn refused(options: EtcdOptions) -> EtcdOpenError {
    EtcdStore::open(options).await.err().expect("it is refused")
}

#[tokio::test]
async fn what_was_written_is_there_when_the_store_is_opened_again() {
    let server = EtcdServer::start();
    let store = open(&server).await;
    let revision = put(&store, "k", "v").await;
    store.close().await.unwrap();
    let store = EtcdStore::open(EtcdOptions { node: node("two"), ..options(&server) }).await.unwrap();
    assert_eq!(store.get("k").await.unwrap().unwrap().modified, revision);
}

#[tokio::test]
async fn two_prefixes_are_two_stores() {
    let server = EtcdServer::start();
    let one = open(&server).await;
    let other = EtcdOptions { prefix: format!("{PREFIX}/data"), node: node("two"), ..options(&server) };
    let beside = EtcdOptions { prefix: "/tests/one-more".to_owned(), node: node("two"), ..options(&server) };
    let other = EtcdStore::open(other).await.unwrap();
    let beside = EtcdStore::open(beside).await.unwrap();
    put(&beside, "k", "beside").await;
    assert_eq!(value(&one, "k").await, None);
    put(&other, "k", "other").await;
    assert_eq!(value(&beside, "k").await.as_deref(), Some("beside"));
    assert_eq!(value(&one, "k").await, None);
}

#[tokio::test]
async fn a_second_node_is_refused_while_one_has_the_store() {
    let server = EtcdServer::start();
    let first = open(&server).await;
    let second = EtcdOptions { node: node("two"), ..options(&server) };
    let error = refused(second.clone()).await;
    assert!(matches!(&error, EtcdOpenError::Occupied { place, .. } if place == "the place of one"), "{error}");
    assert!(error.remedy().contains("--take-over"));
    put(&first, "k", "still").await;
    first.close().await.unwrap();
    assert!(EtcdStore::open(second).await.is_ok());
}

#[tokio::test]
async fn a_node_that_crashed_opens_its_store_again_and_no_other_does() {
    let server = EtcdServer::start();
    let crashed = open(&server).await;
    put(&crashed, "k", "v").await;
    drop(crashed);
    let other = EtcdOptions { node: node("two"), ..options(&server) };
    assert!(matches!(refused(other).await, EtcdOpenError::Occupied { .. }));
    assert_eq!(value(&open(&server).await, "k").await.as_deref(), Some("v"));
}

#[tokio::test]
async fn a_node_whose_store_was_taken_over_can_neither_read_nor_write() {
    let server = EtcdServer::start();
    let old = open(&server).await;
    let revision = put(&old, "k", "old").await;
    let new = EtcdOptions { node: node("two"), take_over: true, ..options(&server) };
    let new = EtcdStore::open(new).await.unwrap();
    assert!(is_unavailable(old.commit(put_of("k", b"late")).await));
    assert!(is_unavailable(old.get("k").await));
    assert!(is_unavailable(old.range("", None, 10, None).await));
    assert!(is_unavailable(old.range("", None, 10, Some(revision)).await));
    assert!(is_unavailable(old.watch("", revision).await));
    assert!(is_unavailable(old.revision().await));
    assert_eq!(value(&new, "k").await.as_deref(), Some("old"));
    // Not even its goodbye takes anything from the new owner.
    old.close().await.unwrap();
    put(&new, "k", "new").await;
}

#[tokio::test]
async fn a_first_read_shows_as_well_that_the_store_was_taken_over() {
    let server = EtcdServer::start();
    let old = open(&server).await;
    put(&old, "k", "old").await;
    EtcdStore::open(EtcdOptions { node: node("two"), take_over: true, ..options(&server) }).await.unwrap();
    assert!(is_unavailable(old.get("k").await));
    assert!(is_unavailable(old.commit(put_of("k", b"late")).await));
}

#[tokio::test]
async fn of_many_nodes_that_come_at_once_one_gets_an_empty_store() {
    let server = EtcdServer::start();
    let mut nodes = tokio::task::JoinSet::new();
    for index in 0..8 {
        let options = EtcdOptions { node: node(&index.to_string()), ..options(&server) };
        nodes.spawn(async move { EtcdStore::open(options).await.is_ok() });
    }
    assert_eq!(nodes.join_all().await.into_iter().filter(|opened| *opened).count(), 1);
}

#[tokio::test]
async fn what_is_no_store_is_left_alone() {
    let server = EtcdServer::start();
    let mut client = raw(&server).await;
    client.put(format!("{PREFIX}/something"), "else", None).await.unwrap();
    let error = refused(options(&server)).await;
    assert!(matches!(error, EtcdOpenError::Foreign { .. }), "{error}");
    client.put(format!("{PREFIX}/format"), "of another program", None).await.unwrap();
    assert!(matches!(refused(options(&server)).await, EtcdOpenError::Foreign { .. }));
    assert!(client.get(format!("{PREFIX}/owner"), None).await.unwrap().kvs().is_empty());
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let server = EtcdServer::start();
    open(&server).await.close().await.unwrap();
    raw(&server).await.put(format!("{PREFIX}/format"), "strongroom store 2\n", None).await.unwrap();
    let error = refused(options(&server)).await;
    assert!(matches!(error, EtcdOpenError::NewerFormat { found: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_prefix_that_is_none_is_refused() {
    let server = EtcdServer::start();
    let error = refused(EtcdOptions { prefix: "strongroom/".to_owned(), ..options(&server) }).await;
    assert!(matches!(error, EtcdOpenError::Prefix(_)), "{error}");
}

#[tokio::test]
async fn nobody_there_and_no_quorum_are_told_apart() {
    let mut server = EtcdServer::start_with(3, "http", &[]);
    let options = EtcdOptions { timeout: Duration::from_secs(6), ..options(&server) };
    open(&server).await.close().await.unwrap();
    server.kill(0);
    server.kill(1);
    let error = refused(options.clone()).await;
    assert!(matches!(error, EtcdOpenError::NoQuorum { .. }), "{error}");
    server.kill(2);
    let error = refused(options).await;
    assert!(matches!(error, EtcdOpenError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_member_that_hangs_does_not_hang_the_start() {
    let server = EtcdServer::start();
    let options = EtcdOptions { timeout: Duration::from_secs(2), ..options(&server) };
    signal(&server, 0, "-STOP");
    let error = refused(options.clone()).await;
    signal(&server, 0, "-CONT");
    assert!(matches!(error, EtcdOpenError::Unreachable { .. }), "{error}");
    assert!(EtcdStore::open(options).await.is_ok());
}

#[tokio::test]
async fn one_member_of_those_named_is_enough_to_open() {
    let mut server = EtcdServer::start_with(3, "http", &[]);
    server.kill(0);
    let store = open(&server).await;
    put(&store, "k", "v").await;
}
