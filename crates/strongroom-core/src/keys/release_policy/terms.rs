//! Whether a key version may leave, and what a client may ask about that.

use serde::{Deserialize, Serialize};
use strongroom_types::{KeyOperation, KeyOperations};

use super::{PARAMETER, ReleasePolicy};
use crate::{Error, Result};

/// Whether a version may be released, and where to. An exportable version always has a policy, and
/// so has one for secure wrap and unwrap.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Release {
    exportable: bool,
    policy: Option<ReleasePolicy>,
}

/// What a request says about release; what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseTerms {
    /// `attributes.exportable`.
    pub exportable: Option<bool>,
    /// `release_policy`.
    pub policy: Option<ReleasePolicy>,
}

impl Release {
    /// Whether the key may leave, wrapped for an attested environment.
    pub fn is_exportable(&self) -> bool {
        self.exportable
    }

    /// Which environments are meant.
    pub fn policy(&self) -> Option<&ReleasePolicy> {
        self.policy.as_ref()
    }

    /// A key for secure wrap and unwrap has a policy for what it unwraps, and does not leave itself.
    fn checked(self, operations: KeyOperations) -> Result<Self> {
        if self.exportable && operations.contains(KeyOperation::Import) {
            // What was wrapped for a key exchange key must never be opened outside.
            return Err(Error::bad_parameter("exportable", "a key exchange key is never released"));
        }
        let problem = match (operations.has_secure(), self.exportable, self.policy.is_some()) {
            (false, true, true) | (false, false, false) | (true, false, true) => return Ok(self),
            (false, true, false) => "exportable keys must have a release policy",
            (false, false, true) => "non-exportable keys must not have a release policy",
            (true, true, _) => "keys for secureWrapKey and secureUnwrapKey must not be exportable",
            (true, false, false) => "keys for secureWrapKey and secureUnwrapKey must have a release policy",
        };
        Err(Error::bad_parameter(PARAMETER, problem))
    }

    /// The same with another policy, unless that is forbidden for good.
    fn with_policy(&self, policy: Option<ReleasePolicy>) -> Result<Self> {
        let Some(policy) = policy else { return Ok(self.clone()) };
        let bound = self.policy.as_ref().is_some_and(ReleasePolicy::is_immutable);
        if bound && self.policy.as_ref() != Some(&policy) {
            return Err(Error::bad_parameter(PARAMETER, "an immutable release policy cannot be modified"));
        }
        Ok(Self { exportable: self.exportable, policy: Some(policy) })
    }
}

impl ReleaseTerms {
    /// The terms of a key's first version, which may do these operations.
    ///
    /// # Errors
    /// [`Error::BadParameter`] for one of `exportable` and `release_policy` without the other.
    pub(in crate::keys) fn first(self, operations: KeyOperations) -> Result<Release> {
        Release { exportable: self.exportable.unwrap_or(false), policy: self.policy }.checked(operations)
    }

    /// The terms of what follows a version: the next one, or the same one changed.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if a key would become exportable or stop being so, or an immutable policy would change.
    pub(in crate::keys) fn after(self, current: &Release, operations: KeyOperations) -> Result<Release> {
        if self.exportable.is_some_and(|exportable| exportable != current.exportable) {
            let problem = "the exportable attribute of an existing key cannot be changed";
            return Err(Error::bad_parameter("exportable", problem));
        }
        current.with_policy(self.policy)?.checked(operations)
    }
}
