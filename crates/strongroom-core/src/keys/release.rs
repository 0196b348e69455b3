//! Secure key release: a key leaves, wrapped for an environment that its policy accepts.

use std::sync::Arc;

use strongroom_types::{KeyEncryptionAlgorithm, KeyOperation};

use crate::attestation::Environment;
use crate::container::KeyContainer;
use crate::keys::crypto::UsableKey;
use crate::keys::record::{Key, KeyReference, VersionRecord};
use crate::ports::{AttestationAuthorities, Lane};
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct ReleaseOrder {
    /// The attestation token of the environment (`target`).
    pub target: String,
    /// How the key is wrapped (`enc`).
    pub encryption: KeyEncryptionAlgorithm,
}

/// A key on its way to an environment.
#[derive(Debug)]
pub struct ReleasedKey {
    /// The key, as it is shown.
    pub key: Key,
    /// The name of the environment's key.
    pub recipient: String,
    /// The wrapped key.
    pub ciphertext: Vec<u8>,
}

impl KeyContainer<'_> {
    /// Releases a key version, the latest if none is named. Each release is counted, in one commit with its event.
    ///
    /// # Errors
    /// [`Error::OperationNotPermitted`] for a key that is not exportable; [`Error::AttestationRefused`].
    pub async fn release_key(
        &self,
        request: &Request,
        reference: &KeyReference,
        order: &ReleaseOrder,
        authorities: &dyn AttestationAuthorities,
    ) -> Result<ReleasedKey> {
        retry_on_conflict!(self.try_release(request, reference, order, authorities))
    }

    async fn try_release(
        &self,
        request: &Request,
        reference: &KeyReference,
        order: &ReleaseOrder,
        authorities: &dyn AttestationAuthorities,
    ) -> Result<ReleasedKey> {
        let key = self.open_for(request, reference, KeyOperation::Export, None).await?;
        let policy = key.record.value.release.policy();
        let policy = policy.ok_or(Error::Internal("an exportable key without a release policy"))?;
        let environment = Environment::attested(policy, &order.target, authorities, request.received).await?;
        let detail = format!(
            "key {} version {} released; authority {:?}, recipient {:?}, {}",
            key.identifier.name, key.identifier.version, environment.authority, environment.kid, order.encryption
        );
        let (material, entropy) = (Arc::clone(&key.material), Arc::clone(self.core().barrier().entropy()));
        let Environment { kid: recipient, key: recipient_key, .. } = environment;
        let encryption = order.encryption;
        let wrap = move || material.wrap_for(&recipient_key, encryption, entropy.as_ref());
        let ciphertext = self.core().run(Lane::Fast, wrap).await??;
        // Counted before it leaves: what could not be recorded does not happen.
        let shown = self.count_release(request, key, detail).await?;
        Ok(ReleasedKey { key: shown, recipient, ciphertext })
    }

    async fn count_release(&self, request: &Request, key: UsableKey<'_>, detail: String) -> Result<Key> {
        let UsableKey { permit, record, identifier, .. } = key;
        let counted = VersionRecord { releases: record.value.releases.saturating_add(1), ..record.value.clone() };
        let mut transaction = permit.transaction().detail(detail);
        transaction.replace(permit.sealer(), &record, &counted)?;
        transaction.commit(request).await?;
        Ok(counted.show(self.record(), &identifier.name, identifier.version))
    }
}
