//! How much of what was is kept in the file.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTableMetadata};

use super::super::tables::{LOG, SUPERSEDED};
use super::put;
use crate::{EmbeddedStore, Kv};

/// Rows of the log, and values that are no longer current.
fn rows(path: &Path) -> (u64, u64) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_read().unwrap();
    let log = transaction.open_table(LOG).unwrap().len().unwrap();
    (log, transaction.open_table(SUPERSEDED).unwrap().len().unwrap())
}

async fn write(path: &Path, history: u64, commits: u64) {
    let store = EmbeddedStore::open_with_history(path, history).unwrap();
    for _ in 0..commits {
        put(&store, "k", b"v").await.unwrap();
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_older_than_the_history_is_forgotten_in_strides() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    // A stride of three.
    write(&path, 192, 230).await;
    let (log, superseded) = rows(&path);
    assert!((192..195).contains(&log), "{log}");
    assert!((192..195).contains(&superseded), "{superseded}");
}

#[tokio::test]
async fn a_history_that_became_shorter_is_caught_up_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    write(&path, 192, 100).await;
    write(&path, 10, 95).await;
    let (log, superseded) = rows(&path);
    assert_eq!((log, superseded), (10, 10));
}
