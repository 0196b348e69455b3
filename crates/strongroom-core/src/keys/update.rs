//! Changing a version's attributes.

use strongroom_types::{DataAction, KeyOperation, KeyOperations, Scope};

use crate::container::KeyContainer;
use crate::keys::ReleaseTerms;
use crate::keys::create::KeyAttributes;
use crate::keys::record::{Key, KeyReference, Tags, VersionRecord, check_operations, check_validity};
use crate::keys::rotate::schedule_rotation;
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// What is to change; what is absent stays as it is.
#[derive(Debug, Clone, Default)]
pub struct UpdateKey {
    /// `key_ops`, replaced whole.
    pub operations: Option<KeyOperations>,
    /// `attributes`, each by itself.
    pub attributes: KeyAttributes,
    /// `tags`, replaced whole.
    pub tags: Option<Tags>,
    /// `release_policy`, replaced whole; `exportable` may only be said as it is.
    pub release: ReleaseTerms,
}

impl KeyContainer<'_> {
    /// Changes a version's attributes, the latest version's if none is named.
    pub async fn update_key(&self, request: &Request, reference: &KeyReference, change: &UpdateKey) -> Result<Key> {
        retry_on_conflict!(self.try_update_key(request, reference, change))
    }

    async fn try_update_key(&self, request: &Request, reference: &KeyReference, change: &UpdateKey) -> Result<Key> {
        let scope = Scope::Key(reference.name.clone());
        let permit = self.authorize(request, DataAction::KeysWrite, &scope).await?;
        self.check_release(&change.release)?;
        let name = self.live_name(&permit, &reference.name).await?;
        let (version, stored) = self.version_record(&permit, &name.value, reference.version).await?;
        let current = &stored.value;
        let operations = change.operations.unwrap_or(current.operations);
        check_operations(current.specification.key_type(), operations)?;
        if operations.contains(KeyOperation::Import) != current.operations.contains(KeyOperation::Import) {
            // What was wrapped for a key exchange key must never come out by another operation.
            return Err(Error::bad_parameter("key_ops", "import is given at creation and stays"));
        }
        change.attributes.check()?;
        let not_before = change.attributes.not_before.or(current.not_before);
        let expires = change.attributes.expires.or(current.expires);
        check_validity(not_before, expires)?;
        let changed = VersionRecord {
            operations,
            enabled: change.attributes.enabled.unwrap_or(current.enabled),
            not_before,
            expires,
            updated: request.received,
            tags: change.tags.clone().unwrap_or_else(|| current.tags.clone()),
            release: change.release.clone().after(&current.release, operations)?,
            ..current.clone()
        };
        let mut transaction = permit.transaction().detail(format!("key {} version {version}", reference.name));
        let mut pointer = name.value.clone();
        if pointer.latest()? == version {
            schedule_rotation(&mut transaction, &permit, &mut pointer, &changed)?;
        }
        // The name too: a key deleted in between is not changed any more.
        if pointer == name.value {
            transaction.expect(&name);
        } else {
            transaction.replace(permit.sealer(), &name, &pointer)?;
        }
        transaction.replace(permit.sealer(), &stored, &changed)?;
        transaction.commit(request).await?;
        if !changed.enabled {
            self.core().caches().materials.remove(&(permit.generation(), name.value.id, version));
        }
        Ok(changed.show(self.record(), &name.value.name, version))
    }
}
