//! Making keys and versions.

use strongroom_crypto::{KeyMaterial, KeySpecification};
use strongroom_types::{DataAction, KeyId, KeyName, KeyOperations, KeyVersion, Protection, Scope, Timestamp};

use crate::container::KeyContainer;
use crate::hsm::Hsm;
use crate::keys::record::{
    Key, NameRecord, Origin, Tags, VersionRecord, check_operations, check_validity, default_operations,
};
use crate::keys::rotate::schedule_rotation;
use crate::keys::{Release, ReleaseTerms};
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// What is asked of a new key, or a new version of one.
#[derive(Debug, Clone)]
pub struct CreateKey {
    /// Type and size.
    pub specification: KeySpecification,
    /// The form of `kty` that was asked for; the container may hold it in another one.
    pub protection: Protection,
    /// `key_ops`; `None` means all the type can do.
    pub operations: Option<KeyOperations>,
    /// `attributes`.
    pub attributes: KeyAttributes,
    /// `tags`.
    pub tags: Tags,
    /// `exportable` and `release_policy`.
    pub release: ReleaseTerms,
}

/// The attributes a client may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyAttributes {
    /// Whether the key may be used; `None` leaves it as it is, or enabled.
    pub enabled: Option<bool>,
    /// `nbf`.
    pub not_before: Option<Timestamp>,
    /// `exp`.
    pub expires: Option<Timestamp>,
}

impl KeyAttributes {
    /// Refuses dates before 1970: nobody means them, and a client that counts in 32 bits sends them for dates after 2038.
    pub(super) fn check(&self) -> Result<()> {
        for (name, date) in [("nbf", self.not_before), ("exp", self.expires)] {
            if date.is_some_and(|date| date.millis() < 0) {
                return Err(Error::bad_parameter(name, "the date is before 1970"));
            }
        }
        Ok(())
    }
}

impl KeyContainer<'_> {
    /// Makes a key, or a new version if the name is in use.
    ///
    /// # Errors
    /// [`Error::KeyDeleted`] if the name is held by a soft-deleted key; [`Error::LimitReached`] at the limit of versions;
    /// [`Error::BadParameter`]; [`Error::Throttled`] if too many keys are being generated.
    pub async fn create_key(&self, request: &Request, name: &KeyName, wanted: CreateKey) -> Result<Key> {
        // Rights first, so that a stranger cannot make the server generate keys.
        self.authorize(request, DataAction::KeysCreate, &Scope::Key(name.clone())).await?;
        let terms = wanted.release.clone();
        let (record, material) = self.make_version(request, wanted).await?;
        self.add_version(request, DataAction::KeysCreate, name, &record, &terms, &material).await
    }

    /// Generates what is asked for, with no release terms yet.
    pub(super) async fn make_version(
        &self,
        request: &Request,
        wanted: CreateKey,
    ) -> Result<(VersionRecord, KeyMaterial)> {
        let key_type = wanted.specification.key_type();
        let protection = self.protection(key_type, wanted.protection)?;
        self.check_release(&wanted.release)?;
        let operations = wanted.operations.unwrap_or(default_operations(key_type));
        check_operations(key_type, operations)?;
        wanted.attributes.check()?;
        check_validity(wanted.attributes.not_before, wanted.attributes.expires)?;
        let material = self.generate(wanted.specification).await?;
        let record = VersionRecord {
            specification: wanted.specification,
            protection,
            public_key: material.public_key().clone(),
            operations,
            enabled: wanted.attributes.enabled.unwrap_or(true),
            not_before: wanted.attributes.not_before,
            expires: wanted.attributes.expires,
            created: request.received,
            updated: request.received,
            tags: wanted.tags,
            release: Release::default(),
            releases: 0,
            origin: Origin::Generated,
        };
        Ok((record, material))
    }

    /// Adds a version under a name, which may be new, with the release terms that follow from what is asked and from the
    /// version before.
    pub(super) async fn add_version(
        &self,
        request: &Request,
        action: DataAction,
        name: &KeyName,
        record: &VersionRecord,
        terms: &ReleaseTerms,
        material: &KeyMaterial,
    ) -> Result<Key> {
        retry_on_conflict!(self.try_add_version(request, action, name, record, terms, material))
    }

    async fn try_add_version(
        &self,
        request: &Request,
        action: DataAction,
        name: &KeyName,
        record: &VersionRecord,
        terms: &ReleaseTerms,
        material: &KeyMaterial,
    ) -> Result<Key> {
        let permit = self.authorize(request, action, &Scope::Key(name.clone())).await?;
        let entropy = permit.barrier().entropy();
        let version = KeyVersion::from_random(entropy.sixteen()?);
        let existing = self.name_record(&permit, name).await?;
        let mut transaction = permit.transaction().detail(format!("key {name} version {version}"));
        let id = match &existing {
            None => KeyId::from_time_and_random(request.received, entropy.sixteen()?),
            Some(stored) if stored.value.deletion.is_some() => {
                return Err(Error::KeyDeleted { name: name.clone() });
            }
            Some(stored) if stored.value.versions.len() >= self.limits().versions_per_key => {
                return Err(Error::LimitReached { what: "versions of a key", limit: self.limits().versions_per_key });
            }
            Some(stored) => stored.value.id,
        };
        let terms = terms.clone();
        let release = match &existing {
            None => terms.first(record.operations)?,
            Some(stored) => {
                let (_, latest) = self.version_record(&permit, &stored.value, None).await?;
                terms.after(&latest.value.release, record.operations)?
            }
        };
        let record = VersionRecord { release, ..record.clone() };
        let generation = permit.generation();
        transaction.create(permit.sealer(), generation.version(id, version), &record)?;
        let secret = material.to_sealable()?;
        transaction.create_secret(permit.sealer(), generation.material(id, version), secret.expose());
        match existing {
            None => {
                let pointer = NameRecord::new(name.clone(), id, version);
                transaction.create(permit.sealer(), generation.name(name), &pointer)?;
            }
            Some(stored) => {
                let mut pointer = stored.value.clone();
                pointer.versions.push(version);
                schedule_rotation(&mut transaction, &permit, &mut pointer, &record)?;
                transaction.replace(permit.sealer(), &stored, &pointer)?;
            }
        }
        transaction.commit(request).await?;
        Ok(record.show(self.record(), name, version))
    }

    pub(super) async fn generate(&self, specification: KeySpecification) -> Result<KeyMaterial> {
        match specification {
            KeySpecification::Rsa(size) => self.core().rsa_key(size).await,
            KeySpecification::Ec(_) | KeySpecification::Oct(_) => {
                Ok(KeyMaterial::generate(specification, self.core().barrier().entropy().as_ref())?)
            }
        }
    }
}

impl Hsm<'_> {
    /// Random bytes from the HSM's generator.
    ///
    /// # Errors
    /// [`Error::BadParameter`] unless 1 to 128 bytes are asked for.
    pub async fn random(&self, request: &Request, count: usize) -> Result<Vec<u8>> {
        let permit = self.authorize(request, DataAction::Rng, &Scope::Keys).await?;
        if !(1..=super::RANDOM_BYTES_MAX).contains(&count) {
            return Err(Error::bad_parameter("count", format!("must be 1 to {}", super::RANDOM_BYTES_MAX)));
        }
        self.check_audit()?;
        let mut bytes = vec![0; count];
        permit.barrier().entropy().fill(&mut bytes)?;
        Ok(bytes)
    }
}
