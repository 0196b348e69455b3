//! Who may open which store.

use std::time::Duration;

use strongroom_store::{EtcdOpenError, EtcdOptions, EtcdStore, Kv, Revision, StoreError};

use crate::fixture::{PREFIX, open, options, put, put_of, raw, value};
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
    let store = open(&server).await;
    assert_eq!(store.get("k").await.unwrap().unwrap().modified, revision);
}

#[tokio::test]
async fn two_prefixes_are_two_stores() {
    let server = EtcdServer::start();
    let one = open(&server).await;
    let other = EtcdOptions { prefix: format!("{PREFIX}/data"), ..options(&server) };
    let beside = EtcdOptions { prefix: "/tests/one-more".to_owned(), ..options(&server) };
    let other = EtcdStore::open(other).await.unwrap();
    let beside = EtcdStore::open(beside).await.unwrap();
    put(&beside, "k", "beside").await;
    assert_eq!(value(&one, "k").await, None);
    put(&other, "k", "other").await;
    assert_eq!(value(&beside, "k").await.as_deref(), Some("beside"));
    assert_eq!(value(&one, "k").await, None);
}

#[tokio::test]
async fn nodes_that_come_at_once_all_open_an_empty_prefix_and_share_what_they_write() {
    let server = EtcdServer::start();
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let options = options(&server);
        nodes.spawn(async move { EtcdStore::open(options).await.unwrap() });
    }
    let nodes = nodes.join_all().await;
    for (index, node) in nodes.iter().enumerate() {
        put(node, &index.to_string(), "v").await;
    }
    for node in &nodes {
        assert_eq!(node.range("", None, 10, None).await.unwrap().entries.len(), nodes.len());
    }
    // One that leaves takes nothing from the others.
    nodes[0].close().await.unwrap();
    assert_eq!(value(&nodes[1], "0").await.as_deref(), Some("v"));
}

/// What every call says once something else lies at the prefix.
async fn is_lost(store: &EtcdStore, revision: Revision) {
    assert!(is_unavailable(store.commit(put_of("k", b"late")).await));
    assert!(is_unavailable(store.get("k").await));
    assert!(is_unavailable(store.range("", None, 10, None).await));
    assert!(is_unavailable(store.range("", None, 10, Some(revision)).await));
    assert!(is_unavailable(store.watch("", revision).await));
    assert!(is_unavailable(store.revision().await));
    let cause = store.get("k").await.unwrap_err().to_string();
    assert!(cause.contains("no longer the store") && !cause.contains('\n'), "{cause}");
}

#[tokio::test]
async fn a_prefix_that_was_wiped_is_not_mistaken_for_the_store_even_if_another_is_made_there() {
    let server = EtcdServer::start();
    let old = open(&server).await;
    let revision = put(&old, "k", "old").await;
    let everything = etcd_client::DeleteOptions::new().with_prefix();
    raw(&server).await.delete(format!("{PREFIX}/"), Some(everything)).await.unwrap();
    let new = open(&server).await;
    put(&new, "k", "new").await;
    is_lost(&old, revision).await;
    assert_eq!(value(&new, "k").await.as_deref(), Some("new"));
    old.close().await.unwrap();
}

#[tokio::test]
async fn a_first_read_and_a_first_write_show_that_the_format_went_away() {
    let server = EtcdServer::start();
    for write_first in [false, true] {
        let store = open(&server).await;
        let revision = put(&store, "k", "v").await;
        raw(&server).await.delete(format!("{PREFIX}/format"), None).await.unwrap();
        if write_first {
            assert!(is_unavailable(store.commit(put_of("k", b"late")).await));
        } else {
            assert!(is_unavailable(store.get("k").await));
        }
        // Not even when the record is put back: in between it may have been anything.
        raw(&server).await.put(format!("{PREFIX}/format"), "strongroom store 2\n", None).await.unwrap();
        is_lost(&store, revision).await;
    }
}

#[tokio::test]
async fn a_node_of_this_release_does_not_write_to_a_form_that_a_newer_one_has_made_of_its_store() {
    let server = EtcdServer::start();
    let store = open(&server).await;
    let revision = put(&store, "k", "v").await;
    raw(&server).await.put(format!("{PREFIX}/format"), "strongroom store 3\n", None).await.unwrap();
    is_lost(&store, revision).await;
}

/// What form 1 left at the prefix.
async fn of_form_1(server: &EtcdServer, owner: Option<&str>) -> etcd_client::Client {
    let mut client = raw(server).await;
    client.put(format!("{PREFIX}/format"), "strongroom store 1\n", None).await.unwrap();
    client.put(format!("{PREFIX}/data/k"), "v", None).await.unwrap();
    if let Some(owner) = owner {
        client.put(format!("{PREFIX}/owner"), owner, None).await.unwrap();
    }
    client
}

