//! SIGKILL at random moments of a store that is being written to.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;

use strongroom_store::{Commit, EmbeddedStore, Kv, Outcome, StoreError, Write};
use tokio::task::JoinSet;

use crate::child;

const KILLS: usize = 20;
/// Tasks of the child that commit at the same time, so that groups are killed too.
const WRITERS: u64 = 4;

#[tokio::test]
async fn no_acknowledged_commit_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut acknowledged = BTreeMap::new();
    for kill in 0..KILLS {
        // The first ones die while they open the store.
        let lines = if kill < 3 { kill } else { random(250) };
        kill_after(lines, &path, &mut acknowledged);
        let store = EmbeddedStore::open(&path).unwrap();
        for writer in 0..WRITERS {
            let last = acknowledged.get(&writer).copied().unwrap_or(0);
            let found = check_writer(&store, writer).await;
            assert!(found == last || found == last + 1, "kill {kill}: {last} acknowledged, {found} found");
            // The next child goes on from what is there.
            acknowledged.insert(writer, found);
        }
        store.close().await.unwrap();
    }
    let total: u64 = acknowledged.values().sum();
    assert!(total > 100, "the children committed only {total} times");
}

/// Runs a child, kills it once it has acknowledged that many commits, and notes all that it acknowledged.
fn kill_after(lines: usize, path: &Path, acknowledged: &mut BTreeMap<u64, u64>) {
    let mut child = child::command(&[], "kill::child_commits_until_it_is_killed", path).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut seen = 0;
    if lines == 0 {
        child.kill().unwrap();
    }
    for line in output.lines() {
        let line = line.unwrap();
        // The test harness begins a line of its own, which the first of these ends.
        let Some((_, fields)) = line.split_once("committed ") else { continue };
        // A line that the kill cut short says nothing.
        let Some((writer, number)) = fields.strip_suffix(" .").and_then(|fields| fields.split_once(' ')) else {
            continue;
        };
        acknowledged.insert(writer.parse().unwrap(), number.parse().unwrap());
        seen += 1;
        if seen == lines {
            assert!(matches!(EmbeddedStore::open(path), Err(StoreError::Locked { .. })), "the child has it open");
            child.kill().unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().code(), None, "the child ended before it was killed");
}

/// Reads all that a writer wrote: numbered without a gap, and each number with its whole commit.
async fn check_writer(store: &EmbeddedStore, writer: u64) -> u64 {
    let prefix = format!("{writer}/");
    let mut found = 0;
    let mut after = None;
    loop {
        let page = store.range(&prefix, after.as_deref(), 1000, None).await.unwrap();
        for entry in &page.entries {
            found += 1;
            assert_eq!(entry.key, format!("{writer}/{found:08}"));
            assert_eq!(entry.value, value(writer, found));
        }
        after = page.entries.last().map(|entry| entry.key.clone());
        if !page.more {
            break;
        }
    }
    let last = store.get(&format!("last/{writer}")).await.unwrap();
    let last = last.map_or(0, |entry| u64::from_be_bytes(entry.value.try_into().unwrap()));
    assert_eq!(last, found, "half a commit");
    found
}

fn value(writer: u64, number: u64) -> Vec<u8> {
    let length = usize::try_from((writer * 7919 + number * 104_729) % 9000).unwrap();
    vec![number.to_le_bytes()[0]; length]
}

fn random(below: usize) -> usize {
    let hash = RandomState::new().hash_one(());
    usize::try_from(hash % u64::try_from(below).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of no_acknowledged_commit_is_lost_when_the_process_is_killed"]
async fn child_commits_until_it_is_killed() {
    let store = Arc::new(EmbeddedStore::open(&child::path()).unwrap());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(commit_for_ever(Arc::clone(&store), writer));
    }
    writers.join_all().await;
}

async fn commit_for_ever(store: Arc<EmbeddedStore>, writer: u64) {
    let last_key = format!("last/{writer}");
    let last = store.get(&last_key).await.unwrap();
    let last = last.map_or(0, |entry| u64::from_be_bytes(entry.value.try_into().unwrap()));
    for number in last + 1.. {
        let writes = vec![
            Write::Put(format!("{writer}/{number:08}"), value(writer, number)),
            Write::Put(last_key.clone(), number.to_be_bytes().to_vec()),
        ];
        let outcome = store.commit(Commit { preconditions: vec![], writes }).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed(_)));
        let mut output = std::io::stdout().lock();
        // The parent may be gone already after a failed check.
        if writeln!(output, "committed {writer} {number} .").and_then(|()| output.flush()).is_err() {
            return;
        }
    }
}
