//! What can be said of a key to somebody who has to believe it: where it came from, whether it may leave or has left, and
//! what protects it.

use strongroom_types::{DataAction, DeploymentId, DomainId, Epoch, InstanceId, Scope, Timestamp};

use crate::container::KeyContainer;
use crate::hsm::Hsm;
use crate::keys::record::{Key, KeyReference, Origin};
use crate::request::Request;
use crate::{Error, Result};

/// A key version with its past and its protection. Nothing in it is claimed that this deployment does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyProvenance {
    /// The key, as it is shown.
    pub key: Key,
    /// Where its material came from.
    pub origin: Origin,
    /// How often it was released, as far as this instance knows.
    pub releases: u64,
    /// When a backup that holds it, of the key or of the whole HSM, was last begun, as far as this instance knows.
    pub backed_up: Option<Timestamp>,
    /// When the key came out of a backup, if it did; its versions that are not newer came with it.
    pub restored: Option<Timestamp>,
    /// The deployment.
    pub deployment: DeploymentId,
    /// This life of the HSM's name.
    pub instance: InstanceId,
    /// The security domain whose quorum can rebuild the root of its records.
    pub domain: DomainId,
    /// The epoch of that root; while records are being sealed again after a rotation, the oldest it may be.
    pub epoch: Epoch,
    /// What wraps the root for an unattended restart (protocols.md §1).
    pub root_provider: &'static str,
}

impl Hsm<'_> {
    /// The provenance of a key version, of the latest if none is named.
    pub async fn key_provenance(&self, request: &Request, reference: &KeyReference) -> Result<KeyProvenance> {
        let scope = Scope::Key(reference.name.clone());
        let permit = self.authorize(request, DataAction::KeysRead, &scope).await?;
        let name = self.live_name(&permit, &reference.name).await?;
        let (version, record) = self.version_record(&permit, &name.value, reference.version).await?;
        let guard = &permit.guard().value;
        // A backup of the whole HSM takes every version along that there is when it begins.
        let copied = self.core().backup_history(self.instance()).await?.last_copy;
        let copied = copied.filter(|copied| *copied >= record.value.created);
        Ok(KeyProvenance {
            origin: record.value.origin,
            releases: record.value.releases,
            backed_up: name.value.backed_up.max(copied),
            restored: name.value.restored,
            key: record.value.show(KeyContainer::record(self), &name.value.name, version),
            deployment: self.core().deployment().id,
            instance: self.instance(),
            domain: guard.domain.ok_or(Error::NotActivated)?,
            epoch: guard.oldest_epoch,
            root_provider: self.core().root_provider().name(),
        })
    }
}
