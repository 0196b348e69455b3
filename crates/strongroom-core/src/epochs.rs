//! Epochs of a security domain: a rotation begins one, and a job seals every record of the HSM again under it.
//!
//! The commit that begins an epoch rewrites the guard, so nothing that was authorized before is written after it: new
//! writes are sealed under the new root from then on, and records of the earlier epochs are opened under their own. The
//! job goes over all records in steps; each is one commit that depends on the guard and on every record being as it was
//! read, so a step may run twice, on any node, beside any other work. When a whole round over the records finds nothing
//! of an earlier epoch, one commit of the guard ends it: from then on only the new root opens a record, and what a
//! disloyal quorum of an earlier file writes into the store is refused.
//!
//! The earlier roots stay in the domain, and in its files, because backups made under them are opened with them.
//!
//! It fails closed: a record that does not open stops the job, and the epoch does not end.

use strongroom_types::{DataAction, DomainId, Epoch, Timestamp};

use crate::activation::EARLIER_FILES;
use crate::barrier::{Outdated, Stored};
use crate::container::Permit;
use crate::domain::{DomainRecord, Resealing};
use crate::download_policy::{DownloadPolicy, QUORUM_PROOF_SECONDS};
use crate::guard::{Guard, HsmState};
use crate::hsm::Hsm;
use crate::keys::JobRequest;
use crate::layout::Generation;
use crate::request::Request;
use crate::{Error, Result};

/// What a step of the job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResealStep {
    /// Nothing is to be sealed again.
    Idle,
    /// It went on; there is more.
    Went,
    /// The last record is sealed under the new epoch.
    Ended(Epoch),
}

/// Where a round over the records is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResealRound {
    /// What it seals, and under which epoch: another rotation, or a restore, begins the round anew.
    of: Option<(Generation, Epoch)>,
    after: Option<String>,
    /// Whether the round has met a record of an earlier epoch.
    dirty: bool,
}

impl Hsm<'_> {
    /// One commit: records are sealed under the new root from now on, and those of the earlier ones are still opened.
    pub(crate) async fn begin_epoch(
        &self,
        request: &Request,
        guard: &Stored<Guard>,
        stored: &Stored<DomainRecord>,
    ) -> Result<()> {
        let barrier = self.core().barrier();
        let confirmed = stored.value.confirmed();
        let domain = confirmed.active.clone().ok_or(Error::NotActivated)?;
        // What does not open here must not begin.
        self.core().make_sealer(self.instance(), &domain, guard.value.oldest_epoch)?;
        let epoch = domain.epoch;
        let resealing = Some(Resealing { epoch, began: request.received, records: 0, ended: None });
        let record = DomainRecord { resealing, ..confirmed };
        let begun = Guard { epoch, ..guard.value.clone() };
        let detail = format!(
            "security domain {}: epoch {} has begun, and every record is sealed again; {EARLIER_FILES}, and the backups made \
             before",
            domain.domain,
            epoch.number()
        );
        let mut transaction = barrier.transaction().detail(detail);
        transaction.replace(barrier.deployment(), guard, &begun)?;
        transaction.replace(barrier.deployment(), stored, &record)?;
        transaction.commit(request).await?;
        self.core().open_domains().keep_only(self.instance(), &record.active);
        Ok(())
    }

    /// Seals some records again that an earlier epoch has sealed. The caller goes on until it is idle; a step that was
    /// overtaken ends in [`Error::Conflict`] and is done again.
    ///
    /// # Errors
    /// [`Error::NotActivated`], [`Error::Sealed`]: later; [`Error::Tampered`] if a record does not open.
    pub async fn reseal(&self, request: &JobRequest<'_>, round: &mut ResealRound) -> Result<ResealStep> {
        // Most of the time there is nothing to do, and nothing needs to be opened to see that.
        let guard = self.living_guard().await?;
        if !guard.value.is_resealing() {
            return Ok(ResealStep::Idle);
        }
        let permit = self.permit(guard).await?;
        let of = Some((permit.generation(), permit.guard().value.epoch));
        if round.of != of {
            *round = ResealRound { of, ..ResealRound::default() };
        }
        // What nothing points to any more is removed, and opens for nobody.
        let (prefix, after) = (permit.generation().prefix(), round.after.as_deref());
        let page = permit.barrier().outdated(permit.sealer(), &prefix, after, STEP_RECORDS, STEP_BYTES).await?;
        if page.records.is_empty() {
            // Nothing is committed, so nothing else would let others go on.
            tokio::task::yield_now().await;
        } else {
            round.dirty = true;
            self.seal_again(&permit, page.records).await?;
        }
        round.after = page.next;
        if round.after.is_some() || round.dirty {
            round.dirty &= round.after.is_some();
            return Ok(ResealStep::Went);
        }
        self.end_epoch(&request("SecurityDomainEpochEnd"), &permit).await.map(ResealStep::Ended)
    }

    async fn seal_again(&self, permit: &Permit<'_>, records: Vec<Outdated>) -> Result<()> {
        let (guard, deployment) = (permit.guard(), permit.barrier().deployment());
        let stored = self.domain_record().await?.ok_or(Error::Internal("an active HSM has no domain record"))?;
        let mut transaction = permit.transaction();
        if let Some(resealing) = stored.value.resealing {
            let records = resealing.records.saturating_add(u64::try_from(records.len()).unwrap_or(u64::MAX));
            let resealing = Some(Resealing { records, ..resealing });
            transaction.replace(deployment, &stored, &DomainRecord { resealing, ..stored.value.clone() })?;
        }
        // Compiled rights remember the commits that wrote their records, and are kept by the version of the rights.
        let generation = permit.generation();
        let (assignments, definitions) = (generation.role_assignments(), generation.role_definitions());
        let of_rights = |key: &str| key.starts_with(&assignments) || key.starts_with(&definitions);
        if records.iter().any(|record| of_rights(record.key())) {
            let rights_version = guard.value.rights_version.saturating_add(1);
            transaction.replace(deployment, guard, &Guard { rights_version, ..guard.value.clone() })?;
        }
        for record in records {
            transaction.seal_again(permit.sealer(), record);
        }
        transaction.commit_step().await?;
        Ok(())
    }

    /// One commit: nothing but the new root opens a record from now on.
    async fn end_epoch(&self, request: &Request, permit: &Permit<'_>) -> Result<Epoch> {
        let (guard, deployment) = (permit.guard(), permit.barrier().deployment());
        let epoch = guard.value.epoch;
        let stored = self.domain_record().await?.ok_or(Error::Internal("an active HSM has no domain record"))?;
        let ended = |resealing: Resealing| Resealing { ended: Some(request.received), ..resealing };
        let record = DomainRecord { resealing: stored.value.resealing.map(ended), ..stored.value.clone() };
        let records = record.resealing.map_or(0, |resealing| resealing.records);
        let detail =
            format!("epoch {}: {records} records were sealed again, none is left of an earlier one", epoch.number());
        let mut transaction = permit.transaction().detail(detail);
        transaction.replace(deployment, guard, &Guard { oldest_epoch: epoch, ..guard.value.clone() })?;
        transaction.replace(deployment, &stored, &record)?;
        transaction.commit(request).await?;
        Ok(epoch)
    }
}

