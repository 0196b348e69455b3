//! A drill over a real backup: every key proves itself, and what is wrong with backup or domain is said.

use std::sync::{Arc, Mutex};

use strongroom_core::keys::{CreateKey, KeyAttributes, ReleaseTerms, Tags};
use strongroom_core::rbac::{CRYPTO_OFFICER, CRYPTO_USER};
use strongroom_crypto::{KeySpecification, SystemEntropy};
use strongroom_security_domain::{CertificateTerms, Custodians, NewCustodian, certificate_of_pem, open_file};
use strongroom_store::MemoryStore;
use strongroom_testkit::{START, TestCore, add_hsm, core_on, draw_uuid, managed_hsm, program, request_of};
use strongroom_types::{
    CurveName, HsmName, KeyOperations, PrincipalId, Protection, RsaSize, Scope, SymmetricSize, TenantId,
};

use super::*;

const CONTAINER: &str = "memory://backups";

/// An HSM with keys of every kind, and a backup of it.
struct World {
    test: TestCore,
    tenant: TenantId,
    administrator: PrincipalId,
    name: HsmName,
    custodians: Vec<NewCustodian>,
}

impl World {
    async fn new() -> (Self, String) {
        let test = core_on(Arc::new(MemoryStore::new())).await.unwrap();
        let custodians = ["alice", "bob", "carol"].map(|name| {
            let terms = CertificateTerms { name, not_before: START, days: 365 };
            NewCustodian::generate(RsaSize::Bits2048, terms, None, &SystemEntropy).unwrap()
        });
        let world = Self {
            test,
            tenant: TenantId::from_uuid(draw_uuid().unwrap()),
            administrator: PrincipalId::from_uuid(draw_uuid().unwrap()),
            name: "hsm1".parse().unwrap(),
            custodians: custodians.into(),
        };
        let hsm = managed_hsm(world.name.clone(), world.tenant, world.administrator).unwrap();
        add_hsm(&world.test.core, &hsm, &world.request()).await.unwrap();
        let file = world.activate().await;
        world.make_keys().await;
        (world, file)
    }

    fn request(&self) -> strongroom_core::request::Request {
        request_of(program(self.tenant, self.administrator), self.test.clock.now()).unwrap()
    }

    async fn activate(&self) -> String {
        let certificates: Vec<_> =
            self.custodians.iter().map(|one| certificate_of_pem(&one.certificate).unwrap()).collect();
        let custodians = Custodians::from_certificates(&certificates, 2).unwrap();
        let hsm = self.test.core.hsm(&self.name).await.unwrap();
        let download = hsm.download_security_domain(&self.request(), custodians).await.unwrap();
        hsm.confirm_download(&self.request(), download.operation).await.unwrap();
        for role in [CRYPTO_USER, CRYPTO_OFFICER] {
            let (id, scope) = (draw_uuid().unwrap(), Scope::Root);
            hsm.create_role_assignment(&self.request(), &scope, id, role, self.administrator).await.unwrap();
        }
        download.file
    }

    async fn make_keys(&self) {
        let hsm = self.test.core.hsm(&self.name).await.unwrap();
        for (name, specification) in [
            ("rsa", KeySpecification::Rsa(RsaSize::Bits2048)),
            ("ec", KeySpecification::Ec(CurveName::P256)),
            ("ec", KeySpecification::Ec(CurveName::P256)),
            ("gone", KeySpecification::Ec(CurveName::P521)),
            ("aes", KeySpecification::Oct(SymmetricSize::Bits256)),
        ] {
            // Without any operation allowed: a drill proves keys whatever they may be used for.
            let order = CreateKey {
                specification,
                protection: Protection::Hsm,
                operations: Some(KeyOperations::default()),
                attributes: KeyAttributes::default(),
                tags: Tags::default(),
                release: ReleaseTerms::default(),
            };
            hsm.create_key(&self.request(), &name.parse().unwrap(), order).await.unwrap();
        }
        hsm.delete_key(&self.request(), &"gone".parse().unwrap()).await.unwrap();
    }

    /// Answers the folder.
    async fn back_up(&self) -> String {
        let order = JobOrder::new(OrderedKind::Backup, CONTAINER, TargetCredential::None).unwrap();
        let hsm = self.test.core.hsm(&self.name).await.unwrap();
        let started = hsm.start_job(&self.request(), &order).await.unwrap();
        let worker = Worker { id: self.test.node, takeover_seconds: 0, credentials: None };
        for job in self.test.core.running_jobs().await.unwrap() {
            assert_eq!(self.test.core.run_job(&worker, &job).await.unwrap(), Ran::Ended);
        }
        started.folder.rsplit('/').next().unwrap().to_owned()
    }

    fn container(&self) -> Arc<dyn BlobContainer> {
        self.test.blobs.container(CONTAINER)
    }

    fn keys(&self, count: usize) -> Vec<CustodianKey> {
        let read = |one: &NewCustodian| CustodianKey::from_pem(one.key.expose(), &one.certificate, None).unwrap();
        self.custodians.iter().take(count).map(read).collect()
    }

    async fn drill(&self, folder: &str, file: &str, custodians: Vec<CustodianKey>) -> Drill {
        Drill {
            container: self.container(),
            address: CONTAINER.to_owned(),
            folder: folder.to_owned(),
            security_domain: Secret::new(file.to_owned()),
            custodians,
            operator: "the test".to_owned(),
            program: "strongroom".to_owned(),
        }
    }
}

