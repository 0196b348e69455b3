//! The keys in a full backup: how they are copied out at one revision, and how they come back.
//!
//! A full restore keeps key ids: they are random, and a new generation holds nothing else. A restore of one key gives it
//! a new id in the generation in use, as a restore from a key backup does.

use serde::{Deserialize, Serialize};
use strongroom_crypto::{Entropy, KeyCheck, KeyMaterial};
use strongroom_store::Revision;
use strongroom_types::{KeyId, KeyName, KeyVersion, Secret, Timestamp};

use crate::barrier::{Record, Transaction, decode, encode};
use crate::container::Permit;
use crate::keys::blob::BackedUpVersion;
use crate::keys::record::{NameRecord, Rotation, VersionRecord};
use crate::keys::rotate::DueRotation;
use crate::keys::rotation_policy::RotationPolicy;
use crate::layout::Generation;
use crate::managed_hsm::Deletion;
use crate::{Error, Result};

/// A key in a backup, without its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopiedKey {
    pub(super) name: KeyName,
    pub(super) id: KeyId,
    /// All versions, oldest first; never empty.
    pub(super) versions: Vec<KeyVersion>,
    pub(super) deletion: Option<Deletion>,
    pub(super) rotation_policy: Option<RotationPolicy>,
    pub(super) backed_up: Option<Timestamp>,
    pub(super) restored: Option<Timestamp>,
}

impl Record for CopiedKey {
    const FORMAT: u16 = 1;
}

/// A version in a backup, and what its key can be recognised by.
pub(crate) struct CopiedVersion {
    pub(super) content: BackedUpVersion,
    check: KeyCheck,
}

/// A page of the keys there were.
pub(crate) struct CopiedKeys {
    pub(crate) keys: Vec<CopiedKey>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<String>,
}

/// What a restore knows of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RestoreTerms {
    /// Now.
    pub(crate) now: Timestamp,
    /// When the backup was made.
    pub(crate) made: Timestamp,
    /// Days the target keeps deleted keys.
    pub(crate) retention_days: u32,
}

impl CopiedKey {
    pub(crate) fn name(&self) -> &KeyName {
        &self.name
    }

    pub(crate) fn versions(&self) -> &[KeyVersion] {
        &self.versions
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deletion.is_some()
    }

    fn of(name: NameRecord) -> Self {
        let NameRecord { name, id, versions, deletion, rotation, backed_up, restored } = name;
        let rotation_policy = rotation.map(|Rotation { policy, due: _ }| policy);
        Self { name, id, versions, deletion, rotation_policy, backed_up, restored }
    }

    /// A page of the names there were, deleted ones included.
    pub(crate) async fn page_at(permit: &Permit<'_>, after: Option<&str>, at: Revision) -> Result<CopiedKeys> {
        let prefix = permit.generation().names();
        let page = permit.barrier().page::<NameRecord>(permit.sealer(), &prefix, after, PAGE, Some(at)).await?;
        let keys = page.records.into_iter().map(|stored| Self::of(stored.value)).collect();
        Ok(CopiedKeys { keys, next: page.next })
    }

    /// One of its versions as it was.
    ///
    /// # Errors
    /// [`Error::Tampered`] if it is missing or its material is not that of its record: a backup must not promise what
    /// nobody could restore.
    pub(crate) async fn version_at(
        &self,
        permit: &Permit<'_>,
        version: KeyVersion,
        at: Revision,
    ) -> Result<CopiedVersion> {
        let (barrier, sealer, generation) = (permit.barrier(), permit.sealer(), permit.generation());
        let (record_key, material_key) = (generation.version(self.id, version), generation.material(self.id, version));
        let tampered = |key: &str, problem| Error::Tampered { key: key.to_owned(), problem };
        let record = barrier.read_at::<VersionRecord>(sealer, &record_key, at).await?;
        let record = record.ok_or_else(|| tampered(&record_key, "a version that its name lists is missing"))?.value;
        let material = barrier.read_secret_at(sealer, &material_key, at).await?;
        let material = material.ok_or_else(|| tampered(&material_key, "the material of a version is missing"))?;
        let key = KeyMaterial::from_sealable(record.specification, material.expose())
            .ok()
            .filter(|key| *key.public_key() == record.public_key)
            .ok_or_else(|| tampered(&material_key, "it is not the key that its record names"))?;
        Ok(CopiedVersion { check: key.check(), content: BackedUpVersion { record, material } })
    }

