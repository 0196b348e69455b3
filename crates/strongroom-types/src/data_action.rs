//! What a caller may do to a managed HSM, in the words of its role definitions.

use serde::{Deserialize, Serialize};

use crate::vocabulary::vocabulary;

vocabulary!(
    /// A data action of local RBAC, as written in role definitions. Some end in `/action` and some do not: the
    /// spelling is the service's, not a rule.
    DataAction, "data action", {
        /// `backup/start/action`.
        BackupStart => "Microsoft.KeyVault/managedHsm/backup/start/action",
        /// `backup/status/action`.
        BackupStatus => "Microsoft.KeyVault/managedHsm/backup/status/action",
        /// `keys/backup/action`.
        KeysBackup => "Microsoft.KeyVault/managedHsm/keys/backup/action",
        /// `keys/create`.
        KeysCreate => "Microsoft.KeyVault/managedHsm/keys/create",
        /// `keys/decrypt/action`.
        KeysDecrypt => "Microsoft.KeyVault/managedHsm/keys/decrypt/action",
        /// `keys/delete`.
        KeysDelete => "Microsoft.KeyVault/managedHsm/keys/delete",
        /// `keys/deletedKeys/delete`.
        DeletedKeysDelete => "Microsoft.KeyVault/managedHsm/keys/deletedKeys/delete",
        /// `keys/deletedKeys/read/action`.
        DeletedKeysRead => "Microsoft.KeyVault/managedHsm/keys/deletedKeys/read/action",
        /// `keys/deletedKeys/recover/action`.
        DeletedKeysRecover => "Microsoft.KeyVault/managedHsm/keys/deletedKeys/recover/action",
        /// `keys/derive/action`.
        KeysDerive => "Microsoft.KeyVault/managedHsm/keys/derive/action",
        /// `keys/encrypt/action`.
        KeysEncrypt => "Microsoft.KeyVault/managedHsm/keys/encrypt/action",
        /// `keys/export/action`.
        KeysExport => "Microsoft.KeyVault/managedHsm/keys/export/action",
        /// `keys/import/action`.
        KeysImport => "Microsoft.KeyVault/managedHsm/keys/import/action",
        /// `keys/read/action`.
        KeysRead => "Microsoft.KeyVault/managedHsm/keys/read/action",
        /// `keys/release/action`.
        KeysRelease => "Microsoft.KeyVault/managedHsm/keys/release/action",
        /// `keys/restore/action`.
        KeysRestore => "Microsoft.KeyVault/managedHsm/keys/restore/action",
        /// `keys/rotate/action`.
        KeysRotate => "Microsoft.KeyVault/managedHsm/keys/rotate/action",
        /// `keys/sign/action`.
        KeysSign => "Microsoft.KeyVault/managedHsm/keys/sign/action",
        /// `keys/unwrap/action`.
        KeysUnwrap => "Microsoft.KeyVault/managedHsm/keys/unwrap/action",
        /// `keys/verify/action`.
        KeysVerify => "Microsoft.KeyVault/managedHsm/keys/verify/action",
        /// `keys/wrap/action`.
        KeysWrap => "Microsoft.KeyVault/managedHsm/keys/wrap/action",
        /// `keys/write/action`.
        KeysWrite => "Microsoft.KeyVault/managedHsm/keys/write/action",
        /// `restore/start/action`.
        RestoreStart => "Microsoft.KeyVault/managedHsm/restore/start/action",
        /// `restore/status/action`.
        RestoreStatus => "Microsoft.KeyVault/managedHsm/restore/status/action",
        /// `rng/action`.
        Rng => "Microsoft.KeyVault/managedHsm/rng/action",
        /// `roleAssignments/delete/action`.
        RoleAssignmentsDelete => "Microsoft.KeyVault/managedHsm/roleAssignments/delete/action",
        /// `roleAssignments/read/action`.
        RoleAssignmentsRead => "Microsoft.KeyVault/managedHsm/roleAssignments/read/action",
        /// `roleAssignments/write/action`.
        RoleAssignmentsWrite => "Microsoft.KeyVault/managedHsm/roleAssignments/write/action",
        /// `roleDefinitions/delete/action`.
        RoleDefinitionsDelete => "Microsoft.KeyVault/managedHsm/roleDefinitions/delete/action",
        /// `roleDefinitions/read/action`.
        RoleDefinitionsRead => "Microsoft.KeyVault/managedHsm/roleDefinitions/read/action",
        /// `roleDefinitions/write/action`.
        RoleDefinitionsWrite => "Microsoft.KeyVault/managedHsm/roleDefinitions/write/action",
        /// `securitydomain/download/action`.
        SecurityDomainDownload => "Microsoft.KeyVault/managedHsm/securitydomain/download/action",
        /// `securitydomain/download/read`.
        SecurityDomainDownloadRead => "Microsoft.KeyVault/managedHsm/securitydomain/download/read",
        /// `securitydomain/transferkey/read`.
        SecurityDomainTransferKeyRead => "Microsoft.KeyVault/managedHsm/securitydomain/transferkey/read",
        /// `securitydomain/upload/action`.
        SecurityDomainUpload => "Microsoft.KeyVault/managedHsm/securitydomain/upload/action",
        /// `securitydomain/upload/read`.
        SecurityDomainUploadRead => "Microsoft.KeyVault/managedHsm/securitydomain/upload/read",
        /// `settings/read/action`.
        SettingsRead => "Microsoft.KeyVault/managedHsm/settings/read/action",
        /// `settings/write/action`.
        SettingsWrite => "Microsoft.KeyVault/managedHsm/settings/write/action",
    }
);

/// A set of [`DataAction`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<DataAction>", into = "Vec<DataAction>")]
pub struct DataActionSet(u64);

impl DataActionSet {
    /// The set that allows nothing.
    pub const EMPTY: Self = Self(0);

    /// Whether the action is in the set.
    pub const fn contains(self, action: DataAction) -> bool {
        self.0 & (1 << action as u64) != 0
    }

    /// Everything in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Everything in this set but not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether everything in the other set is in this one.
    pub const fn is_superset(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// The actions, in the order of the vocabulary.
    pub fn iter(self) -> impl Iterator<Item = DataAction> {
        DataAction::ALL.iter().copied().filter(move |action| self.contains(*action))
    }
}

impl FromIterator<DataAction> for DataActionSet {
    fn from_iter<I: IntoIterator<Item = DataAction>>(actions: I) -> Self {
        Self(actions.into_iter().fold(0, |bits, action| bits | 1 << action as u64))
    }
}

impl From<Vec<DataAction>> for DataActionSet {
    fn from(actions: Vec<DataAction>) -> Self {
        actions.into_iter().collect()
    }
}

impl From<DataActionSet> for Vec<DataAction> {
    fn from(actions: DataActionSet) -> Self {
        actions.iter().collect()
    }
}
