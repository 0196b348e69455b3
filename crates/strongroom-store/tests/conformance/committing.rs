//! `commit`: preconditions, atomicity, limits.

use strongroom_store::{
    COMMIT_BYTES_MAX, COMMIT_OPERATIONS_MAX, Commit, KEY_BYTES_MAX, Outcome, Revision, StoreError, Write,
};

use crate::conformance;
use crate::fixture::{Fixture, absent, delete, put, unchanged};

conformance! {
    each_commit_that_changes_something_raises_the_revision_by_one,
    all_writes_of_a_commit_happen_at_one_revision,
    a_key_is_made_only_if_it_is_absent,
    a_key_is_replaced_only_if_it_is_unchanged,
    a_deleted_key_is_not_unchanged,
    a_conflict_writes_nothing_and_makes_no_revision,
    preconditions_are_judged_before_the_writes,
    a_precondition_may_be_about_a_key_that_is_not_written,
    a_commit_without_effect_makes_no_revision,
    removing_an_absent_key_beside_other_writes_changes_nothing_of_it,
    the_same_value_written_again_is_a_change,
    the_largest_commit_is_taken,
    too_many_operations_are_refused,
    too_many_bytes_are_refused,
    a_key_of_impossible_length_is_refused,
    a_key_written_twice_is_refused,
}

async fn each_commit_that_changes_something_raises_the_revision_by_one(store: Fixture) {
    let start = store.revision().await.unwrap();
    for step in 1..=3 {
        assert_eq!(store.put("k", "same").await, Revision(start.0 + step));
    }
    assert_eq!(store.delete("k").await, Revision(start.0 + 4));
    assert_eq!(store.revision().await.unwrap(), Revision(start.0 + 4));
}

async fn all_writes_of_a_commit_happen_at_one_revision(store: Fixture) {
    store.put("gone", "v").await;
    let revision = store.write(vec![put("a", "1"), delete("gone"), put("b", "2")]).await;
    assert_eq!(store.get("a").await.unwrap().unwrap().modified, revision);
    assert_eq!(store.get("b").await.unwrap().unwrap().modified, revision);
    assert_eq!(store.listed("", Some(Revision(revision.0 - 1))).await, ["gone=v"]);
    assert_eq!(store.listed("", Some(revision)).await, ["a=1", "b=2"]);
}

async fn a_key_is_made_only_if_it_is_absent(store: Fixture) {
    let made = store.write_if(vec![absent("k")], vec![put("k", "1")]).await;
    assert!(matches!(made, Outcome::Committed(_)));
    assert_eq!(store.write_if(vec![absent("k")], vec![put("k", "2")]).await, Outcome::Conflict);
    assert_eq!(store.value("k").await.unwrap(), "1");
    store.delete("k").await;
    assert!(matches!(store.write_if(vec![absent("k")], vec![put("k", "3")]).await, Outcome::Committed(_)));
}

async fn a_key_is_replaced_only_if_it_is_unchanged(store: Fixture) {
    let first = store.put("k", "1").await;
    let second = store.put("k", "2").await;
    assert_eq!(store.write_if(vec![unchanged("k", first)], vec![put("k", "3")]).await, Outcome::Conflict);
    let third = store.write_if(vec![unchanged("k", second)], vec![put("k", "3")]).await;
    assert_eq!(third, Outcome::Committed(Revision(second.0 + 1)));
    assert_eq!(store.value("k").await.unwrap(), "3");
}

async fn a_deleted_key_is_not_unchanged(store: Fixture) {
    let made = store.put("k", "1").await;
    let deleted = store.delete("k").await;
    for revision in [Revision(0), made, deleted] {
        assert_eq!(store.write_if(vec![unchanged("k", revision)], vec![put("k", "2")]).await, Outcome::Conflict);
    }
    assert_eq!(store.value("k").await, None);
}

async fn a_conflict_writes_nothing_and_makes_no_revision(store: Fixture) {
    let revision = store.put("k", "1").await;
    let preconditions = vec![absent("free"), unchanged("k", revision), absent("k")];
    let outcome = store.write_if(preconditions, vec![put("free", "1"), delete("k")]).await;
    assert_eq!(outcome, Outcome::Conflict);
    assert_eq!(store.listed("", None).await, ["k=1"]);
    assert_eq!(store.revision().await.unwrap(), revision);
}

async fn preconditions_are_judged_before_the_writes(store: Fixture) {
    let old = store.put("old", "1").await;
    let preconditions = vec![absent("new"), unchanged("old", old)];
    let outcome = store.write_if(preconditions, vec![put("new", "1"), delete("old")]).await;
    assert_eq!(outcome, Outcome::Committed(Revision(old.0 + 1)));
}

async fn a_precondition_may_be_about_a_key_that_is_not_written(store: Fixture) {
    let guard = store.put("guard", "1").await;
    assert!(matches!(
        store.write_if(vec![unchanged("guard", guard)], vec![put("k", "1")]).await,
        Outcome::Committed(_)
    ));
    assert_eq!(store.get("guard").await.unwrap().unwrap().modified, guard);
    store.put("guard", "2").await;
    assert_eq!(store.write_if(vec![unchanged("guard", guard)], vec![put("k", "2")]).await, Outcome::Conflict);
}