/// What can be said of an HSM's security domain to its administrators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainState {
    /// How far the HSM is.
    pub state: HsmState,
    /// The domain, once activated.
    pub domain: Option<DomainId>,
    /// The epoch that records are sealed under.
    pub epoch: Epoch,
    /// The oldest epoch that a record may still be sealed under.
    pub oldest_epoch: Epoch,
    /// How many custodians of the newest file open it; 0 before activation.
    pub required: u8,
    /// The certificates of those custodians (`x5t#S256`).
    pub custodians: Vec<String>,
    /// What it takes to download the domain again or to rotate it.
    pub policy: DownloadPolicy,
    /// Until when a quorum that has proved itself stands for a file.
    pub proved_until: Option<Timestamp>,
    /// Whether a file was made that nobody has confirmed yet.
    pub unconfirmed: bool,
    /// The last rotation.
    pub resealing: Option<ResealProgress>,
}

impl Hsm<'_> {
    /// How the security domain is.
    pub async fn security_domain(&self, request: &Request) -> Result<DomainState> {
        let guard = self.authorize_any_state(request, DataAction::SecurityDomainDownloadRead).await?;
        let guard = &guard.value;
        let record = self.domain_record().await?.map(|stored| stored.value).unwrap_or_default();
        let DomainRecord { active, pending, quorum, resealing, .. } = record;
        let custodians = active.map(|active| active.custodians);
        let proved_until = quorum.map(|proof| proof.proved.plus_seconds(QUORUM_PROOF_SECONDS));
        Ok(DomainState {
            state: guard.state,
            domain: guard.domain,
            epoch: guard.epoch,
            oldest_epoch: guard.oldest_epoch,
            required: custodians.as_ref().map_or(0, |custodians| custodians.required),
            custodians: custodians.map(|custodians| custodians.thumbprints).unwrap_or_default(),
            policy: self.core().download_policy(),
            proved_until: proved_until.filter(|until| request.received < *until),
            unconfirmed: pending.is_some(),
            resealing: resealing.map(ResealProgress::from),
        })
    }
}

/// How far the records are with a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResealProgress {
    /// The epoch they are sealed under.
    pub epoch: Epoch,
    /// When it began.
    pub began: Timestamp,
    /// Records that were sealed again so far.
    pub records: u64,
    /// When the last of them was.
    pub ended: Option<Timestamp>,
}

impl From<Resealing> for ResealProgress {
    fn from(resealing: Resealing) -> Self {
        let Resealing { epoch, began, records, ended } = resealing;
        Self { epoch, began, records, ended }
    }
}

/// Records of one step: each is one write, beside those of the guard and of the domain record; below the store's limit on
/// operations, which counts preconditions too.
const STEP_RECORDS: usize = 24;
/// Bytes of one step, unless its first record alone is larger; below the store's limit on a commit.
const STEP_BYTES: usize = 256 * 1024;
