//! The log as the core sees it.

use std::fs;

use strongroom_core::witness::NoLog;
use strongroom_store::{Commit, MemoryStore, Outcome, StoreError, Write};
use strongroom_testkit::{FakeClock, START, Wrap, Wrapped};
use tokio::sync::Semaphore;

use super::segment::tests::event;
use super::verify::{Against, verify};
use super::*;

struct Opened {
    log: AuditLog,
    store: Arc<dyn Kv>,
}

fn open(folder: &Path, terms: AuditTerms) -> Opened {
    let store: Arc<dyn Kv> = Arc::new(MemoryStore::new());
    Opened { log: AuditLog::open(folder, Arc::clone(&store), terms).unwrap(), store }
}

fn starting() -> Starting {
    let witness = Witness::new([("d/guard".to_owned(), 5)].into(), Box::new(NoLog));
    Starting {
        key: checkpoint::tests::key(),
        witness: Arc::new(witness),
        clock: Arc::new(FakeClock::at(START)),
        new_log: Uuid::from_u128(1),
    }
}

#[tokio::test]
async fn what_was_submitted_is_durable_after_a_flush_and_signed_after_a_close() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { log, store } = open(folder.path(), AuditTerms::default());
    log.submit(&event(1));
    log.start(starting()).unwrap();
    store.commit(Commit { preconditions: vec![], writes: vec![Write::Put("x".to_owned(), vec![1])] }).await.unwrap();
    log.submit_committed(&event(2), "x".to_owned());
    log.flush().await.unwrap();
    let report = verify(folder.path(), &Against::default()).unwrap();
    assert!(report.good && report.unsigned_lines == 2, "{report:?}");
    let sequence = log.status().written;
    log.close();
    assert!(store.get("x").await.unwrap().is_none(), "its line is durable");
    assert_eq!(log.checkpoints().borrow().as_ref().unwrap().checkpoint.sequence, sequence);
    let report = verify(folder.path(), &Against::default()).unwrap();
    assert!(report.good && report.unsigned_lines == 0 && report.gap_count == 0, "{report:?}");
    assert_eq!(open(folder.path(), AuditTerms::default()).log.seen(), [("d/guard".to_owned(), 5)]);
}

/// A store whose commits get no answer until a test allows them.
struct Silent {
    store: MemoryStore,
    answers: Semaphore,
}

#[async_trait]
impl Wrap for Silent {
    fn behind(&self) -> &dyn Kv {
        &self.store
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let allowed = self.answers.acquire().await;
        allowed.map_err(|closed| StoreError::Unavailable(closed.to_string()))?.forget();
        self.store.commit(commit).await
    }
}

#[tokio::test]
async fn neither_events_nor_who_waits_for_them_wait_for_the_outbox() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Wrapped(Silent { store: MemoryStore::new(), answers: Semaphore::new(0) }));
    let keys = ["x1", "x2", "x3"];
    let writes = keys.iter().map(|key| Write::Put((*key).to_owned(), vec![1])).collect();
    store.store.commit(Commit { preconditions: vec![], writes }).await.unwrap();
    let log = AuditLog::open(folder.path(), Arc::clone(&store) as Arc<dyn Kv>, AuditTerms::default()).unwrap();
    log.start(starting()).unwrap();
    for (number, key) in (1..).zip(keys) {
        log.submit_committed(&event(number), key.to_owned());
        log.flush().await.unwrap();
    }
    log.submit(&event(4));
    log.flush().await.unwrap();
    let text = text_of(folder.path());
    for number in 1..=4 {
        assert!(text.contains(&event(number).event_id.to_string()), "{number}");
    }
    assert_eq!(log.status().waiting, 0);
    for key in keys {
        assert!(store.get(key).await.unwrap().is_some(), "nobody has removed {key}");
    }
    store.answers.add_permits(keys.len());
    log.close();
    for key in keys {
        assert!(store.get(key).await.unwrap().is_none(), "{key}");
    }
}

