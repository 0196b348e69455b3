//! What an HSM keeps of its security domain, and the way from there to its record key (protocols.md §1).
//!
//! Under a root provider that wraps them, the secrets lie in the store and open unattended. Under provider `quorum` they
//! are in this process only: after a start an HSM is sealed until a quorum has uploaded its security domain.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use strongroom_crypto::backup::BackupKey;
use strongroom_crypto::digest::sha256;
use strongroom_crypto::seal::Sealer;
use strongroom_crypto::{Label, Root};
use strongroom_security_domain::{Custodians, DomainSecrets, Manifest};
use strongroom_types::{DomainId, Epoch, InstanceId, NodeId, PrincipalId, Timestamp};
use uuid::Uuid;

use crate::barrier::Record;
use crate::guard::Guard;
use crate::layout;
use crate::managed_hsm::ManagedHsm;
use crate::transfer_keys::TransferMark;
use crate::{Core, Error, Result};

/// The security domain of an HSM, as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DomainRecord {
    /// What records are sealed under, once active.
    pub(crate) active: Option<KeptDomain>,
    /// The newest download, until its first poll.
    pub(crate) pending: Option<PendingDownload>,
    /// What activated the HSM.
    pub(crate) activated_by: Option<Activation>,
    /// The newest download that was confirmed after activation.
    #[serde(default)]
    pub(crate) confirmed: Option<Uuid>,
    /// A quorum that has proved itself, until its download is confirmed.
    #[serde(default)]
    pub(crate) quorum: Option<QuorumProof>,
    /// The last rotation, and how far the sealing of the records under its epoch is.
    #[serde(default)]
    pub(crate) resealing: Option<Resealing>,
    /// The transfer keys that nodes hold.
    #[serde(default)]
    pub(crate) transfer_keys: Vec<TransferMark>,
    /// The last uploads that opened the HSM on some node, under a provider that keeps it sealed after a start.
    #[serde(default)]
    pub(crate) unsealed_by: Vec<UploadMark>,
}

impl DomainRecord {
    /// The same after an upload has opened the HSM on a node.
    pub(crate) fn unsealed_by(mut self, mark: UploadMark) -> Self {
        let superfluous = (self.unsealed_by.len() + 1).saturating_sub(UNSEALED_MAX);
        self.unsealed_by.drain(..superfluous);
        self.unsealed_by.push(mark);
        self
    }
}

impl Record for DomainRecord {
    const FORMAT: u16 = 1;
}

/// A download that nobody has confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingDownload {
    pub(crate) operation: Uuid,
    pub(crate) domain: KeptDomain,
    /// What its first poll brings about.
    #[serde(default)]
    pub(crate) purpose: Purpose,
    /// The node in whose memory the secrets are, if they are nowhere else.
    #[serde(default)]
    pub(crate) node: Option<NodeId>,
}

/// What a security-domain file is made for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// To activate the HSM.
    #[default]
    Activation,
    /// To give an active HSM's domain, as it is, to new custodians.
    Again,
    /// To begin a new epoch.
    Rotation,
}

/// A quorum of an active HSM's custodians that has proved itself by an upload. It stands for one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QuorumProof {
    /// The upload.
    pub(crate) mark: UploadMark,
    /// Who has sent it: the quorum has given its leave to nobody else.
    pub(crate) by: PrincipalId,
    /// When it was accepted.
    pub(crate) proved: Timestamp,
    /// What it was used for, so that a request may be repeated and no other is made with the same proof.
    pub(crate) used_for: Option<(Purpose, CustodianList)>,
}

/// The sealing of an HSM's records under a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resealing {
    /// The new epoch.
    pub(crate) epoch: Epoch,
    /// When it began.
    pub(crate) began: Timestamp,
    /// Records that were sealed again so far.
    pub(crate) records: u64,
    /// When the last of them was.
    pub(crate) ended: Option<Timestamp>,
}

/// A domain, and its secrets where they may be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptDomain {
    pub(crate) domain: DomainId,
    /// The newest epoch: what records are sealed under.
    pub(crate) epoch: Epoch,
    /// The secrets, wrapped by the platform root for this instance, base64url; none if they are in memory only.
    wrapped: Option<String>,
    /// What tells two sets of secrets of one domain apart, base64url; none if they are wrapped.
    #[serde(default)]
    check: Option<String>,
    /// Who holds the file.
    pub(crate) custodians: CustodianList,
}

