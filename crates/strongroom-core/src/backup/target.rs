//! The container a job works on: how it is named, and how it is opened.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strongroom_types::Secret;

use crate::backup::run::Claim;
use crate::blobs::{BlobContainer, BlobCredential, BlobError, BlobStores};
use crate::managed_hsm::ManagedHsm;
use crate::pools::{self, BlobAccess, Pools, StorageCredentialError};
use crate::{Core, Error, Result, layout};

/// What a client gives us to open a container with.
pub enum TargetCredential {
    /// Nothing: a directory asks for none.
    None,
    /// A shared access signature.
    SharedAccessSignature(Secret<String>),
    /// A managed identity that is associated with the HSM; this gives out its tokens.
    ManagedIdentity(Arc<dyn StorageCredentials>),
}

/// The same, as it is stored: the signature itself lies apart, and only as long as the job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum CredentialKind {
    None,
    SharedAccessSignature,
    ManagedIdentity,
}

/// Who gives out tokens for storage to the managed identities of an HSM. It checks their Azure role first.
#[async_trait]
pub trait StorageCredentials: Send + Sync {
    /// A credential of one of the HSM's identities for a container.
    ///
    /// # Errors
    /// [`BlobError::NotAllowed`] says which identity lacks which role.
    async fn credential(&self, hsm: &ManagedHsm, container: &str, access: BlobAccess) -> Result<BlobCredential>;
}

#[async_trait]
impl StorageCredentials for Pools {
    async fn credential(&self, hsm: &ManagedHsm, container: &str, access: BlobAccess) -> Result<BlobCredential> {
        self.storage_credential(hsm, container, access).await.map_err(|error| match error {
            StorageCredentialError::Pools(pools::Error::Core(error)) => error,
            StorageCredentialError::Pools(_) => Error::Internal("the directory refused to name an identity"),
            refused => BlobError::NotAllowed(refused.to_string()).into(),
        })
    }
}

/// A store of one container that is in hand already, whatever its name.
pub struct OneContainer(pub Arc<dyn BlobContainer>);

#[async_trait]
impl BlobStores for OneContainer {
    async fn open(&self, _: &str, _: BlobCredential) -> Result<Arc<dyn BlobContainer>, BlobError> {
        Ok(Arc::clone(&self.0))
    }
}

impl TargetCredential {
    pub(super) fn kind(&self) -> CredentialKind {
        match self {
            Self::None => CredentialKind::None,
            Self::SharedAccessSignature(_) => CredentialKind::SharedAccessSignature,
            Self::ManagedIdentity(_) => CredentialKind::ManagedIdentity,
        }
    }
}

impl Core {
    /// Opens a container for a client, or says at once why it cannot be one.
    pub(super) async fn open_target(
        &self,
        hsm: &ManagedHsm,
        container: &str,
        credential: &TargetCredential,
        access: BlobAccess,
    ) -> Result<Arc<dyn BlobContainer>> {
        let credential = match credential {
            TargetCredential::None => BlobCredential::None,
            TargetCredential::SharedAccessSignature(text) => {
                BlobCredential::SharedAccessSignature(Secret::new(text.expose().clone()))
            }
            TargetCredential::ManagedIdentity(credentials) => credentials.credential(hsm, container, access).await?,
        };
        let none = || BlobError::NotAllowed("this server has no blob store".to_owned());
        let stores = self.blob_stores().ok_or_else(none)?;
        Ok(stores.open(container, credential).await?)
    }
}

impl Claim<'_> {
    /// Opens the container of the job.
    pub(super) async fn open_container(&self) -> Result<Arc<dyn BlobContainer>> {
        let (core, hsm, job) = (self.core, self.hsm.record(), &self.job.value);
        let credential = match job.credential {
            CredentialKind::None => TargetCredential::None,
            CredentialKind::ManagedIdentity => {
                let none = Error::Internal("a job needs a managed identity where none has tokens");
                TargetCredential::ManagedIdentity(self.credentials.clone().ok_or(none)?)
            }
            CredentialKind::SharedAccessSignature => {
                let key = layout::job_credential(hsm.instance, job.id);
                let found = core.barrier().read_secret(core.barrier().deployment(), &key).await?;
                let (secret, _) = found.ok_or(Error::Conflict)?;
                let text =
                    std::str::from_utf8(secret.expose()).map_err(|_| Error::Internal("a credential is no text"))?;
                TargetCredential::SharedAccessSignature(Secret::new(text.to_owned()))
            }
        };
        core.open_target(hsm, &job.container, &credential, job.kind.access()).await
    }
}

/// The address of a container, as a client gives it. It holds no credential: that would end in logs.
pub(super) fn check_container(text: &str) -> Result<String> {
    let container = text.trim_end_matches('/');
    let refuse = |problem: &str| Err(Error::bad_parameter("storageResourceUri", problem));
    if container.is_empty() || container.len() > CONTAINER_CHARACTERS_MAX || container.chars().any(char::is_control) {
        return refuse("must be the address of a container");
    }
    if container.contains(['?', '#', '@']) {
        return refuse("must be the address of a container alone: a shared access signature is given as token");
    }
    Ok(container.to_owned())
}

/// A shared access signature, without the `?` that some write in front of it.
pub(super) fn check_signature(text: &Secret<String>) -> Result<Secret<String>> {
    let signature = text.expose().trim_start_matches('?');
    if signature.is_empty() || signature.len() > SIGNATURE_CHARACTERS_MAX || signature.chars().any(char::is_control) {
        return Err(Error::bad_parameter("token", "must be a shared access signature"));
    }
    Ok(Secret::new(signature.to_owned()))
}

/// Longest address of a container.
const CONTAINER_CHARACTERS_MAX: usize = 2048;
/// Longest shared access signature.
const SIGNATURE_CHARACTERS_MAX: usize = 4096;
