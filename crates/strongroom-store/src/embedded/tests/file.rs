//! What lies on disk: modes, locks, formats, damage.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use redb::Database;

use super::super::tables::{FORMAT_NUMBER, META};
use super::{listed, open, put};
use crate::{EmbeddedStore, Kv, Outcome, Revision, StoreError};

#[tokio::test]
async fn what_was_committed_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path);
    for n in 0..5_u8 {
        put(&store, "k", &[n]).await.unwrap();
    }
    store.close().await.unwrap();
    let store = open(&path);
    let entry = store.get("k").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.created, entry.modified), (vec![4], Revision(1), Revision(5)));
    let page = store.range("", None, 10, Some(Revision(3))).await.unwrap();
    assert_eq!(page.entries[0].value, [2], "history is kept too");
    assert_eq!(put(&store, "k", b"").await.unwrap(), Outcome::Committed(Revision(6)));
}

#[tokio::test]
async fn a_dropped_store_lets_go_of_its_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    for round in 1..=5 {
        let store = open(&path);
        assert_eq!(put(&store, "k", b"").await.unwrap(), Outcome::Committed(Revision(round)));
    }
}

#[tokio::test]
async fn a_commit_whose_caller_went_away_still_happens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path);
    tokio::select! {
        biased;
        _ = put(&store, "k", b"v") => {}
        () = std::future::ready(()) => {}
    }
    drop(store);
    assert_eq!(listed(&open(&path)).await.unwrap(), [("k".to_owned(), 1)]);
}

#[test]
fn a_second_store_on_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let first = open(&path);
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Locked { path: named }) if Path::new(&named) == path));
    drop(first);
    assert!(EmbeddedStore::open(&path).is_ok());
}

#[test]
fn only_the_owner_may_read_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    drop(open(&path));
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&path));
    assert_eq!(mode(), 0o600);
}

#[test]
fn a_file_of_a_newer_format_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(open(&path));
    let write_format = |format: u64| {
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("format", format).unwrap();
        transaction.commit().unwrap();
    };
    write_format(u64::from(FORMAT_NUMBER) + 1);
    let refused = EmbeddedStore::open(&path);
    assert!(
        matches!(refused, Err(StoreError::NewerFormat { found, known: FORMAT_NUMBER, .. }) if found == FORMAT_NUMBER + 1)
    );
    write_format(u64::from(FORMAT_NUMBER));
    assert!(EmbeddedStore::open(&path).is_ok());
}

#[test]
fn a_database_that_is_not_a_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let other: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("other");
    transaction.open_table(other).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_file_that_is_no_database_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    for content in [b"x".to_vec(), b"{ \"not\": \"a database\" }".repeat(1000), vec![0; 8192]] {
        fs::write(&path, &content).unwrap();
        assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Damaged { .. })));
        assert_eq!(fs::read(&path).unwrap(), content, "it is not overwritten");
    }
}

#[tokio::test]
async fn a_first_start_that_was_interrupted_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let draft = folder.path().join("store.new");
    drop(open(&path));
    let whole = fs::read(&path).unwrap();
    let unnamed: Vec<u8> = [&[0; 16], &whole[16..]].concat();
    for left in [vec![], vec![0; whole.len()], unnamed, whole[..whole.len() / 2].to_vec(), whole] {
        fs::remove_file(&path).unwrap();
        fs::write(&draft, left).unwrap();
        assert_eq!(put(&open(&path), "k", b"v").await.unwrap(), Outcome::Committed(Revision(1)));
        assert!(!draft.exists());
    }
}

#[test]
fn a_store_that_is_just_being_founded_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let founder = open(&path);
    fs::rename(&path, folder.path().join("store.new")).unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Locked { .. })));
    drop(founder);
    assert!(EmbeddedStore::open(&path).is_ok());
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/store");
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Io { path: named, .. }) if Path::new(&named) == path));
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fill(&path).await;
    let whole = fs::read(&path).unwrap();
    for length in [1, 100, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Damaged { .. })), "cut to {length} bytes");
    }
}

#[tokio::test]
async fn a_changed_byte_is_found_at_open_or_was_of_no_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let expected = fill(&path).await;
    let whole = fs::read(&path).unwrap();
    let mut found = 0;
    for position in (0..whole.len()).step_by(whole.len() / 150) {
        let mut changed = whole.clone();
        changed[position] ^= 0x40;
        fs::write(&path, &changed).unwrap();
        match EmbeddedStore::open(&path) {
            Ok(store) => assert_eq!(listed(&store).await.unwrap(), expected, "changed byte {position}"),
            Err(StoreError::Damaged { .. }) => found += 1,
            Err(error) => panic!("changed byte {position}: {error}"),
        }
    }
    assert!(found > 20, "only {found} of 150 changes were found");
}

#[tokio::test]
async fn damage_below_an_open_store_is_an_error_and_not_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let expected = fill(&path).await;
    let store = open(&path);
    let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // Behind the header, which is not read again.
    let pages = vec![0xA5; length - 4096];
    std::os::unix::fs::FileExt::write_all_at(&file, &pages, 4096).unwrap();
    match listed(&store).await {
        Ok(read) => assert_eq!(read, expected, "pages that were in memory"),
        Err(error) => assert!(matches!(error, StoreError::Damaged { .. } | StoreError::Unavailable(_)), "{error}"),
    }
    for n in 0..40 {
        let answer = store.get(&format!("k{n:02}")).await;
        assert!(matches!(answer, Ok(_) | Err(StoreError::Damaged { .. } | StoreError::Unavailable(_))), "{answer:?}");
    }
    assert!(store.close().await.is_err());
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Damaged { .. })));
}

/// A closed store with some pages of keys, values and history.
async fn fill(path: &Path) -> Vec<(String, usize)> {
    let store = open(path);
    for n in 0..80_usize {
        put(&store, &format!("k{:02}", n % 40), &vec![1; 50 * n]).await.unwrap();
    }
    let expected = listed(&store).await.unwrap();
    store.close().await.unwrap();
    expected
}
