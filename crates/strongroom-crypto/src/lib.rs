//! The cryptographic boundary: the only place where key material exists in the clear.
//!
//! It holds the use of AWS-LC (no cipher, hash or signature of our own), the material of keys, the sealing of records,
//! the derivation of keys from roots, and the providers of the platform root. Key material leaves it sealed or not at
//! all: [`Secret`](strongroom_types::Secret) is wiped, redacted and never serialized.
//!
//! It is *not* the place for policy: it never learns about roles, soft delete, `key_ops`, stores or HTTP.
//!
//! Read first: [`KeyMaterial`], [`Root`], [`seal::Sealer`].
//!
//! It fails with [`CryptoError`]. Everything that can go wrong while opening, decrypting or unwrapping is one error,
//! [`CryptoError::Rejected`], so that callers cannot become oracles.

pub mod entropy;
mod error;
pub mod root;
pub mod seal;

pub use entropy::{Entropy, SystemEntropy};
pub use error::CryptoError;
pub use root::{Label, Root};
