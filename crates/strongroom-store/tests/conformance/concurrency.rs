//! Many callers at once.

use std::sync::Arc;

use strongroom_store::{Commit, Kv, Look, Outcome};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::conformance;
use crate::fixture::{Fixture, absent, put, text, unchanged, write};

conformance! {
    no_increment_of_many_committers_is_lost,
    exactly_one_of_many_creators_wins,
    an_acknowledged_write_is_read_at_once_by_everybody,
    readers_never_see_half_a_commit,
    what_is_known_of_a_value_is_never_older_than_what_was_read,
}

async fn no_increment_of_many_committers_is_lost(store: Fixture) {
    store.put("sum", "0").await;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let store = store.share();
        tasks.spawn(async move {
            for _ in 0..25 {
                increment(&store).await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(store.value("sum").await.unwrap(), "200");
}

async fn increment(store: &Arc<dyn Kv>) {
    loop {
        let entry = store.get("sum").await.unwrap().unwrap();
        let next = text(&entry).parse::<u64>().unwrap() + 1;
        let preconditions = vec![unchanged("sum", entry.modified)];
        let commit = Commit { preconditions, writes: vec![put("sum", &next.to_string())] };
        if store.commit(commit).await.unwrap() != Outcome::Conflict {
            return;
        }
    }
}

async fn exactly_one_of_many_creators_wins(store: Fixture) {
    const CREATORS: usize = 4;
    for round in 0..30 {
        let key = format!("key/{round}");
        let together = Arc::new(Barrier::new(CREATORS));
        let mut tasks = JoinSet::new();
        for creator in 0..CREATORS {
            let (store, key, together) = (store.share(), key.clone(), Arc::clone(&together));
            tasks.spawn(async move {
                let commit =
                    Commit { preconditions: vec![absent(&key)], writes: vec![put(&key, &creator.to_string())] };
                together.wait().await;
                (creator, store.commit(commit).await.unwrap())
            });
        }
        let outcomes = tasks.join_all().await;
        let winners: Vec<usize> =
            outcomes.iter().filter(|(_, outcome)| *outcome != Outcome::Conflict).map(|(creator, _)| *creator).collect();
        assert_eq!(winners.len(), 1, "round {round}: {outcomes:?}");
        assert_eq!(store.value(&key).await.unwrap(), winners[0].to_string());
    }
}

async fn an_acknowledged_write_is_read_at_once_by_everybody(store: Fixture) {
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let store = store.share();
        tasks.spawn(async move {
            let key = format!("own/{task}");
            for n in 0..25 {
                let revision = write(&*store, vec![put(&key, &n.to_string())]).await;
                let entry = store.get(&key).await.unwrap().unwrap();
                assert_eq!((entry.modified, text(&entry)), (revision, n.to_string()));
                assert!(store.revision().await.unwrap() >= revision);
            }
        });
    }
    tasks.join_all().await;
}

async fn readers_never_see_half_a_commit(store: Fixture) {
    store.write(vec![put("pair/a", "0"), put("pair/b", "0")]).await;
    let mut readers = JoinSet::new();
    for _ in 0..2 {
        let store = store.share();
        readers.spawn(async move {
            loop {
                let page = store.range("pair/", None, 10, None).await.unwrap();
                let (a, b) = (text(&page.entries[0]), text(&page.entries[1]));
                assert_eq!(a, b);
                if a == "100" {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    for n in 1..=100 {
        let n = n.to_string();
        store.write(vec![put("pair/a", &n), put("pair/b", &n)]).await;
    }
    readers.join_all().await;
}

async fn what_is_known_of_a_value_is_never_older_than_what_was_read(store: Fixture) {
    let first = store.write(vec![put("pair/a", "0"), put("pair/b", "0")]).await;
    let mut readers = JoinSet::new();
    for number in 0..4 {
        let store = store.share();
        readers.spawn(async move {
            // The two keys are written together, so neither may be older than what was last seen of the other.
            let keys = if number % 2 == 0 { ["pair/a", "pair/b"] } else { ["pair/b", "pair/a"] };
            let (mut seen, mut known) = (first, [(first, "0".to_owned()), (first, "0".to_owned())]);
            loop {
                for (key, (revision, value)) in keys.iter().zip(&mut known) {
                    match store.get_unless(key, *revision).await.unwrap() {
                        Look::Nothing => panic!("{key} is never removed"),
                        Look::Unchanged => {}
                        Look::Entry(entry) => (*revision, *value) = (entry.modified, text(&entry)),
                    }
                    assert!(*revision >= seen, "{key} was read at {revision} after {seen}");
                    seen = *revision;
                }
                if known.iter().all(|(_, value)| value == "100") {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    for n in 1..=100 {
        let n = n.to_string();
        store.write(vec![put("pair/a", &n), put("pair/b", &n)]).await;
    }
    readers.join_all().await;
}
