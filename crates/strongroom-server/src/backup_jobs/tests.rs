//! How many jobs are worked on at once, and what becomes of one whose task ends too early.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use strongroom_core::backup::{JobOrder, OrderedKind, TargetCredential};
use strongroom_core::blobs::BlobCredential;
use strongroom_core::managed_hsm::ManagedHsm;
use strongroom_core::pools::BlobAccess;
use strongroom_testkit::{TestCore, add_hsm, core_in_memory, custodians, draw_uuid, managed_hsm, program, request_of};
use strongroom_types::{HsmName, PrincipalId, TenantId};

use super::*;
use crate::tasks::TaskOwner;

/// A core with so many HSMs, each of which has a backup to make.
async fn core_with_jobs(number: usize) -> TestCore {
    let test = core_in_memory().await.unwrap();
    let administrator = PrincipalId::from_uuid(draw_uuid().unwrap());
    let tenant = TenantId::from_uuid(draw_uuid().unwrap());
    let request = || request_of(program(tenant, administrator), strongroom_testkit::START).unwrap();
    for number in 0..number {
        let name: HsmName = format!("hsm{number}").parse().unwrap();
        add_hsm(&test.core, &managed_hsm(name.clone(), tenant, administrator).unwrap(), &request()).await.unwrap();
        let hsm = test.core.hsm(&name).await.unwrap();
        let download = hsm.download_security_domain(&request(), custodians().unwrap()).await.unwrap();
        hsm.confirm_download(&request(), download.operation).await.unwrap();
        let identity = TargetCredential::ManagedIdentity(Arc::new(Given));
        let order = JobOrder::new(OrderedKind::Backup, "memory:backups", identity).unwrap();
        hsm.start_job(&request(), &order).await.unwrap();
    }
    test
}

fn jobs(test: &TestCore, credentials: Arc<dyn StorageCredentials>) -> Arc<BackupJobs> {
    Arc::new(BackupJobs::new(Arc::clone(&test.core), credentials))
}

/// Lets the tasks go on until something is so.
async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap();
}

/// Every identity has a credential.
struct Given;

#[async_trait]
impl StorageCredentials for Given {
    async fn credential(&self, _: &ManagedHsm, _: &str, _: BlobAccess) -> Result<BlobCredential, Error> {
        Ok(BlobCredential::None)
    }
}

/// The first one who asks comes to grief.
#[derive(Default)]
struct PanicsOnce(AtomicBool);

#[async_trait]
impl StorageCredentials for PanicsOnce {
    async fn credential(&self, _: &ManagedHsm, _: &str, _: BlobAccess) -> Result<BlobCredential, Error> {
        assert!(self.0.swap(true, Ordering::SeqCst), "a test makes the task of a job panic");
        Ok(BlobCredential::None)
    }
}

#[tokio::test]
async fn a_job_whose_task_has_panicked_gets_another_one() {
    let (test, owner, credentials) = (core_with_jobs(1).await, TaskOwner::new(), Arc::<PanicsOnce>::default());
    let jobs = jobs(&test, Arc::<PanicsOnce>::clone(&credentials));
    for _ in 0..2 {
        assert_eq!(test.core.running_jobs().await.unwrap().len(), 1);
        jobs.look(&owner.tasks()).await;
        until(|| jobs.at_work().is_empty()).await;
        assert!(credentials.0.load(Ordering::SeqCst));
    }
    assert!(test.core.running_jobs().await.unwrap().is_empty());
}

/// Everybody waits inside until the gate is opened.
struct Gate {
    inside: AtomicUsize,
    open: Semaphore,
}

#[async_trait]
impl StorageCredentials for Gate {
    async fn credential(&self, _: &ManagedHsm, _: &str, _: BlobAccess) -> Result<BlobCredential, Error> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        drop(self.open.acquire().await);
        Ok(BlobCredential::None)
    }
}

#[tokio::test]
async fn some_jobs_are_worked_on_at_once_and_the_others_wait_for_their_turn() {
    let (test, owner) = (core_with_jobs(AT_ONCE_MAX + 2).await, TaskOwner::new());
    let gate = Arc::new(Gate { inside: AtomicUsize::new(0), open: Semaphore::new(0) });
    let jobs = jobs(&test, Arc::<Gate>::clone(&gate));
    jobs.look(&owner.tasks()).await;
    assert_eq!(jobs.at_work().len(), AT_ONCE_MAX + 2);
    until(|| gate.inside.load(Ordering::SeqCst) == AT_ONCE_MAX).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.inside.load(Ordering::SeqCst), AT_ONCE_MAX);
    gate.open.add_permits(1);
    until(|| jobs.at_work().is_empty()).await;
    assert!(test.core.running_jobs().await.unwrap().is_empty());
}