/// Waits until the log has removed what it has written from the outbox of its node.
async fn emptied(test: &strongroom_testkit::TestCore) {
    while !test.core.barrier().outbox().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A log whose next write fails, because the next segment cannot be begun.
async fn failing(folder: &Path, on_full: OnFull) -> AuditLog {
    let segments = SegmentTerms { bytes: 1, ..SegmentTerms::default() };
    let log = open(folder, AuditTerms { on_full, segments, ..AuditTerms::default() }).log;
    log.start(starting()).unwrap();
    fs::rename(folder, folder.with_extension("away")).unwrap();
    log.submit(&event(1));
    while !log.status().is_failing {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    log
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_cryptography_until_it_can() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("audit");
    let log = failing(&folder, OnFull::Stop).await;
    assert!(!log.accepts());
    // Long enough for a second attempt, which fails as well.
    let flushing = tokio::time::timeout(RETRY_PAUSE * 3 / 2, log.flush()).await;
    assert!(flushing.is_err(), "nothing says that it is durable");
    fs::rename(folder.with_extension("away"), &folder).unwrap();
    log.flush().await.unwrap();
    assert!(log.accepts() && !log.status().is_failing);
    log.close();
    let report = verify(&folder, &Against::default()).unwrap();
    assert!(report.good && report.gap_count == 0, "nothing was lost: {report:?}");
    assert_eq!((report.segments, report.checkpoints), (2, 3), "start, segment and stop, each once: {report:?}");
}

#[tokio::test]
async fn a_server_that_is_to_serve_on_counts_what_it_drops() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("audit");
    let log = failing(&folder, OnFull::Serve).await;
    for number in 0..WAITING_MAX {
        log.submit(&event(number as u128));
    }
    log.submit(&event(1));
    assert!(log.accepts());
    fs::rename(folder.with_extension("away"), &folder).unwrap();
    while log.status().waiting > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    log.close();
    let report = verify(&folder, &Against::default()).unwrap();
    assert!(report.good, "{:?}", report.findings);
    let dropped: Vec<_> = report.gaps.iter().map(|gap| (gap.gap.reason, gap.gap.dropped_events)).collect();
    assert_eq!(dropped, [(GapReason::LogNotWritable, Some(2))]);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_for_a_log_that_cannot_be_written() {
    let parent = tempfile::tempdir().unwrap();
    let log = failing(&parent.path().join("audit"), OnFull::Stop).await;
    log.close();
    assert!(log.status().is_failing);
}

#[tokio::test]
async fn checkpoints_are_made_at_intervals_while_there_are_events() {
    let folder = tempfile::tempdir().unwrap();
    let terms = AuditTerms { checkpoint_every: Duration::from_millis(20), ..AuditTerms::default() };
    let log = open(folder.path(), terms).log;
    log.start(starting()).unwrap();
    let mut checkpoints = log.checkpoints();
    checkpoints.borrow_and_update();
    for number in 0..3 {
        log.submit(&event(number));
        checkpoints.changed().await.unwrap();
        assert_eq!(checkpoints.borrow_and_update().as_ref().unwrap().checkpoint.reason, Reason::Interval);
    }
    let quiet = tokio::time::timeout(Duration::from_millis(100), checkpoints.changed()).await;
    assert!(quiet.is_err(), "nothing happened, nothing is signed");
    log.close();
}

fn text_of(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let lines = files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    lines.map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[tokio::test]
async fn each_node_logs_its_own_changes_and_one_logs_those_of_a_node_that_is_gone() {
    let test = strongroom_testkit::core_in_memory().await.unwrap();
    let other = test.another_node().await.unwrap();
    let changed = async |node: &strongroom_testkit::TestCore| {
        let id = strongroom_testkit::draw_uuid().unwrap();
        let request = strongroom_core::request::Request::internal(id, START, "Change", String::new());
        let barrier = node.core.barrier();
        let mut transaction = barrier.transaction();
        transaction.create_secret(barrier.deployment(), format!("d/test/{id}"), b"x");
        transaction.commit(&request).await.unwrap();
        id
    };
    let (of_one, of_other) = (changed(&test).await, changed(&other).await);
    let logs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let log = AuditLog::open(logs[0].path(), Arc::clone(&test.store), AuditTerms::default()).unwrap();
    log.recover(&test.core, OutboxOf::ThisNode).await.unwrap();
    log.start(starting()).unwrap();
    log.flush().await.unwrap();
    let text = || text_of(logs[0].path());
    assert!(text().contains(&of_one.to_string()) && !text().contains(&of_other.to_string()));
    emptied(&test).await;
    assert_eq!(other.core.barrier().outbox().await.unwrap().len(), 1, "it is the other node's to log");

    // It never came to that, and its machine is gone.
    assert_eq!(log.adopt(&test.core, other.node).await.unwrap(), 1);
    assert_eq!(log.adopt(&test.core, other.node).await.unwrap(), 0);
    log.flush().await.unwrap();
    assert!(text().contains(&of_other.to_string()));
    log.close();
    assert!(test.core.barrier().outbox_owners().await.unwrap().is_empty());

    // On a store that one process has to itself, whatever is left goes to the one that starts.
    let later = changed(&other).await;
    let log = AuditLog::open(logs[1].path(), Arc::clone(&test.store), AuditTerms::default()).unwrap();
    let before = test.store.revision().await.unwrap();
    log.recover(&test.core, OutboxOf::Everybody).await.unwrap();
    assert_eq!(test.store.revision().await.unwrap(), before, "nothing is written before its line is");
    log.start(starting()).unwrap();
    log.flush().await.unwrap();
    assert!(text_of(logs[1].path()).contains(&later.to_string()));
    log.close();
    assert!(test.core.barrier().outbox_owners().await.unwrap().is_empty());
}
