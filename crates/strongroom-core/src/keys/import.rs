//! Taking in keys made elsewhere: in parts, or wrapped for a key exchange key of this HSM (BYOK).

use strongroom_crypto::{KeyMaterial, KeyParts, WrappedKind};
use strongroom_types::{DataAction, KeyName, KeyOperation, KeyOperations, KeyType, Protection, Scope};

use crate::container::KeyContainer;
use crate::keys::create::KeyAttributes;
use crate::keys::record::{
    Key, KeyReference, Origin, Tags, VersionRecord, check_operations, check_validity, default_operations,
};
use crate::keys::{Release, ReleaseTerms};
use crate::ports::Lane;
use crate::request::Request;
use crate::{Error, Result};

/// What is asked of a key that comes from elsewhere.
#[derive(Debug)]
pub struct ImportKey {
    /// The key itself.
    pub source: ImportSource,
    /// The form that was asked for; the container may hold it in another one.
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

/// The form a key comes in.
#[derive(Debug)]
pub enum ImportSource {
    /// In the clear.
    Parts(KeyParts),
    /// Wrapped with `CKM_RSA_AES_KEY_WRAP` for a key exchange key.
    Wrapped {
        /// The key exchange key, with its version.
        exchange_key: KeyReference,
        /// What is wrapped.
        kind: WrappedKind,
        /// The wrapped key.
        wrapped: Vec<u8>,
    },
}

impl ImportSource {
    fn key_type(&self) -> KeyType {
        match self {
            Self::Parts(parts) => parts.key_type(),
            Self::Wrapped { kind, .. } => kind.key_type(),
        }
    }
}

impl KeyContainer<'_> {
    /// Takes in a key, or a new version if the name is in use.
    ///
    /// # Errors
    /// [`Error::KeyDeleted`] if the name is held by a soft-deleted key; [`Error::LimitReached`] at 100 versions;
    /// [`Error::BadParameter`]; [`Error::WrappedKeyRejected`] for a wrapped key that does not open, whatever the cause;
    /// what the key exchange key is refused with.
    pub async fn import_key(&self, request: &Request, name: &KeyName, wanted: ImportKey) -> Result<Key> {
        self.authorize(request, DataAction::KeysImport, &Scope::Key(name.clone())).await?;
        let ImportKey { source, protection, operations, attributes, tags, release } = wanted;
        let key_type = source.key_type();
        let protection = self.protection(key_type, protection)?;
        self.check_release(&release)?;
        let operations = operations.unwrap_or(default_operations(key_type));
        check_operations(key_type, operations)?;
        if operations.contains(KeyOperation::Import) {
            // Whoever made it elsewhere could open everything that is wrapped for it.
            return Err(Error::bad_parameter("key_ops", "a key exchange key is made here, never imported"));
        }
        attributes.check()?;
        check_validity(attributes.not_before, attributes.expires)?;
        let material = match source {
            ImportSource::Parts(parts) => {
                self.core().run(Lane::Fast, move || KeyMaterial::from_parts(&parts)).await??
            }
            ImportSource::Wrapped { exchange_key, kind, wrapped } => {
                self.unwrap_key_material(request, &exchange_key, kind, wrapped).await?
            }
        };
        let record = VersionRecord {
            specification: material.specification(),
            protection,
            public_key: material.public_key().clone(),
            operations,
            enabled: attributes.enabled.unwrap_or(true),
            not_before: attributes.not_before,
            expires: attributes.expires,
            created: request.received,
            updated: request.received,
            tags,
            release: Release::default(),
            releases: 0,
            origin: Origin::Imported,
        };
        self.add_version(request, DataAction::KeysImport, name, &record, &release, &material).await
    }
}
