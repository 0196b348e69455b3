//! The root provider `quorum`: nothing at rest opens a managed HSM.

use strongroom_types::Secret;

use super::{FileRoot, RootProvider};
use crate::CryptoError;

/// The root provider `quorum`.
///
/// A root file opens what belongs to the deployment: certificates, directory, resources. It never wraps the root of a
/// managed HSM; that comes back after each start by a quorum's upload of the HSM's security domain.
#[derive(Debug)]
pub struct QuorumRoot(FileRoot);

impl QuorumRoot {
    /// With the root file of the deployment.
    pub fn new(deployment: FileRoot) -> Self {
        Self(deployment)
    }
}

impl RootProvider for QuorumRoot {
    fn name(&self) -> &'static str {
        "quorum"
    }

    fn wrap(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0.wrap(purpose, secret)
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        self.0.unwrap(purpose, wrapped)
    }

    fn wraps_hsm_roots(&self) -> bool {
        false
    }

    fn check_value(&self) -> [u8; 16] {
        self.0.check_value()
    }
}
