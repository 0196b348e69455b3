//! A managed HSM as one request sees it: a container of keys with local RBAC and a security domain.

use std::ops::Deref;

use strongroom_types::HsmName;

use crate::barrier::Stored;
use crate::container::KeyContainer;
use crate::managed_hsm::{ManagedHsm, Provisioning};
use crate::{Core, Error, Result};

/// A managed HSM that exists and is not deleted. What it does with keys it does as a [`KeyContainer`].
#[derive(Debug)]
pub struct Hsm<'a> {
    container: KeyContainer<'a>,
    record: Stored<ManagedHsm>,
}

impl Core {
    /// The HSM a host name means.
    ///
    /// # Errors
    /// [`Error::HsmNotFound`] if there is none, it is still being made, or it is deleted.
    pub async fn hsm(&self, name: &HsmName) -> Result<Hsm<'_>> {
        self.hsm_of(self.managed_hsm(name).await?.ok_or(Error::HsmNotFound)?)
    }

    /// The HSM of a record that was read.
    ///
    /// # Errors
    /// As [`Core::hsm`].
    pub fn hsm_of(&self, record: Stored<ManagedHsm>) -> Result<Hsm<'_>> {
        if record.value.deletion.is_some() || record.value.provisioning != Provisioning::Succeeded {
            return Err(Error::HsmNotFound);
        }
        Ok(Hsm { container: KeyContainer::of_hsm(self, &record), record })
    }
}

impl Hsm<'_> {
    /// The record both planes share.
    pub fn record(&self) -> &ManagedHsm {
        &self.record.value
    }
}

impl<'a> Deref for Hsm<'a> {
    type Target = KeyContainer<'a>;

    fn deref(&self) -> &KeyContainer<'a> {
        &self.container
    }
}
