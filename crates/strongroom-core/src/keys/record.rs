//! What is stored of a key, and what is shown of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strongroom_crypto::{KeySpecification, PublicKey};
use strongroom_types::{KeyId, KeyName, KeyOperation, KeyOperations, KeyType, KeyVersion, Protection, Timestamp};

use crate::barrier::{KeptWhole, Record, Stored};
use crate::container::{ContainerRecord, KeyContainer, Permit};
use crate::keys::Release;
use crate::keys::rotation_policy::RotationPolicy;
use crate::limits::Limits;
use crate::managed_hsm::Deletion;
use crate::{Error, Result};

/// A key as a request names it: a name, and a version or the latest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReference {
    /// The name.
    pub name: KeyName,
    /// The version; `None` means the latest.
    pub version: Option<KeyVersion>,
}

/// `tags`: names with values, within the limits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// Tags within the limits.
    ///
    /// # Errors
    /// [`Error::BadParameter`] names the limit.
    pub fn new(tags: BTreeMap<String, String>, limits: &Limits) -> Result<Self> {
        let (tags_max, characters_max) = (limits.tags_per_key, limits.tag_characters);
        if tags.len() > tags_max {
            return Err(Error::bad_parameter(
                "tags",
                format!("at most {tags_max} tags are allowed, not {}", tags.len()),
            ));
        }
        let too_long = |text: &String| text.chars().count() > characters_max;
        if tags.iter().any(|(name, value)| too_long(name) || too_long(value)) {
            let problem = format!("names and values have at most {characters_max} characters");
            return Err(Error::bad_parameter("tags", problem));
        }
        Ok(Self(tags))
    }

    /// The tags, by name.
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

/// One version of a key, as it is shown: everything but its private part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name, as written at creation.
    pub name: KeyName,
    /// The version.
    pub version: KeyVersion,
    /// Type and size.
    pub specification: KeySpecification,
    /// Whether it is shown as held in hardware form.
    pub protection: Protection,
    /// The public part.
    pub public_key: PublicKey,
    /// `key_ops`.
    pub operations: KeyOperations,
    /// Whether it may be used.
    pub enabled: bool,
    /// `nbf`.
    pub not_before: Option<Timestamp>,
    /// `exp`.
    pub expires: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// When its attributes were last changed.
    pub updated: Timestamp,
    /// `tags`.
    pub tags: Tags,
    /// Whether it may be released, and where to.
    pub release: Release,
    /// Days the key would be kept after deletion.
    pub recoverable_days: u32,
    /// What deletion means here.
    pub recovery_level: RecoveryLevel,
}

impl Key {
    /// The type of the key.
    pub fn key_type(&self) -> KeyType {
        self.specification.key_type()
    }

    /// `kty`.
    pub fn kty(&self) -> &'static str {
        self.key_type().kty(self.protection)
    }
}

/// `recoveryLevel`, as far as containers with soft delete know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryLevel {
    /// 90 days, can be purged before.
    RecoverablePurgeable,
    /// Fewer days, can be purged before.
    CustomizedRecoverablePurgeable,
    /// 90 days, purge protection.
    Recoverable,
    /// Fewer days, purge protection.
    CustomizedRecoverable,
}

impl RecoveryLevel {
    fn of(container: &ContainerRecord) -> Self {
        match (container.retention_days >= RETENTION_DAYS_FULL, container.purge_protection) {
            (true, false) => Self::RecoverablePurgeable,
            (false, false) => Self::CustomizedRecoverablePurgeable,
            (true, true) => Self::Recoverable,
            (false, true) => Self::CustomizedRecoverable,
        }
    }

    /// The spelling on the wire (REST `DeletionRecoveryLevel`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RecoverablePurgeable => "Recoverable+Purgeable",
            Self::CustomizedRecoverablePurgeable => "CustomizedRecoverable+Purgeable",
            Self::Recoverable => "Recoverable",
            Self::CustomizedRecoverable => "CustomizedRecoverable",
        }
    }
}

