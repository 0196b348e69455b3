use std::sync::Arc;

use strongroom_core::deployment::{Deployment, Expectation};
use strongroom_crypto::SystemEntropy;
use strongroom_crypto::providers::FileRoot;
use strongroom_store::MemoryStore;
use strongroom_testkit::{CommitFault, FaultyStore};

use super::*;
use crate::config::{Configuration, Flags};

/// A deployment with some records in it, enough for several pages and commits.
async fn deployment() -> (MemoryStore, FileRoot, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let root = FileRoot::create(&folder.path().join("root.key"), &SystemEntropy).unwrap();
    let store = MemoryStore::new();
    let founding = Expectation { init: true, ..Expectation::default() };
    Deployment::open(&store, &root, &SystemEntropy, founding).await.unwrap();
    for n in 0..1500 {
        write(&store, &format!("d/{n:04}"), &vec![7; n]).await;
    }
    write(&store, "z/large", &vec![1; COMMIT_BYTES_MAX - 7]).await;
    (store, root, folder)
}

async fn write(store: &dyn Kv, key: &str, value: &[u8]) {
    let writes = vec![Write::Put(key.to_owned(), value.to_vec())];
    store.commit(Commit { preconditions: vec![], writes }).await.unwrap();
}

async fn all(store: &dyn Kv) -> Vec<(String, Vec<u8>)> {
    let (mut all, mut walk) = (Vec::new(), Walk::begin(store).await.unwrap());
    while let Some(entry) = walk.next().await.unwrap() {
        all.push((entry.key, entry.value));
    }
    all
}

async fn copied(from: &dyn Kv, to: &dyn Kv) -> Result<Copied, CopyError> {
    transfer(from, &check_source(from).await?, to, |_| {}).await
}

async fn opens(store: &dyn Kv, root: &FileRoot) -> bool {
    let expectation = Expectation { root_existed: true, init: true, ..Expectation::default() };
    Deployment::open(store, root, &SystemEntropy, expectation).await.is_ok()
}

#[tokio::test]
async fn a_copy_there_and_back_holds_the_same_and_opens() {
    let (from, root, _folder) = deployment().await;
    let (there, back) = (MemoryStore::new(), MemoryStore::new());
    let first = copied(&from, &there).await.unwrap();
    assert_eq!(first.records, 1501);
    assert_eq!(all(&there).await, all(&from).await);
    assert!(opens(&there, &root).await);
    assert!(there.get(layout::COPYING).await.unwrap().is_none());
    assert_eq!(copied(&there, &back).await.unwrap(), first);
    assert_eq!(all(&back).await, all(&from).await);
    assert!(opens(&back, &root).await && opens(&from, &root).await);
}

#[tokio::test]
async fn a_store_with_registrations_is_not_copied() {
    let (from, _root, _folder) = deployment().await;
    write(&from, "node/a-1-1", b"{}").await;
    let to = MemoryStore::new();
    let error = copied(&from, &to).await.unwrap_err();
    assert!(matches!(&error, CopyError::InUse { nodes } if nodes == "node/a-1-1"), "{error}");
    assert!(all(&to).await.is_empty());
}

#[tokio::test]
async fn a_node_that_registers_while_its_store_is_copied_is_noticed() {
    let (from, root, _folder) = deployment().await;
    let to = MemoryStore::new();
    begin(&to).await.unwrap();
    let (_, at) = write_all(&from, &to, &mut |_| {}).await.unwrap();
    write(&from, "node/a-1-1", b"{}").await;
    let error = compare(&from, &to, at, &mut |_| {}).await.unwrap_err();
    assert!(matches!(&error, CopyError::InUse { nodes } if nodes == "node/a-1-1"), "{error}");
    assert!(!opens(&to, &root).await);
}

#[tokio::test]
async fn only_a_deployment_is_copied_and_only_into_an_empty_store() {
    let (from, _root, _folder) = deployment().await;
    let empty = MemoryStore::new();
    assert!(matches!(copied(&empty, &MemoryStore::new()).await, Err(CopyError::NoDeployment)));
    write(&empty, "a", b"b").await;
    assert!(matches!(copied(&from, &empty).await, Err(CopyError::NotEmpty)));
    assert_eq!(all(&empty).await.len(), 1);
}

fn faulty() -> FaultyStore {
    FaultyStore::new(Arc::new(MemoryStore::new()))
}

