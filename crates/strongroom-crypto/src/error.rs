//! What can go wrong inside the boundary.

use strongroom_types::Algorithm;

/// Why the boundary refused. Messages never contain input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// Opening, decrypting or unwrapping failed. One error whatever the cause.
    #[error("the value could not be opened")]
    Rejected,
    /// The algorithm does not fit the key or the operation.
    #[error("{algorithm} does not fit this key")]
    UnsuitableAlgorithm {
        /// The algorithm asked for.
        algorithm: Algorithm,
    },
    /// An input has a length or form the algorithm cannot take.
    #[error("{parameter}: {problem}")]
    BadInput {
        /// Which input, in the words of the wire: `value`, `iv`, `tag`, `aad`, `digest`.
        parameter: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Key material that came from our own records or a root file cannot be used.
    #[error("key material is malformed")]
    MalformedMaterial,
    /// No random bytes.
    #[error("the random number generator failed")]
    Entropy,
    /// The library failed where it should not.
    #[error("the cryptographic library failed: {0}")]
    Library(&'static str),
    /// The platform root could not be read or made.
    #[error("{path}: {problem}")]
    RootFile {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
}
