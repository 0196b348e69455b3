//! A node of a cluster: several processes serve one deployment from one store, and what one has acknowledged all of them
//! have applied (protocols.md §5; `docs/consistency.md` says it in a user's words).
//!
//! A [`Node`] is the contract of the store over any engine. It keeps every record in memory and follows the engine's
//! changes; it is registered in the store and serves only while it is; and it acknowledges a commit only when every
//! registered node has applied it or can no longer serve. A request holds a [`Ticket`] from its last byte to its answer.
//!
//! It is not consensus: the engine decides which commit happens. It knows no keys, no roles and no HTTP. It starts no task:
//! whoever opens a node runs [`Node::run`].
//!
//! Read first: [`Node`], [`Ticket`], [`Timing`]; then `settlement` for the argument why an acknowledgement counts everywhere.
//!
//! It fails towards not serving: a node that cannot renew its registration in time refuses with [`NotServing`]. A change that
//! cannot be acknowledged in time ends in [`strongroom_store::StoreError::OutcomeUnknown`]: it stands, or may stand. A node whose
//! store went back ends.

mod admission;
mod boot_clock;
mod follow;
mod layout;
mod node;
mod registrar;
mod registration;
mod replica;
mod rules;
mod settlement;
mod timing;

#[cfg(test)]
mod simulation;

pub use admission::{NotServing, Ticket};
pub use boot_clock::{BootClock, SystemBootClock};
pub use layout::Layout;
pub use node::{Identity, Node, OpenError, Status};
pub use registration::{DRAINS, REGISTRATIONS, Registration, Standing, node_of, refuse_newer, registrations};
pub use timing::{Timing, TimingError};
