//! Proving after a restore that a key is the one that was backed up.

use strongroom_crypto::KeyMaterial;
use strongroom_types::{DataAction, Scope};

use crate::backup::BackedUpKeyVersion;
use crate::hsm::Hsm;
use crate::request::Request;
use crate::{Error, Result};

impl Hsm<'_> {
    /// Whether the version that the backup names is here and is the same key: it answers a new challenge that the
    /// backup's public half confirms, or has the backup's check value. `key_ops` and validity do not count, and nothing of
    /// the key comes out but this answer.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the right to start backups.
    pub async fn key_passes(&self, request: &Request, wanted: &BackedUpKeyVersion) -> Result<bool> {
        let permit = self.authorize(request, DataAction::BackupStart, &Scope::Root).await?;
        let BackedUpKeyVersion { name, version, deleted, check } = wanted;
        let Some(found) = self.name_record(&permit, name).await? else { return Ok(false) };
        if found.value.deletion.is_some() != *deleted || !found.value.versions.contains(version) {
            return Ok(false);
        }
        let (_, record) = self.version_record(&permit, &found.value, Some(*version)).await?;
        let at = permit.generation().material(found.value.id, *version);
        let material = permit.barrier().read_secret(permit.sealer(), &at).await?;
        let (material, _) =
            material.ok_or(Error::Tampered { key: at, problem: "the material of a version is missing" })?;
        let key = KeyMaterial::from_sealable(record.value.specification, material.expose())?;
        Ok(key.passes(check, permit.barrier().entropy().as_ref())?)
    }
}
