//! Using keys. [`KeyContainer::open_for`] is the one door: rights, existence, enabled, validity and `key_ops` are checked there, and
//! only what it returns reaches key material. It also counts the use, if the operator limits how often a key is used.

use std::sync::Arc;

use strongroom_crypto::{CryptoError, DecryptInput, EncryptInput, KeyMaterial, KeySpecification, WrappedKind};
use strongroom_types::{
    Algorithm, CurveName, DataAction, KeyId, KeyName, KeyOperation, KeyVersion, RsaSize, Scope, Secret, Timestamp,
};

use crate::barrier::Stored;
use crate::container::{KeyContainer, Permit};
use crate::keys::record::{KeyReference, VersionRecord};
use crate::ports::Lane;
use crate::request::Request;
use crate::{Core, Error, Result};

/// The name and version of the key that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIdentifier {
    /// The name, as written at creation.
    pub name: KeyName,
    /// The version that was used.
    pub version: KeyVersion,
}

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Which key made it.
    pub key: KeyIdentifier,
    /// The signature; `r ‖ s` for ECDSA (RFC 7518 §3.4).
    pub value: Vec<u8>,
}

/// A ciphertext, or a wrapped key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encrypted {
    /// Which key made it.
    pub key: KeyIdentifier,
    /// The ciphertext.
    pub value: Vec<u8>,
    /// The IV that was used, for AES-GCM and AES-CBC.
    pub iv: Option<Vec<u8>>,
    /// The authentication tag, for AES-GCM.
    pub tag: Option<Vec<u8>>,
}

/// A plaintext, or an unwrapped key.
#[derive(Debug)]
pub struct Decrypted {
    /// Which key opened it.
    pub key: KeyIdentifier,
    /// The plaintext.
    pub value: Secret<Vec<u8>>,
}

/// The inputs of encrypt, decrypt, wrap and unwrap, as they came.
#[derive(Debug, Clone, Default)]
pub struct CipherInput {
    /// Plaintext or ciphertext.
    pub value: Vec<u8>,
    /// IV.
    pub iv: Option<Vec<u8>>,
    /// Authentication tag.
    pub tag: Option<Vec<u8>>,
    /// Additional authenticated data.
    pub aad: Option<Vec<u8>>,
}

/// A key that may be used for one operation, now. Built by [`KeyContainer::open_for`] only.
pub(super) struct UsableKey<'a> {
    pub(super) permit: Permit<'a>,
    pub(super) record: Arc<Stored<VersionRecord>>,
    pub(super) id: KeyId,
    pub(super) identifier: KeyIdentifier,
    pub(super) material: Arc<KeyMaterial>,
}

impl<'a> KeyContainer<'a> {
    /// Signs a digest.
    pub async fn sign(
        &self,
        request: &Request,
        key: &KeyReference,
        algorithm: Algorithm,
        digest: Vec<u8>,
    ) -> Result<Signed> {
        let UsableKey { identifier, material, .. } = self.open(request, key, KeyOperation::Sign, algorithm).await?;
        let placement = placement(material.specification(), KeyOperation::Sign);
        let value = self.core().place(placement, move || material.sign(algorithm, &digest)).await??;
        Ok(Signed { key: identifier, value })
    }

