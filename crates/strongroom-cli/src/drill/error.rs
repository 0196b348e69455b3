//! Why a drill command failed, and what helps.

use std::path::PathBuf;

use strongroom_drill::DrillError;

use crate::ceremony::CeremonyError;

/// Why a drill command failed.
#[derive(Debug, thiserror::Error)]
pub enum DrillFailure {
    /// A file: the security domain, a custodian's key, the report.
    #[error(transparent)]
    File(#[from] CeremonyError),
    /// The drill itself, or the report.
    #[error(transparent)]
    Drill(#[from] DrillError),
    /// There is a report of this name already.
    #[error("{} exists already", .0.display())]
    ReportExists(PathBuf),
    /// The drill was held, and not every key came back.
    #[error("{failures} versions of keys did not come back as they were; the report names them")]
    NotAllProved {
        /// How many.
        failures: usize,
    },
    /// The report could not be shown.
    #[error("the report could not be printed")]
    Print,
}

impl DrillFailure {
    /// What to do about it, in one line.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::File(error) => error.remedy(),
            Self::Drill(error) => error.remedy(),
            Self::ReportExists(_) => "nothing is ever overwritten: name another with --report",
            Self::NotAllProved { .. } => {
                "keep the backup for the investigation, make a new one now and drill with that"
            }
            Self::Print => "look at standard output",
        }
    }
}
