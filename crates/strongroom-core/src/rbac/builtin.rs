//! The nine built-in roles, as the service lists them (roles.json: recorded and documented).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strongroom_types::{DataAction, DataActionSet, ParseError};
use uuid::Uuid;

/// The id of a role definition. On the wire it is a path; the GUID is its last segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoleDefinitionId(pub Uuid);

impl RoleDefinitionId {
    const PREFIX: &str = "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/";
}

impl fmt::Display for RoleDefinitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0)
    }
}

impl FromStr for RoleDefinitionId {
    type Err = ParseError;
    /// Takes the path with or without a leading slash (Terraform sends one).
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = ParseError::new(
            "role definition id",
            "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/{guid}",
        );
        let path = text.strip_prefix('/').unwrap_or(text);
        let (head, guid) = path.split_at_checked(Self::PREFIX.len()).ok_or(error.clone())?;
        if !head.eq_ignore_ascii_case(Self::PREFIX) || guid.len() != 36 {
            return Err(error);
        }
        Uuid::try_parse(guid).map(Self).map_err(|_| error)
    }
}

/// A role that is part of the service: a named set of data actions that nobody can change.
#[derive(Debug, Clone, Copy)]
pub struct BuiltInRole {
    /// Its id.
    pub id: RoleDefinitionId,
    /// Its name, as shown to people.
    pub role_name: &'static str,
    /// What it allows, in the service's order.
    pub data_actions: &'static [DataAction],
}

impl BuiltInRole {
    /// All of them, in the service's order.
    pub const ALL: &'static [Self] = BUILT_IN;

    /// What it allows.
    pub fn actions(&self) -> DataActionSet {
        self.data_actions.iter().copied().collect()
    }

    /// The one with an id.
    pub fn find(id: RoleDefinitionId) -> Option<&'static Self> {
        Self::ALL.iter().find(|role| role.id == id)
    }
}

/// Managed HSM Administrator: what the initial administrators get at activation.
pub const ADMINISTRATOR: RoleDefinitionId = RoleDefinitionId(Uuid::from_u128(0xa290e904_7015_4bba_90c8_60543313cdb4));

/// Managed HSM Crypto Officer.
pub const CRYPTO_OFFICER: RoleDefinitionId = RoleDefinitionId(Uuid::from_u128(0x515eb02d_2335_4d2d_92f2_b1cbdf9c3778));

/// Managed HSM Crypto User.
pub const CRYPTO_USER: RoleDefinitionId = RoleDefinitionId(Uuid::from_u128(0x21dbd100_6940_42c2_9190_5d6cb909625b));

const BUILT_IN: &[BuiltInRole] = {
    use DataAction::*;
    &[
        BuiltInRole {
            id: ADMINISTRATOR,
            role_name: "Managed HSM Administrator",
            data_actions: &[
                RoleAssignmentsRead,
                RoleAssignmentsWrite,
                RoleAssignmentsDelete,
                RoleDefinitionsRead,
                RoleDefinitionsWrite,
                RoleDefinitionsDelete,
                SecurityDomainDownload,
                SecurityDomainDownloadRead,
                SecurityDomainUpload,
                SecurityDomainUploadRead,
                SecurityDomainTransferKeyRead,
                BackupStart,
                BackupStatus,
                RestoreStart,
                RestoreStatus,
                SettingsRead,
                SettingsWrite,
            ],
        },
        BuiltInRole {
            id: CRYPTO_OFFICER,
            role_name: "Managed HSM Crypto Officer",
            data_actions: &[
                RoleAssignmentsRead,
                RoleAssignmentsWrite,
                RoleAssignmentsDelete,
                RoleDefinitionsRead,
                RoleDefinitionsWrite,
                RoleDefinitionsDelete,
                DeletedKeysRead,
                DeletedKeysRecover,
                DeletedKeysDelete,
                KeysExport,
            ],
        },
        BuiltInRole {
            id: CRYPTO_USER,
            role_name: "Managed HSM Crypto User",
            data_actions: &[
                RoleDefinitionsRead,
                RoleAssignmentsRead,
                KeysRead,
                KeysWrite,
                KeysDelete,
                KeysCreate,
                KeysRotate,
                KeysImport,
                KeysRelease,
                KeysBackup,
                KeysRestore,
                KeysEncrypt,
                KeysDecrypt,
                KeysWrap,
                KeysUnwrap,
                KeysSign,
                KeysVerify,
                KeysDerive,
                Rng,
            ],
        },
        BuiltInRole {
            id: RoleDefinitionId(Uuid::from_u128(0x4bd23610_cdcf_4971_bdee_bdc562cc28e4)),
            role_name: "Managed HSM Policy Administrator",
            data_actions: &[
                RoleDefinitionsRead,
                RoleDefinitionsWrite,
                RoleDefinitionsDelete,
                RoleAssignmentsRead,
                RoleAssignmentsWrite,
                RoleAssignmentsDelete,
            ],
        },
        BuiltInRole {
            id: RoleDefinitionId(Uuid::from_u128(0x2c18b078_7c48_4d3a_af88_5a3a1b3f82b3)),
            role_name: "Managed HSM Crypto Auditor",
            data_actions: &[RoleAssignmentsRead, RoleDefinitionsRead, KeysRead, DeletedKeysRead],
        },
        BuiltInRole {
            id: RoleDefinitionId(Uuid::from_u128(0x33413926_3206_4cdd_b39a_83574fe37a17)),
            role_name: "Managed HSM Crypto Service Encryption User",
            data_actions: &[KeysRead, KeysWrap, KeysUnwrap],
        },
        BuiltInRole {
            id: RoleDefinitionId(Uuid::from_u128(0x21dbd100_6940_42c2_9190_5d6cb909625c)),
            role_name: "Managed HSM Crypto Service Release User",
            data_actions: &[KeysRelease],
        },
        BuiltInRole {
            id: RoleDefinitionId(Uuid::from_u128(0x7b127d3c_77bd_4e3e_bbe0_dbb8971fa7f8)),
            role_name: "Managed HSM Backup",
            data_actions: &[BackupStart, BackupStatus, KeysBackup],
        },
        BuiltInRole {
            id: RoleDefinitionId(Uuid::from_u128(0x6efe6056_5259_49d2_8b3d_d3d73544b20b)),
            role_name: "Managed HSM Restore",
            data_actions: &[RestoreStart, RestoreStatus, KeysRestore],
        },
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_nine_roles_and_the_administrator_holds_no_key_action() {
        assert_eq!(BuiltInRole::ALL.len(), 9);
        let administrator = BuiltInRole::find(ADMINISTRATOR).unwrap();
        assert!(!administrator.data_actions.iter().any(|action| action.as_str().contains("/keys/")));
    }

    #[test]
    fn an_id_is_taken_with_and_without_a_leading_slash() {
        let text = ADMINISTRATOR.to_string();
        assert_eq!(text.parse(), Ok(ADMINISTRATOR));
        assert_eq!(format!("/{text}").parse(), Ok(ADMINISTRATOR));
        assert!("a290e904-7015-4bba-90c8-60543313cdb4".parse::<RoleDefinitionId>().is_err());
    }
}
