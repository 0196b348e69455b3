//! Where random bytes come from.

use crate::CryptoError;

/// A source of random bytes. Real code uses [`SystemEntropy`]; vectors and simulations bring their own.
pub trait Entropy: Send + Sync {
    /// Fills the slice with random bytes, or fails without a guarantee about its content.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError>;

    /// Sixteen random bytes, for identifiers.
    fn sixteen(&self) -> Result<[u8; 16], CryptoError> {
        let mut bytes = [0; 16];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// AWS-LC's generator, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter the ban points to")]
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| CryptoError::Entropy)
    }
}
