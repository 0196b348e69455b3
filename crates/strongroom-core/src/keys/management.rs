//! Keys through the management plane (management-plane.md §1): shown, and made where there are none; never changed.
//!
//! The management plane has authorized by Azure roles. That counts only while the HSM's own administrators let it:
//! [`SettingName::AllowKeyManagementOperationsThroughArm`].

use strongroom_types::{KeyId, KeyName, KeyVersion, SettingName};

use crate::container::{KeyContainer, Permit};
use crate::hsm::Hsm;
use crate::keys::create::CreateKey;
use crate::keys::read::{KeyPage, PageRequest};
use crate::keys::record::{Key, KeyReference, NameRecord};
use crate::pools;
use crate::request::Request;
use crate::{Error, Result};

impl<'a> Hsm<'a> {
    /// One version of a key, the latest if none is named.
    pub(crate) async fn managed_key(&self, reference: &KeyReference) -> Result<Key> {
        let permit = self.permit_for_management().await?;
        self.read_key(&permit, reference).await
    }

    /// The latest version of each key, by name.
    pub(crate) async fn managed_keys(&self, page: PageRequest) -> Result<KeyPage<Key>> {
        let permit = self.permit_for_management().await?;
        self.read_keys(&permit, page).await
    }

    /// All versions of a key, oldest first.
    pub(crate) async fn managed_key_versions(&self, name: &KeyName, page: PageRequest) -> Result<KeyPage<Key>> {
        let permit = self.permit_for_management().await?;
        self.read_versions(&permit, name, page).await
    }

    /// Makes a key unless there is one of the name, which then is answered as it is.
    ///
    /// # Errors
    /// [`Error::Conflict`]: the management plane authorizes again from the start.
    pub(crate) async fn create_key_if_absent(
        &self,
        management: &pools::Permit,
        request: &Request,
        name: &KeyName,
        wanted: CreateKey,
    ) -> Result<Key> {
        let permit = self.permit_for_management().await?;
        match self.name_record(&permit, name).await? {
            Some(stored) if stored.value.deletion.is_some() => return Err(Error::KeyDeleted { name: name.clone() }),
            Some(_) => return self.read_key(&permit, &KeyReference { name: name.clone(), version: None }).await,
            None => {}
        }
        let (record, material) = self.make_version(request, wanted).await?;
        let entropy = permit.barrier().entropy();
        let version = KeyVersion::from_random(entropy.sixteen()?);
        let id = KeyId::from_time_and_random(request.received, entropy.sixteen()?);
        let generation = permit.generation();
        let mut transaction = permit.transaction().detail(format!("key {name} version {version}"));
        management.bind(&mut transaction);
        transaction.create(permit.sealer(), generation.version(id, version), &record)?;
        let secret = material.to_sealable()?;
        transaction.create_secret(permit.sealer(), generation.material(id, version), secret.expose());
        transaction.create(permit.sealer(), generation.name(name), &NameRecord::new(name.clone(), id, version))?;
        transaction.commit(request).await?;
        Ok(record.show(KeyContainer::record(self), name, version))
    }

    async fn permit_for_management(&self) -> Result<Permit<'a>> {
        let permit = self.permit_for_job().await?;
        if permit.guard().value.settings.get(SettingName::AllowKeyManagementOperationsThroughArm) {
            Ok(permit)
        } else {
            Err(Error::ManagementNotAllowed)
        }
    }
}
