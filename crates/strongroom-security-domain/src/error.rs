//! What can go wrong with a security domain.

use strongroom_crypto::CryptoError;

use crate::Thumbprint;

/// Why a security domain could not be made or opened. Messages never contain secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecurityDomainError {
    /// A wrapping certificate cannot be used.
    #[error("certificates[{index}]: {problem}")]
    Certificate {
        /// Its place in the request, counted from 0.
        index: usize,
        /// What is wrong with it.
        problem: CertificateProblem,
    },
    /// The number of custodians or the quorum is out of range.
    #[error("{0}")]
    Quorum(&'static str),
    /// The text is not what it should be, before any cryptography.
    #[error("not a well-formed {what}: {problem}")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It holds other secrets than ours do: it comes from another product.
    #[error(
        "this is not a strongroom security domain: it holds other entries than strongroom_domain and mhsm_manifest"
    )]
    Foreign,
    /// Its entries opened, but do not belong together.
    #[error("the security domain was altered: {0}")]
    Altered(&'static str),
    /// Decryption failed. One error whatever the cause.
    #[error("the upload could not be decrypted")]
    Rejected,
    /// It was made for another exchange key.
    #[error("the upload was made for another transfer key: run the recovery from its start")]
    WrongExchangeKey,
    /// Fewer keys than the quorum.
    #[error("{required} of the wrapping keys are needed, {given} were given")]
    TooFewKeys {
        /// The quorum.
        required: usize,
        /// Different keys of this file's custodians that were given.
        given: usize,
    },
    /// The key is none of this file's custodians'.
    #[error("the key of certificate {0} is none of this security domain's")]
    NotACustodian(Thumbprint),
    /// A custodian's share could not be decrypted with the custodian's own key.
    #[error("the share of certificate {0} cannot be decrypted: the file was altered")]
    ShareRejected(Thumbprint),
    /// No quorum of the shares opens the entries.
    #[error(
        "these shares do not open the security domain: one of them belongs to another one, or the file was altered"
    )]
    SharesDoNotFit,
    /// The private key file cannot be used.
    #[error("the private key {0}")]
    PrivateKey(&'static str),
    /// The domain has no root of this epoch.
    #[error("the security domain has no root of this epoch")]
    UnknownEpoch,
    /// The domain has as many roots as it can have.
    #[error("the security domain has {max} roots already and can be rotated no more", max = crate::DomainSecrets::EPOCHS_MAX)]
    TooManyEpochs,
    /// The shares just made do not combine: the machine miscalculated.
    #[error("the self-check of the new shares failed")]
    SelfCheck,
    /// The cryptographic boundary failed.
    #[error("the cryptographic boundary failed")]
    Crypto(#[from] CryptoError),
}

/// What is wrong with a wrapping certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// `kty` is another.
    #[error("kty must be RSA")]
    NotRsa,
    /// There is no certificate in it.
    #[error("x5c must hold the certificate")]
    NoCertificate,
    /// `x5c[0]` is no certificate.
    #[error("x5c[0] is not a DER certificate in base64")]
    NotACertificate,
    /// The key of the certificate cannot be used.
    #[error("the certificate must hold an RSA key of 2048 to 8192 bits")]
    KeySize,
    /// The exponent cannot be used.
    #[error("the public exponent must be odd and at least 65537")]
    Exponent,
    /// The modulus can be factored by hand.
    #[error("the modulus has a small factor")]
    WeakModulus,
    /// A member says something else than the certificate.
    #[error("{0} does not match the certificate in x5c[0]")]
    Mismatch(&'static str),
    /// One custodian would hold two shares.
    #[error("the same certificate as certificates[{0}]")]
    SameCertificate(usize),
    /// One custodian would hold two shares.
    #[error("the same public key as certificates[{0}]")]
    SameKey(usize),
}
