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

mod aes;
pub mod aes_cbc_hmac;
mod algorithms;
pub mod backup;
mod check;
pub mod digest;
mod ec;
mod encrypt;
pub mod entropy;
mod error;
pub mod identity;
mod import;
mod material;
mod one_use;
pub mod passphrase;
mod pbes2;
pub mod providers;
mod public_key;
mod release;
pub mod root;
mod rsa;
pub mod seal;
mod sign;
mod wrap;

pub use check::KeyCheck;
pub use ec::EcPublicKey;
pub use encrypt::{DecryptInput, EncryptInput, Encrypted};
pub use entropy::{Entropy, SystemEntropy};
pub use error::CryptoError;
pub use identity::{DomainIdentity, verify_ed25519};
pub use import::{KeyParts, RsaParts, WrappedKind};
pub use material::{KeyMaterial, KeySpecification};
pub use public_key::PublicKey;
pub use root::{Label, Root};
pub use rsa::{RsaPrivateKey, RsaPublicKey};
