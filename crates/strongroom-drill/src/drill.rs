//! The drill itself: open the domain, recover it into a scratch HSM, restore the backup, challenge every key.

use std::sync::Arc;
use std::time::Duration;

use strongroom_core::backup::{JobOrder, JobState, OpenBackup, OrderedKind, Ran, TargetCredential, Worker};
use strongroom_core::blobs::BlobContainer;
use strongroom_core::ports::Clock;
use strongroom_crypto::digest::sha256;
use strongroom_security_domain::{CustodianKey, OpenedFile, WrappingCertificate, open_file};
use strongroom_types::{Secret, Timestamp};

use crate::DrillError;
use crate::report::{
    Backup, Custodian, Failure, Outcome, RecoveryPoint, RecoveryTime, Report, Restored, Seconds, SecurityDomain, Step,
    rfc3339,
};
use crate::scratch::{Scratch, SystemClock};
use crate::signed::{FORMAT, SignedReport, hexadecimal};

/// What a drill works with.
pub struct Drill {
    /// The container that holds the backup.
    pub container: Arc<dyn BlobContainer>,
    /// Its address, without a credential, for the report.
    pub address: String,
    /// The folder of the backup.
    pub folder: String,
    /// The text of the security-domain file.
    pub security_domain: Secret<String>,
    /// The keys of the custodians who are there.
    pub custodians: Vec<CustodianKey>,
    /// Who runs it.
    pub operator: String,
    /// The program and its version.
    pub program: String,
}

/// Who watches a drill.
pub trait Watch: Send + Sync {
    /// A step begins; what counts as its whole, if that is known.
    fn begin(&self, step: &str, total: Option<u64>);
    /// So much of it is done.
    fn advance(&self, done: u64);
    /// The last step has ended.
    fn end(&self);
}

impl Drill {
    /// Holds the drill: the report, and the same signed by the custodians whose keys were brought.
    ///
    /// # Errors
    /// [`DrillError`] if it cannot be held; keys that do not come back are in the report.
    pub async fn hold(mut self, watch: &dyn Watch) -> Result<(Report, SignedReport), DrillError> {
        // A key that was named twice is one custodian.
        let mut seen = Vec::new();
        self.custodians.retain(|custodian| {
            let new = !seen.contains(&custodian.thumbprint());
            seen.push(custodian.thumbprint());
            new
        });
        let mut timer = Timer::start(watch);
        let opened = self.open_domain(&mut timer)?;
        timer.begin("Recover the security domain into a scratch HSM", None);
        let scratch = Scratch::recover(Arc::clone(&self.container), &opened.entries).await?;
        timer.begin("Check the backup, and restore it", None);
        let backup = open_backup(&scratch, Arc::clone(&self.container), &self.folder).await?;
        restore(&scratch, &self.address, &self.folder).await?;
        timer.begin("Challenge every key", Some(backup.manifest().counts.versions));
        let proofs = challenge(&scratch, &backup, watch).await?;
        let recovery_time = timer.end();
        let report = self.report(&opened, &backup, proofs, recovery_time);
        let signed = SignedReport::sign(&report, &self.custodians)?;
        Ok((report, signed))
    }

    fn open_domain(&self, timer: &mut Timer<'_>) -> Result<OpenedFile, DrillError> {
        timer.begin("Open the security domain with the custodians' keys", None);
        // Whoever signs the report must have taken part: no key twice, none that does not open its share.
        let opened = open_file(self.security_domain.expose(), &self.custodians)?;
        match opened.suspects.first() {
            None => Ok(opened),
            Some(suspect) => Err(strongroom_security_domain::SecurityDomainError::ShareRejected(*suspect).into()),
        }
    }

    fn report(&self, opened: &OpenedFile, backup: &OpenBackup, proofs: Proofs, time: Measured) -> Report {
        let (manifest, quorum) = (backup.manifest(), opened.domain.manifest.quorum);
        let counts = manifest.counts;
        let complete = proofs.failures.is_empty() && proofs.challenged == counts.versions;
        Report {
            format: FORMAT,
            program: self.program.clone(),
            outcome: if complete { Outcome::Passed } else { Outcome::Failed },
            operator: self.operator.clone(),
            started: rfc3339(time.started),
            ended: rfc3339(time.ended),
            backup: Backup {
                container: self.address.clone(),
                folder: self.folder.clone(),
                managed_hsm: manifest.source.name.to_string(),
                instance: manifest.source.instance.to_string(),
                bytes: manifest.parts.iter().map(|part| part.bytes).sum(),
            },
            security_domain: SecurityDomain {
                id: opened.domain.manifest.domain_id.to_string(),
                epoch: backup.header().epoch.number(),
                file_sha256: hexadecimal(&sha256(self.security_domain.expose().as_bytes())),
                quorum: quorum.required(),
                custodians: quorum.total(),
                present: self.custodians.iter().map(custodian).collect(),
            },
            recovery_point: RecoveryPoint {
                backup_time: rfc3339(manifest.made),
                age_seconds: (time.started.millis() - manifest.made.millis()) / 1000,
            },
            recovery_time: time.spent,
            restored: Restored {
                keys: counts.keys + counts.deleted_keys,
                versions: counts.versions,
                proved: proofs.proved,
                role_assignments: counts.role_assignments,
                role_definitions: counts.role_definitions,
            },
            failures: proofs.failures,
        }
    }
}

