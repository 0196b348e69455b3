//! Azure RBAC: who may do what on the management plane (management-plane.md §9).
//!
//! Roles are patterns of actions; an assignment gives a role to a principal at a scope and everywhere below.
//! Assignments add up, nothing takes away. The data plane of a managed HSM knows nothing of this: it has its own roles.

pub(super) mod action;
pub(super) mod administration;
pub(super) mod assignment;
pub(super) mod builtin;
pub(super) mod definition;
pub(super) mod guard;
pub(super) mod permit;
pub(super) mod rights;

pub use action::Action;
pub use administration::AssignmentSpecification;
pub use assignment::{PrincipalType, RoleAssignment};
pub use builtin::{BUILT_IN_ROLES, BuiltInRole, OWNER, READER};
pub use definition::{Changes, CustomRoleSpecification, Permission, RoleDefinition, RoleKind};
pub(super) use guard::guard_of;
pub(crate) use guard::{CompiledRights, Guarded};
pub use permit::{Permit, Reach};
pub use rights::Rights;
