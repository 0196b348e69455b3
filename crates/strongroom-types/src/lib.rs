//! The vocabulary of strongroom.
//!
//! Every closed vocabulary of the product exists here once and is used by the wire, the core, the stored records and
//! the command line: names, key types, curves, algorithms, data actions, scopes. A value of one of these types cannot
//! be wrong; untrusted text becomes one at the edge, through `parse` or serde, or not at all.
//!
//! This crate is *not* the place for behaviour: it opens no key, decides no access and knows no HTTP.
//!
//! Read first: [`KeyName`], [`Algorithm`], [`DataAction`].
//!
//! Wire spellings are literals, one per variant, never derived from the Rust name. Parsing fails with a
//! [`ParseError`] that names what was expected and never repeats more than a bounded part of what came.

mod action_pattern;
mod algorithm;
mod data_action;
mod identity;
mod key;
mod key_encryption;
mod key_permission;
mod name;
mod scope;
mod secret;
mod setting;
mod time;
mod vocabulary;

pub use action_pattern::matches_action;
pub use algorithm::{Algorithm, AlgorithmFamily, Hash};
pub use data_action::{DataAction, DataActionSet};
pub use identity::{DeploymentId, DomainId, Epoch, InstanceId, KeyId, NodeId, PrincipalId, TenantId};
pub use key::{CurveName, KeyOperation, KeyOperations, KeyType, Protection, RsaSize, SymmetricSize};
pub use key_encryption::KeyEncryptionAlgorithm;
pub use key_permission::{KeyPermission, KeyPermissionSet};
pub use name::{HsmName, KeyName, KeyVersion, VaultName};
pub use scope::Scope;
pub use secret::Secret;
pub use setting::SettingName;
pub use time::Timestamp;
pub use vocabulary::ParseError;
