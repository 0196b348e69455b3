//! Random histories on the embedded engine and on the memory engine must read the same.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::EmbeddedStore;
use crate::{Commit, Kv, MemoryStore, Precondition, Revision, Watch, Write};

/// Deep enough for a few versions, shallow enough that most histories outgrow it.
const HISTORY: u64 = 8;

#[derive(Debug, Clone)]
enum Step {
    Commit { conditions: Vec<(&'static str, Condition)>, writes: Vec<(&'static str, Option<u8>)> },
    Get(&'static str),
    Range { prefix: &'static str, after: Option<&'static str>, limit: usize, back: Option<u64> },
    Watch { prefix: &'static str, back: u64 },
    Close,
    Drop,
}

#[derive(Debug, Clone, Copy)]
enum Condition {
    Absent,
    /// As it is now, or of the first commit if it is absent.
    Unchanged,
    /// As it was that many commits before it was last written.
    Older(u64),
}

fn key() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "a/", "a/1", "a/2", "ab", "b", "b/1", "é"])
}

fn prefix() -> impl Strategy<Value = &'static str> {
    select(vec!["", "a", "a/", "b", "c", "é"])
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        2 => Just(Condition::Absent),
        4 => Just(Condition::Unchanged),
        1 => (1..3_u64).prop_map(Condition::Older),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (vec((key(), condition()), 0..2), vec((key(), option::weighted(0.7, any::<u8>())), 0..4))
            .prop_map(|(conditions, writes)| Step::Commit { conditions, writes }),
        1 => key().prop_map(Step::Get),
        4 => (prefix(), option::of(key()), 0..6_usize, option::of(0..12_u64))
            .prop_map(|(prefix, after, limit, back)| Step::Range { prefix, after, limit, back }),
        1 => (prefix(), 0..12_u64).prop_map(|(prefix, back)| Step::Watch { prefix, back }),
        1 => Just(Step::Close),
        1 => Just(Step::Drop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_engine_reads_as_the_memory_engine_does(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}

async fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let memory = MemoryStore::with_history(HISTORY);
    let open = || EmbeddedStore::open_with_history(&path, HISTORY).unwrap();
    let mut embedded = open();
    for step in steps {
        match step {
            Step::Close => {
                embedded.close().await.unwrap();
                embedded = open();
            }
            Step::Drop => {
                drop(embedded);
                embedded = open();
            }
            step => {
                // The memory engine first: the step is spelled out in its revisions.
                let revision = memory.revision().await.unwrap();
                let commit = spell(&memory, &step).await;
                let expected = answer(&memory, &step, commit.clone(), revision).await;
                assert_eq!(answer(&embedded, &step, commit, revision).await, expected, "{step:?}");
            }
        }
        assert_eq!(embedded.revision().await.unwrap(), memory.revision().await.unwrap());
    }
}

async fn spell(memory: &MemoryStore, step: &Step) -> Commit {
    let Step::Commit { conditions, writes } = step else { return Commit::default() };
    let mut commit = Commit::default();
    for (key, condition) in conditions {
        let modified = memory.get(key).await.unwrap().map_or(Revision(1), |entry| entry.modified);
        commit.preconditions.push(match condition {
            Condition::Absent => Precondition::Absent((*key).to_owned()),
            Condition::Unchanged => Precondition::Unchanged((*key).to_owned(), modified),
            Condition::Older(by) => {
                Precondition::Unchanged((*key).to_owned(), Revision(modified.0.saturating_sub(*by)))
            }
        });
    }
    for (key, value) in writes {
        commit.writes.push(match value {
            Some(byte) => Write::Put((*key).to_owned(), vec![*byte; usize::from(*byte) * 20]),
            None => Write::Delete((*key).to_owned()),
        });
    }
    commit
}

async fn answer(store: &dyn Kv, step: &Step, commit: Commit, revision: Revision) -> String {
    let back = |by: u64| Revision((revision.0 + 1).saturating_sub(by));
    match step {
        Step::Commit { .. } => format!("{:?}", store.commit(commit).await),
        Step::Get(key) => format!("{:?}", store.get(key).await),
        Step::Range { prefix, after, limit, back: by } => {
            format!("{:?}", store.range(prefix, *after, *limit, by.map(back)).await)
        }
        Step::Watch { prefix, back: by } => match store.watch(prefix, back(*by)).await {
            Ok(watch) => told(watch).await,
            Err(error) => format!("{error:?}"),
        },
        Step::Close | Step::Drop => String::new(),
    }
}

/// Everything a watch has to tell until it would wait.
async fn told(mut watch: Box<dyn Watch>) -> String {
    let mut told = String::new();
    loop {
        tokio::select! {
            biased;
            changes = watch.next() => told += &format!("{changes:?}\n"),
            () = passed_by() => return told,
        }
    }
}

/// A few rounds more than a watch needs to look through the history.
async fn passed_by() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}
