//! A managed HSM as one request sees it: a container of keys with local RBAC and a security domain.

use std::ops::Deref;
use std::sync::Arc;

use strongroom_types::HsmName;

use crate::barrier::{Kept, Stored};
use crate::container::{ContainerRecord, KeyContainer};
use crate::managed_hsm::{ManagedHsm, Provisioning};
use crate::{Core, Error, Result, layout};

/// A managed HSM that exists and is not deleted. What it does with keys it does as a [`KeyContainer`].
#[derive(Debug)]
pub struct Hsm<'a> {
    container: KeyContainer<'a>,
    record: Arc<KeptHsm>,
}

/// The record of an HSM, and what it says about keys.
#[derive(Debug)]
struct KeptHsm {
    stored: Stored<ManagedHsm>,
    container: Arc<ContainerRecord>,
}

impl Kept for KeptHsm {
    type Record = ManagedHsm;

    fn of(stored: Stored<ManagedHsm>) -> Self {
        let container = Arc::new(ContainerRecord::of_hsm(&stored));
        Self { stored, container }
    }
}

impl Core {
    /// The HSM a host name means.
    ///
    /// # Errors
    /// [`Error::HsmNotFound`] if there is none, it is still being made, or it is deleted.
    pub async fn hsm(&self, name: &HsmName) -> Result<Hsm<'_>> {
        let (barrier, key) = (self.barrier(), layout::managed_hsm(name.folded()));
        self.living_hsm(barrier.read_kept(barrier.deployment(), &key).await?.ok_or(Error::HsmNotFound)?)
    }

    /// The HSM of a record that was read.
    ///
    /// # Errors
    /// As [`Core::hsm`].
    pub fn hsm_of(&self, record: Stored<ManagedHsm>) -> Result<Hsm<'_>> {
        self.living_hsm(Arc::new(KeptHsm::of(record)))
    }

    fn living_hsm(&self, record: Arc<KeptHsm>) -> Result<Hsm<'_>> {
        let hsm = &record.stored.value;
        if hsm.deletion.is_some() || hsm.provisioning != Provisioning::Succeeded {
            return Err(Error::HsmNotFound);
        }
        Ok(Hsm { container: KeyContainer::of_hsm(self, Arc::clone(&record.container)), record })
    }
}

impl Hsm<'_> {
    /// The record both planes share.
    pub fn record(&self) -> &ManagedHsm {
        &self.record.stored.value
    }
}

impl<'a> Deref for Hsm<'a> {
    type Target = KeyContainer<'a>;

    fn deref(&self) -> &KeyContainer<'a> {
        &self.container
    }
}