impl KeptDomain {
    /// Whether these are its secrets, for one whose secrets are in memory only.
    pub(crate) fn is_opened_by(&self, secrets: &DomainSecrets) -> Result<bool> {
        Ok(self.check.as_ref() == Some(&check_value(secrets)?))
    }
}

/// Who holds a security-domain file, and how many of them open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CustodianList {
    /// The quorum.
    pub(crate) required: u8,
    /// SHA-256 of the certificates (`x5t#S256`, base64url), in the order of their shares.
    pub(crate) thumbprints: Vec<String>,
}

/// What made an HSM active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Activation {
    /// The first poll of this download.
    Download(Uuid),
    /// This upload of another HSM's domain.
    Upload(UploadMark),
}

/// An upload that was accepted, by which its repetition is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadMark {
    /// The operation id: unguessable, part of the status URL.
    pub(crate) operation: Uuid,
    /// SHA-256 of its text, base64url.
    sha256: String,
}

impl UploadMark {
    pub(crate) fn new(operation: Uuid, upload: &str) -> Self {
        Self { operation, sha256: URL_SAFE_NO_PAD.encode(sha256(upload.as_bytes())) }
    }

    /// Whether both are marks of the same text.
    pub(crate) fn is_repeated_by(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }
}

impl From<&Custodians> for CustodianList {
    fn from(custodians: &Custodians) -> Self {
        let thumbprints = custodians.certificates().iter().map(|one| one.thumbprint().to_string());
        Self { required: custodians.quorum().required(), thumbprints: thumbprints.collect() }
    }
}

impl From<&Manifest> for CustodianList {
    fn from(manifest: &Manifest) -> Self {
        let thumbprints = manifest.certificates.iter().map(ToString::to_string).collect();
        Self { required: manifest.quorum.required(), thumbprints }
    }
}

/// For the audit log.
impl std::fmt::Display for CustodianList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { required, thumbprints } = self;
        write!(f, "quorum {required} of {}, x5t#S256 {}", thumbprints.len(), thumbprints.join(" "))
    }
}

/// Domains whose secrets are nowhere but here. Bounded by the number of HSMs: of each only the active and the newest
/// pending one are held.
#[derive(Debug, Default)]
pub(crate) struct OpenDomains {
    held: Mutex<HashMap<InstanceId, Vec<OpenDomain>>>,
    /// Of each HSM, held by a download or a recovery from before its secrets are held until only the newest are: another
    /// one must not take them for superseded before they are on record.
    newest: Mutex<HashMap<InstanceId, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug, Clone)]
struct OpenDomain {
    secrets: Arc<DomainSecrets>,
    /// See [`KeptDomain::check`]: two rotations of one domain have the same id and epoch, and different roots.
    check: String,
}

impl OpenDomains {
    /// Waits until nobody else is between holding secrets of an HSM and dropping those they supersede.
    pub(crate) async fn one_at_a_time(&self, instance: InstanceId) -> tokio::sync::OwnedMutexGuard<()> {
        let newest = {
            let mut all = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever holds one, or waits for it, has it too.
            all.retain(|_, newest| Arc::strong_count(newest) > 1);
            Arc::clone(all.entry(instance).or_default())
        };
        newest.lock_owned().await
    }

    /// Holds the secrets of a domain; answers their check value.
    pub(crate) fn hold(&self, instance: InstanceId, secrets: Arc<DomainSecrets>) -> Result<String> {
        let check = check_value(&secrets)?;
        let mut open = self.lock();
        let domains = open.entry(instance).or_default();
        domains.retain(|open| open.check != check);
        domains.push(OpenDomain { secrets, check: check.clone() });
        Ok(check)
    }

