//! Requests and answers that are held up on the way to one endpoint, while another one answers.

use std::time::Duration;

use strongroom_store::{EtcdOptions, EtcdStore, Kv, StoreError};

use crate::fixture::{committed, delete_of, next, open, options, put, put_of, until, value};
use crate::relay::Relay;
use crate::server::EtcdServer;

/// A store that uses the relay until that fails, and then the member itself; and one that uses the member all the time.
struct Test {
    relay: Relay,
    store: EtcdStore,
    other: EtcdStore,
    _server: EtcdServer,
}

impl Test {
    async fn begin() -> Self {
        let server = EtcdServer::start();
        let relay = Relay::to(&server.endpoints()[0]);
        let other = open(&server).await;
        put(&other, "k", "1").await;
        let endpoints = vec![relay.endpoint.clone(), server.endpoints()[0].clone()];
        let options = EtcdOptions { endpoints, timeout: Duration::from_secs(3), ..options(&server) };
        let store = EtcdStore::open(options).await.unwrap();
        Self { relay, store, other, _server: server }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_held_up_is_sent_again_and_is_not_done_late() {
    let Test { relay, store, other, _server } = Test::begin().await;
    let mut watch = other.watch("", other.revision().await.unwrap()).await.unwrap();
    relay.requests.hold();
    // Without a precondition: nothing but its turn keeps it from being done late.
    put(&store, "k", "2").await;
    put(&store, "k", "3").await;
    relay.answers.hold();
    relay.requests.release();
    until(async || relay.answers.has_held()).await;
    assert_eq!(value(&other, "k").await.unwrap(), "3");
    put(&other, "k", "4").await;
    for value in ["2", "3", "4"] {
        assert_eq!(next(&mut watch).await, [format!("k={value}")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_only_makes_keys_is_sent_again_as_well() {
    let Test { relay, store, other, _server } = Test::begin().await;
    relay.requests.hold();
    let revision = put(&store, "new", "1").await;
    assert_eq!(other.get("new").await.unwrap().unwrap().modified, revision);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_held_up_is_acknowledged_and_done_once() {
    let Test { relay, store, other, _server } = Test::begin().await;
    let mut watch = other.watch("", other.revision().await.unwrap()).await.unwrap();
    relay.answers.hold();
    let revision = put(&store, "k", "2").await;
    assert_eq!(other.get("k").await.unwrap().unwrap().modified, revision);
    put(&other, "k", "3").await;
    assert_eq!([next(&mut watch).await, next(&mut watch).await], [["k=2"], ["k=3"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_held_up_is_acknowledged_though_others_have_removed_what_it_made() {
    let Test { relay, store, other, _server } = Test::begin().await;
    let mut watch = other.watch("", other.revision().await.unwrap()).await.unwrap();
    relay.answers.hold();
    let remove = async {
        until(async || other.get("new").await.unwrap().is_some()).await;
        let made = other.get("new").await.unwrap().unwrap().modified;
        committed(other.commit(delete_of("new")).await);
        made
    };
    let (done, made) = tokio::join!(store.commit(put_of("new", b"1")), remove);
    assert_eq!(committed(done), made);
    put(&other, "k", "2").await;
    for change in ["new=1", "new deleted", "k=2"] {
        assert_eq!(next(&mut watch).await, [change]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_under_way_when_the_store_is_closed_may_have_been_done() {
    let Test { relay, store, other, _server } = Test::begin().await;
    relay.answers.hold();
    let close = async {
        until(async || value(&other, "k").await.unwrap() == "2").await;
        store.close().await.unwrap();
    };
    let (cut_off, ()) = tokio::join!(store.commit(put_of("k", b"2")), close);
    assert!(matches!(cut_off, Err(StoreError::OutcomeUnknown(_))), "{cut_off:?}");
    let late = store.commit(put_of("k", b"3")).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
}
