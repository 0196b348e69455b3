//! The security-domain download: activation, a file for new custodians, a new epoch, and the moment the customer has the
//! file (protocols.md §6).
//!
//! Before activation each download makes a **new** root. Afterwards a download gives the domain as it is to other
//! custodians, or, in a rotation, with one more root; [`crate::download_policy`] says who may have it. Only the newest
//! file is kept, durable before the answer, and nothing is sealed under its root before it is confirmed. The status URL
//! carries the download's operation id; its first poll proves that the client has read the file, and commits before it is
//! answered. A poll for a superseded download answers Failed.

use std::sync::Arc;

use strongroom_security_domain::{Custodians, DomainSecrets, SecurityDomainFile};
use strongroom_types::{DataAction, Scope};
use uuid::Uuid;

use crate::barrier::{Stored, Transaction};
use crate::domain::{Activation, CustodianList, DomainRecord, KeptDomain, PendingDownload, Purpose};
use crate::download_policy::Wanted;
use crate::guard::{Guard, HsmState};
use crate::hsm::Hsm;
use crate::layout;
use crate::ports::Lane;
use crate::rbac::{ADMINISTRATOR, RoleAssignment, digest};
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadStatus {
    /// The HSM is active.
    Success,
    /// The HSM has been active, and this file counts beside the earlier ones.
    Replaced,
    /// A rotation waits for the first poll of its own status URL, or a file for the end of a restore.
    Waiting,
    /// Another download took its place, or there never was one.
    Failed,
}

/// A security-domain file on its way to the client.
pub struct Download {
    /// The file, JSON text.
    pub file: String,
    /// The operation id: unguessable, part of the status URL.
    pub operation: Uuid,
}

/// What an HSM becomes active with.
pub(crate) struct Activated {
    pub(crate) domain: KeptDomain,
    pub(crate) by: Activation,
    /// For the audit log.
    pub(crate) detail: String,
}

/// Leave to make a file.
struct Leave {
    guard: Arc<Stored<Guard>>,
    record: Option<Stored<DomainRecord>>,
    purpose: Purpose,
}

impl Leave {
    /// What the HSM is active under.
    fn active(&self) -> Option<&KeptDomain> {
        self.record.as_ref().and_then(|stored| stored.value.active.as_ref())
    }
}