    /// Drops everything of an instance but some domains.
    pub(crate) fn keep_only<'a>(&self, instance: InstanceId, kept: impl IntoIterator<Item = &'a KeptDomain>) {
        let kept: Vec<_> = kept.into_iter().filter_map(|domain| domain.check.as_deref()).collect();
        let mut open = self.lock();
        if let Some(domains) = open.get_mut(&instance) {
            domains.retain(|open| kept.contains(&open.check.as_str()));
        }
        open.retain(|_, domains| !domains.is_empty());
    }

    /// The HSMs whose secrets are held.
    fn instances(&self) -> Vec<InstanceId> {
        self.lock().keys().copied().collect()
    }

    fn secrets(&self, instance: InstanceId, check: &str) -> Option<Arc<DomainSecrets>> {
        let open = self.lock();
        let held = open.get(&instance)?.iter().find(|open| open.check == check)?;
        Some(Arc::clone(&held.secrets))
    }

    fn has(&self, instance: InstanceId, domain: DomainId, epoch: Epoch) -> bool {
        let open = self.lock();
        let mut held = open.get(&instance).into_iter().flatten();
        held.any(|open| open.secrets.domain_id() == domain && open.secrets.root(epoch).is_some())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Vec<OpenDomain>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells sets of secrets apart without revealing anything of them: derived from the newest root, which no other set has.
fn check_value(secrets: &DomainSecrets) -> Result<String> {
    let epoch = secrets.newest_epoch();
    let root = secrets.root(epoch).ok_or(Error::Internal("a security domain has no root"))?;
    let (domain, epoch) = (secrets.domain_id(), epoch.number().to_be_bytes());
    let check = root.derive(Label::Check, &[domain.as_bytes().as_slice(), epoch.as_slice()])?;
    Ok(URL_SAFE_NO_PAD.encode(check.expose()))
}

impl Core {
    /// The record key of an active HSM; opened once.
    ///
    /// # Errors
    /// [`Error::Sealed`] if its quorum has not opened it since the start.
    pub(crate) async fn hsm_sealer(&self, instance: InstanceId, guard: &Guard) -> Result<Arc<Sealer>> {
        let domain = guard.domain.ok_or(Error::NotActivated)?;
        let cache_key = (instance, domain, guard.oldest_epoch, guard.epoch);
        if let Some(sealer) = self.caches().sealers.get(&cache_key) {
            return Ok(sealer);
        }
        let active = Box::pin(self.active_domain(instance, domain, guard.epoch)).await?;
        let sealer = Arc::new(self.make_sealer(instance, &active, guard.oldest_epoch)?);
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
        let secrets = self.domain_secrets(instance, &active)?;
        Ok(secrets.root(epoch).map(|root| BackupKey::new(root, domain, epoch)).transpose()?)
    }

    async fn active_domain(&self, instance: InstanceId, domain: DomainId, epoch: Epoch) -> Result<KeptDomain> {
        let barrier = self.barrier();
        let key = layout::domain(instance);
        let stored = barrier.read::<DomainRecord>(barrier.deployment(), &key).await?;
        match stored.and_then(|stored| stored.value.active).filter(|active| active.domain == domain) {
            Some(active) if active.epoch == epoch => Ok(active),
            // A rotation was confirmed since the guard was read.
            Some(active) if active.epoch > epoch => Err(Error::Conflict),
            Some(_) | None => Err(Error::Tampered { key, problem: "it does not hold the domain the guard names" }),
        }
    }

    /// Keeps the secrets of a domain for an instance: wrapped in what this returns, or in memory.
    pub(crate) fn keep_domain(
        &self,
        instance: InstanceId,
        secrets: Arc<DomainSecrets>,
        custodians: CustodianList,
    ) -> Result<KeptDomain> {
        let (domain, epoch) = (secrets.domain_id(), secrets.newest_epoch());
        if self.root_provider().wraps_hsm_roots() {
            let wrapped = self.root_provider().wrap(&purpose(instance), secrets.to_bytes()?.expose())?;
            let wrapped = Some(URL_SAFE_NO_PAD.encode(wrapped));
            return Ok(KeptDomain { domain, epoch, wrapped, check: None, custodians });
        }
        let check = Some(self.open_domains().hold(instance, secrets)?);
        Ok(KeptDomain { domain, epoch, wrapped: None, check, custodians })
    }

    /// The secrets of a domain that was kept.
    ///
    /// # Errors
    /// [`Error::Sealed`] if they were in memory only, and are no more.
    pub(crate) fn domain_secrets(&self, instance: InstanceId, domain: &KeptDomain) -> Result<Arc<DomainSecrets>> {
        let tampered = |problem| Error::Tampered { key: layout::domain(instance), problem };
        match (&domain.wrapped, self.root_provider().wraps_hsm_roots()) {
            (None, false) => {
                let check = domain.check.as_ref().ok_or_else(|| tampered("it lacks the check value of its roots"))?;
                self.open_domains().secrets(instance, check).ok_or(Error::Sealed)
            }
            (Some(wrapped), true) => {
                let wrapped = URL_SAFE_NO_PAD.decode(wrapped).map_err(|_| tampered("it is not base64url"))?;
                let unwrapped = self.root_provider().unwrap(&purpose(instance), &wrapped);
                let secrets = unwrapped.map_err(|_| tampered("the platform root does not open it"))?;
                Ok(Arc::new(DomainSecrets::from_bytes(secrets.expose())?))
            }
            (Some(_), false) => Err(tampered("it holds a wrapped root, which this root provider never writes")),
            (None, true) => Err(tampered("it lacks the wrapped root")),
        }
    }

    /// Whether an active HSM waits for its quorum.
    pub(crate) fn is_sealed(&self, instance: InstanceId, guard: &Guard) -> bool {
        let open = |domain| self.open_domains().has(instance, domain, guard.epoch);
        !self.root_provider().wraps_hsm_roots() && guard.domain.is_some_and(|domain| !open(domain))
    }

    /// Drops secrets in memory that count no more, because another node has superseded them or has purged the HSM. A node
    /// calls it now and then.
    ///
    /// # Errors
    /// What the store says.
    pub async fn drop_stale_domains(&self) -> Result<()> {
        let barrier = self.barrier();
        for instance in self.open_domains().instances() {
            let _only = self.open_domains().one_at_a_time(instance).await;
            let stored = barrier.read::<DomainRecord>(barrier.deployment(), &layout::domain(instance)).await?;
            let record = stored.map(|stored| stored.value).unwrap_or_default();
            let pending = record.pending.map(|pending| pending.domain);
            self.open_domains().keep_only(instance, record.active.iter().chain(&pending));
        }
        Ok(())
    }

    /// How many active HSMs of the deployment wait for their quorum.
    ///
    /// # Errors
    /// What reading them says.
    pub async fn sealed_hsms(&self) -> Result<u64> {
        let barrier = self.barrier();
        let mut sealed = 0;
        for hsm in barrier.all::<ManagedHsm>(barrier.deployment(), layout::MANAGED_HSMS).await? {
            match self.guard(hsm.value.instance).await {
                Ok(guard) => {
                    sealed += u64::from(!guard.value.deleted && self.is_sealed(hsm.value.instance, &guard.value))
                }
                // On its way in or out.
                Err(Error::HsmNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sealed)
    }

    /// What seals an HSM's records under a domain, and opens those of its epochs from `oldest` on.
    pub(crate) fn make_sealer(&self, instance: InstanceId, domain: &KeptDomain, oldest: Epoch) -> Result<Sealer> {
        sealer_of(instance, &*self.domain_secrets(instance, domain)?, oldest..=domain.epoch)
    }
}

/// The record keys of an instance under some epochs of a domain; the last of them seals.
pub(crate) fn sealer_of(
    instance: InstanceId,
    secrets: &DomainSecrets,
    epochs: RangeInclusive<Epoch>,
) -> Result<Sealer> {
    let lacking = || Error::Tampered { key: layout::domain(instance), problem: "the domain lacks its epoch" };
    let newest: &Root = secrets.root(*epochs.end()).ok_or_else(lacking)?;
    secrets.root(*epochs.start()).ok_or_else(lacking)?;
    let sealer = Sealer::new(newest, secrets.domain_id(), *epochs.end(), instance.uuid())?;
    let earlier = secrets.roots().iter().filter(|(epoch, _)| epochs.contains(epoch) && epoch != epochs.end());
    Ok(earlier.into_iter().try_fold(sealer, |sealer, (epoch, root)| sealer.opening(root, *epoch))?)
}

fn purpose(instance: InstanceId) -> String {
    format!("security-domain/{instance}")
}

/// Uploads that are remembered: one for each node of a large cluster.
const UNSEALED_MAX: usize = 16;
