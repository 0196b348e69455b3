//! Keys of a managed HSM as resources (management-plane.md §1). Each HSM's own setting decides whether there are any.

use strongroom_types::KeyName;

use crate::hsm::Hsm;
use crate::keys::{CreateKey, Key, KeyPage, KeyReference, PageRequest};
use crate::pools::{Action, HsmId, Permit, Pools, ResourceScope, Result};
use crate::request::Request;

impl HsmId {
    /// The scope of one of its keys.
    pub fn key_scope(&self, name: &KeyName) -> ResourceScope {
        self.scope().child("keys", name.as_str())
    }
}

impl Pools {
    /// The latest version of a key.
    pub async fn hsm_key(&self, permit: &Permit, id: &HsmId, name: &KeyName) -> Result<Key> {
        permit.demand(Action::HsmKeyRead, &id.key_scope(name))?;
        let reference = KeyReference { name: name.clone(), version: None };
        Ok(self.hsm_of_keys(id).await?.managed_key(&reference).await?)
    }

    /// The keys of an HSM, by name.
    pub async fn hsm_keys(&self, permit: &Permit, id: &HsmId, page: PageRequest) -> Result<KeyPage<Key>> {
        permit.demand(Action::HsmKeyRead, &id.scope())?;
        Ok(self.hsm_of_keys(id).await?.managed_keys(page).await?)
    }

    /// A version of a key.
    pub async fn hsm_key_version(&self, permit: &Permit, id: &HsmId, reference: &KeyReference) -> Result<Key> {
        permit.demand(Action::HsmKeyVersionRead, &id.key_scope(&reference.name))?;
        Ok(self.hsm_of_keys(id).await?.managed_key(reference).await?)
    }

    /// The versions of a key, oldest first.
    pub async fn hsm_key_versions(
        &self,
        permit: &Permit,
        id: &HsmId,
        name: &KeyName,
        page: PageRequest,
    ) -> Result<KeyPage<Key>> {
        permit.demand(Action::HsmKeyVersionRead, &id.key_scope(name))?;
        Ok(self.hsm_of_keys(id).await?.managed_key_versions(name, page).await?)
    }

    /// Makes a key unless there is one of the name, which then is answered as it is.
    pub async fn create_hsm_key(
        &self,
        permit: &Permit,
        request: &Request,
        id: &HsmId,
        name: &KeyName,
        wanted: CreateKey,
    ) -> Result<Key> {
        permit.demand(Action::HsmKeyWrite, &id.key_scope(name))?;
        Ok(self.hsm_of_keys(id).await?.create_key_if_absent(permit, request, name, wanted).await?)
    }

    async fn hsm_of_keys(&self, id: &HsmId) -> Result<Hsm<'_>> {
        match self.core.hsm(&id.name).await {
            Ok(hsm) if id.is(hsm.record()) => Ok(hsm),
            Ok(_) | Err(crate::Error::HsmNotFound) => Err(id.not_found()),
            Err(error) => Err(error.into()),
        }
    }
}
