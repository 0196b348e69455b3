//! The management guard: one record that every write of the management plane depends on (protocols.md §4).

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::barrier::{Barrier, KeptWhole, Record, Stored, Transaction};
use crate::pools::rbac::assignment::RoleAssignment;
use crate::pools::rbac::definition::CustomRole;
use crate::pools::rbac::rights::Rights;
use crate::pools::{ResourceScope, layout};

/// Version and digest of all Azure role assignments and custom roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pools) struct ManagementGuard {
    /// Rises with every change of a role assignment or definition.
    pub rights_version: u64,
    /// SHA-256 over the whole set, base64url.
    pub rights_digest: String,
}

impl Record for ManagementGuard {
    const FORMAT: u16 = 1;
}

impl KeptWhole for ManagementGuard {}

/// The rights as of a guard that was read, compiled once for each version.
#[derive(Debug, Default)]
pub(crate) struct CompiledRights {
    cache: ArcSwapOption<Rights>,
}

/// A guard and the rights that belong to it.
#[derive(Debug, Clone)]
pub(crate) struct Guarded {
    guard: Arc<Stored<ManagementGuard>>,
    pub(crate) rights: Arc<Rights>,
}

impl CompiledRights {
    /// The rights as they are now.
    ///
    /// # Errors
    /// [`crate::Error::Tampered`] if guard and rights do not fit each other: a record was removed, added or put back.
    pub(crate) async fn current(&self, barrier: &Barrier) -> Result<Guarded> {
        for _ in 0..LOADS_MAX {
            let guard = read(barrier).await?.ok_or(crate::Error::Internal("the deployment has no subscription"))?;
            if let Some(rights) = self.cache.load_full().filter(|known| known.version() == guard.value.rights_version) {
                return Ok(Guarded { guard, rights });
            }
            let rights = Rights::new(
                guard.value.rights_version,
                values(barrier.all::<RoleAssignment>(barrier.deployment(), layout::ROLE_ASSIGNMENTS).await?),
                values(barrier.all::<CustomRole>(barrier.deployment(), layout::ROLE_DEFINITIONS).await?),
            );
            // A change between the reads of guard and set shows as a wrong digest too: then look again.
            if encoded_digest(&rights)? == guard.value.rights_digest {
                let rights = Arc::new(rights);
                self.cache.store(Some(Arc::clone(&rights)));
                return Ok(Guarded { guard, rights });
            }
        }
        let problem = "the role assignments are not the ones it was written for";
        Err(crate::Error::Tampered { key: layout::GUARD.to_owned(), problem })
    }
}

impl Guarded {
    /// Makes the commit depend on the rights being as they were.
    pub(crate) fn bind(&self, transaction: &mut Transaction<'_>) {
        transaction.expect(&self.guard);
    }

    /// Adds the new guard to a commit that changes assignments or custom roles.
    pub(in crate::pools) fn stage(
        &self,
        barrier: &Barrier,
        transaction: &mut Transaction<'_>,
        assignments: Vec<RoleAssignment>,
        custom: Vec<CustomRole>,
    ) -> Result<()> {
        let version = self.guard.value.rights_version.checked_add(1).ok_or(crate::Error::Internal("rights version"))?;
        let guard = guard_of(&Rights::new(version, assignments, custom))?;
        transaction.replace(barrier.deployment(), &self.guard, &guard)
    }

    /// The assignments at a scope and below.
    pub(crate) fn assignments_below(&self, scope: &ResourceScope) -> Vec<RoleAssignment> {
        let below = |assignment: &&RoleAssignment| scope.covers(&assignment.scope);
        self.rights.assignments().iter().filter(below).cloned().collect()
    }

    /// Binds a commit that also removes these assignments, if there are any.
    pub(crate) fn bind_or_remove(
        &self,
        barrier: &Barrier,
        transaction: &mut Transaction<'_>,
        removed: &[RoleAssignment],
    ) -> Result<()> {
        if removed.is_empty() {
            self.bind(transaction);
            return Ok(());
        }
        self.stage_removal(barrier, transaction, removed)
    }

    /// Adds the removal of assignments to a commit, and the new guard. The guard is a precondition and holds their
    /// digest, so they are known to be as they were.
    pub(in crate::pools) fn stage_removal(
        &self,
        barrier: &Barrier,
        transaction: &mut Transaction<'_>,
        removed: &[RoleAssignment],
    ) -> Result<()> {
        for assignment in removed {
            transaction.discard(layout::role_assignment(assignment.name));
        }
        let is_removed = |assignment: &&RoleAssignment| removed.iter().any(|gone| gone.name == assignment.name);
        let rest = self.rights.assignments().iter().filter(|assignment| !is_removed(assignment)).cloned().collect();
        self.stage(barrier, transaction, rest, self.rights.custom().to_vec())
    }
}

/// The guard of a set of rights.
pub(in crate::pools) fn guard_of(rights: &Rights) -> Result<ManagementGuard> {
    Ok(ManagementGuard { rights_version: rights.version(), rights_digest: encoded_digest(rights)? })
}

/// The guard, or `None` before the deployment was founded.
pub(in crate::pools) async fn read(barrier: &Barrier) -> Result<Option<Arc<Stored<ManagementGuard>>>> {
    barrier.read_kept(barrier.deployment(), layout::GUARD).await
}

fn encoded_digest(rights: &Rights) -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(rights.digest()?))
}

fn values<T>(records: Vec<Stored<T>>) -> Vec<T> {
    records.into_iter().map(|stored| stored.value).collect()
}

/// How often guard and rights are read before a mismatch counts as tampering and not as a change in between.
const LOADS_MAX: usize = 8;