    /// The name record it becomes in a new generation, and the entry that makes it rotate.
    ///
    /// A deleted key is kept from now on as long as the target keeps deleted keys: restoring it and losing it to the next
    /// purge would be no restore.
    pub(crate) fn stage(
        self,
        transaction: &mut Transaction<'_>,
        permit: &Permit<'_>,
        generation: Generation,
        latest: &CopiedVersion,
        terms: RestoreTerms,
    ) -> Result<()> {
        let sealer = permit.sealer();
        let Self { name, id, versions, deletion, rotation_policy, backed_up, restored: _ } = self;
        let deletion = deletion.map(|Deletion { at, scheduled_purge }| Deletion {
            at,
            scheduled_purge: scheduled_purge.max(terms.now.plus_days(terms.retention_days)),
        });
        let due = match (&rotation_policy, deletion) {
            (Some(policy), None) => policy.rules.due(&latest.content.record),
            (Some(_), Some(_)) | (None, _) => None,
        };
        if let Some(due) = due {
            let entry = DueRotation { name: name.clone(), due };
            transaction.stage(sealer, generation.due_rotation(due, id), &entry)?;
        }
        let rotation = rotation_policy.map(|policy| Rotation { policy, due });
        let (backed_up, restored) = (backed_up.max(Some(terms.made)), Some(terms.now));
        let key = generation.name(&name);
        let record = NameRecord { name, id, versions, deletion, rotation, backed_up, restored };
        transaction.stage(sealer, key, &record)
    }

    /// Its version of that number as it lies in a new generation.
    pub(crate) fn stage_version(
        &self,
        transaction: &mut Transaction<'_>,
        permit: &Permit<'_>,
        generation: Generation,
        version: KeyVersion,
        content: &CopiedVersion,
    ) -> Result<()> {
        let sealer = permit.sealer();
        let BackedUpVersion { record, material } = &content.content;
        transaction.stage(sealer, generation.version(self.id, version), record)?;
        transaction.stage_secret(sealer, generation.material(self.id, version), material.expose())
    }
}

impl CopiedVersion {
    /// What its key can be recognised by.
    pub(crate) fn check(&self) -> &KeyCheck {
        &self.check
    }

    /// As [`BackedUpVersion::size`].
    pub(crate) fn size(&self) -> Result<usize> {
        self.content.size()
    }

    /// `record length u32 | record | check length u8 | check | material`.
    pub(crate) fn encode(&self) -> Result<Secret<Vec<u8>>> {
        let BackedUpVersion { record, material } = &self.content;
        let record = encode(record)?;
        let (record, material) = (record.expose(), material.expose());
        let length = u32::try_from(record.len()).map_err(|_| Error::Internal("a version record is too long"))?;
        let value: &[u8] = match &self.check {
            KeyCheck::PublicKey(_) => &[],
            KeyCheck::Value(value) => value,
        };
        // Room for all of it from the start: growing would leave copies of the material behind.
        let mut bytes = Secret::new(Vec::with_capacity(4 + record.len() + 1 + value.len() + material.len()));
        let writer = bytes.expose_mut();
        writer.extend_from_slice(&length.to_be_bytes());
        writer.extend_from_slice(record);
        writer.push(u8::try_from(value.len()).map_err(|_| Error::Internal("a check value is too long"))?);
        writer.extend_from_slice(value);
        writer.extend_from_slice(material);
        Ok(bytes)
    }

    /// Reads it back; `None` for what is not of this form.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (record, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let record: VersionRecord = decode("", record).ok()?;
        let (length, rest) = rest.split_first()?;
        let (value, material) = rest.split_at_checked(usize::from(*length))?;
        let check = match <[u8; 32]>::try_from(value) {
            Ok(value) => KeyCheck::Value(value),
            Err(_) if value.is_empty() => KeyCheck::PublicKey(record.public_key.clone()),
            Err(_) => return None,
        };
        let content = BackedUpVersion { record, material: Secret::new(material.to_vec()) };
        Some(Self { content, check })
    }

    /// Whether the material is a key of the kind, with the public half, and of the check value that stand beside it.
    pub(crate) fn is_consistent(&self, entropy: &dyn Entropy) -> bool {
        let Self { content: BackedUpVersion { record, material }, check } = self;
        let key = KeyMaterial::from_sealable(record.specification, material.expose());
        key.is_ok_and(|key| match check {
            // Parsing has checked that private and public half belong together.
            KeyCheck::PublicKey(public_key) => key.public_key() == public_key,
            KeyCheck::Value(_) => {
                *key.public_key() == record.public_key && key.passes(check, entropy).unwrap_or_default()
            }
        })
    }
}

/// Names read at a time.
const PAGE: usize = 100;