#[tokio::test]
async fn a_store_of_form_1_is_brought_into_the_form_of_this_release_by_nodes_that_come_at_once() {
    let server = EtcdServer::start();
    let mut client = of_form_1(&server, None).await;
    let (one, two) = tokio::join!(open(&server), open(&server));
    assert_eq!(value(&one, "k").await.as_deref(), Some("v"));
    put(&two, "k", "w").await;
    assert_eq!(value(&one, "k").await.as_deref(), Some("w"));
    let format = client.get(format!("{PREFIX}/format"), None).await.unwrap();
    assert_eq!(format.kvs()[0].value(), b"strongroom store 2\n");
}

#[tokio::test]
async fn a_store_of_form_1_stays_with_the_node_that_has_it() {
    let server = EtcdServer::start();
    let mut client = of_form_1(&server, Some("one\nhost-a:/data\n")).await;
    let error = refused(options(&server)).await;
    assert!(matches!(&error, EtcdOpenError::Owned { place, .. } if place == "host-a:/data"), "{error}");
    assert!(error.remedy().contains("stop that node"), "{}", error.remedy());
    let command = error.remedy().rsplit_once(": ").unwrap().1.to_owned();
    assert_eq!(command, format!("etcdctl del {PREFIX}/owner"));
    client.delete(command.strip_prefix("etcdctl del ").unwrap(), None).await.unwrap();
    assert_eq!(value(&open(&server).await, "k").await.as_deref(), Some("v"));
}

#[tokio::test]
async fn whoever_only_looks_finds_a_store_and_changes_nothing() {
    let server = EtcdServer::start();
    let observe = async || EtcdStore::observe(options(&server)).await;
    let error = observe().await.err().expect("nothing is there");
    assert!(matches!(error, EtcdOpenError::Missing { .. }), "{error}");
    let mut client = of_form_1(&server, None).await;
    let error = observe().await.err().expect("it would have to be changed");
    assert!(matches!(error, EtcdOpenError::OlderFormat { found: 1, .. }), "{error}");
    let store = open(&server).await;
    let revision = put(&store, "k", "v").await;
    let looker = observe().await.unwrap();
    assert_eq!(value(&looker, "k").await.as_deref(), Some("v"));
    assert!(is_unavailable(looker.commit(put_of("k", b"w")).await));
    assert!(is_unavailable(looker.forget().await));
    looker.close().await.unwrap();
    assert_eq!(store.revision().await.unwrap(), revision, "nothing was written");
    client.put(format!("{PREFIX}/format"), "strongroom store 3\n", None).await.unwrap();
    let error = observe().await.err().expect("it is too new");
    assert!(matches!(error, EtcdOpenError::NewerFormat { found: 3, .. }), "{error}");
}

#[tokio::test]
async fn whoever_enters_finds_a_store_and_may_change_what_is_in_it_but_not_its_form() {
    let server = EtcdServer::start();
    let enter = async || EtcdStore::enter(options(&server)).await;
    let error = enter().await.err().expect("nothing is there");
    assert!(matches!(error, EtcdOpenError::Missing { .. }), "{error}");
    let mut client = of_form_1(&server, None).await;
    let error = enter().await.err().expect("it would have to be changed");
    assert!(matches!(error, EtcdOpenError::OlderFormat { found: 1, .. }), "{error}");
    let format = client.get(format!("{PREFIX}/format"), None).await.unwrap();
    assert_eq!(format.kvs()[0].value(), b"strongroom store 1\n", "nothing was written");
    let store = open(&server).await;
    let before = store.revision().await.unwrap();
    let entered = enter().await.unwrap();
    assert_eq!(store.revision().await.unwrap(), before);
    put(&entered, "k", "w").await;
    assert_eq!(value(&store, "k").await.as_deref(), Some("w"));
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
    let format = client.get(format!("{PREFIX}/format"), None).await.unwrap();
    assert_eq!(format.kvs()[0].value(), b"of another program");
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let server = EtcdServer::start();
    open(&server).await.close().await.unwrap();
    raw(&server).await.put(format!("{PREFIX}/format"), "strongroom store 3\n", None).await.unwrap();
    let error = refused(options(&server)).await;
    assert!(matches!(error, EtcdOpenError::NewerFormat { found: 3, .. }), "{error}");
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
    server.signal(0, "-STOP");
    let error = refused(options.clone()).await;
    server.signal(0, "-CONT");
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
