//! What can be wrong with certificates.

use std::path::PathBuf;

/// Why certificates cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Issue(#[from] rcgen::Error),
    /// No random bytes, or a stored key is malformed.
    #[error(transparent)]
    Crypto(#[from] strongroom_crypto::CryptoError),
    /// The CA could not be read from the store, or written to it.
    #[error(transparent)]
    Core(#[from] strongroom_core::Error),
    /// rustls refused.
    #[error("TLS could not be set up")]
    Stack(#[from] rustls::Error),
    /// The certificate of our own making does not parse.
    #[error("the stored CA certificate is malformed")]
    MalformedCa,
    /// A configured file cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: FileProblem,
    },
}

/// What is wrong with a configured file.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// There is no certificate in it.
    #[error("holds no certificate in PEM")]
    NoCertificate,
    /// A certificate in it does not parse.
    #[error("holds a malformed certificate")]
    MalformedCertificate,
    /// There is no private key in it.
    #[error("holds no private key in PEM (PKCS#8, PKCS#1 or SEC 1, not encrypted)")]
    NoPrivateKey,
    /// TLS cannot use the key.
    #[error("holds a private key of a kind that TLS cannot use")]
    UnusableKey,
    /// The key is another certificate's.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// Its time is over.
    #[error("the certificate expired at {0}")]
    Expired(String),
    /// Its time has not come.
    #[error("the certificate is not valid before {0}")]
    NotYetValid(String),
}
