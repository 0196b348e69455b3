//! What a managed HSM and a vault *are*: keys, local RBAC, the life of an instance, the directory, ARM resources, audit events.
//!
//! Every decision is made here, and only here: authorization, key state, `key_ops`, limits, soft delete. The core has
//! **no clock, no entropy, no network and no tasks of its own**: they come in as arguments ([`ports`]), so that a whole
//! deployment can be simulated. It is *not* the place for HTTP, statuses or wire shapes.
//!
//! Read first: [`Core`], [`request::Request`], [`barrier::Barrier`].
//!
//! It fails with [`Error`], which says what happened and never a status; `strongroom-server` maps it to the wire.

pub mod activation;
pub mod attestation;
pub mod audit;
pub mod backup;
pub mod barrier;
pub mod blobs;
pub mod container;
mod core;
pub mod deployment;
mod domain;
pub mod download_policy;
pub mod epochs;
pub mod error;
pub mod guard;
pub mod hsm;
pub mod identity;
pub mod keys;
pub mod layout;
pub mod limits;
pub mod managed_hsm;
pub mod network;
pub mod pools;
pub mod ports;
pub mod rbac;
pub mod recovery;
pub mod request;
pub mod retry;
pub mod settings;
pub mod statement;
pub mod throttle;
mod transfer_keys;
pub mod vault;
pub mod witness;

pub use crate::core::{Core, Foundations};
pub use error::{Error, Result};
pub use limits::Limits;