fn custodian(key: &CustodianKey) -> Custodian {
    let subject = WrappingCertificate::from_der(key.certificate()).map(|certificate| certificate.subject().to_owned());
    Custodian { subject: subject.unwrap_or_default(), thumbprint: key.thumbprint().to_string() }
}

async fn open_backup(
    scratch: &Scratch,
    container: Arc<dyn BlobContainer>,
    folder: &str,
) -> Result<OpenBackup, DrillError> {
    let (hsm, request) = (scratch.hsm().await?, scratch.request()?);
    Ok(hsm.open_backup(&request, container, folder).await?)
}

/// The restore, by the same job as in a running server.
async fn restore(scratch: &Scratch, address: &str, folder: &str) -> Result<(), DrillError> {
    let order = JobOrder::new(OrderedKind::Restore { folder: folder.to_owned() }, address, TargetCredential::None)?;
    let started = scratch.hsm().await?.start_job(&scratch.request()?, &order).await?;
    let worker = Worker { id: scratch.core().barrier().node(), takeover_seconds: 0, credentials: None };
    loop {
        for job in scratch.core().running_jobs().await? {
            if scratch.core().run_job(&worker, &job).await? == Ran::Later {
                tokio::time::sleep(PAUSE).await;
            }
        }
        let status = scratch.hsm().await?.restore_status(&scratch.request()?, &started.id.to_string()).await?;
        match status.state {
            JobState::InProgress => {}
            JobState::Succeeded => return Ok(()),
            JobState::Failed { message, .. } => return Err(DrillError::NotRestored(message)),
        }
    }
}

/// What came of the challenges.
#[derive(Default)]
struct Proofs {
    challenged: u64,
    proved: u64,
    failures: Vec<Failure>,
}

/// Every version of every key in the backup answers in the scratch HSM, or is a failure.
async fn challenge(scratch: &Scratch, backup: &OpenBackup, watch: &dyn Watch) -> Result<Proofs, DrillError> {
    let (hsm, request) = (scratch.hsm().await?, scratch.request()?);
    let (mut proofs, mut keys) = (Proofs::default(), backup.keys());
    while let Some(wanted) = keys.next().await? {
        proofs.challenged += 1;
        match hsm.key_passes(&request, &wanted).await {
            Ok(true) => proofs.proved += 1,
            other => {
                let reason = match other {
                    Err(error) => error.to_string(),
                    Ok(_) => "it does not answer as the key that was backed up".to_owned(),
                };
                let (key, version) = (wanted.name.to_string(), wanted.version.to_string());
                proofs.failures.push(Failure { key, version, reason });
            }
        }
        watch.advance(proofs.challenged);
    }
    Ok(proofs)
}

/// Measures the steps, and shows them.
struct Timer<'a> {
    watch: &'a dyn Watch,
    started: Timestamp,
    step: Option<(String, Timestamp)>,
    steps: Vec<Step>,
}

/// How long a drill took.
struct Measured {
    started: Timestamp,
    ended: Timestamp,
    spent: RecoveryTime,
}

impl<'a> Timer<'a> {
    fn start(watch: &'a dyn Watch) -> Self {
        Self { watch, started: SystemClock.now(), step: None, steps: Vec::new() }
    }

    fn begin(&mut self, step: &str, total: Option<u64>) {
        let now = SystemClock.now();
        self.close(now);
        self.step = Some((step.to_owned(), now));
        self.watch.begin(step, total);
    }

    fn close(&mut self, now: Timestamp) {
        if let Some((name, begun)) = self.step.take() {
            self.steps.push(Step { name, seconds: Seconds::from_millis(now.millis() - begun.millis()) });
        }
    }

    fn end(mut self) -> Measured {
        let ended = SystemClock.now();
        self.close(ended);
        self.watch.end();
        let total_seconds = Seconds::from_millis(ended.millis() - self.started.millis());
        Measured { started: self.started, ended, spent: RecoveryTime { total_seconds, steps: self.steps } }
    }
}

/// Before a job is looked at again that waits for its blob store.
const PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
