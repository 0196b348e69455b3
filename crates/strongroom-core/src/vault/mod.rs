//! Vaults: containers of keys whose rights the management plane decides.
//!
//! A vault has no security domain and no local RBAC. Its records are sealed under the deployment key (architecture.md
//! §3.1), and who may use its keys is said by Azure role assignments or by its access policies. Both stand under its
//! guard, as the rights of a managed HSM do.

mod access;
mod record;
mod rights;

pub use access::{AccessControl, AccessPolicy, AuthorizationModel, Permissions};
pub use record::{Vault, VaultNetworkAccess, VaultNetworkAcls, VaultSku, VirtualNetworkRule};
pub(crate) use rights::{VaultPlace, VaultRights, permission};
