//! The platform root: what the secrets of a deployment hang on between restarts (protocols.md §1).

mod file;
mod quorum;

use strongroom_types::Secret;

use crate::CryptoError;

pub use file::FileRoot;
pub use quorum::QuorumRoot;

/// A platform root. It wraps the deployment key and the roots of managed HSMs; it never learns what they protect.
pub trait RootProvider: Send + Sync {
    /// The name of the provider, as in `[root] provider`.
    fn name(&self) -> &'static str;

    /// Wraps a secret for one purpose; it unwraps for no other.
    fn wrap(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, CryptoError>;

    /// Unwraps a secret.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] if this root did not wrap it for this purpose.
    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError>;

    /// Whether it wraps the roots of managed HSMs too. If not, they are kept in memory only, and after a start every HSM
    /// waits for its quorum.
    fn wraps_hsm_roots(&self) -> bool {
        true
    }

    /// Tells whether two nodes hold the same root, without revealing it.
    fn check_value(&self) -> [u8; 16];
}