/// A soft-deleted key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedKey {
    /// Its latest version.
    pub key: Key,
    /// When it was deleted.
    pub deleted: Timestamp,
    /// When it goes for good by itself.
    pub scheduled_purge: Timestamp,
}

/// What a name points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NameRecord {
    /// The name as written.
    pub(super) name: KeyName,
    /// Where the versions lie.
    pub(super) id: KeyId,
    /// All versions, oldest first; never empty.
    pub(super) versions: Vec<KeyVersion>,
    /// Set while soft-deleted.
    pub(super) deletion: Option<Deletion>,
    /// Its rotation policy.
    pub(super) rotation: Option<Rotation>,
    /// When it last left the HSM in a backup of its own.
    pub(super) backed_up: Option<Timestamp>,
    /// When it came from such a backup, if it did.
    pub(super) restored: Option<Timestamp>,
}

/// How a key rotates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rotation {
    pub(super) policy: RotationPolicy,
    /// Where the key stands in the index of due rotations, if it does; never while it is deleted.
    pub(super) due: Option<Timestamp>,
}

impl Record for NameRecord {
    const FORMAT: u16 = 1;
}

impl KeptWhole for NameRecord {}

impl NameRecord {
    /// A new key with its first version.
    pub(super) fn new(name: KeyName, id: KeyId, version: KeyVersion) -> Self {
        let versions = vec![version];
        Self { name, id, versions, deletion: None, rotation: None, backed_up: None, restored: None }
    }

    pub(super) fn latest(&self) -> Result<KeyVersion> {
        self.versions.last().copied().ok_or(Error::Internal("a key has no version"))
    }
}

/// One version, as it is stored; the private part lies apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VersionRecord {
    pub(super) specification: KeySpecification,
    pub(super) protection: Protection,
    pub(super) public_key: PublicKey,
    pub(super) operations: KeyOperations,
    pub(super) enabled: bool,
    pub(super) not_before: Option<Timestamp>,
    pub(super) expires: Option<Timestamp>,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) tags: Tags,
    pub(super) release: Release,
    /// How often it was released.
    pub(super) releases: u64,
    pub(super) origin: Origin,
}

impl Record for VersionRecord {
    const FORMAT: u16 = 1;
}

impl KeptWhole for VersionRecord {}

/// Where key material came from; key attestation will say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Made inside.
    Generated,
    /// Made elsewhere and taken in.
    Imported,
}

impl Origin {
    /// The word key attestation has for it (docs/key-attestation-format.md).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Imported => "imported",
        }
    }
}

impl VersionRecord {
    /// What is shown of a version.
    pub(super) fn show(&self, container: &ContainerRecord, name: &KeyName, version: KeyVersion) -> Key {
        let Self {
            specification,
            protection,
            public_key,
            operations,
            enabled,
            not_before,
            expires,
            created,
            updated,
            tags,
            release,
            releases: _,
            origin: _,
        } = self;
        Key {
            name: name.clone(),
            version,
            specification: *specification,
            protection: *protection,
            public_key: public_key.clone(),
            operations: *operations,
            enabled: *enabled,
            not_before: *not_before,
            expires: *expires,
            created: *created,
            updated: *updated,
            tags: tags.clone(),
            release: release.clone(),
            recoverable_days: container.retention_days,
            recovery_level: RecoveryLevel::of(container),
        }
    }
}

/// Which `key_ops` a type of key gets if none are asked for (data-plane.md §8).
pub(super) fn default_operations(key_type: KeyType) -> KeyOperations {
    use KeyOperation::{Decrypt, Encrypt, Sign, UnwrapKey, Verify, WrapKey};
    match key_type {
        KeyType::RsaHsm => [Encrypt, Decrypt, Sign, Verify, WrapKey, UnwrapKey].into_iter().collect(),
        KeyType::EcHsm => [Sign, Verify].into_iter().collect(),
        KeyType::OctHsm => [Encrypt, Decrypt, Sign, Verify, WrapKey, UnwrapKey].into_iter().collect(),
    }
}

