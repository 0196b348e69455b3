//! `get` and `range` of the present.

use strongroom_store::{KEY_BYTES_MAX, LIMIT_MAX, Look, PAGE_BYTES_MAX, Revision, StoreError, Write};

use crate::conformance;
use crate::fixture::{Fixture, keys, put};

conformance! {
    an_absent_key_reads_as_none,
    a_key_reads_with_its_value_and_the_commits_that_made_and_wrote_it,
    a_key_made_again_after_its_deletion_is_created_anew,
    a_value_may_be_empty_or_any_bytes,
    a_key_that_cannot_exist_is_refused,
    who_knows_a_value_is_told_of_every_other_one,
    the_same_state_is_shown_only_until_something_is_written,
    a_range_of_an_empty_store_is_empty,
    a_range_is_in_the_order_of_the_keys_bytes,
    a_range_keeps_to_its_prefix,
    a_range_begins_behind_a_key_whether_it_exists_or_not,
    a_page_says_whether_keys_follow,
    a_limit_outside_its_bounds_is_moved_to_the_nearer_one,
    a_page_ends_early_when_its_bytes_are_used_up,
    a_page_names_the_revision_it_was_read_at,
}

async fn an_absent_key_reads_as_none(store: Fixture) {
    store.put("k", "v").await;
    assert_eq!(store.get("k2").await.unwrap(), None);
    assert_eq!(store.get("K").await.unwrap(), None);
}

async fn a_key_reads_with_its_value_and_the_commits_that_made_and_wrote_it(store: Fixture) {
    let made = store.put("k", "first").await;
    let written = store.put("k", "second").await;
    let entry = store.get("k").await.unwrap().unwrap();
    assert_eq!((entry.key.as_str(), entry.value.as_slice()), ("k", b"second".as_slice()));
    assert_eq!((entry.created, entry.modified), (made, written));
}

async fn a_key_made_again_after_its_deletion_is_created_anew(store: Fixture) {
    store.put("k", "first").await;
    store.delete("k").await;
    assert_eq!(store.get("k").await.unwrap(), None);
    let made = store.put("k", "second").await;
    let entry = store.get("k").await.unwrap().unwrap();
    assert_eq!((entry.created, entry.modified), (made, made));
}

async fn a_value_may_be_empty_or_any_bytes(store: Fixture) {
    let bytes: Vec<u8> = (0..=255).collect();
    store.write(vec![Write::Put("any".into(), bytes.clone()), Write::Put("empty".into(), vec![])]).await;
    assert_eq!(store.get("any").await.unwrap().unwrap().value, bytes);
    assert_eq!(store.get("empty").await.unwrap().unwrap().value, b"");
}

async fn a_key_that_cannot_exist_is_refused(store: Fixture) {
    let long = "k".repeat(KEY_BYTES_MAX + 1);
    assert!(matches!(store.get("").await, Err(StoreError::KeyLength { bytes: 0 })));
    assert!(matches!(store.get(&long).await, Err(StoreError::KeyLength { bytes }) if bytes == KEY_BYTES_MAX + 1));
    assert_eq!(store.get(&long[1..]).await.unwrap(), None);
}

async fn who_knows_a_value_is_told_of_every_other_one(store: Fixture) {
    let first = store.put("k", "first").await;
    store.put("other", "v").await;
    // Twice each: what an engine has learnt by the first look must count for the second.
    for _ in 0..2 {
        assert!(still(&store, "k", first).await, "nobody has written it since");
    }
    let second = store.put("k", "second").await;
    for _ in 0..2 {
        let look = store.get_unless("k", first).await.unwrap();
        assert!(matches!(look, Look::Entry(entry) if entry.modified == second && entry.value == b"second"));
        assert!(still(&store, "k", second).await);
    }
    store.delete("k").await;
    for known in [first, second] {
        assert_eq!(store.get_unless("k", known).await.unwrap(), Look::Nothing);
    }
    let third = store.put("k", "second").await;
    assert!(!still(&store, "k", second).await && still(&store, "k", third).await, "the same bytes are another value");
    assert!(!still(&store, "k", Revision(third.0 + 1)).await, "a revision that lies ahead");
    assert!(matches!(store.get_unless("", third).await, Err(StoreError::KeyLength { bytes: 0 })));
}

/// Whether a key has the value of a revision. An engine may say so, or answer with the value itself.
async fn still(store: &Fixture, key: &str, known: Revision) -> bool {
    match store.get_unless(key, known).await.unwrap() {
        Look::Nothing => false,
        Look::Unchanged => true,
        Look::Entry(entry) => entry.modified == known,
    }
}

