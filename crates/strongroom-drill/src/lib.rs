//! A rehearsal of a recovery, with evidence: a backup is restored into a scratch HSM, and every key proves itself.
//!
//! The scratch HSM is a core of its own over a store in memory (`scratch.rs`): it has no name and no network, the
//! running HSM is not touched, and killing the process leaves nothing behind. What it needs is what a recovery needs: the
//! security-domain file, a quorum of its custodians' keys, and the backup.
//!
//! It is *not* the place for files, command lines or blob clients: texts and a container come in, a [`Report`] goes out.
//!
//! Read first: [`Drill`], [`Report`], [`SignedReport`].
//!
//! It fails with [`DrillError`]; a key that does not come back is no error but a line of the report.

mod drill;
mod error;
mod page;
mod report;
mod scratch;
mod signed;

pub use drill::{Drill, Watch};
pub use error::DrillError;
pub use page::{duration, page};
pub use report::{
    Backup, Custodian, Failure, Outcome, RecoveryPoint, RecoveryTime, Report, Restored, Seconds, SecurityDomain, Step,
};
pub use signed::{SignedReport, VerifiedReport};
/// Where a [`Drill`] finds its container: the adapters are whose who hold it.
pub use strongroom_core::blobs::{BlobCredential, BlobStores};
