//! `watch`: changes in order, from any kept revision.

use strongroom_store::{Change, HISTORY_REVISIONS, Revision, StoreError, Watch};
use tokio::task::JoinSet;

use crate::conformance;
use crate::fixture::{Fixture, delete, put, text, write};

conformance! {
    a_watch_sees_what_follows,
    a_watch_from_the_past_sees_every_change_since_with_the_value_of_then,
    a_change_is_told_with_the_commits_that_made_and_wrote_it,
    a_watch_is_told_of_one_commit_at_a_time_in_the_order_it_wrote,
    a_watch_keeps_to_its_prefix,
    a_watch_behind_a_revision_that_lies_ahead_waits_for_it,
    a_wait_that_is_given_up_loses_no_change,
    a_waiting_watch_is_woken_by_a_commit,
    every_watch_sees_every_change_of_many_writers_in_order,
    a_watch_that_falls_behind_is_told_so_and_ends,
}

/// The changes of one commit, readable.
async fn next(watch: &mut Box<dyn Watch>) -> Vec<String> {
    watch.next().await.unwrap().unwrap().iter().map(shown).collect()
}

fn shown(change: &Change) -> String {
    match change {
        Change::Put(entry) => format!("{}={}", entry.key, text(entry)),
        Change::Deleted(key, _) => format!("{key} deleted"),
    }
}

fn revision(change: &Change) -> Revision {
    match change {
        Change::Put(entry) => entry.modified,
        Change::Deleted(_, revision) => *revision,
    }
}

/// Whether the watch has nothing to tell right now.
async fn is_quiet(watch: &mut Box<dyn Watch>) -> bool {
    tokio::select! {
        biased;
        _ = watch.next() => false,
        () = passed_by_often() => true,
    }
}

/// Lets others run some rounds; longer than a watch needs to look through a short log.
async fn passed_by_often() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn a_watch_sees_what_follows(store: Fixture) {
    let before = store.put("k", "0").await;
    let mut watch = store.watch("", before).await.unwrap();
    assert!(is_quiet(&mut watch).await);
    store.put("k", "1").await;
    assert_eq!(next(&mut watch).await, ["k=1"]);
    assert!(is_quiet(&mut watch).await);
    store.delete("k").await;
    assert_eq!(next(&mut watch).await, ["k deleted"]);
}

async fn a_watch_from_the_past_sees_every_change_since_with_the_value_of_then(store: Fixture) {
    let start = store.revision().await.unwrap();
    store.put("k", "1").await;
    let second = store.put("k", "2").await;
    store.delete("k").await;
    store.put("k", "4").await;
    let mut watch = store.watch("k", start).await.unwrap();
    for expected in ["k=1", "k=2", "k deleted", "k=4"] {
        assert_eq!(next(&mut watch).await, [expected]);
    }
    let mut watch = store.watch("k", second).await.unwrap();
    assert_eq!(next(&mut watch).await, ["k deleted"]);
}

async fn a_change_is_told_with_the_commits_that_made_and_wrote_it(store: Fixture) {
    let start = store.revision().await.unwrap();
    let made = store.put("k", "1").await;
    let written = store.put("k", "2").await;
    let deleted = store.delete("k").await;
    let mut watch = store.watch("", start).await.unwrap();
    for (expected_created, expected) in [(Some(made), made), (Some(made), written), (None, deleted)] {
        let changes = watch.next().await.unwrap().unwrap();
        let created = match &changes[0] {
            Change::Put(entry) => Some(entry.created),
            Change::Deleted(..) => None,
        };
        assert_eq!((created, revision(&changes[0])), (expected_created, expected));
    }
}

async fn a_watch_is_told_of_one_commit_at_a_time_in_the_order_it_wrote(store: Fixture) {
    let start = store.put("gone", "").await;
    store.write(vec![put("z", "1"), delete("gone"), put("a", "1")]).await;
    store.write(vec![put("m", "2")]).await;
    let mut watch = store.watch("", start).await.unwrap();
    assert_eq!(next(&mut watch).await, ["z=1", "gone deleted", "a=1"]);
    assert_eq!(next(&mut watch).await, ["m=2"]);
}

async fn a_watch_keeps_to_its_prefix(store: Fixture) {
    let start = store.revision().await.unwrap();
    let mut watch = store.watch("p/", start).await.unwrap();
    store.write(vec![put("p", ""), put("p0", ""), put("q/", "")]).await;
    assert!(is_quiet(&mut watch).await);
    store.write(vec![put("q/1", ""), put("p/1", "v"), put("p", "")]).await;
    assert_eq!(next(&mut watch).await, ["p/1=v"]);
}

async fn a_watch_behind_a_revision_that_lies_ahead_waits_for_it(store: Fixture) {
    let now = store.put("k", "0").await;
    let mut watch = store.watch("", Revision(now.0 + 2)).await.unwrap();
    store.put("k", "1").await;
    store.put("k", "2").await;
    assert!(is_quiet(&mut watch).await);
    store.put("k", "3").await;
    assert_eq!(next(&mut watch).await, ["k=3"]);
}

async fn a_wait_that_is_given_up_loses_no_change(store: Fixture) {
    let start = store.revision().await.unwrap();
    let mut watch = store.watch("", start).await.unwrap();
    for round in 0..20 {
        assert!(is_quiet(&mut watch).await);
        store.put("k", &round.to_string()).await;
        assert_eq!(next(&mut watch).await, [format!("k={round}")]);
    }
}

async fn a_waiting_watch_is_woken_by_a_commit(store: Fixture) {
    let start = store.revision().await.unwrap();
    let mut watch = store.watch("", start).await.unwrap();
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { next(&mut watch).await });
    passed_by_often().await;
    store.put("k", "1").await;
    assert_eq!(waiting.join_next().await.unwrap().unwrap(), ["k=1"]);
}

async fn every_watch_sees_every_change_of_many_writers_in_order(store: Fixture) {
    let start = store.revision().await.unwrap();
    let mut watchers = JoinSet::new();
    for _ in 0..3 {
        let mut watch = store.watch("n/", start).await.unwrap();
        watchers.spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < 200 {
                seen.extend(watch.next().await.unwrap().unwrap().iter().map(revision));
            }
            seen
        });
    }
    let mut writers = JoinSet::new();
    for task in 0..8 {
        let store = store.share();
        writers.spawn(async move {
            for n in 0..25 {
                write(&*store, vec![put(&format!("n/{task}"), &n.to_string())]).await;
            }
        });
    }
    writers.join_all().await;
    let expected: Vec<Revision> = (1..=200).map(|step| Revision(start.0 + step)).collect();
    for seen in watchers.join_all().await {
        assert_eq!(seen, expected);
    }
}

async fn a_watch_that_falls_behind_is_told_so_and_ends(store: Fixture) {
    let start = store.put("k", "first").await;
    let mut watch = store.watch("k", start).await.unwrap();
    store.put("k", "missed").await;
    let mut writers = JoinSet::new();
    for _ in 0..64 {
        let store = store.share();
        writers.spawn(async move {
            for _ in 0..=HISTORY_REVISIONS / 64 {
                write(&*store, vec![put("other", "")]).await;
            }
        });
    }
    writers.join_all().await;
    store.forget().await;
    assert!(matches!(watch.next().await, Some(Err(StoreError::Compacted(behind))) if behind == start));
    assert!(watch.next().await.is_none());
}