/// Checks `key_ops` against the type of key. A key exchange key is RSA and does nothing but `import`.
pub(super) fn check_operations(key_type: KeyType, operations: KeyOperations) -> Result<()> {
    if operations.has_secure() {
        return check_secure_operations(key_type, operations);
    }
    if key_type == KeyType::RsaHsm && operations.contains(KeyOperation::Import) {
        return match operations.iter().count() {
            1 => Ok(()),
            _ => Err(Error::bad_parameter("key_ops", "import excludes all other operations")),
        };
    }
    let possible = default_operations(key_type);
    match operations.iter().find(|operation| !possible.contains(*operation)) {
        None => Ok(()),
        Some(operation) => {
            Err(Error::bad_parameter("key_ops", format!("{operation} is not possible for keys of type {key_type}")))
        }
    }
}

/// A key for secure wrap and unwrap does nothing else: with `unwrapKey` beside it, its policy would mean nothing.
fn check_secure_operations(key_type: KeyType, operations: KeyOperations) -> Result<()> {
    let secure = [KeyOperation::SecureWrapKey, KeyOperation::SecureUnwrapKey];
    if operations.iter().any(|operation| !secure.contains(&operation)) {
        let problem = "secureWrapKey and secureUnwrapKey exclude all other operations";
        return Err(Error::bad_parameter("key_ops", problem));
    }
    match key_type {
        KeyType::RsaHsm | KeyType::OctHsm => Ok(()),
        KeyType::EcHsm => {
            Err(Error::bad_parameter("key_ops", format!("keys of type {key_type} do not wrap other keys")))
        }
    }
}

/// Checks `nbf` against `exp`.
pub(super) fn check_validity(not_before: Option<Timestamp>, expires: Option<Timestamp>) -> Result<()> {
    match (not_before, expires) {
        (Some(not_before), Some(expires)) if expires <= not_before => {
            Err(Error::bad_parameter("attributes", "exp must be later than nbf"))
        }
        _ => Ok(()),
    }
}

impl KeyContainer<'_> {
    /// The name record, deleted or not.
    pub(super) async fn name_record(
        &self,
        permit: &Permit<'_>,
        name: &KeyName,
    ) -> Result<Option<Arc<Stored<NameRecord>>>> {
        permit.barrier().read_kept(permit.sealer(), &permit.generation().name(name)).await
    }

    /// The name record of a key that is not deleted.
    pub(super) async fn live_name(&self, permit: &Permit<'_>, name: &KeyName) -> Result<Arc<Stored<NameRecord>>> {
        let found = self.name_record(permit, name).await?.filter(|stored| stored.value.deletion.is_none());
        found.ok_or_else(|| Error::KeyNotFound { name: name.clone(), version: None })
    }

    /// The version a reference means, with its record.
    pub(super) async fn version_record(
        &self,
        permit: &Permit<'_>,
        name: &NameRecord,
        version: Option<KeyVersion>,
    ) -> Result<(KeyVersion, Arc<Stored<VersionRecord>>)> {
        let wanted = match version {
            None => name.latest()?,
            Some(version) if name.versions.contains(&version) => version,
            Some(version) => {
                return Err(Error::KeyNotFound { name: name.name.clone(), version: Some(version) });
            }
        };
        let key = permit.generation().version(name.id, wanted);
        match permit.barrier().read_kept(permit.sealer(), &key).await? {
            Some(record) => Ok((wanted, record)),
            None => Err(Box::pin(self.missing_version(permit, name, wanted, key)).await?),
        }
    }

    /// What it means that a version is not there: its key has been purged since the name was read (a list may be of an
    /// older moment), or somebody took it out of the store.
    async fn missing_version(
        &self,
        permit: &Permit<'_>,
        name: &NameRecord,
        version: KeyVersion,
        key: String,
    ) -> Result<Error> {
        let current = self.name_record(permit, &name.name).await?;
        if current.is_some_and(|stored| stored.value.id == name.id && stored.value.versions.contains(&version)) {
            return Ok(Error::Tampered { key, problem: "a version that its name lists is missing" });
        }
        Ok(Error::KeyNotFound { name: name.name.clone(), version: None })
    }
}

/// Retention from which on a level is not called customized.
const RETENTION_DAYS_FULL: u32 = 90;
