//! Where backups lie: the seam between the core and what stores blobs (architecture.md §3).
//!
//! Two real adapters stand behind it, both in the server: a directory, and a container of Azure Blob storage. The core
//! decides what is written, in which order, and who may; an adapter decides how, and which places it goes to at all
//! (protocols.md §9).

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_types::Secret;

/// What stores blobs.
#[async_trait]
pub trait BlobStores: Send + Sync {
    /// Opens a container. That it exists and can be written shows with the first use.
    ///
    /// # Errors
    /// [`BlobError::Malformed`] for what is not the address of a container; [`BlobError::NotAllowed`] for a place that
    /// this deployment does not go to.
    async fn open(&self, container: &str, credential: BlobCredential) -> Result<Arc<dyn BlobContainer>, BlobError>;
}

/// What shows a blob store that we may.
#[derive(Debug)]
pub enum BlobCredential {
    /// Nothing: a directory asks for none.
    None,
    /// A shared access signature, without the leading `?`.
    SharedAccessSignature(Secret<String>),
    /// A token for the storage resource, issued to a managed identity.
    Bearer(Secret<String>),
}

/// One container: blobs under paths such as `mhsm-name-2026010112000000/part-000000`.
#[async_trait]
pub trait BlobContainer: Send + Sync {
    /// Writes a new blob; it is durable before this returns. Never replaces one (`If-None-Match: *`).
    ///
    /// # Errors
    /// [`BlobError::AlreadyExists`]; after a lost answer that may be the blob this call has written itself.
    async fn create(&self, path: &str, content: Vec<u8>) -> Result<(), BlobError>;

    /// Reads a blob.
    ///
    /// # Errors
    /// [`BlobError::NotFound`]; [`BlobError::TooLarge`] if it has more bytes than `limit`.
    async fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, BlobError>;
}

/// Why a blob store did not do it. No text holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// It is not the address of a container, or not a credential.
    #[error("{0}")]
    Malformed(String),
    /// This deployment does not go there.
    #[error("{0}")]
    NotAllowed(String),
    /// There is no such container or blob.
    #[error("{0} does not exist")]
    NotFound(String),
    /// There is such a blob already.
    #[error("{0} exists already")]
    AlreadyExists(String),
    /// The credential does not allow it, or has ended.
    #[error("the blob store refused: {0}")]
    Refused(String),
    /// The blob is larger than anything we write.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The blob.
        path: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// It did not answer, or answered with a fault of its own, also after tries again.
    #[error("the blob store failed: {0}")]
    Unavailable(String),
}