    /// Whether a signature is one of this key over this digest. A wrong one is an answer, not an error.
    pub async fn verify(
        &self,
        request: &Request,
        key: &KeyReference,
        algorithm: Algorithm,
        digest: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<bool> {
        let UsableKey { material, .. } = self.open(request, key, KeyOperation::Verify, algorithm).await?;
        let placement = placement(material.specification(), KeyOperation::Verify);
        Ok(self.core().place(placement, move || material.verify(algorithm, &digest, &signature)).await??)
    }

    /// Encrypts a short text. The IV of AES-GCM is drawn here, never the client's.
    pub async fn encrypt(
        &self,
        request: &Request,
        key: &KeyReference,
        algorithm: Algorithm,
        input: CipherInput,
    ) -> Result<Encrypted> {
        let UsableKey { identifier, material, .. } = self.open(request, key, KeyOperation::Encrypt, algorithm).await?;
        let entropy = Arc::clone(self.core().barrier().entropy());
        let placement = placement(material.specification(), KeyOperation::Encrypt);
        let work = move || {
            let (iv, aad) = (input.iv.as_deref(), input.aad.as_deref());
            material.encrypt(algorithm, EncryptInput { value: &input.value, iv, aad }, entropy.as_ref())
        };
        let made = self.core().place(placement, work).await??;
        Ok(Encrypted { key: identifier, value: made.ciphertext, iv: made.iv, tag: made.tag })
    }

    /// Decrypts. Whatever is wrong with the ciphertext is one error.
    pub async fn decrypt(
        &self,
        request: &Request,
        key: &KeyReference,
        algorithm: Algorithm,
        input: CipherInput,
    ) -> Result<Decrypted> {
        let UsableKey { id, identifier, material, .. } =
            self.open(request, key, KeyOperation::Decrypt, algorithm).await?;
        let placement = placement(material.specification(), KeyOperation::Decrypt);
        let work = move || {
            let (iv, tag, aad) = (input.iv.as_deref(), input.tag.as_deref(), input.aad.as_deref());
            material.decrypt(algorithm, DecryptInput { value: &input.value, iv, tag, aad })
        };
        let opened = self.core().place(placement, work).await?;
        Ok(Decrypted { key: identifier, value: self.within_budget(request, id, opened)? })
    }

    /// Wraps another key.
    pub async fn wrap_key(
        &self,
        request: &Request,
        key: &KeyReference,
        algorithm: Algorithm,
        value: Secret<Vec<u8>>,
    ) -> Result<Encrypted> {
        let UsableKey { identifier, material, .. } = self.open(request, key, KeyOperation::WrapKey, algorithm).await?;
        let entropy = Arc::clone(self.core().barrier().entropy());
        let placement = placement(material.specification(), KeyOperation::WrapKey);
        let work = move || material.wrap(algorithm, value.expose(), entropy.as_ref());
        let value = self.core().place(placement, work).await??;
        Ok(Encrypted { key: identifier, value, iv: None, tag: None })
    }

    /// Unwraps another key. Whatever is wrong with it is one error.
    pub async fn unwrap_key(
        &self,
        request: &Request,
        key: &KeyReference,
        algorithm: Algorithm,
        wrapped: Vec<u8>,
    ) -> Result<Decrypted> {
        let UsableKey { id, identifier, material, .. } =
            self.open(request, key, KeyOperation::UnwrapKey, algorithm).await?;
        let placement = placement(material.specification(), KeyOperation::UnwrapKey);
        let opened = self.core().place(placement, move || material.unwrap(algorithm, &wrapped)).await?;
        Ok(Decrypted { key: identifier, value: self.within_budget(request, id, opened)? })
    }

    /// Opens a key that was wrapped for a key exchange key. Whatever is wrong with it is one error.
    pub(super) async fn unwrap_key_material(
        &self,
        request: &Request,
        exchange_key: &KeyReference,
        kind: WrappedKind,
        wrapped: Vec<u8>,
    ) -> Result<KeyMaterial> {
        let UsableKey { id, material, .. } = self.open_for(request, exchange_key, KeyOperation::Import, None).await?;
        let opened = self.core().run(Lane::Fast, move || material.unwrap_key_material(kind, &wrapped)).await?;
        self.within_budget(request, id, opened).map_err(|error| match error {
            Error::Crypto(CryptoError::Rejected) => Error::WrappedKeyRejected,
            other => other,
        })
    }

    /// Opens a key for an operation on data.
    async fn open(
        &self,
        request: &Request,
        key: &KeyReference,
        operation: KeyOperation,
        algorithm: Algorithm,
    ) -> Result<UsableKey<'a>> {
        self.open_for(request, key, operation, Some(algorithm)).await
    }

