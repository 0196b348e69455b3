//! A disk without space, played by a limit on the size of files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strongroom_store::{Commit, EmbeddedStore, Kv, Outcome, StoreError, Write};

use crate::child;

/// The limit, in the shell's blocks of 512 bytes: 2 MiB.
const LIMIT_BLOCKS: &str = "4096";

#[tokio::test]
async fn a_full_disk_loses_nothing_and_the_store_works_again_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    // Ignored, or the signal of the limit would end the child before its write fails.
    let script = format!("trap '' XFSZ; ulimit -S -f {LIMIT_BLOCKS}; exec \"$0\" \"$@\"");
    let test = "full_disk::child_fills_the_disk";
    let output = child::command(&["sh", "-c", &script], test, &path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let store = EmbeddedStore::open(&path).unwrap();
    assert!(count(&store).await >= 20);
    assert!(store.get("with space again").await.unwrap().is_some());
}

#[tokio::test]
#[ignore = "the child of a_full_disk_loses_nothing_and_the_store_works_again_when_there_is_space"]
async fn child_fills_the_disk() {
    let path = child::path();
    let store = EmbeddedStore::open(&path).unwrap();
    let written = fill(&store, 0).await;
    assert!(written >= 20, "{written}");

    // Reads go on, and a second attempt is refused in the same way.
    assert_eq!(count(&store).await, written);
    assert_eq!(fill(&store, written).await, written);
    assert_eq!(count(&store).await, written);

    // So it is for a store that is opened on a full disk.
    store.close().await.unwrap();
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(fill(&store, written).await, written);
    assert_eq!(count(&store).await, written);

    allow_more();
    let Outcome::Committed(revision) = put(&store, "with space again").await.unwrap() else { panic!("a conflict") };
    assert_eq!(revision.0, written + 1, "refused commits took no revision");
    store.close().await.unwrap();
}

/// Commits until there is no space; says how many commits were acknowledged in all.
async fn fill(store: &EmbeddedStore, from: u64) -> u64 {
    for number in from.. {
        match put(store, &format!("n/{number:06}")).await {
            Ok(_) => {}
            Err(StoreError::Full) => return number,
            Err(error) => panic!("{error}"),
        }
    }
    from
}

async fn put(store: &EmbeddedStore, key: &str) -> Result<Outcome, StoreError> {
    let writes = vec![Write::Put(key.to_owned(), vec![0x5A; 16 * 1024])];
    store.commit(Commit { preconditions: vec![], writes }).await
}

/// All are there, whole and without a gap.
async fn count(store: &EmbeddedStore) -> u64 {
    let page = store.range("n/", None, 1000, None).await.unwrap();
    assert!(!page.more);
    for (number, entry) in page.entries.iter().enumerate() {
        assert_eq!(entry.key, format!("n/{number:06}"));
        assert_eq!(entry.value, [0x5A; 16 * 1024]);
    }
    page.entries.len() as u64
}

fn allow_more() {
    let hard = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: hard, maximum: hard }).unwrap();
}
