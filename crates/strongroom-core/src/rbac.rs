//! Local RBAC: who may do what on a managed HSM.
//!
//! A role is a set of data actions; an assignment gives a role to a principal at a scope. Rights are inherited
//! downwards, add up, and know no denial (data-plane.md §2). The whole set is bound to the guard: its version and digest
//! change with every assignment and custom role, so that a store cannot quietly take one away or put an old one back.

mod assignments;
mod builtin;
mod definitions;
mod rights;

pub use assignments::{AssignmentFilter, RoleAssignment};
pub use builtin::{ADMINISTRATOR, BuiltInRole, CRYPTO_OFFICER, CRYPTO_USER, RoleDefinitionId};
pub use definitions::{CustomRole, DefinitionFilter, Permission, RoleDefinition, RoleKind, RoleSpecification};
pub use rights::Rights;

pub(crate) use rights::{digest, stage_rights};