async fn the_same_state_is_shown_only_until_something_is_written(store: Fixture) {
    let mut seen = vec![store.shown()];
    for value in ["1", "2", "3"] {
        store.put("k", value).await;
        let shown = store.shown();
        // An engine that must ask somebody says nothing.
        assert!(shown.is_none() || !seen.contains(&shown), "another state by the time a commit is acknowledged");
        store.get("k").await.unwrap();
        assert_eq!(store.shown(), shown, "reading changes nothing");
        seen.push(shown);
    }
}

async fn a_range_of_an_empty_store_is_empty(store: Fixture) {
    let page = store.range("", None, 10, None).await.unwrap();
    assert!(page.entries.is_empty());
    assert!(!page.more);
    assert_eq!(page.revision, store.revision().await.unwrap());
}

async fn a_range_is_in_the_order_of_the_keys_bytes(store: Fixture) {
    for key in ["b", "é", "a/b", "B", "a", "a!", "\u{10FFFF}", "ab", "a0"] {
        store.put(key, "").await;
    }
    let page = store.range("", None, 100, None).await.unwrap();
    assert_eq!(keys(&page), ["B", "a", "a!", "a/b", "a0", "ab", "b", "é", "\u{10FFFF}"]);
}

async fn a_range_keeps_to_its_prefix(store: Fixture) {
    for key in ["a", "a/", "a/1", "a/\u{10FFFF}", "a0", "b", "b/1"] {
        store.put(key, "").await;
    }
    assert_eq!(store.listed("a/", None).await, ["a/=", "a/1=", "a/\u{10FFFF}="]);
    assert_eq!(store.listed("b/1", None).await, ["b/1="]);
    assert_eq!(store.listed("b/2", None).await, [""; 0]);
    assert_eq!(store.listed("c", None).await, [""; 0]);
}

async fn a_range_begins_behind_a_key_whether_it_exists_or_not(store: Fixture) {
    for key in ["a", "p/1", "p/3", "p/5", "q"] {
        store.put(key, "").await;
    }
    for (after, expected) in [
        ("p/1", vec!["p/3", "p/5"]),
        ("p/2", vec!["p/3", "p/5"]),
        ("p/5", vec![]),
        ("q", vec![]),
        // Whatever lies in front of the prefix is in front of its first key.
        ("a", vec!["p/1", "p/3", "p/5"]),
        ("p", vec!["p/1", "p/3", "p/5"]),
        ("p/", vec!["p/1", "p/3", "p/5"]),
    ] {
        let page = store.range("p/", Some(after), 10, None).await.unwrap();
        assert_eq!(keys(&page), expected, "behind {after}");
    }
}

async fn a_page_says_whether_keys_follow(store: Fixture) {
    store.write(["p/1", "p/2", "p/3", "q"].map(|key| put(key, "")).into()).await;
    for (limit, count, more) in [(1, 1, true), (2, 2, true), (3, 3, false), (4, 3, false)] {
        let page = store.range("p/", None, limit, None).await.unwrap();
        assert_eq!((page.entries.len(), page.more), (count, more), "limit {limit}");
    }
    let last = store.range("p/", Some("p/2"), 1, None).await.unwrap();
    assert_eq!((keys(&last), last.more), (vec!["p/3"], false));
}

async fn a_limit_outside_its_bounds_is_moved_to_the_nearer_one(store: Fixture) {
    for batch in 0..21 {
        store.write((0..50).map(|n| put(&format!("{batch:02}/{n:02}"), "")).collect()).await;
    }
    let none = store.range("", None, 0, None).await.unwrap();
    assert_eq!((none.entries.len(), none.more), (1, true));
    let all = store.range("", None, usize::MAX, None).await.unwrap();
    assert_eq!((all.entries.len(), all.more), (LIMIT_MAX, true));
}

async fn a_page_ends_early_when_its_bytes_are_used_up(store: Fixture) {
    let value = vec![7; PAGE_BYTES_MAX / 20];
    for n in 0..25 {
        store.write(vec![Write::Put(format!("{n:02}"), value.clone())]).await;
    }
    let first = store.range("", None, 100, None).await.unwrap();
    assert!(first.more);
    let bytes: usize = first.entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum();
    assert!(bytes <= PAGE_BYTES_MAX && bytes + value.len() + 2 > PAGE_BYTES_MAX, "{bytes}");
    let after = keys(&first).last().copied();
    let second = store.range("", after, 100, Some(first.revision)).await.unwrap();
    assert_eq!((first.entries.len() + second.entries.len(), second.more), (25, false));
}

async fn a_page_names_the_revision_it_was_read_at(store: Fixture) {
    let first = store.put("a", "").await;
    let second = store.put("b", "").await;
    assert_eq!(store.range("", None, 1, None).await.unwrap().revision, second);
    assert_eq!(store.range("", None, 1, Some(first)).await.unwrap().revision, first);
    assert_eq!(store.revision().await.unwrap(), second);
    assert_eq!(second, Revision(first.0 + 1));
}