    /// The one door to a key. Operations on data name their algorithm.
    pub(super) async fn open_for(
        &self,
        request: &Request,
        key: &KeyReference,
        operation: KeyOperation,
        algorithm: Option<Algorithm>,
    ) -> Result<UsableKey<'a>> {
        let permit = self.authorize(request, action(operation)?, &Scope::Key(key.name.clone())).await?;
        self.check_audit()?;
        let stored = self.live_name(&permit, &key.name).await?;
        let name = &stored.value;
        let (version, record) = self.version_record(&permit, name, key.version).await?;
        check_usable(&name.name, &record.value, operation, request.received)?;
        if let Some(algorithm) = algorithm.filter(|algorithm| !algorithm.supports(operation)) {
            return Err(CryptoError::UnsuitableAlgorithm { algorithm }.into());
        }
        let opens =
            [KeyOperation::Decrypt, KeyOperation::UnwrapKey, KeyOperation::SecureUnwrapKey, KeyOperation::Import];
        if opens.contains(&operation) {
            self.core().decryption_failures().check(name.id, request.caller.principal, request.received)?;
        }
        // Last of all: what is refused for another reason takes no token.
        self.core().throttle().use_key(self.instance(), name.id)?;
        let material = self.material(&permit, name.id, version, record.value.specification).await?;
        let identifier = KeyIdentifier { name: name.name.clone(), version };
        Ok(UsableKey { permit, record, id: name.id, identifier, material })
    }

    /// Counts what did not open against the caller.
    pub(super) fn within_budget<T>(
        &self,
        request: &Request,
        key: KeyId,
        opened: std::result::Result<T, CryptoError>,
    ) -> Result<T> {
        if matches!(opened, Err(CryptoError::Rejected)) {
            self.core().decryption_failures().failed(key, request.caller.principal, request.received);
        }
        Ok(opened?)
    }

    /// Nothing that must be recorded happens while it cannot be (protocols.md §7).
    pub(crate) fn check_audit(&self) -> Result<()> {
        if self.core().barrier().audit().accepts() { Ok(()) } else { Err(Error::AuditUnavailable) }
    }

    async fn material(
        &self,
        permit: &Permit<'_>,
        id: KeyId,
        version: KeyVersion,
        specification: KeySpecification,
    ) -> Result<Arc<KeyMaterial>> {
        let cache = &self.core().caches().materials;
        let cache_key = (permit.generation(), id, version);
        if let Some(material) = cache.get(&cache_key) {
            return Ok(material);
        }
        let key = permit.generation().material(id, version);
        let found = permit.barrier().read_secret(permit.sealer(), &key).await?;
        let (secret, _) = found.ok_or(Error::Tampered { key, problem: "the material of a version is missing" })?;
        let material = Arc::new(KeyMaterial::from_sealable(specification, secret.expose())?);
        cache.insert(cache_key, Arc::clone(&material));
        Ok(material)
    }
}

/// Where the work of an operation is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placement {
    /// Where the request runs: under about 60 µs.
    Inline,
    /// On the fast lane of the pool.
    Pool,
}

impl Core {
    async fn place<T: Send + 'static>(
        &self,
        placement: Placement,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        match placement {
            Placement::Inline => Ok(work()),
            Placement::Pool => self.run(Lane::Fast, work).await,
        }
    }
}

/// Measured: crates-and-limits.md §1.1 and §2.4.
fn placement(specification: KeySpecification, operation: KeyOperation) -> Placement {
    let public = matches!(operation, KeyOperation::Verify | KeyOperation::Encrypt | KeyOperation::WrapKey);
    match specification {
        KeySpecification::Oct(_) | KeySpecification::Ec(CurveName::P256) => Placement::Inline,
        KeySpecification::Rsa(RsaSize::Bits2048) if public => Placement::Inline,
        KeySpecification::Rsa(_) | KeySpecification::Ec(_) => Placement::Pool,
    }
}

/// The right an operation needs.
fn action(operation: KeyOperation) -> Result<DataAction> {
    match operation {
        KeyOperation::Encrypt => Ok(DataAction::KeysEncrypt),
        KeyOperation::Decrypt => Ok(DataAction::KeysDecrypt),
        KeyOperation::Sign => Ok(DataAction::KeysSign),
        KeyOperation::Verify => Ok(DataAction::KeysVerify),
        KeyOperation::WrapKey | KeyOperation::SecureWrapKey => Ok(DataAction::KeysWrap),
        KeyOperation::UnwrapKey | KeyOperation::SecureUnwrapKey => Ok(DataAction::KeysUnwrap),
        KeyOperation::Export => Ok(DataAction::KeysRelease),
        KeyOperation::Import => Ok(DataAction::KeysImport),
    }
}

/// Enabled, valid now, and meant for this. A key past its time still decrypts, verifies, unwraps (a key exchange key too)
/// and is released (data-plane.md §8).
fn check_usable(name: &KeyName, record: &VersionRecord, operation: KeyOperation, now: Timestamp) -> Result<()> {
    if !record.enabled {
        return Err(Error::KeyDisabled { name: name.clone() });
    }
    let protects = [KeyOperation::Encrypt, KeyOperation::Sign, KeyOperation::WrapKey, KeyOperation::SecureWrapKey];
    if protects.contains(&operation) {
        let outside = |problem| Err(Error::KeyOutsideValidity { name: name.clone(), problem });
        if record.not_before.is_some_and(|not_before| now < not_before) {
            return outside("not yet valid");
        }
        if record.expires.is_some_and(|expires| now >= expires) {
            return outside("expired");
        }
    }
    // What may leave is said by its release terms, not by `key_ops`.
    let permitted = match operation {
        KeyOperation::Export => record.release.is_exportable(),
        _ => record.operations.contains(operation),
    };
    if !permitted {
        return Err(Error::OperationNotPermitted { name: name.clone(), operation });
    }
    Ok(())
}
