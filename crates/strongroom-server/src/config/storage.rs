//! `[[storage_account]]` and `[backup]`: blob stores, and where backups may go.

use std::collections::BTreeSet;
use std::path::{Component, PathBuf};

use serde::Deserialize;
use strongroom_core::pools::{BlobEndpoint, StorageAccountName};

use crate::blob::AllowedHost;
use crate::config::SettingsError;

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
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// Directories below which `file:` addresses may lie; without it, `backups` in the data folder.
    pub directories: Option<Vec<PathBuf>>,
    /// Hosts besides the storage accounts' that a SAS may be for.
    pub allowed_hosts: Vec<AllowedHost>,
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
}

impl StorageSettings {
    /// Checks what the parts of the file say.
    ///
    /// # Errors
    /// [`SettingsError::StorageAccountTwice`], [`SettingsError::BackupDirectory`].
    pub fn resolve(accounts: Vec<ConfiguredAccount>, backup: Backup) -> Result<Self, SettingsError> {
        let Backup { directories, allowed_hosts } = backup;
        check_accounts(&accounts)?;
        check_directories(directories.as_deref().unwrap_or_default())?;
        Ok(Self { accounts, directories, hosts: allowed_hosts })
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
