//! Recovery: another HSM's security domain comes into a new HSM, or a sealed HSM gets its own back; and, in the same steps,
//! the quorum of an active HSM proves itself for another file (protocols.md §1, §6; security-domain.md §5).
//!
//! The HSM draws a transfer key that exists in this process only; a quorum of custodians encrypts the domain to it; the
//! upload is opened, checked against its manifest and committed before it is answered. A recovery begins by a change of
//! the guard's state, as a download and everything else that would race with it depends on the guard.

use std::sync::Arc;

use strongroom_security_domain::{ExchangeKey, OpenedDomain, SecurityDomainError};
use strongroom_types::{DataAction, DomainId, Scope};
use uuid::Uuid;

use crate::activation::Activated;
use crate::barrier::Stored;
use crate::domain::{Activation, CustodianList, DomainRecord, QuorumProof, UploadMark, sealer_of};
use crate::download_policy::DownloadPolicy;
use crate::guard::{Guard, HsmState};
use crate::hsm::Hsm;
use crate::ports::Lane;
use crate::request::Request;
use crate::retry_on_conflict;
use crate::transfer_keys::HeldKey;
use crate::{Error, Result};

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadStatus {
    /// The HSM waits for an upload.
    InProgress,
    /// The HSM is active.
    Success,
    /// The HSM has been active, and the upload proves that a quorum wants its security domain.
    Proved,
    /// No recovery is under way.
    Failed,
}

/// How far an HSM is with a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not activated, and no recovery begun.
    New,
    /// Waits for another HSM's domain.
    Recovering,
    /// Waits for its own.
    Sealed,
    /// In use.
    Active,
}

