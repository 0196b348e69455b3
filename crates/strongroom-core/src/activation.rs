//! Activation: the security-domain download, and the moment the customer has it (protocols.md §6).
//!
//! Each download makes a **new** root; only the newest is kept, durable before the answer, and nothing is sealed under it
//! before the HSM is active. The status URL carries the download's operation id; its first poll proves that the client
//! has read the file, and commits Active before it is answered. A poll for a superseded download answers Failed.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use strongroom_crypto::Root;
use strongroom_crypto::backup::BackupKey;
use strongroom_crypto::seal::Sealer;
use strongroom_security_domain::{Custodians, DomainSecrets, SecurityDomainFile};
use strongroom_types::{DataAction, DomainId, Epoch, InstanceId, Scope};
use uuid::Uuid;

use crate::barrier::{Record, Stored};
use crate::guard::{Guard, HsmState};
use crate::hsm::Hsm;
use crate::layout;
use crate::ports::Lane;
use crate::rbac::{ADMINISTRATOR, RoleAssignment, digest};
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Core, Error, Result};

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

/// The secrets of an HSM's security domain, wrapped by the platform root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct DomainRecord {
    /// What records are sealed under, once active.
    active: Option<WrappedDomain>,
    /// The newest download, until its first poll.
    pending: Option<Pending>,
    /// The download that activated the HSM.
    activated_by: Option<Uuid>,
}

