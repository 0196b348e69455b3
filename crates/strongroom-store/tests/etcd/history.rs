//! History that is compacted away: under a watch, under a list, by this node and by others.

use std::sync::Arc;

use strongroom_store::{Commit, HISTORY_REVISIONS, Kv, LIMIT_MAX, Revision, StoreError, Write};
use tokio::task::JoinSet;

use crate::fixture::{committed, delete_of, next, open, put, put_of, raw};
use crate::server::EtcdServer;

fn is_compacted<T>(answer: Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Compacted(_)))
}

/// What an operator, or another program on the same cluster, may do at any moment.
async fn compact(server: &EtcdServer, revision: Revision) {
    raw(server).await.compact(i64::try_from(revision.0).unwrap(), None).await.unwrap();
}

#[tokio::test]
async fn a_watch_that_broke_off_goes_on_where_it_was() {
    let mut server = EtcdServer::start();
    let store = open(&server).await;
    let start = put(&store, "k", "0").await;
    let mut watch = store.watch("k", start).await.unwrap();
    put(&store, "k", "1").await;
    assert_eq!(next(&mut watch).await, ["k=1"]);
    server.kill(0);
    server.restart(0);
    crate::fixture::put_at_last(&store, "k", "2").await;
    committed(store.commit(delete_of("k")).await);
    let mut told = next(&mut watch).await;
    while told == ["k=2"] {
        told = next(&mut watch).await;
    }
    assert_eq!(told, ["k deleted"]);
}

