//! `close`: nothing works afterwards, nobody waits for ever.

use strongroom_store::{Commit, StoreError};
use tokio::task::JoinSet;

use crate::conformance;
use crate::fixture::{Fixture, put};

conformance! {
    a_closed_store_is_unavailable_for_everything,
    a_watch_ends_when_the_store_is_closed,
    commits_in_flight_are_answered_when_the_store_is_closed,
}

fn is_unavailable<T>(answer: Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable(_)))
}

async fn a_closed_store_is_unavailable_for_everything(store: Fixture) {
    let revision = store.put("k", "1").await;
    store.close().await.unwrap();
    assert_eq!(store.shown(), None);
    assert!(is_unavailable(store.get("k").await));
    assert!(is_unavailable(store.get_unless("k", revision).await));
    assert!(is_unavailable(store.range("", None, 10, None).await));
    assert!(is_unavailable(store.range("", None, 10, Some(revision)).await));
    assert!(is_unavailable(store.commit(Commit::default()).await));
    assert!(is_unavailable(store.commit(Commit { preconditions: vec![], writes: vec![put("k", "2")] }).await));
    assert!(is_unavailable(store.watch("", revision).await));
    assert!(is_unavailable(store.revision().await));
    assert!(is_unavailable(store.close().await));
}

async fn a_watch_ends_when_the_store_is_closed(store: Fixture) {
    let revision = store.put("k", "1").await;
    let mut waiting = store.watch("", revision).await.unwrap();
    let mut idle = store.watch("", revision).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { waiting.next().await.is_none() });
    store.close().await.unwrap();
    assert!(tasks.join_next().await.unwrap().unwrap());
    assert!(idle.next().await.is_none());
    assert!(idle.next().await.is_none());
}

async fn commits_in_flight_are_answered_when_the_store_is_closed(store: Fixture) {
    let mut tasks = JoinSet::new();
    for n in 0..500 {
        let store = store.share();
        tasks.spawn(async move {
            let writes = vec![put(&n.to_string(), "")];
            store.commit(Commit { preconditions: vec![], writes }).await
        });
    }
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    for answer in tasks.join_all().await {
        let unknown = store.over_a_network && matches!(answer, Err(StoreError::OutcomeUnknown(_)));
        assert!(unknown || matches!(answer, Ok(_) | Err(StoreError::Unavailable(_))), "{answer:?}");
    }
}
