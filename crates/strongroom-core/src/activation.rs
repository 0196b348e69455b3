//! Activation: the security-domain download, and the moment the customer has it (protocols.md §6).
//!
//! Each download makes a **new** root; only the newest is kept, durable before the answer, and nothing is sealed under it
//! before the HSM is active. The status URL carries the download's operation id; its first poll proves that the client
//! has read the file, and commits Active before it is answered. A poll for a superseded download answers Failed.

use std::sync::Arc;

use strongroom_security_domain::{Custodians, DomainSecrets, SecurityDomainFile};
use strongroom_types::{DataAction, Epoch, Scope};
use uuid::Uuid;

use crate::barrier::Stored;
use crate::domain::{Activation, CustodianList, DomainRecord, KeptDomain, PendingDownload};
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
    /// The HSM is active under this download.
    Success,
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

impl Hsm<'_> {
    /// Makes a security domain for the custodians, and keeps it as the newest download.
    ///
    /// # Errors
    /// [`Error::AlreadyActivated`] once active; [`Error::Forbidden`] for everybody but the initial administrators.
    pub async fn download_security_domain(&self, request: &Request, custodians: Custodians) -> Result<Download> {
        self.authorize_activation(request, DataAction::SecurityDomainDownload).await?;
        let list = CustodianList::from(&custodians);
        let detail = list.to_string();
        let entropy = Arc::clone(self.core().barrier().entropy());
        let created = request.received;
        let build = move || -> Result<(DomainSecrets, String)> {
            let secrets = DomainSecrets::generate(entropy.as_ref())?;
            let file = SecurityDomainFile::build(&secrets, Epoch::FIRST, &custodians, created, entropy.as_ref())?;
            Ok((secrets, file))
        };
        let (secrets, file) = self.core().run(Lane::Slow, build).await??;
        let operation = Uuid::from_bytes(self.core().barrier().entropy().sixteen()?);
        let domain = self.core().keep_domain(self.instance(), Arc::new(secrets), list)?;
        let pending = PendingDownload { operation, domain };
        retry_on_conflict!(self.try_keep_download(request, &pending, &detail))?;
        self.core().open_domains().keep_only(self.instance(), Some(pending.domain.domain));
        Ok(Download { file, operation })
    }

    /// What became of a download, asked by its operation id. The first question activates the HSM.
    ///
    /// The id is the proof of having read the answer, so no token is asked for; `request` names who is recorded.
    pub async fn confirm_download(&self, request: &Request, operation: Uuid) -> Result<DownloadStatus> {
        retry_on_conflict!(self.try_confirm(request, Some(operation)))
    }

    /// What became of the newest download, asked with a token.
    pub async fn download_status(&self, request: &Request) -> Result<DownloadStatus> {
        let guard = self.authorize_any_state(request, DataAction::SecurityDomainDownloadRead).await?;
        if guard.value.state == HsmState::Active {
            return Ok(DownloadStatus::Success);
        }
        retry_on_conflict!(self.try_confirm(request, None))
    }

    async fn try_keep_download(&self, request: &Request, pending: &PendingDownload, detail: &str) -> Result<()> {
        let guard = self.authorize_activation(request, DataAction::SecurityDomainDownload).await?;
        let barrier = self.core().barrier();
        let mut transaction = barrier.transaction().detail(detail);
        transaction.expect(&guard);
        if guard.value.state == HsmState::Recovering {
            // Its transfer key is gone: the download takes the place of the recovery.
            let waiting = Guard { state: HsmState::NotActivated, ..guard.value.clone() };
            transaction.replace(barrier.deployment(), &guard, &waiting)?;
        }
        let pending = Some(pending.clone());
        match self.domain_record().await? {
            None => {
                let record = DomainRecord { pending, ..DomainRecord::default() };
                transaction.create(barrier.deployment(), layout::domain(self.instance()), &record)?;
            }
            Some(stored) => {
                let record = DomainRecord { pending, ..stored.value.clone() };
                transaction.replace(barrier.deployment(), &stored, &record)?;
            }
        }
        transaction.commit(request).await?;
        Ok(())
    }

    async fn try_confirm(&self, request: &Request, operation: Option<Uuid>) -> Result<DownloadStatus> {
        let guard = self.living_guard().await?;
        let Some(stored) = self.domain_record().await? else { return Ok(DownloadStatus::Failed) };
        if operation.is_some_and(|operation| stored.value.activated_by == Some(Activation::Download(operation))) {
            return Ok(DownloadStatus::Success);
        }
        // A recovery that has begun since takes the place of the download.
        let waiting = guard.value.state == HsmState::NotActivated;
        let pending = stored.value.pending.as_ref().filter(|_| waiting);
        match pending.filter(|pending| operation.is_none_or(|operation| pending.operation == operation)) {
            None => Ok(DownloadStatus::Failed),
            Some(PendingDownload { operation, domain }) => {
                let (domain, by) = (domain.clone(), Activation::Download(*operation));
                let activated = Activated { domain, by, detail: "the managed HSM is active".to_owned() };
                match self.activate(request, &guard, Some(stored), activated).await {
                    Ok(()) => Ok(DownloadStatus::Success),
                    // It was in memory only, and a restart has lost it.
                    Err(Error::Sealed) => Ok(DownloadStatus::Failed),
                    Err(error) => Err(error),
                }
            }
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
        let sealer = self.core().make_sealer(self.instance(), &domain)?;
        let assignments = self.initial_assignments(request)?;
        let active = Guard {
            state: HsmState::Active,
            domain: Some(domain.domain),
            epoch: domain.epoch,
            rights_version: guard.value.rights_version.saturating_add(1),
            rights_digest: digest(&assignments, &[])?,
            ..guard.value.clone()
        };
        let domain_id = domain.domain;
        let record = DomainRecord { active: Some(domain), pending: None, activated_by: Some(by) };
        let mut transaction = barrier.transaction().detail(detail);
        transaction.replace(barrier.deployment(), guard, &active)?;
        match stored {
            None => transaction.create(barrier.deployment(), layout::domain(self.instance()), &record)?,
            Some(stored) => transaction.replace(barrier.deployment(), &stored, &record)?,
        }
        let generation = active.generation(self.instance());
        for assignment in &assignments {
            transaction.create(&sealer, generation.role_assignment(assignment.name), assignment)?;
        }
        transaction.commit(request).await?;
        self.core().open_domains().keep_only(self.instance(), Some(domain_id));
        Ok(())
    }

    pub(crate) async fn domain_record(&self) -> Result<Option<Stored<DomainRecord>>> {
        let barrier = self.core().barrier();
        barrier.read(barrier.deployment(), &layout::domain(self.instance())).await
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

    /// Leave for a call that activates: only before activation, and while no recovery waits for its upload.
    async fn authorize_activation(&self, request: &Request, action: DataAction) -> Result<Stored<Guard>> {
        let guard = self.authorize_any_state(request, action).await?;
        let recovering = || self.core().exchange_keys().live(self.instance(), request.received).is_some();
        match guard.value.state {
            HsmState::Active | HsmState::Restoring => Err(Error::AlreadyActivated),
            HsmState::Recovering if recovering() => Err(Error::RecoveryInProgress),
            HsmState::NotActivated | HsmState::Recovering => Ok(guard),
        }
    }

    async fn authorize_any_state(&self, request: &Request, action: DataAction) -> Result<Stored<Guard>> {
        self.check_tenant(request)?;
        let guard = self.living_guard().await?;
        if matches!(guard.value.state, HsmState::Active | HsmState::Restoring) {
            return Ok(self.authorize(request, action, &Scope::Root).await?.guard().clone());
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