impl Hsm<'_> {
    /// The transfer key: a JWK as text. The first question draws it and begins a recovery; until it ends the answer stays
    /// the same, on this node. A download that nobody has confirmed is dropped.
    ///
    /// # Errors
    /// [`Error::AlreadyActivated`] once in use; [`Error::Forbidden`] for everybody but the initial administrators.
    pub async fn transfer_key(&self, request: &Request) -> Result<String> {
        // From the start each time: a key that was drawn may have been ended before this request marked it.
        let key = retry_on_conflict!(self.try_transfer_key(request))?;
        Ok(key.exchange.transfer_key()?)
    }

    async fn try_transfer_key(&self, request: &Request) -> Result<Arc<HeldKey>> {
        self.authorize_transfer_key(request).await?;
        // Looked at before the record: the mark of a key that is drawn from now on may not be in what is read.
        let earlier = self.core().exchange_keys().marked(self.instance());
        let record = self.domain_record().await?.map(|stored| stored.value).unwrap_or_default();
        let counts = self.core().transfer_key(self.instance(), &record, request.received);
        let drawn = || self.core().exchange_keys().unmarked(self.instance(), request.received);
        let key = match counts.or_else(drawn) {
            Some(key) => key,
            None => self.make_exchange_key(request, earlier.as_ref()).await?,
        };
        self.begin_recovery(request, &key).await
    }

    /// Takes an upload and makes the HSM active with what is in it. Answers the id of the operation, which has ended well;
    /// the same upload again gets the same answer.
    ///
    /// # Errors
    /// [`Error::NoTransferKey`]; [`Error::OnAnotherNode`]; [`Error::SecurityDomain`] if the upload is refused;
    /// [`Error::OtherSecurityDomain`] for a sealed HSM; [`Error::AlreadyActivated`].
    pub async fn upload_security_domain(&self, request: &Request, upload: String) -> Result<Uuid> {
        let mark = UploadMark::new(Uuid::from_bytes(self.core().barrier().entropy().sixteen()?), &upload);
        let (_, stage) = self.authorize_recovery(request, DataAction::SecurityDomainUpload).await?;
        let record = self.domain_record().await?.map(|stored| stored.value).unwrap_or_default();
        let key = self.core().transfer_key(self.instance(), &record, request.received);
        let is_elsewhere = self.core().is_awaited_elsewhere(&record, request.received);
        let key = match (stage, key) {
            (Stage::Active, key) => match (self.repeated(&mark).await, key) {
                (Err(Error::AlreadyActivated), Some(key)) => key,
                (Err(Error::AlreadyActivated), None) if is_elsewhere => return Err(KEY_ELSEWHERE),
                (repeated, _) => return repeated,
            },
            (Stage::Recovering | Stage::Sealed, Some(key)) => key,
            (Stage::Recovering | Stage::Sealed, None) if is_elsewhere => return Err(KEY_ELSEWHERE),
            (Stage::Recovering | Stage::Sealed, None) | (Stage::New, _) => return Err(Error::NoTransferKey),
        };
        let opened = match self.open_upload(&key, upload).await {
            Err(Error::SecurityDomain(SecurityDomainError::WrongExchangeKey)) if is_elsewhere => {
                return Err(KEY_ELSEWHERE);
            }
            other => other?,
        };
        let upload = Upload { key, begun: stage, opened, mark };
        let operation = retry_on_conflict!(self.try_finish_recovery(request, &upload))?;
        self.core().exchange_keys().destroy(self.instance(), &upload.key);
        Ok(operation)
    }

    /// How far the recovery is, asked with a token.
    pub async fn upload_status(&self, request: &Request) -> Result<UploadStatus> {
        let (_, stage) = self.authorize_recovery(request, DataAction::SecurityDomainUploadRead).await?;
        let record = self.domain_record().await?.map(|stored| stored.value).unwrap_or_default();
        let waits = self.core().is_awaited(self.instance(), &record, request.received);
        Ok(match stage {
            Stage::Active => UploadStatus::Success,
            Stage::Recovering | Stage::Sealed if waits => UploadStatus::InProgress,
            Stage::New | Stage::Recovering | Stage::Sealed => UploadStatus::Failed,
        })
    }

    /// What became of an upload, asked by its operation id: that is the proof of having made it, so no token is asked for.
    pub async fn upload_status_of(&self, operation: Uuid) -> Result<UploadStatus> {
        self.living_guard().await?;
        let proof = self.domain_record().await?.and_then(|stored| stored.value.quorum);
        if proof.is_some_and(|proof| proof.mark.operation == operation) {
            return Ok(UploadStatus::Proved);
        }
        let accepted = self.accepted_uploads().await?.iter().any(|mark| mark.operation == operation);
        Ok(if accepted { UploadStatus::Success } else { UploadStatus::Failed })
    }

    async fn make_exchange_key(&self, request: &Request, earlier: Option<&Arc<HeldKey>>) -> Result<Arc<HeldKey>> {
        let name = self.record().name.folded().to_owned();
        let (entropy, received) = (Arc::clone(self.core().barrier().entropy()), request.received);
        let generate = move || ExchangeKey::generate(&name, received, entropy.as_ref());
        let exchange = self.core().run(Lane::Slow, generate).await??;
        self.core().exchange_keys().hold(self.instance(), HeldKey::new(exchange, received), earlier, received)
    }

    /// Marks a key that was drawn; answers it, or the one that counts already.
    async fn begin_recovery(&self, request: &Request, key: &Arc<HeldKey>) -> Result<Arc<HeldKey>> {
        let (guard, stage) = self.authorize_transfer_key(request).await?;
        let stored = self.domain_record().await?;
        let record = stored.as_ref().map(|stored| stored.value.clone()).unwrap_or_default();
        match self.core().transfer_key(self.instance(), &record, request.received) {
            Some(known) if stage != Stage::New => return Ok(known),
            // Another request has drawn and marked it, and it has ended since: it never counts again.
            None if key.is_marked() => return Err(Error::Conflict),
            Some(_) | None => {}
        }
        let changes_state = matches!(stage, Stage::New | Stage::Recovering);
        let barrier = self.core().barrier();
        let detail = format!("transfer key x5t#S256 {}", key.exchange.thumbprint());
        let mut transaction = barrier.transaction().detail(detail);
        transaction.expect(&guard);
        if changes_state {
            let recovering = Guard { state: HsmState::Recovering, ..guard.value.clone() };
            transaction.replace(barrier.deployment(), &guard, &recovering)?;
        }
        let mut record = record.with_transfer_key(barrier.node(), key, request.received);
        if stage == Stage::New {
            record.pending = None;
        }
        self.stage_record(&mut transaction, stored.as_ref(), &record)?;
        let committed = transaction.commit(request).await;
        // Whatever else the store says, the mark may be there, and be gone before this node sees it.
        if !matches!(committed, Err(Error::Conflict)) {
            key.marked();
        }
        committed?;
        if changes_state {
            self.core().open_domains().keep_only(self.instance(), &None);
        }
        Ok(Arc::clone(key))
    }

    /// Other nodes need not wait for a key that has failed too often.
    async fn try_unmark(&self, key: &HeldKey) -> Result<()> {
        let barrier = self.core().barrier();
        let Some(stored) = self.domain_record().await? else { return Ok(()) };
        let record = stored.value.clone().without_transfer_key(barrier.node(), key);
        if record == stored.value {
            return Ok(());
        }
        let mut transaction = barrier.transaction();
        transaction.replace(barrier.deployment(), &stored, &record)?;
        transaction.commit_step().await?;
        Ok(())
    }

    async fn open_upload(&self, key: &Arc<HeldKey>, upload: String) -> Result<OpenedDomain> {
        let opening = Arc::clone(key);
        let opened = self.core().run(Lane::Slow, move || opening.open(&upload)).await?;
        if key.is_spent() {
            self.core().exchange_keys().destroy(self.instance(), key);
            retry_on_conflict!(self.try_unmark(key))?;
        }
        let opened = opened?;
        if opened.secrets.newest_epoch() != opened.manifest.epoch {
            return Err(SecurityDomainError::Altered("the manifest is that of another epoch").into());
        }
        Ok(opened)
    }

    async fn try_finish_recovery(&self, request: &Request, upload: &Upload) -> Result<Uuid> {
        let Upload { key, begun, opened: _, mark } = upload;
        let (guard, stage) = self.authorize_recovery(request, DataAction::SecurityDomainUpload).await?;
        // Another upload has ended what this one was made for.
        if stage == Stage::Active && *begun != Stage::Active {
            return self.repeated(mark).await;
        }
        let record = self.domain_record().await?;
        let known = record.as_ref().map(|stored| &stored.value);
        let live = known.and_then(|known| self.core().transfer_key(self.instance(), known, request.received));
        if stage == Stage::New || !live.is_some_and(|live| Arc::ptr_eq(&live, key)) {
            return Err(Error::NoTransferKey);
        }
        // Whoever has removed the mark of the key meanwhile has rewritten this record, on which each of them depends.
        let record = record.ok_or(Error::NoTransferKey)?;
        match stage {
            Stage::Active => self.prove_quorum(request, &guard, record, upload).await?,
            Stage::Sealed => self.unseal(request, &guard, record, upload).await?,
            Stage::New | Stage::Recovering => self.restore(request, &guard, record, upload).await?,
        }
        Ok(mark.operation)
    }

    /// The other HSM's domain becomes this HSM's; its instance and its initial administrators stay its own.
    async fn restore(
        &self,
        request: &Request,
        guard: &Stored<Guard>,
        stored: Stored<DomainRecord>,
        Upload { opened, mark, .. }: &Upload,
    ) -> Result<()> {
        let custodians = CustodianList::from(&opened.manifest);
        let detail = format!("recovered security domain {}, {custodians}", opened.secrets.domain_id());
        let _only = self.core().open_domains().one_at_a_time(self.instance()).await;
        let domain = self.core().keep_domain(self.instance(), Arc::clone(&opened.secrets), custodians)?;
        let activated = Activated { domain, by: Activation::Upload(mark.clone()), detail };
        self.activate(request, guard, Some(stored), activated).await
    }

    /// The HSM's own domain is back: its records open again, and nothing of them has changed.
    async fn unseal(
        &self,
        request: &Request,
        guard: &Stored<Guard>,
        stored: Stored<DomainRecord>,
        Upload { key, begun: _, opened, mark }: &Upload,
    ) -> Result<()> {
        let own = self.check_own(&guard.value, opened)?;
        // A rotation that was never confirmed has left a file with one root more.
        let secrets = Arc::new(opened.secrets.up_to(guard.value.epoch)?);
        // Roots that are not the HSM's, or do not open its rights, are refused, whoever has signed for them.
        if !stored.value.active.as_ref().ok_or(Error::NotActivated)?.is_opened_by(&secrets)? {
            return Err(SecurityDomainError::Altered("its root is not that of this managed HSM").into());
        }
        let sealer = sealer_of(self.instance(), &secrets, guard.value.oldest_epoch..=guard.value.epoch)?;
        let generation = guard.value.generation(self.instance());
        match self.core().rights(generation, &guard.value, &sealer).await {
            Ok(_) => {}
            Err(Error::Tampered { .. }) => {
                return Err(SecurityDomainError::Altered("its root does not open this managed HSM").into());
            }
            Err(error) => return Err(error),
        }
        let detail = format!("the managed HSM is unsealed: security domain {own}");
        let barrier = self.core().barrier();
        let mut transaction = barrier.transaction().detail(detail);
        transaction.expect(guard);
        // Other nodes are sealed still, each with a transfer key of its own.
        let record = stored.value.clone().without_transfer_key(barrier.node(), key).unsealed_by(mark.clone());
        transaction.replace(barrier.deployment(), &stored, &record)?;
        transaction.commit(request).await?;
        self.core().open_domains().hold(self.instance(), secrets)?;
        Ok(())
    }

    /// A quorum of an active HSM wants a file for other custodians, or a new epoch: the upload shows that it could open the
    /// security domain by itself. Nothing else changes.
    async fn prove_quorum(
        &self,
        request: &Request,
        guard: &Stored<Guard>,
        stored: Stored<DomainRecord>,
        Upload { opened, mark, .. }: &Upload,
    ) -> Result<()> {
        let own = self.check_own(&guard.value, opened)?;
        let newest = opened.secrets.newest_epoch();
        if newest != guard.value.epoch {
            return Err(Error::OtherEpoch { uploaded: newest, own: guard.value.epoch });
        }
        let active = stored.value.active.as_ref().ok_or(Error::NotActivated)?;
        if !self.core().domain_secrets(self.instance(), active)?.has_same_newest_root(&opened.secrets) {
            return Err(SecurityDomainError::Altered("its root is not that of this managed HSM").into());
        }
        let custodians = CustodianList::from(&opened.manifest);
        let detail =
            format!("a quorum has opened security domain {own}, {custodians}: one download or rotation may follow");
        let proof =
            QuorumProof { mark: mark.clone(), by: request.caller.principal, proved: request.received, used_for: None };
        let barrier = self.core().barrier();
        let mut transaction = barrier.transaction().detail(detail);
        transaction.expect(guard);
        let record = DomainRecord { quorum: Some(proof), transfer_keys: Vec::new(), ..stored.value.clone() };
        transaction.replace(barrier.deployment(), &stored, &record)?;
        transaction.commit(request).await?;
        Ok(())
    }

    /// Checks that an upload holds the HSM's own domain, with the root in use.
    fn check_own(&self, guard: &Guard, opened: &OpenedDomain) -> Result<DomainId> {
        let (secrets, own) = (&opened.secrets, guard.domain.ok_or(Error::NotActivated)?);
        if secrets.domain_id() != own {
            return Err(Error::OtherSecurityDomain { uploaded: secrets.domain_id(), own });
        }
        if secrets.root(guard.epoch).is_none() {
            return Err(Error::OtherEpoch { uploaded: secrets.newest_epoch(), own: guard.epoch });
        }
        Ok(own)
    }

    /// The operation of an upload that was accepted before.
    async fn repeated(&self, mark: &UploadMark) -> Result<Uuid> {
        let accepted = self.accepted_uploads().await?;
        let same = accepted.iter().find(|accepted| accepted.is_repeated_by(mark));
        same.map(|accepted| accepted.operation).ok_or(Error::AlreadyActivated)
    }

    async fn accepted_uploads(&self) -> Result<Vec<UploadMark>> {
        let DomainRecord { activated_by, quorum, unsealed_by, .. } =
            self.domain_record().await?.map(|stored| stored.value).unwrap_or_default();
        let restored = match activated_by {
            Some(Activation::Upload(mark)) => Some(mark),
            Some(Activation::Download(_)) | None => None,
        };
        Ok(restored.into_iter().chain(quorum.map(|proof| proof.mark)).chain(unsealed_by).collect())
    }

    async fn authorize_transfer_key(&self, request: &Request) -> Result<(Arc<Stored<Guard>>, Stage)> {
        let by_quorum = self.core().download_policy() == DownloadPolicy::Quorum;
        match self.authorize_recovery(request, DataAction::SecurityDomainTransferKeyRead).await? {
            (_, Stage::Active) if !by_quorum => Err(Error::AlreadyActivated),
            other => Ok(other),
        }
    }

    /// Leave for a call of a recovery. While rights cannot be read, because there are none yet or they are sealed, the
    /// initial administrators hold it and nobody else; what they can do with it needs a quorum.
    async fn authorize_recovery(&self, request: &Request, action: DataAction) -> Result<(Arc<Stored<Guard>>, Stage)> {
        self.check_tenant(request)?;
        let guard = self.living_guard().await?;
        let stage = match guard.value.state {
            HsmState::NotActivated => Stage::New,
            HsmState::Recovering => Stage::Recovering,
            HsmState::Active => match self.authorize(request, action, &Scope::Root).await {
                Ok(permit) => return Ok((Arc::clone(permit.guard()), Stage::Active)),
                Err(Error::Sealed) => Stage::Sealed,
                Err(error) => return Err(error),
            },
            // A restore goes on once the HSM is unsealed.
            HsmState::Restoring => match self.permit_while_restoring().await {
                Ok(_) => return Err(Error::Restoring),
                Err(Error::Sealed) => Stage::Sealed,
                Err(error) => return Err(error),
            },
        };
        self.check_initial_administrator(request, action)?;
        Ok((guard, stage))
    }
}

/// An upload that was opened.
struct Upload {
    key: Arc<HeldKey>,
    /// How far the HSM was when it came.
    begun: Stage,
    opened: OpenedDomain,
    mark: UploadMark,
}

/// The transfer key is in the memory of another node.
const KEY_ELSEWHERE: Error = Error::OnAnotherNode { what: "the transfer key of this managed HSM" };
