//! The wire: request and response models, the error body, api-versions, the operation table.
//!
//! Models are as loose as the wire: optional members, unknown values kept. They hold no behaviour; strict types are made
//! of them at the edge, in `strongroom-server`. It is *not* the place for decisions.
//!
//! Read first: [`operations::OPERATIONS`], [`path::PathPattern`], [`keys::KeyBundle`].
//!
//! It fails only by not matching or not parsing; the server says how that is answered.

pub mod attestation;
pub mod backup;
pub mod error;
pub mod keys;
pub mod operations;
pub mod path;
pub mod rbac;
pub mod rotation_policy;
pub mod security_domain;
pub mod settings;
pub mod version;