impl Record for DomainRecord {
    const FORMAT: u16 = 1;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    operation: Uuid,
    domain: WrappedDomain,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrappedDomain {
    domain: DomainId,
    epoch: Epoch,
    /// The secrets, wrapped by the platform root for this instance; base64url.
    wrapped: String,
}

impl Hsm<'_> {
    /// Makes a security domain for the custodians, and keeps it as the newest download.
    ///
    /// # Errors
    /// [`Error::AlreadyActivated`] once active; [`Error::Forbidden`] for everybody but the initial administrators.
    pub async fn download_security_domain(&self, request: &Request, custodians: Custodians) -> Result<Download> {
        self.authorize_activation(request, DataAction::SecurityDomainDownload).await?;
        let detail = describe(&custodians);
        let entropy = Arc::clone(self.core().barrier().entropy());
        let created = request.received;
        let build = move || -> Result<(DomainSecrets, String)> {
            let secrets = DomainSecrets::generate(entropy.as_ref())?;
            let file = SecurityDomainFile::build(&secrets, Epoch::FIRST, &custodians, created, entropy.as_ref())?;
            Ok((secrets, file))
        };
        let (secrets, file) = self.core().run(Lane::Slow, build).await??;
        let operation = Uuid::from_bytes(self.core().barrier().entropy().sixteen()?);
        let pending = Pending { operation, domain: self.core().wrap_domain(self.instance(), &secrets)? };
        retry_on_conflict!(self.try_keep_download(request, &pending, &detail))?;
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

    async fn try_keep_download(&self, request: &Request, pending: &Pending, detail: &str) -> Result<()> {
        let guard = self.authorize_activation(request, DataAction::SecurityDomainDownload).await?;
        let barrier = self.core().barrier();
        let mut transaction = barrier.transaction().detail(detail);
        transaction.expect(&guard);
        let key = layout::domain(self.instance());
        match barrier.read::<DomainRecord>(barrier.deployment(), &key).await? {
            None => {
                let record = DomainRecord { active: None, pending: Some(pending.clone()), activated_by: None };
                transaction.create(barrier.deployment(), key, &record)?;
            }
            Some(stored) => {
                let record = DomainRecord { pending: Some(pending.clone()), ..stored.value.clone() };
                transaction.replace(barrier.deployment(), &stored, &record)?;
            }
        }
        transaction.commit(request).await?;
        Ok(())
    }

    async fn try_confirm(&self, request: &Request, operation: Option<Uuid>) -> Result<DownloadStatus> {
        let guard = self.living_guard().await?;
        let barrier = self.core().barrier();
        let key = layout::domain(self.instance());
        let Some(stored) = barrier.read::<DomainRecord>(barrier.deployment(), &key).await? else {
            return Ok(DownloadStatus::Failed);
        };
        if operation.is_some() && stored.value.activated_by == operation {
            return Ok(DownloadStatus::Success);
        }
        let pending = stored.value.pending.as_ref();
        match pending.filter(|pending| operation.is_none_or(|operation| pending.operation == operation)) {
            None => Ok(DownloadStatus::Failed),
            Some(pending) => {
                let pending = pending.clone();
                self.activate(request, &guard, &stored, pending).await.map(|()| DownloadStatus::Success)
            }
        }
    }

    /// One commit: the pending root becomes the root, the initial administrators get their role, the guard says Active.
    async fn activate(
        &self,
        request: &Request,
        guard: &Stored<Guard>,
        stored: &Stored<DomainRecord>,
        pending: Pending,
    ) -> Result<()> {
        let barrier = self.core().barrier();
        let Pending { operation, domain } = pending;
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
        let record = DomainRecord { active: Some(domain), pending: None, activated_by: Some(operation) };
        let mut transaction = barrier.transaction().detail("the managed HSM is active");
        transaction.replace(barrier.deployment(), guard, &active)?;
        transaction.replace(barrier.deployment(), stored, &record)?;
        let generation = active.generation(self.instance());
        for assignment in &assignments {
            transaction.create(&sealer, generation.role_assignment(assignment.name), assignment)?;
        }
        transaction.commit(request).await?;
        Ok(())
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

    /// Leave for a call that activates: only before activation.
    async fn authorize_activation(&self, request: &Request, action: DataAction) -> Result<Stored<Guard>> {
        let guard = self.authorize_any_state(request, action).await?;
        if guard.value.state == HsmState::Active { Err(Error::AlreadyActivated) } else { Ok(guard) }
    }

    /// Leave for a security-domain call. Before activation there are no assignments: the initial administrators, and
    /// nobody else, hold what their role will give them (roles.json, "activation").
    async fn authorize_any_state(&self, request: &Request, action: DataAction) -> Result<Stored<Guard>> {
        self.check_tenant(request)?;
        let guard = self.living_guard().await?;
        if guard.value.state == HsmState::Active {
            return Ok(self.authorize(request, action, &Scope::Root).await?.guard().clone());
        }
        let administrators = &self.record().initial_administrators;
        if !administrators.iter().any(|principal| request.caller.is(*principal)) {
            return Err(Error::Forbidden { action, scope: Scope::Root });
        }
        Ok(guard)
    }
}

impl Core {
    /// The record key of an active HSM; unwrapped once.
    pub(crate) async fn hsm_sealer(&self, instance: InstanceId, guard: &Guard) -> Result<Arc<Sealer>> {
        let domain = guard.domain.ok_or(Error::NotActivated)?;
        let cache_key = (instance, domain, guard.epoch);
        if let Some(sealer) = self.caches().sealers.get(&cache_key) {
            return Ok(sealer);
        }
        let active = self.active_domain(instance, domain, guard.epoch).await?;
        let sealer = Arc::new(self.make_sealer(instance, &active)?);
        self.caches().sealers.insert(cache_key, Arc::clone(&sealer));
        Ok(sealer)
    }

    /// What wraps the backups of an active HSM under one of its domain's roots; `None` if there is no such epoch.
    pub(crate) async fn backup_key(
        &self,
        instance: InstanceId,
        guard: &Guard,
        epoch: Epoch,
    ) -> Result<Option<BackupKey>> {
        let domain = guard.domain.ok_or(Error::NotActivated)?;
        let active = self.active_domain(instance, domain, guard.epoch).await?;
        let secrets = self.unwrap_domain(instance, &active)?;
        Ok(secrets.root(epoch).map(|root| BackupKey::new(root, domain, epoch)).transpose()?)
    }

    async fn active_domain(&self, instance: InstanceId, domain: DomainId, epoch: Epoch) -> Result<WrappedDomain> {
        let barrier = self.barrier();
        let key = layout::domain(instance);
        let stored = barrier.read::<DomainRecord>(barrier.deployment(), &key).await?;
        let active = stored.and_then(|stored| stored.value.active);
        active
            .filter(|active| active.domain == domain && active.epoch == epoch)
            .ok_or(Error::Tampered { key, problem: "it does not hold the domain the guard names" })
    }

    fn wrap_domain(&self, instance: InstanceId, secrets: &DomainSecrets) -> Result<WrappedDomain> {
        let wrapped = self.root_provider().wrap(&purpose(instance), secrets.to_bytes()?.expose())?;
        Ok(WrappedDomain { domain: secrets.domain_id(), epoch: Epoch::FIRST, wrapped: URL_SAFE_NO_PAD.encode(wrapped) })
    }

    fn make_sealer(&self, instance: InstanceId, domain: &WrappedDomain) -> Result<Sealer> {
        let secrets = self.unwrap_domain(instance, domain)?;
        let lacking = Error::Tampered { key: layout::domain(instance), problem: "it lacks its epoch" };
        let root: &Root = secrets.root(domain.epoch).ok_or(lacking)?;
        Ok(Sealer::new(root, domain.domain, domain.epoch, instance.uuid())?)
    }

    fn unwrap_domain(&self, instance: InstanceId, domain: &WrappedDomain) -> Result<DomainSecrets> {
        let tampered = |problem| Error::Tampered { key: layout::domain(instance), problem };
        let wrapped = URL_SAFE_NO_PAD.decode(&domain.wrapped).map_err(|_| tampered("it is not base64url"))?;
        let unwrapped = self.root_provider().unwrap(&purpose(instance), &wrapped);
        let secrets = unwrapped.map_err(|_| tampered("the platform root does not open it"))?;
        Ok(DomainSecrets::from_bytes(secrets.expose())?)
    }
}

/// Quorum and thumbprints, for the audit log.
fn describe(custodians: &Custodians) -> String {
    let quorum = custodians.quorum();
    let thumbprints = custodians.certificates().iter().map(|one| one.thumbprint().to_string());
    let thumbprints = thumbprints.collect::<Vec<_>>().join(" ");
    format!("quorum {} of {}, x5t#S256 {thumbprints}", quorum.required(), quorum.total())
}

fn purpose(instance: InstanceId) -> String {
    format!("security-domain/{instance}")
}
