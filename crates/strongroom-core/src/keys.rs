//! Keys: create, read, change, delete, use.
//!
//! A key is one **name record** that points to a key id, drawn when it is made; its versions and their material lie under the id
//! (protocols.md §3). Delete, recover and purge touch the name record only. There is one door to key material:
//! `KeyContainer::open_for`, which checks rights, state and `key_ops` and returns the only value it can be reached from.

mod attest;
mod backup;
mod blob;
mod copy;
mod create;
mod crypto;
mod delete;
mod failures;
mod import;
mod management;
mod period;
mod prove;
mod read;
mod record;
mod release;
mod release_policy;
mod restore;
mod rotate;
mod rotation_policy;
mod secure_wrap;
mod stock;
mod update;

pub use attest::KeyProvenance;
pub use blob::BLOB_BYTES_MAX;
pub(crate) use copy::{CopiedKey, CopiedVersion, RestoreTerms};
pub use create::{CreateKey, KeyAttributes};
pub use crypto::{CipherInput, Decrypted, Encrypted, KeyIdentifier, Signed};
pub use delete::JobRequest;
pub(crate) use failures::FailureBudget;
pub use import::{ImportKey, ImportSource};
pub use period::Period;
pub use read::{KeyPage, PageRequest, PageToken};
pub use record::{DeletedKey, Key, KeyReference, Origin, RecoveryLevel, Tags};
pub use release::{ReleaseOrder, ReleasedKey};
pub use release_policy::{Release, ReleasePolicy, ReleaseTerms};
pub(crate) use restore::RestorableKey;
pub use rotate::RotationRound;
pub use rotation_policy::{LifetimeAction, LifetimeActionType, RotationPolicy, RotationRules, RotationTrigger};
pub(crate) use stock::RsaStock;
pub use update::UpdateKey;

/// Random bytes of one call (limits.md, "Objects").
pub const RANDOM_BYTES_MAX: usize = 128;