impl Hsm<'_> {
    /// Makes a security-domain file for the custodians, and keeps it as the newest download. Before activation it is that
    /// of a new domain; afterwards, if the policy allows it, that of the HSM's own.
    ///
    /// # Errors
    /// [`Error::DownloadDisabled`] and [`Error::QuorumNotProved`] once active; [`Error::Forbidden`] for everybody but the
    /// (initial) administrators.
    pub async fn download_security_domain(&self, request: &Request, custodians: Custodians) -> Result<Download> {
        self.make_file(request, custodians, Purpose::Again).await
    }

    /// Makes a new root under the next epoch, and a file of the domain with it. The epoch begins with the first poll;
    /// then a job seals every record again.
    ///
    /// # Errors
    /// As [`Hsm::download_security_domain`]; [`Error::NotActivated`]; [`Error::SecurityDomain`] if the domain has as many
    /// epochs as it can have.
    pub async fn rotate_security_domain(&self, request: &Request, custodians: Custodians) -> Result<Download> {
        self.make_file(request, custodians, Purpose::Rotation).await
    }

    async fn make_file(&self, request: &Request, custodians: Custodians, asked: Purpose) -> Result<Download> {
        let list = CustodianList::from(&custodians);
        let leave = self.authorize_file(request, asked, &list).await?;
        let before = leave.active().map(|active| self.core().domain_secrets(self.instance(), active)).transpose()?;
        let entropy = Arc::clone(self.core().barrier().entropy());
        let (created, purpose) = (request.received, leave.purpose);
        let build = move || -> Result<(Arc<DomainSecrets>, String)> {
            let secrets = match (purpose, before) {
                (Purpose::Activation, _) => Arc::new(DomainSecrets::generate(entropy.as_ref())?),
                (Purpose::Again, Some(secrets)) => secrets,
                (Purpose::Rotation, Some(secrets)) => Arc::new(secrets.with_next_epoch(entropy.as_ref())?),
                (Purpose::Again | Purpose::Rotation, None) => return Err(Error::NotActivated),
            };
            let epoch = secrets.newest_epoch();
            let file = SecurityDomainFile::build(&secrets, epoch, &custodians, created, entropy.as_ref())?;
            Ok((secrets, file))
        };
        let (secrets, file) = self.core().run(Lane::Slow, build).await??;
        let operation = Uuid::from_bytes(self.core().barrier().entropy().sixteen()?);
        let _only = self.core().open_domains().one_at_a_time(self.instance()).await;
        let domain = self.core().keep_domain(self.instance(), secrets, list)?;
        let node = (!self.core().root_provider().wraps_hsm_roots()).then(|| self.core().barrier().node());
        let pending = PendingDownload { operation, domain, purpose, node };
        let active = leave.active();
        retry_on_conflict!(self.try_keep_file(request, &pending, active, asked))?;
        self.core().open_domains().keep_only(self.instance(), active.into_iter().chain([&pending.domain]));
        Ok(Download { file, operation })
    }

    /// What became of a download, asked by its operation id. The first question activates the HSM, or begins the epoch.
    ///
    /// The id is the proof of having read the answer, so no token is asked for; `request` names who is recorded.
    pub async fn confirm_download(&self, request: &Request, operation: Uuid) -> Result<DownloadStatus> {
        retry_on_conflict!(self.try_confirm(request, Some(operation)))
    }

    /// What became of the newest download, asked with a token. A rotation is not confirmed by it: it does not show that
    /// whoever asks has the file, and losing the only file of a new epoch is worse than asking twice.
    pub async fn download_status(&self, request: &Request) -> Result<DownloadStatus> {
        let guard = self.authorize_any_state(request, DataAction::SecurityDomainDownloadRead).await?;
        if guard.value.state == HsmState::Active {
            let record = self.domain_record().await?.map(|stored| stored.value).unwrap_or_default();
            match record.pending.map(|pending| pending.purpose) {
                None if record.confirmed.is_some() => return Ok(DownloadStatus::Replaced),
                None => return Ok(DownloadStatus::Success),
                Some(Purpose::Rotation) => return Ok(DownloadStatus::Waiting),
                Some(Purpose::Activation | Purpose::Again) => {}
            }
        }
        retry_on_conflict!(self.try_confirm(request, None))
    }

    async fn try_keep_file(
        &self,
        request: &Request,
        pending: &PendingDownload,
        active: Option<&KeptDomain>,
        asked: Purpose,
    ) -> Result<()> {
        let custodians = &pending.domain.custodians;
        let leave = self.authorize_file(request, asked, custodians).await?;
        // A file of what the HSM was active under before would not open what it is active under now.
        if leave.purpose != pending.purpose || leave.active() != active {
            return Err(Error::Conflict);
        }
        let barrier = self.core().barrier();
        let mut transaction = barrier.transaction().detail(self.detail_of(pending));
        transaction.expect(&leave.guard);
        if leave.guard.value.state == HsmState::Recovering {
            // Its transfer key is gone: the download takes the place of the recovery.
            let waiting = Guard { state: HsmState::NotActivated, ..leave.guard.value.clone() };
            transaction.replace(barrier.deployment(), &leave.guard, &waiting)?;
        }
        let wanted = Wanted { purpose: pending.purpose, custodians };
        let record = leave.record.as_ref().map(|stored| stored.value.clone()).unwrap_or_default();
        let quorum = record.quorum.map(|proof| proof.used_for(&wanted));
        let record = DomainRecord { pending: Some(pending.clone()), quorum, ..record };
        self.stage_record(&mut transaction, leave.record.as_ref(), &record)?;
        transaction.commit(request).await?;
        Ok(())
    }

    /// What the audit log says of a new file.
    fn detail_of(&self, pending: &PendingDownload) -> String {
        let PendingDownload { operation: _, domain, purpose, node: _ } = pending;
        let policy = self.core().download_policy().as_str();
        match purpose {
            Purpose::Activation => domain.custodians.to_string(),
            Purpose::Again => format!("again, under policy {policy}: {}; {EARLIER_FILES}", domain.custodians),
            Purpose::Rotation => {
                let epoch = domain.epoch.number();
                format!("rotation to epoch {epoch}, under policy {policy}: {}; {EARLIER_FILES}", domain.custodians)
            }
        }
    }

    async fn try_confirm(&self, request: &Request, operation: Option<Uuid>) -> Result<DownloadStatus> {
        let guard = self.living_guard().await?;
        let Some(stored) = self.domain_record().await? else { return Ok(DownloadStatus::Failed) };
        if operation.is_some_and(|operation| stored.value.activated_by == Some(Activation::Download(operation))) {
            return Ok(DownloadStatus::Success);
        }
        if operation.is_some() && stored.value.confirmed == operation {
            return Ok(DownloadStatus::Replaced);
        }
        let pending = stored.value.pending.clone();
        let asked = pending.filter(|pending| operation.is_none_or(|operation| pending.operation == operation));
        let Some(PendingDownload { operation, domain, purpose, node }) = asked else {
            return Ok(DownloadStatus::Failed);
        };
        let confirmed = match (guard.value.state, purpose) {
            (HsmState::NotActivated, Purpose::Activation) => {
                let by = Activation::Download(operation);
                let activated = Activated { domain, by, detail: "the managed HSM is active".to_owned() };
                let done = self.activate(request, &guard, Some(stored), activated).await;
                done.map(|()| DownloadStatus::Success)
            }
            (HsmState::Active, Purpose::Again) => {
                self.replace_file(request, &guard, &stored).await.map(|()| DownloadStatus::Replaced)
            }
            (HsmState::Active, Purpose::Rotation) => {
                self.begin_epoch(request, &guard, &stored).await.map(|()| DownloadStatus::Replaced)
            }
            // The first poll after the restore decides.
            (HsmState::Restoring, Purpose::Again | Purpose::Rotation) => Ok(DownloadStatus::Waiting),
            (HsmState::Restoring, Purpose::Activation) => Ok(DownloadStatus::Failed),
            // A recovery that has begun since takes the place of the download.
            (HsmState::NotActivated | HsmState::Recovering | HsmState::Active, _) => Ok(DownloadStatus::Failed),
        };
        match confirmed {
            Err(Error::Sealed) if node.is_some_and(|node| node != self.core().barrier().node()) => {
                Err(Error::OnAnotherNode { what: "the root of this security-domain file" })
            }
            // It was in memory only, and a restart has lost it.
            Err(Error::Sealed) => Ok(DownloadStatus::Failed),
            other => other,
        }
    }

    /// One commit: the root becomes the HSM's, the initial administrators get their role, the guard says Active.
    pub(crate) async fn activate(
        &self,
        request: &Request,
        guard: &Stored<Guard>,
        stored: Option<Stored<DomainRecord>>,
        activated: Activated,
    ) -> Result<()> {
        let barrier = self.core().barrier();
        let Activated { domain, by, detail } = activated;
        let sealer = Arc::new(self.core().make_sealer(self.instance(), &domain, domain.epoch)?);
        let assignments = self.initial_assignments(request)?;
        let active = Guard {
            state: HsmState::Active,
            domain: Some(domain.domain),
            epoch: domain.epoch,
            oldest_epoch: domain.epoch,
            rights_version: guard.value.rights_version.saturating_add(1),
            rights_digest: digest(&assignments, &[])?,
            ..guard.value.clone()
        };
        let record = DomainRecord { active: Some(domain), activated_by: Some(by), ..DomainRecord::default() };
        let mut transaction = barrier.transaction().detail(detail);
        transaction.replace(barrier.deployment(), guard, &active)?;
        self.stage_record(&mut transaction, stored.as_ref(), &record)?;
        let generation = active.generation(self.instance());
        for assignment in &assignments {
            transaction.create(&sealer, generation.role_assignment(assignment.name), assignment)?;
        }
        transaction.commit(request).await?;
        self.core().open_domains().keep_only(self.instance(), &record.active);
        Ok(())
    }

    /// The new file counts: its custodians are the ones on record.
    async fn replace_file(
        &self,
        request: &Request,
        guard: &Stored<Guard>,
        stored: &Stored<DomainRecord>,
    ) -> Result<()> {
        let barrier = self.core().barrier();
        let record = stored.value.confirmed();
        let mut transaction =
            barrier.transaction().detail(format!("a new security-domain file counts; {EARLIER_FILES}"));
        transaction.expect(guard);
        transaction.replace(barrier.deployment(), stored, &record)?;
        transaction.commit(request).await?;
        self.core().open_domains().keep_only(self.instance(), &record.active);
        Ok(())
    }

    pub(crate) async fn domain_record(&self) -> Result<Option<Stored<DomainRecord>>> {
        let barrier = self.core().barrier();
        barrier.read(barrier.deployment(), &layout::domain(self.instance())).await
    }

    /// Adds what is kept of the security domain to a commit that depends on it being as it was read.
    pub(crate) fn stage_record(
        &self,
        transaction: &mut Transaction<'_>,
        stored: Option<&Stored<DomainRecord>>,
        record: &DomainRecord,
    ) -> Result<()> {
        let deployment = self.core().barrier().deployment();
        match stored {
            Some(stored) => transaction.replace(deployment, stored, record),
            None => transaction.create(deployment, layout::domain(self.instance()), record),
        }
    }

    fn initial_assignments(&self, request: &Request) -> Result<Vec<RoleAssignment>> {
        let entropy = self.core().barrier().entropy();
        let assign = |principal: &_| -> Result<RoleAssignment> {
            Ok(RoleAssignment {
                name: uuid::Builder::from_random_bytes(entropy.sixteen()?).into_uuid(),
                scope: Scope::Root,
                role: ADMINISTRATOR,
                principal: *principal,
                created: request.received,
                created_by: *principal,
            })
        };
        self.record().initial_administrators.iter().map(assign).collect()
    }

    /// Leave for a call that makes a file: before activation, while no recovery waits for its upload; afterwards, as the
    /// policy says.
    async fn authorize_file(&self, request: &Request, asked: Purpose, custodians: &CustodianList) -> Result<Leave> {
        let guard = self.authorize_any_state(request, DataAction::SecurityDomainDownload).await?;
        let record = self.domain_record().await?;
        let recovering = || {
            let awaited = |stored: &Stored<_>| self.core().is_awaited(self.instance(), &stored.value, request.received);
            record.as_ref().is_some_and(awaited)
        };
        let purpose = match (guard.value.state, asked) {
            (HsmState::Active, Purpose::Activation | Purpose::Again) => Purpose::Again,
            (HsmState::Active, Purpose::Rotation) => Purpose::Rotation,
            (HsmState::Restoring, _) => return Err(Error::Restoring),
            (HsmState::NotActivated | HsmState::Recovering, Purpose::Rotation) => return Err(Error::NotActivated),
            (HsmState::Recovering, _) if recovering() => return Err(Error::RecoveryInProgress),
            (HsmState::NotActivated | HsmState::Recovering, _) => Purpose::Activation,
        };
        if purpose != Purpose::Activation {
            let unknown = DomainRecord::default();
            let record = record.as_ref().map_or(&unknown, |stored| &stored.value);
            self.core().download_policy().check(request, record, &Wanted { purpose, custodians })?;
        }
        Ok(Leave { guard, record, purpose })
    }

    pub(crate) async fn authorize_any_state(
        &self,
        request: &Request,
        action: DataAction,
    ) -> Result<Arc<Stored<Guard>>> {
        self.check_tenant(request)?;
        let guard = self.living_guard().await?;
        if matches!(guard.value.state, HsmState::Active | HsmState::Restoring) {
            return Ok(Arc::clone(self.authorize(request, action, &Scope::Root).await?.guard()));
        }
        self.check_initial_administrator(request, action)?;
        Ok(guard)
    }

    /// Before activation there are no assignments: the initial administrators, and nobody else, hold what their role will
    /// give them (roles.json, "activation").
    pub(crate) fn check_initial_administrator(&self, request: &Request, action: DataAction) -> Result<()> {
        let administrators = &self.record().initial_administrators;
        if administrators.iter().any(|principal| request.caller.is(*principal)) {
            return Ok(());
        }
        Err(Error::Forbidden { action, scope: Scope::Root })
    }
}

impl DomainRecord {
    /// The same once the newest download, which came after activation, is confirmed.
    pub(crate) fn confirmed(&self) -> Self {
        let Self { active, pending, activated_by, confirmed, quorum: _, resealing, transfer_keys, unsealed_by } =
            self.clone();
        let (active, confirmed) = match pending {
            Some(PendingDownload { operation, domain, purpose: _, node: _ }) => (Some(domain), Some(operation)),
            None => (active, confirmed),
        };
        // Whoever proved itself has had its file.
        Self { active, pending: None, activated_by, confirmed, quorum: None, resealing, transfer_keys, unsealed_by }
    }
}

/// What whoever makes another file must know.
pub(crate) const EARLIER_FILES: &str = "the custodians of earlier files can still open those";
