//! `range` at a revision, and the end of history.

use std::sync::Arc;

use strongroom_store::{HISTORY_REVISIONS, Kv, Revision, StoreError};
use tokio::task::JoinSet;

use crate::conformance;
use crate::fixture::{Fixture, delete, keys, put, shown, write};

conformance! {
    an_older_revision_reads_as_it_was,
    the_revision_before_the_first_commit_is_empty,
    an_older_entry_names_the_commits_that_made_and_wrote_it,
    pages_of_one_revision_are_of_one_moment_while_writes_go_on,
    an_older_page_says_whether_keys_followed,
    a_revision_that_lies_ahead_is_refused,
    history_is_kept_as_deep_as_promised_and_no_deeper,
}

async fn an_older_revision_reads_as_it_was(store: Fixture) {
    let start = store.revision().await.unwrap();
    let made = store.write(vec![put("a", "1"), put("b", "1"), put("d", "1")]).await;
    let replaced = store.write(vec![put("a", "2"), put("c", "2")]).await;
    let deleted = store.write(vec![delete("a"), delete("b"), put("d", "3")]).await;
    let again = store.write(vec![put("b", "4"), put("e", "4")]).await;
    assert_eq!(store.listed("", Some(start)).await, [""; 0]);
    assert_eq!(store.listed("", Some(made)).await, ["a=1", "b=1", "d=1"]);
    assert_eq!(store.listed("", Some(replaced)).await, ["a=2", "b=1", "c=2", "d=1"]);
    assert_eq!(store.listed("", Some(deleted)).await, ["c=2", "d=3"]);
    assert_eq!(store.listed("", Some(again)).await, ["b=4", "c=2", "d=3", "e=4"]);
    assert_eq!(store.listed("b", Some(made)).await, ["b=1"]);
}

async fn the_revision_before_the_first_commit_is_empty(store: Fixture) {
    let page = store.range("", None, 10, None).await.unwrap();
    store.put("k", "1").await;
    assert_eq!(store.listed("", Some(page.revision)).await, [""; 0]);
}

async fn an_older_entry_names_the_commits_that_made_and_wrote_it(store: Fixture) {
    let made = store.put("k", "1").await;
    let written = store.put("k", "2").await;
    store.delete("k").await;
    store.put("k", "4").await;
    let page = store.range("k", None, 10, Some(written)).await.unwrap();
    assert_eq!((page.entries[0].created, page.entries[0].modified), (made, written));
}

async fn pages_of_one_revision_are_of_one_moment_while_writes_go_on(store: Fixture) {
    for n in 0..40 {
        store.put(&format!("p/{n:02}"), "before").await;
    }
    let mut read = Vec::new();
    let mut page = store.range("p/", None, 7, None).await.unwrap();
    let moment = page.revision;
    for round in 0.. {
        read.extend(shown(&page));
        assert_eq!(page.revision, moment);
        if !page.more {
            break;
        }
        let (replaced, deleted, made) = ((round * 11 + 39) % 40, (round * 13 + 38) % 40, round * 7 + 5);
        store.put(&format!("p/{replaced:02}"), "after").await;
        store.delete(&format!("p/{deleted:02}")).await;
        store.put(&format!("p/{made:02}x"), "after").await;
        let after = keys(&page).last().copied();
        page = store.range("p/", after, 7, Some(moment)).await.unwrap();
    }
    let expected: Vec<String> = (0..40).map(|n| format!("p/{n:02}=before")).collect();
    assert_eq!(read, expected);
}

async fn an_older_page_says_whether_keys_followed(store: Fixture) {
    let moment = store.write(vec![put("p/1", ""), put("p/2", ""), put("p/3", "")]).await;
    store.write(vec![delete("p/3"), delete("p/1"), put("p/4", "")]).await;
    for (limit, more) in [(1, true), (2, true), (3, false)] {
        let page = store.range("p/", None, limit, Some(moment)).await.unwrap();
        assert_eq!((page.entries.len(), page.more), (limit, more));
    }
    let now = store.range("p/", None, 2, None).await.unwrap();
    assert_eq!((keys(&now), now.more), (vec!["p/2", "p/4"], false));
}

async fn a_revision_that_lies_ahead_is_refused(store: Fixture) {
    let ahead = Revision(store.put("k", "1").await.0 + 1);
    let refused = store.range("", None, 10, Some(ahead)).await;
    assert!(matches!(refused, Err(StoreError::NotYetCommitted(revision)) if revision == ahead));
}

async fn history_is_kept_as_deep_as_promised_and_no_deeper(store: Fixture) {
    let first = store.put("k", "first").await;
    store.delete("k").await;
    commit_many(&store.share(), HISTORY_REVISIONS - 1).await;
    store.forget().await;
    assert_eq!(store.listed("k", Some(first)).await, ["k=first"], "the oldest kept revision");
    assert!(store.watch("", first).await.is_ok());
    commit_many(&store.share(), 1).await;
    store.forget().await;
    let refused = store.range("k", None, 10, Some(first)).await;
    assert!(matches!(refused, Err(StoreError::Compacted(revision)) if revision == first));
    assert!(matches!(store.watch("", first).await, Err(StoreError::Compacted(revision)) if revision == first));
    assert_eq!(store.listed("k", Some(Revision(first.0 + 1))).await, [""; 0]);
}

/// From many tasks at once, so that an engine can put them into few durable steps.
async fn commit_many(store: &Arc<dyn Kv>, count: u64) {
    let mut tasks = JoinSet::new();
    for task in 0..64 {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            for _ in (task..count).step_by(64) {
                write(&*store, vec![put("other", "")]).await;
            }
        });
    }
    tasks.join_all().await;
}