#[tokio::test]
async fn a_watch_whose_history_went_while_it_was_broken_is_told_so() {
    let mut server = EtcdServer::start();
    let store = open(&server).await;
    let start = put(&store, "k", "0").await;
    let mut watch = store.watch("k", start).await.unwrap();
    // Nobody reads the stream now, and it breaks before anybody does.
    server.kill(0);
    server.restart(0);
    crate::fixture::put_at_last(&store, "k", "missed").await;
    let deleted = committed(store.commit(delete_of("k")).await);
    let last = put(&store, "other", "").await;
    assert!(last > deleted);
    compact(&server, last).await;
    assert!(matches!(watch.next().await, Some(Err(StoreError::Compacted(behind))) if behind == start));
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_deletion_at_the_edge_of_what_was_compacted_is_never_lost_without_a_word() {
    let server = EtcdServer::start();
    let store = open(&server).await;
    let made = put(&store, "k", "v").await;
    let deleted = committed(store.commit(delete_of("k")).await);
    compact(&server, deleted).await;
    // etcd takes a watch from the compacted revision on, and before 3.4.36 leaves its deletions out.
    assert!(is_compacted(store.watch("", made).await));
    let mut watch = store.watch("", deleted).await.unwrap();
    put(&store, "k", "again").await;
    assert_eq!(next(&mut watch).await, ["k=again"]);
}

#[tokio::test]
async fn a_list_whose_revision_was_compacted_says_so_and_begins_anew() {
    let server = EtcdServer::start();
    let store = open(&server).await;
    for n in 0..3 {
        put(&store, &format!("p/{n}"), "").await;
    }
    let page = store.range("p/", None, 2, None).await.unwrap();
    let later = put(&store, "p/3", "").await;
    compact(&server, later).await;
    assert!(is_compacted(store.range("p/", Some("p/1"), 2, Some(page.revision)).await));
    assert!(is_compacted(store.range("p/", None, 2, Some(Revision(0))).await));
    assert_eq!(store.range("p/", None, 10, None).await.unwrap().entries.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_node_compacts_what_nobody_was_promised_and_keeps_what_somebody_reads() {
    let server = EtcdServer::start();
    let store = Arc::new(open(&server).await);
    let first = put(&store, "p/1", "").await;
    put(&store, "p/2", "").await;
    commit_many(&store, HISTORY_REVISIONS + 10).await;
    let mut page = store.range("p/", None, 1, Some(Revision(first.0 + 1))).await.unwrap();
    assert!(page.more);
    for _ in 0..12 {
        // Somebody goes on reading it, and it stays.
        page = store.range("p/", None, 1, Some(page.revision)).await.unwrap();
        store.forget().await.unwrap();
    }
    assert!(is_compacted(store.range("p/", None, 1, Some(first)).await), "what nobody read is gone");
    for _ in 0..4 {
        store.forget().await.unwrap();
    }
    assert!(is_compacted(store.range("p/", None, 1, Some(page.revision)).await), "nobody came back for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_compact_at_once_keep_what_was_promised_and_do_not_disturb_each_other() {
    let server = EtcdServer::start();
    let (one, two) = (Arc::new(open(&server).await), open(&server).await);
    let first = put(&one, "k", "v").await;
    let mut watch = two.watch("", first).await.unwrap();
    commit_many(&one, HISTORY_REVISIONS + 10).await;
    let kept = Revision(first.0 + 20);
    for _ in 0..12 {
        let (of_one, of_two) = tokio::join!(one.forget(), two.forget());
        of_one.and(of_two).unwrap();
    }
    assert!(is_compacted(two.range("", None, 1, Some(first)).await));
    assert!(two.range("", None, 1, Some(kept)).await.is_ok());
    assert!(is_compacted(watch.next().await.unwrap()), "nobody read the watch, and its history went");
}

#[tokio::test]
async fn a_watch_tells_everything_though_others_write_to_the_same_etcd() {
    let server = EtcdServer::start();
    let store = open(&server).await;
    let mut other = raw(&server).await;
    let start = put(&store, "k", "0").await;
    let mut watch = store.watch("", start).await.unwrap();
    for n in 0..20 {
        other.put("/other/program", n.to_string(), None).await.unwrap();
        put(&store, "k", &n.to_string()).await;
        assert_eq!(next(&mut watch).await, [format!("k={n}")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_absence_is_caught_up_with_commit_by_commit() {
    let server = EtcdServer::start();
    let store = Arc::new(open(&server).await);
    let start = store.revision().await.unwrap();
    // Responses of this size are cut into fragments, in the middle of commits.
    let value = vec![7; 60_000];
    for round in 0..40 {
        let writes = (0..8).map(|n| Write::Put(format!("{round}/{n}"), value.clone())).collect();
        committed(store.commit(Commit { preconditions: vec![], writes }).await);
    }
    let mut watch = store.watch("", start).await.unwrap();
    for _ in 0..40 {
        assert_eq!(watch.next().await.unwrap().unwrap().len(), 8, "a commit is told whole");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_list_is_read_at_one_revision_whatever_is_written_meanwhile() {
    let server = EtcdServer::start();
    let store = Arc::new(open(&server).await);
    for batch in 0..50 {
        let writes = (0..50).map(|n| Write::Put(format!("p/{batch:02}/{n:02}"), vec![1; 100])).collect();
        committed(store.commit(Commit { preconditions: vec![], writes }).await);
    }
    let mut page = store.range("p/", None, LIMIT_MAX, None).await.unwrap();
    let (moment, mut read) = (page.revision, page.entries.len());
    while page.more {
        let last = page.entries.last().unwrap().key.clone();
        committed(store.commit(delete_of(&format!("{}x", &last[..last.len() - 1]))).await);
        put(&store, &format!("{last}x"), "made while reading").await;
        page = store.range("p/", Some(&last), LIMIT_MAX, Some(moment)).await.unwrap();
        assert_eq!(page.revision, moment);
        read += page.entries.len();
    }
    assert_eq!(read, 2500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_every_size_are_listed() {
    let server = EtcdServer::start();
    let store = open(&server).await;
    // Small ones first: the batches grow, and then meet values that are far larger.
    for n in 0..100 {
        put(&store, &format!("a/{n:03}"), "").await;
    }
    for n in 0..90 {
        committed(store.commit(put_of(&format!("b/{n:03}"), &vec![1; 520_000])).await);
    }
    let (mut after, mut count) = (None, 0);
    loop {
        let page = store.range("", after.as_deref(), LIMIT_MAX, None).await.unwrap();
        count += page.entries.len();
        after = page.entries.last().map(|entry| entry.key.clone());
        if !page.more {
            break;
        }
    }
    assert_eq!(count, 190);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_defragmentation_harms_nothing() {
    let server = EtcdServer::start();
    let store = Arc::new(open(&server).await);
    let writing = {
        let store = Arc::clone(&store);
        async move {
            for n in 0..300 {
                put(&store, &n.to_string(), "v").await;
            }
        }
    };
    let defragmenting = async {
        let mut client = raw(&server).await;
        for _ in 0..5 {
            client.defragment().await.unwrap();
        }
    };
    tokio::join!(writing, defragmenting);
    assert_eq!(store.range("", None, LIMIT_MAX, None).await.unwrap().entries.len(), 300);
}

async fn commit_many(store: &Arc<strongroom_store::EtcdStore>, count: u64) {
    let mut tasks = JoinSet::new();
    for task in 0..64 {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            for _ in (task..count).step_by(64) {
                put(&store, "other", "").await;
            }
        });
    }
    tasks.join_all().await;
}
