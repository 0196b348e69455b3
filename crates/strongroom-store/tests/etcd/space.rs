//! An etcd that runs out of space.

use std::collections::BTreeMap;

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, CompactionOptions};
use strongroom_store::{EtcdOpenError, EtcdStore, Kv, Outcome, StoreError};

use crate::fixture::{PREFIX, open, options, put_of, raw};
use crate::server::EtcdServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_etcd_refuses_writes_loses_none_and_serves_reads_and_recovers() {
    let quota = 4 * 1024 * 1024;
    let server = EtcdServer::start_with(1, "http", &[format!("--quota-backend-bytes={quota}")]);
    let store = open(&server).await;
    let mut last = BTreeMap::new();
    let (mut done, mut full) = (0, 0);
    // etcd learns how large it is when it writes what it has gathered: ten times a second.
    for n in 0..5000_u32 {
        if full == 10 {
            break;
        }
        let (key, value) = ((n % 10).to_string(), [&n.to_be_bytes()[..], &[7; 100_000]].concat());
        match store.commit(put_of(&key, &value)).await {
            Ok(Outcome::Committed(revision)) => {
                last.insert(key, (revision, value));
                done += 1;
            }
            Err(StoreError::Full) => full += 1,
            other => panic!("{other:?}"),
        }
    }
    println!("{done} writes were done, {full} refused");
    assert!(done > 10 && full == 10);
    // What was answered is what is there: the batch that crossed the quota as well, which etcd both does and refuses.
    for (key, (revision, value)) in last {
        let there = store.get(&key).await.unwrap().unwrap();
        assert!(there.modified == revision && there.value == value, "{key}");
    }
    // Space is made as an operator makes it; this node goes on by itself.
    let mut client = raw(&server).await;
    let newest = store.revision().await.unwrap();
    let physical = Some(CompactionOptions::new().with_physical());
    client.compact(i64::try_from(newest.0).unwrap(), physical).await.unwrap();
    client.defragment().await.unwrap();
    let raised = client.alarm(AlarmAction::Get, AlarmType::None, None).await.unwrap();
    for alarm in raised.alarms() {
        let mut of_member = AlarmOptions::new();
        of_member.with_member(alarm.member_id());
        client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(of_member)).await.unwrap();
    }
    assert!(matches!(store.commit(put_of("after", b"v")).await, Ok(Outcome::Committed(_))));
}

#[tokio::test]
async fn a_commit_in_a_full_etcd_whose_store_is_gone_may_have_been_done_before() {
    let server = EtcdServer::start();
    let store = open(&server).await;
    let mut client = raw(&server).await;
    client.alarm(AlarmAction::Activate, AlarmType::Nospace, None).await.unwrap();
    client.delete(format!("{PREFIX}/format"), None).await.unwrap();
    let refused = store.commit(put_of("k", b"v")).await;
    assert!(matches!(refused, Err(StoreError::OutcomeUnknown(_))), "{refused:?}");
}

#[tokio::test]
async fn a_store_in_a_full_etcd_is_not_opened() {
    let server = EtcdServer::start();
    open(&server).await.close().await.unwrap();
    raw(&server).await.alarm(AlarmAction::Activate, AlarmType::Nospace, None).await.unwrap();
    let error = EtcdStore::open(options(&server)).await.err().expect("it is refused");
    assert!(matches!(error, EtcdOpenError::NoSpace), "{error}");
    assert!(error.remedy().contains("alarm disarm"));
}
