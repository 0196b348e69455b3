//! What a caller may do to the keys of a vault.

use serde::{Deserialize, Serialize};

use crate::ParseError;
use crate::vocabulary::vocabulary;

vocabulary!(
    /// A key permission of an access policy (management-plane.md §8). A vault under Azure RBAC asks for the data action that
    /// belongs to it.
    KeyPermission, "key permission", {
        /// Show a key.
        Get => "get",
        /// List keys, versions and deleted keys.
        List => "list",
        /// Change attributes and tags.
        Update => "update",
        /// Make keys.
        Create => "create",
        /// Take keys in.
        Import => "import",
        /// Soft-delete keys.
        Delete => "delete",
        /// Take soft deletions back.
        Recover => "recover",
        /// Take keys out as backups.
        Backup => "backup",
        /// Bring backups back.
        Restore => "restore",
        /// Destroy deleted keys.
        Purge => "purge",
        /// Encrypt.
        Encrypt => "encrypt",
        /// Decrypt.
        Decrypt => "decrypt",
        /// Unwrap other keys.
        UnwrapKey => "unwrapkey",
        /// Wrap other keys.
        WrapKey => "wrapkey",
        /// Verify signatures.
        Verify => "verify",
        /// Sign.
        Sign => "sign",
        /// Release keys to attested environments.
        Release => "release",
        /// Make the next version.
        Rotate => "rotate",
        /// Show rotation policies.
        GetRotationPolicy => "getrotationpolicy",
        /// Change rotation policies.
        SetRotationPolicy => "setrotationpolicy",
        /// All of these, and those to come.
        All => "all",
    }
);

impl KeyPermission {
    /// From any spelling a client may send: compared without case.
    pub fn from_wire(text: &str) -> Result<Self, ParseError> {
        text.to_ascii_lowercase().parse()
    }

    /// The data action that a vault under Azure RBAC asks for instead.
    pub const fn data_action(self) -> &'static str {
        match self {
            Self::Get | Self::List => "Microsoft.KeyVault/vaults/keys/read",
            Self::Update => "Microsoft.KeyVault/vaults/keys/update/action",
            Self::Create => "Microsoft.KeyVault/vaults/keys/create/action",
            Self::Import => "Microsoft.KeyVault/vaults/keys/import/action",
            Self::Delete => "Microsoft.KeyVault/vaults/keys/delete",
            Self::Recover => "Microsoft.KeyVault/vaults/keys/recover/action",
            Self::Backup => "Microsoft.KeyVault/vaults/keys/backup/action",
            Self::Restore => "Microsoft.KeyVault/vaults/keys/restore/action",
            Self::Purge => "Microsoft.KeyVault/vaults/keys/purge/action",
            Self::Encrypt => "Microsoft.KeyVault/vaults/keys/encrypt/action",
            Self::Decrypt => "Microsoft.KeyVault/vaults/keys/decrypt/action",
            Self::UnwrapKey => "Microsoft.KeyVault/vaults/keys/unwrap/action",
            Self::WrapKey => "Microsoft.KeyVault/vaults/keys/wrap/action",
            Self::Verify => "Microsoft.KeyVault/vaults/keys/verify/action",
            Self::Sign => "Microsoft.KeyVault/vaults/keys/sign/action",
            Self::Release => "Microsoft.KeyVault/vaults/keys/release/action",
            Self::Rotate => "Microsoft.KeyVault/vaults/keys/rotate/action",
            Self::GetRotationPolicy => "Microsoft.KeyVault/vaults/keyrotationpolicies/read",
            Self::SetRotationPolicy => "Microsoft.KeyVault/vaults/keyrotationpolicies/write",
            Self::All => "Microsoft.KeyVault/vaults/keys/*",
        }
    }
}

/// A set of [`KeyPermission`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<KeyPermission>", into = "Vec<KeyPermission>")]
pub struct KeyPermissionSet(u32);

impl KeyPermissionSet {
    /// Whether the set allows it, by name or by `all`.
    pub const fn allows(self, permission: KeyPermission) -> bool {
        self.holds(permission) || self.holds(KeyPermission::All)
    }

    /// The permissions by name, in the order of the vocabulary.
    pub fn iter(self) -> impl Iterator<Item = KeyPermission> {
        KeyPermission::ALL.iter().copied().filter(move |permission| self.holds(*permission))
    }

    /// Everything in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Everything in this set that is not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is allowed.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn holds(self, permission: KeyPermission) -> bool {
        self.0 & (1 << permission as u32) != 0
    }
}

impl FromIterator<KeyPermission> for KeyPermissionSet {
    fn from_iter<I: IntoIterator<Item = KeyPermission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | 1 << permission as u32))
    }
}

impl From<Vec<KeyPermission>> for KeyPermissionSet {
    fn from(permissions: Vec<KeyPermission>) -> Self {
        permissions.into_iter().collect()
    }
}

impl From<KeyPermissionSet> for Vec<KeyPermission> {
    fn from(permissions: KeyPermissionSet) -> Self {
        permissions.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_is_read_in_any_case_and_all_allows_each() {
        for permission in KeyPermission::ALL {
            assert_eq!(KeyPermission::from_wire(&permission.as_str().to_ascii_uppercase()), Ok(*permission));
            assert!(KeyPermissionSet::from_iter([KeyPermission::All]).allows(*permission));
        }
        assert!(KeyPermission::from_wire("everything").is_err());
    }

    #[test]
    fn a_set_allows_what_it_names_and_nothing_else() {
        let set = KeyPermissionSet::from_iter([KeyPermission::Get, KeyPermission::Sign]);
        let allowed: Vec<_> = KeyPermission::ALL.iter().filter(|permission| set.allows(**permission)).collect();
        assert_eq!(allowed, [&KeyPermission::Get, &KeyPermission::Sign]);
        assert!(set.difference(set).is_empty());
    }
}