async fn a_commit_without_effect_makes_no_revision(store: Fixture) {
    let revision = store.put("k", "1").await;
    assert_eq!(store.write(vec![]).await, revision);
    assert_eq!(store.write(vec![delete("absent")]).await, revision);
    assert_eq!(store.write_if(vec![unchanged("k", revision)], vec![]).await, Outcome::Committed(revision));
    assert_eq!(store.write_if(vec![absent("k")], vec![]).await, Outcome::Conflict);
    assert_eq!(store.revision().await.unwrap(), revision);
}

async fn removing_an_absent_key_beside_other_writes_changes_nothing_of_it(store: Fixture) {
    let before = store.revision().await.unwrap();
    let mut watch = store.watch("", before).await.unwrap();
    store.write(vec![delete("absent"), put("k", "1")]).await;
    assert_eq!(watch.next().await.unwrap().unwrap().len(), 1);
}

async fn the_same_value_written_again_is_a_change(store: Fixture) {
    let first = store.put("k", "1").await;
    let second = store.put("k", "1").await;
    assert_eq!(store.get("k").await.unwrap().unwrap().modified, second);
    assert_eq!(store.write_if(vec![unchanged("k", first)], vec![put("k", "2")]).await, Outcome::Conflict);
}

async fn the_largest_commit_is_taken(store: Fixture) {
    let key = |n: usize| format!("{n:0width$}", width = KEY_BYTES_MAX);
    let mut preconditions: Vec<_> = (0..32).map(|n| absent(&key(n))).collect();
    let keys = 63 * KEY_BYTES_MAX;
    let mut writes: Vec<_> = (0..31).map(|n| put(&key(n), "")).collect();
    writes.push(Write::Put(key(31), vec![1; COMMIT_BYTES_MAX - keys - KEY_BYTES_MAX]));
    assert_eq!(preconditions.len() + writes.len(), COMMIT_OPERATIONS_MAX);
    assert!(matches!(store.write_if(preconditions.clone(), writes).await, Outcome::Committed(_)));
    let stored = store.get(&key(31)).await.unwrap().unwrap();
    assert_eq!(stored.value.len(), COMMIT_BYTES_MAX - 64 * KEY_BYTES_MAX);
    preconditions.truncate(1);
    assert_eq!(store.write_if(preconditions, vec![]).await, Outcome::Conflict);
}

async fn too_many_operations_are_refused(store: Fixture) {
    let writes: Vec<_> = (0..COMMIT_OPERATIONS_MAX).map(|n| put(&n.to_string(), "")).collect();
    let commit = Commit { preconditions: vec![absent("k")], writes };
    let refused = store.commit(commit).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { operations, .. }) if operations == COMMIT_OPERATIONS_MAX + 1));
    assert_eq!(store.listed("", None).await, [""; 0]);
}

async fn too_many_bytes_are_refused(store: Fixture) {
    let commit = |value: usize| Commit {
        preconditions: vec![absent("0123456789")],
        writes: vec![Write::Put("k".into(), vec![0; value])],
    };
    let refused = store.commit(commit(COMMIT_BYTES_MAX - 10)).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { bytes, .. }) if bytes == COMMIT_BYTES_MAX + 1));
    assert_eq!(store.get("k").await.unwrap(), None);
    assert!(store.commit(commit(COMMIT_BYTES_MAX - 11)).await.is_ok());
}

async fn a_key_of_impossible_length_is_refused(store: Fixture) {
    let long = "é".repeat(KEY_BYTES_MAX / 2) + "x";
    for key in ["", long.as_str()] {
        for commit in [
            Commit { preconditions: vec![], writes: vec![put("good", ""), put(key, "")] },
            Commit { preconditions: vec![], writes: vec![put("good", ""), delete(key)] },
            Commit { preconditions: vec![absent(key)], writes: vec![put("good", "")] },
            Commit { preconditions: vec![unchanged(key, Revision(1))], writes: vec![put("good", "")] },
        ] {
            let refused = store.commit(commit).await;
            assert!(matches!(refused, Err(StoreError::KeyLength { bytes }) if bytes == key.len()));
        }
    }
    assert_eq!(store.get("good").await.unwrap(), None);
    let longest = "é".repeat(KEY_BYTES_MAX / 2);
    store.put(&longest, "v").await;
    assert_eq!(store.value(&longest).await.unwrap(), "v");
}

async fn a_key_written_twice_is_refused(store: Fixture) {
    for twice in [[put("k", "1"), put("k", "2")], [put("k", "1"), delete("k")], [delete("k"), delete("k")]] {
        let mut writes = vec![put("a", "")];
        writes.extend(twice);
        let refused = store.commit(Commit { preconditions: vec![], writes }).await;
        assert!(matches!(refused, Err(StoreError::WrittenTwice { key }) if key == "k"));
    }
    assert_eq!(store.listed("", None).await, [""; 0]);
}
