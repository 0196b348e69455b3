//! What can go wrong in a ceremony, and what helps.

use std::path::PathBuf;

use strongroom_security_domain::SecurityDomainError;

/// Why a step of a ceremony could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than any of its kind, or no text.
    #[error("{} is no text of at most 1 MiB", .0.display())]
    NoText(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A name that is no file name.
    #[error("the name must have 1 to 64 characters, without a slash or a dot in front")]
    Name,
    /// A certificate file holds none that can be used.
    #[error("{} is no PEM certificate over an RSA key of 2048 to 8192 bits", .0.display())]
    Certificate(PathBuf),
    /// A private key file cannot be used.
    #[error("{}: {problem}", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: SecurityDomainError,
    },
    /// An encrypted key without a password.
    #[error("{} is encrypted, and no --password-file is left for it", .0.display())]
    PasswordMissing(PathBuf),
    /// A password that no key needs.
    #[error("there are more password files than encrypted keys")]
    PasswordTooMany,
    /// The transfer key is not the one that was told.
    #[error("the transfer key is {found}, not {expected}")]
    OtherTransferKey {
        /// In the file.
        found: String,
        /// Told.
        expected: String,
    },
    /// The custodians are too few.
    #[error("{required} custodians are needed, {present} of these are custodians of this file")]
    NoQuorum {
        /// The quorum.
        required: usize,
        /// Those who are there.
        present: usize,
    },
    /// The file of another product cannot be wrapped anew.
    #[error("another product made this file; only that product can make a new one")]
    Foreign,
    /// The security domain.
    #[error(transparent)]
    Domain(#[from] SecurityDomainError),
    /// The protocol could not be shown.
    #[error("the protocol could not be printed: {0}")]
    Print(std::io::Error),
}

impl CeremonyError {
    /// What to do about it, in one line.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Read { .. } => "look at the path; a key NAME.key needs its certificate NAME.cer beside it",
            Self::NoText(_) => "name the file that was meant",
            Self::Write { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
                "nothing is ever overwritten: name a file that does not exist"
            }
            Self::Write { .. } | Self::Print(_) => "look at the folder, its space and its permissions",
            Self::Name => "use the custodian's short name, such as alice",
            Self::Certificate(_) => "use the certificate (.cer), not the private key",
            Self::Key { .. } => "use the custodian's own key, certificate and password",
            Self::PasswordMissing(_) => "give one --password-file for each encrypted key, in the order of the keys",
            Self::PasswordTooMany => "give one --password-file for each encrypted key and no more",
            Self::OtherTransferKey { .. } => {
                "do not go on: ask the HSM's side for its transfer key again, over a channel you trust"
            }
            Self::NoQuorum { .. } => "ask more of the file's custodians; `ceremony inspect` lists their certificates",
            Self::Foreign => "download the security domain again from the product that made it",
            Self::Domain(problem) => domain_remedy(problem),
        }
    }
}

fn domain_remedy(problem: &SecurityDomainError) -> &'static str {
    match problem {
        SecurityDomainError::TooFewKeys { .. } => "bring the keys of more custodians of this file",
        SecurityDomainError::NotACustodian(_) => "leave that key out; `ceremony check` tells whose keys belong",
        SecurityDomainError::SharesDoNotFit | SecurityDomainError::ShareRejected(_) => {
            "bring one key more than the quorum: the wrong share is named then; or use another copy of the file"
        }
        SecurityDomainError::Altered(_) | SecurityDomainError::Malformed { .. } | SecurityDomainError::Rejected => {
            "use another copy of the file, and keep this one for the investigation"
        }
        SecurityDomainError::Certificate { .. } | SecurityDomainError::Quorum(_) => {
            "name 3 to 10 different certificates and a quorum of 2 to their number"
        }
        _ => "look at the message; this machine's random number generator or memory may be at fault",
    }
}