/// Notes what it is shown.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Watch for Notes {
    fn begin(&self, step: &str, _total: Option<u64>) {
        self.0.lock().unwrap().push(step.to_owned());
    }

    fn advance(&self, _done: u64) {}

    fn end(&self) {
        self.0.lock().unwrap().push("end".to_owned());
    }
}

#[tokio::test]
async fn every_version_of_every_key_is_proved_and_the_report_is_signed_by_who_was_there() {
    let (world, file) = World::new().await;
    let folder = world.back_up().await;
    let before = world.test.blobs.all();
    let mut twice = world.keys(2);
    twice.extend(world.keys(1));
    let notes = Notes::default();
    let (report, signed) = world.drill(&folder, &file, twice).await.hold(&notes).await.unwrap();
    assert_eq!(report.outcome, Outcome::Passed, "{:?}", report.failures);
    let restored = &report.restored;
    assert_eq!((restored.keys, restored.versions, restored.proved), (4, 5, 5));
    assert_eq!(restored.role_assignments, 3, "Administrator, Crypto User and Crypto Officer");
    assert_eq!(report.backup.managed_hsm, "hsm1");
    assert_eq!(report.security_domain.present.len(), 2, "a key that was brought twice is one custodian");
    assert_eq!(signed.verify(Some(&file)).unwrap().report, report);
    let notes = notes.0.into_inner().unwrap();
    let steps: Vec<_> = report.recovery_time.steps.iter().map(|step| step.name.clone()).collect();
    assert_eq!(notes[..4], steps[..], "what was shown is what was measured");
    assert_eq!(notes[4], "end");
    assert_eq!(world.test.blobs.all(), before, "a drill writes nothing into the container");
}

/// A drill must be able to fail: a restore that loses or changes a key is what it is for.
#[tokio::test]
async fn a_key_that_did_not_come_back_is_a_failure_by_name_and_the_others_are_proved() {
    let (world, file) = World::new().await;
    let folder = world.back_up().await;
    let opened = open_file(&file, &world.keys(2)).unwrap();
    let scratch = Scratch::recover(world.container(), &opened.entries).await.unwrap();
    let backup = open_backup(&scratch, world.container(), &folder).await.unwrap();
    restore(&scratch, CONTAINER, &folder).await.unwrap();
    let proofs = challenge(&scratch, &backup, &Notes::default()).await.unwrap();
    assert_eq!((proofs.challenged, proofs.proved, proofs.failures.len()), (5, 5, 0));

    let (hsm, request) = (scratch.hsm().await.unwrap(), scratch.request().unwrap());
    let principal = request.caller.principal;
    hsm.create_role_assignment(&request, &Scope::Root, draw_uuid().unwrap(), CRYPTO_USER, principal).await.unwrap();
    hsm.delete_key(&request, &"rsa".parse().unwrap()).await.unwrap();
    let proofs = challenge(&scratch, &backup, &Notes::default()).await.unwrap();
    assert_eq!((proofs.challenged, proofs.proved, proofs.failures.len()), (5, 4, 1));
    let failure = &proofs.failures[0];
    assert_eq!(failure.key, "rsa");
    assert_eq!(failure.reason, "it does not answer as the key that was backed up");

    let drill = world.drill(&folder, &file, world.keys(2)).await;
    let watch = Notes::default();
    let report = drill.report(&opened, &backup, proofs, Timer::start(&watch).end());
    assert_eq!((report.outcome, report.restored.proved, report.failures.len()), (Outcome::Failed, 4, 1));
    // Fewer challenges than the backup has versions are no proof either.
    let none = drill.report(&opened, &backup, Proofs::default(), Timer::start(&watch).end());
    assert_eq!(none.outcome, Outcome::Failed);
}

#[tokio::test]
async fn without_a_quorum_or_with_another_domain_or_an_altered_backup_there_is_no_report() {
    let ((world, file), (other, other_file)) = (World::new().await, World::new().await);
    let (folder, other_folder) = (world.back_up().await, other.back_up().await);
    let hold = async |folder: &str, file: &str, keys| {
        world.drill(folder, file, keys).await.hold(&Notes::default()).await.unwrap_err()
    };
    let alone = hold(&folder, &file, world.keys(1)).await;
    assert!(matches!(alone, DrillError::Domain(_)) && alone.remedy().contains("more custodians"), "{alone}");
    let strangers = hold(&folder, &file, other.keys(2)).await;
    assert!(matches!(strangers, DrillError::Domain(_)), "{strangers}");
    let foreign = hold(&folder, &other_file, other.keys(2)).await;
    assert!(foreign.to_string().contains("was made under security domain"), "{foreign}");
    assert!(foreign.remedy().contains("security-domain file"), "{}", foreign.remedy());
    let missing = hold(&(other_folder + "0"), &file, world.keys(2)).await;
    assert!(missing.to_string().contains("has no manifest"), "{missing}");
    let whole = world.test.blobs.all();
    for path in whole.keys() {
        let mut altered = whole.clone();
        *altered.get_mut(path).unwrap().last_mut().unwrap() ^= 1;
        world.test.blobs.set_all(altered);
        let refused = hold(&folder, &file, world.keys(2)).await;
        assert!(refused.to_string().contains("not whole and unaltered"), "{path}: {refused}");
    }
}
