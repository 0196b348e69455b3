//! What can go wrong with the directory.

use crate::Error;

/// The directory's result.
pub type Result<T, E = IdentityError> = std::result::Result<T, E>;

/// What happened. The authority maps it to the error codes its clients know.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The directory has not been founded yet.
    #[error("the directory has no tenant yet")]
    NotFounded,
    /// No such user, group, service principal or managed identity.
    #[error("the principal does not exist")]
    PrincipalNotFound,
    /// No service principal has this client id.
    #[error("no application has this client id")]
    ClientNotFound,
    /// The principal is switched off.
    #[error("the principal is disabled")]
    PrincipalDisabled,
    /// The client secret is none of the client's.
    #[error("the client secret is wrong")]
    WrongSecret,
    /// The client secret has expired.
    #[error("the client secret has expired")]
    SecretExpired,
    /// The refresh token is unknown, revoked, expired, used before, or another client's.
    #[error("the refresh token is not valid any more")]
    RefreshTokenInvalid,
    /// The one-time password has been used in the meantime.
    #[error("the one-time password has been used already")]
    AlreadyEnrolled,
    /// The name is taken.
    #[error("{what} exists already")]
    NameTaken {
        /// What kind of name.
        what: &'static str,
    },
    /// The group still has members.
    #[error("the group still has members")]
    GroupNotEmpty,
    /// The deployment cannot do without this principal.
    #[error("this principal belongs to the deployment and cannot be removed")]
    Protected,
    /// A limit of the directory is reached.
    #[error("{what}: the limit of {limit} is reached")]
    LimitReached {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// An input is wrong.
    #[error("{parameter}: {problem}")]
    BadParameter {
        /// The parameter, in the words of the wire.
        parameter: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// What lies below failed.
    #[error(transparent)]
    Core(#[from] Error),
}

impl From<strongroom_crypto::CryptoError> for IdentityError {
    fn from(error: strongroom_crypto::CryptoError) -> Self {
        Self::Core(error.into())
    }
}
