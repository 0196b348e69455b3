//! The quorum root of trust: the security domain of a managed HSM.
//!
//! A security domain is what several HSMs share: an identity and a root for each epoch ([`DomainSecrets`]). It leaves an
//! HSM in two forms only, both encrypted: the file that the custodians keep, opened by a quorum of their RSA keys
//! ([`SecurityDomainFile`], [`open_file`]), and the upload that a quorum makes from it for the transfer key of another
//! HSM ([`restore_blob`], [`open_upload`]). The format is that of the official clients; `docs/security-domain-format.md`
//! has it byte by byte.
//!
//! This crate is *not* the place for files, clocks, HTTP or states: it computes, and is told what time it is.
//!
//! Read first: [`DomainSecrets`], [`Custodians`], [`SecurityDomainFile`].
//!
//! It fails with [`SecurityDomainError`]. Every failure of decryption in an upload is one error,
//! [`SecurityDomainError::Rejected`], so that the HSM cannot become an oracle.

mod certificate;
mod custodian_key;
mod domain;
mod entries;
mod error;
mod field;
mod file;
mod issue;
mod jwe;
mod kdf;
mod manifest;
mod open;
mod pem;
mod quorum;
mod shamir;
mod thumbprint;
mod transfer;
mod upload;

pub use certificate::{CertificateJwk, Custodians, WrappingCertificate};
pub use custodian_key::{CustodianKey, NewCustodian};
pub use domain::DomainSecrets;
pub use entries::{Entries, Entry, STRONGROOM_TAGS};
pub use error::{CertificateProblem, SecurityDomainError};
pub use file::{FileFacts, SecurityDomainFile};
pub use issue::{CertificateTerms, self_signed};
pub use manifest::{Manifest, OpenedDomain};
pub use open::{OpenedEntries, OpenedFile, open_entries_of_file, open_file, restore_blob};
pub use pem::{certificate_of_pem, certificate_to_pem};
pub use quorum::Quorum;
pub use thumbprint::Thumbprint;
pub use transfer::{EXCHANGE_KEY_SECONDS, EXCHANGE_TRIES_MAX, ExchangeKey};
pub use upload::{open_entries_of_upload, open_upload};

/// Longest security-domain file or upload read, in bytes. Real ones have about 20,000.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
