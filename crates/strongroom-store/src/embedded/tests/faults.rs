//! Disks that fill up or fail at any moment.

use std::io::ErrorKind;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::EmbeddedStore;
use super::super::disk::{Change, Fault};
use super::{listed, open, put};
use crate::{Kv, Outcome, Revision, StoreError};

/// More changes of the file than the commits of a test make, so that each of them is once the first to fail.
const CHANGES_MAX: u32 = 60;

#[tokio::test]
async fn a_disk_that_fills_at_any_moment_loses_nothing_and_writes_nothing_by_half() {
    let mut full = 0;
    for (after, made) in (0..CHANGES_MAX).flat_map(|after| [(after, false), (after, true)]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = Arc::new(open(&path));
        put(&*store, "before", &[0; 3000]).await.unwrap();
        let fault = Fault { after, of: Change::Write, kind: ErrorKind::StorageFull, made };
        store.engine.health().set_fault(Some(fault));
        let answers = put_many(&store).await;
        store.engine.health().set_fault(None);
        // The first write finds that there is space again.
        put(&*store, "later", &[0; 9]).await.unwrap();
        let failed = answers.iter().any(|(_, answer)| answer.is_err());
        assert!(failed || after > 5, "no change failed");
        assert!(!failed || after < CHANGES_MAX - 1, "the last changes were never the first to fail");
        full += answers.iter().filter(|(_, answer)| matches!(answer, Err(StoreError::Full))).count();
        check(&*store, &answers).await;
        drop(store);
        check(&open(&path), &answers).await;
    }
    assert!(full > 10, "the disk was full only {full} times");
}

/// What was acknowledged is there, what was refused as [`StoreError::Full`] is not.
async fn check(store: &dyn Kv, answers: &[(String, Result<Outcome, StoreError>)]) {
    let listed = listed(store).await.unwrap();
    let keys: Vec<&str> = listed.iter().map(|(key, _)| key.as_str()).collect();
    assert!(keys.contains(&"before") && keys.contains(&"later"));
    for (key, answer) in answers {
        let is_there = keys.contains(&key.as_str());
        match answer {
            Ok(Outcome::Committed(_)) => assert!(is_there, "{key} was acknowledged"),
            Err(StoreError::Full) => assert!(!is_there, "{key} was refused"),
            Err(StoreError::Unavailable(_)) => {}
            answer => panic!("{key}: {answer:?}"),
        }
    }
    let revision = store.revision().await.unwrap();
    assert_eq!(revision, Revision(listed.len() as u64), "one commit for each key");
}

async fn put_many(store: &Arc<EmbeddedStore>) -> Vec<(String, Result<Outcome, StoreError>)> {
    let mut tasks = JoinSet::new();
    for n in 0..6_usize {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let key = format!("k{n}");
            let answer = put(&*store, &key, &vec![1; 9000 * n]).await;
            (key, answer)
        });
    }
    tasks.join_all().await
}

#[tokio::test]
async fn a_failed_sync_stops_the_store_and_loses_nothing_acknowledged() {
    for after in 0..CHANGES_MAX / 2 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = open(&path);
        // A full disk too is not recovered from in place once a sync has failed.
        let kind = if after % 2 == 0 { ErrorKind::Other } else { ErrorKind::StorageFull };
        store.engine.health().set_fault(Some(Fault { after, of: Change::Sync, kind, made: after % 3 == 0 }));
        let mut acknowledged = 0;
        let refused = loop {
            match put(&store, &format!("{acknowledged:03}"), b"v").await {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StoreError::Unavailable(_) | StoreError::Full), "{refused}");
        store.engine.health().set_fault(None);
        assert!(matches!(put(&store, "later", b"").await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.get("000").await, Err(StoreError::Unavailable(_))));
        assert!(store.close().await.is_err());
        let listed = listed(&open(&path)).await.unwrap();
        assert!(listed.len() == acknowledged || listed.len() == acknowledged + 1, "{acknowledged}: {listed:?}");
    }
}

#[tokio::test]
async fn a_failed_write_that_is_not_for_want_of_space_stops_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path);
    put(&store, "before", b"v").await.unwrap();
    store.engine.health().set_fault(Some(Fault { after: 0, of: Change::Write, kind: ErrorKind::Other, made: false }));
    assert!(matches!(put(&store, "k", b"v").await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.shown(), None, "nothing can be read");
    store.engine.health().set_fault(None);
    assert!(matches!(put(&store, "k", b"v").await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.revision().await, Err(StoreError::Unavailable(_))));
    drop(store);
    assert_eq!(listed(&open(&path)).await.unwrap(), [("before".to_owned(), 1)]);
}

#[tokio::test]
async fn a_watch_goes_on_after_the_disk_was_full() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let mut watch = store.watch("", Revision(0)).await.unwrap();
    store.engine.health().set_fault(Some(Fault {
        after: 0,
        of: Change::Write,
        kind: ErrorKind::StorageFull,
        made: false,
    }));
    assert!(matches!(put(&store, "lost", b"").await, Err(StoreError::Full | StoreError::Unavailable(_))));
    store.engine.health().set_fault(None);
    put(&store, "k", b"v").await.unwrap();
    let changes = watch.next().await.unwrap().unwrap();
    assert!(matches!(&changes[..], [crate::Change::Put(entry)] if entry.key == "k" && entry.modified == Revision(1)));
}

#[tokio::test]
async fn a_file_that_was_swapped_while_the_disk_was_full_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path);
    put(&store, "a", b"v").await.unwrap();
    let older = std::fs::read(&path).unwrap();
    put(&store, "b", b"v").await.unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, older).unwrap();
    let fault = Fault { after: 0, of: Change::Write, kind: ErrorKind::StorageFull, made: false };
    store.engine.health().set_fault(Some(fault));
    assert!(put(&store, "c", b"v").await.is_err());
    store.engine.health().set_fault(None);
    assert!(matches!(put(&store, "c", b"v").await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.get("a").await, Err(StoreError::Unavailable(_))));
}
