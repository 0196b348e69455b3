//! `[[storage_account]]` and `[backup]`: blob stores, and where backups may go.

use std::collections::BTreeSet;
use std::path::{Component, PathBuf};

use serde::Deserialize;
use strongroom_core::backup::BackupRules;
use strongroom_core::pools::{BlobEndpoint, StorageAccountName};

use crate::blob::AllowedHost;
use crate::config::SettingsError;
use crate::config::settings::in_range;

/// `[[storage_account]]`: a blob store, and the name under which the management plane knows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfiguredAccount {
    /// What `az storage account create --name` says.
    pub name: StorageAccountName,
    /// Where its blobs lie: `https://account.blob.example.com`, or `https://127.0.0.1:10000/account`.
    pub blob_endpoint: BlobEndpoint,
    /// Its shared key in base64, for who may list keys; without it there is none to list.
    pub key_file: Option<PathBuf>,
}

/// `[backup]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// Directories below which `file:` addresses may lie; without it, `backups` in the data folder.
    pub directories: Option<Vec<PathBuf>>,
    /// Hosts besides the storage accounts' that a SAS may be for.
    pub allowed_hosts: Vec<AllowedHost>,
    /// How old a backup of the target may be for a full restore, in minutes.
    pub fresh_target_backup_minutes: u32,
    /// When a backup or restore reports its end at the earliest, in seconds after its start.
    pub earliest_end_seconds: u32,
}

impl Default for Backup {
    fn default() -> Self {
        let BackupRules { fresh_target_backup_minutes, earliest_end_seconds, part_bytes: _ } = BackupRules::default();
        Self {
            directories: None,
            allowed_hosts: Vec::new(),
            fresh_target_backup_minutes: fresh_target_backup_minutes.unwrap_or_default(),
            earliest_end_seconds,
        }
    }
}

/// Both, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StorageSettings {
    /// Blob stores that storage accounts are made over; no two have the same name.
    pub accounts: Vec<ConfiguredAccount>,
    /// Directories below which backups may lie; without them, `backups` in the data folder.
    pub directories: Option<Vec<PathBuf>>,
    /// Hosts besides the storage accounts' that a SAS may be for.
    pub hosts: Vec<AllowedHost>,
    /// The rules of backup and restore.
    pub rules: BackupRules,
}

impl StorageSettings {
    /// Checks what the parts of the file say.
    ///
    /// # Errors
    /// [`SettingsError::StorageAccountTwice`], [`SettingsError::BackupDirectory`], [`SettingsError::OutOfRange`].
    pub fn resolve(accounts: Vec<ConfiguredAccount>, backup: Backup) -> Result<Self, SettingsError> {
        let Backup { directories, allowed_hosts, fresh_target_backup_minutes, earliest_end_seconds } = backup;
        let minutes = u64::from(fresh_target_backup_minutes);
        in_range("backup.fresh_target_backup_minutes", minutes, 1..=FRESH_MINUTES_MAX)?;
        in_range("backup.earliest_end_seconds", u64::from(earliest_end_seconds), 0..=EARLIEST_END_SECONDS_MAX)?;
        let rules = BackupRules {
            fresh_target_backup_minutes: Some(fresh_target_backup_minutes),
            earliest_end_seconds,
            ..BackupRules::default()
        };
        check_accounts(&accounts)?;
        check_directories(directories.as_deref().unwrap_or_default())?;
        Ok(Self { accounts, directories, hosts: allowed_hosts, rules })
    }
}

fn check_accounts(accounts: &[ConfiguredAccount]) -> Result<(), SettingsError> {
    let mut seen = BTreeSet::new();
    match accounts.iter().find(|account| !seen.insert(account.name.as_str())) {
        None => Ok(()),
        Some(twice) => Err(SettingsError::StorageAccountTwice(twice.name.to_string())),
    }
}

/// Addresses of backups do not depend on where a server was started, so neither may the directories.
fn check_directories(directories: &[PathBuf]) -> Result<(), SettingsError> {
    let plain = |path: &&PathBuf| {
        path.is_absolute() && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
    };
    match directories.iter().find(|path| !plain(path)) {
        None => Ok(()),
        Some(odd) => Err(SettingsError::BackupDirectory(odd.clone())),
    }
}

/// A day: longer, and the rule that a target is backed up just before would mean nothing.
const FRESH_MINUTES_MAX: u64 = 24 * 60;
/// Longer than any client waits between two questions.
const EARLIEST_END_SECONDS_MAX: u64 = 60;