#[tokio::test]
async fn a_copy_that_was_cut_off_serves_nobody_and_is_not_gone_on_with() {
    let (from, root, _folder) = deployment().await;
    let before = all(&from).await;
    for commits in [1, 2, 9] {
        let to = faulty();
        to.fail_commits_after(commits, CommitFault::Full);
        let error = copied(&from, &to).await.unwrap_err();
        assert!(matches!(error, CopyError::Store { which: TO, source: StoreError::Full }), "{error}");
        to.heal();
        assert!(!opens(&to, &root).await, "not even with --init");
        let again = copied(&from, &to).await.unwrap_err();
        assert!(matches!(again, CopyError::Unfinished), "{again}");
        assert!(again.remedy().contains("empty the store"));
    }
    assert_eq!(all(&from).await, before);
    assert!(opens(&from, &root).await);
}

#[tokio::test]
async fn what_was_written_otherwise_than_it_was_read_is_found() {
    let (from, root, _folder) = deployment().await;
    let to = faulty();
    to.fail_commit_after(4, CommitFault::Altered);
    let error = copied(&from, &to).await.unwrap_err();
    assert!(matches!(error, CopyError::Different { .. }), "{error}");
    assert!(!opens(&to, &root).await);
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_written_again() {
    let (from, root, _folder) = deployment().await;
    let to = faulty();
    to.fail_commit_after(3, CommitFault::AnswerLost);
    copied(&from, &to).await.unwrap();
    assert_eq!(to.counts().faults, 1);
    assert_eq!(all(&to).await, all(&from).await);
    assert!(opens(&to, &root).await);
}

#[tokio::test]
async fn a_copy_whose_last_answer_was_lost_is_whole() {
    let (from, root, _folder) = deployment().await;
    let undisturbed = faulty();
    copied(&from, &undisturbed).await.unwrap();
    let to = faulty();
    to.fail_commit_after(undisturbed.counts().committed - 1, CommitFault::AnswerLost);
    copied(&from, &to).await.unwrap();
    assert_eq!(to.counts().faults, 1);
    assert!(opens(&to, &root).await);
}

#[tokio::test]
async fn a_copy_into_a_store_that_somebody_else_copies_into_does_not_begin() {
    let to = MemoryStore::new();
    begin(&to).await.unwrap();
    let error = begin(&to).await.unwrap_err();
    assert!(matches!(error, CopyError::Disturbed), "{error}");
}

#[tokio::test]
async fn a_source_that_changes_meanwhile_is_noticed() {
    let (from, root, _folder) = deployment().await;
    let to = MemoryStore::new();
    check_target(&to).await.unwrap();
    begin(&to).await.unwrap();
    let (_, at) = write_all(&from, &to, &mut |_| {}).await.unwrap();
    compare(&from, &to, at, &mut |_| {}).await.unwrap();
    write(&from, "d/0003", &[7; 3]).await;
    let error = compare(&from, &to, at, &mut |_| {}).await.unwrap_err();
    assert!(matches!(&error, CopyError::Changed { key } if key == "d/0003"), "{error}");
    assert!(!opens(&to, &root).await);
}

#[test]
fn what_lies_in_a_store_sends_nothing_to_a_terminal() {
    let error = CopyError::InUse { nodes: "node/a\u{1b}[2J-1-1".to_owned() };
    assert!(error.cause().ends_with("(node/a [2J-1-1)"), "{}", error.cause());
    let error = CopyError::Different { key: "d/\r\u{9b}2J".to_owned() };
    assert_eq!(error.cause(), "the record d/  2J is not the same in both stores");
}

#[tokio::test]
async fn a_target_is_not_made_before_the_source_is_known_to_be_one() {
    let parent = tempfile::tempdir().unwrap();
    let settings = |name: &str| {
        let folder = parent.path().join(name);
        Settings::resolve(Configuration::default(), Flags::default(), Some(folder)).unwrap()
    };
    let (from, to) = (settings("from"), settings("to"));
    assert!(matches!(copy(&from, &to, |_| {}).await, Err(CopyError::NoDeployment)), "no store");
    assert!(!from.data_dir.exists() && !to.data_dir.exists());
    serve::hold(&from, Purpose::Fill).await.unwrap().store.close().await.unwrap();
    assert!(matches!(copy(&from, &to, |_| {}).await, Err(CopyError::NoDeployment)), "an empty one");
    assert!(!to.data_dir.exists());
}
