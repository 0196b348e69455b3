//! Why a drill could not be held, and what helps.

use strongroom_core::Error;
use strongroom_core::backup::BackupProblem;
use strongroom_core::blobs::BlobError;
use strongroom_security_domain::SecurityDomainError;

/// Why a drill ended without a report, or a report does not hold.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The security domain did not open.
    #[error(transparent)]
    Domain(#[from] SecurityDomainError),
    /// The blob store.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The restore, or what it stands on.
    #[error("the backup was not restored: {0}")]
    Core(#[from] Error),
    /// The restore ended badly.
    #[error("the backup was not restored: {0}")]
    NotRestored(String),
    /// A report that is none, or does not hold.
    #[error("this is no valid report: {0}")]
    NoReport(&'static str),
    /// The page could not be made.
    #[error("the page could not be made: {0}")]
    Page(#[from] askama::Error),
}

impl DrillError {
    /// What to do about it, in one line.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Domain(SecurityDomainError::TooFewKeys { .. }) => "bring the keys of more custodians of this file",
            Self::Domain(_) => {
                "try `strongroom ceremony verify` on the file with the same keys: it names what is wrong"
            }
            Self::Blob(_) => {
                "look at the container, the folder and the SAS; `docs/operating/backup.md` has what is needed"
            }
            Self::Core(Error::Backup(BackupProblem::OtherDomain { .. } | BackupProblem::UnknownEpoch(_))) => {
                "use the newest security-domain file of the managed HSM that the backup was made of"
            }
            Self::Core(Error::Backup(BackupProblem::NoManifest { .. })) => {
                "name the folder of a backup that has ended, as `az keyvault backup start` shows it"
            }
            Self::Core(_) | Self::NotRestored(_) => {
                "take another backup and drill with that; keep this one for the investigation"
            }
            Self::NoReport(_) => {
                "use the JSON file that `strongroom drill run` wrote, unaltered, and its security-domain file"
            }
            Self::Page(_) => "please report it",
        }
    }
}
