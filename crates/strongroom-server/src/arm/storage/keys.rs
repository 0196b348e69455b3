//! Shared keys of blob stores: read from their files when they are asked for, and kept nowhere.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_core::pools::StorageAccountName;
use strongroom_types::Secret;

use crate::limited_file;

/// The files with the shared keys of storage accounts.
#[derive(Debug, Clone, Default)]
pub struct StorageKeys {
    files: Vec<(StorageAccountName, PathBuf)>,
}

/// Why a file with a shared key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct StorageKeyError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it; never what it holds.
    pub problem: String,
}

impl StorageKeys {
    /// The files; no name stands twice.
    pub fn new(files: Vec<(StorageAccountName, PathBuf)>) -> Self {
        Self { files }
    }

    /// The key of an account in base64; `None` if no file is configured. A new key in the file counts at once.
    ///
    /// # Errors
    /// [`StorageKeyError`] if the file cannot be read or holds no key.
    pub async fn read(&self, account: &StorageAccountName) -> Result<Option<Secret<String>>, StorageKeyError> {
        let Some((_, path)) = self.files.iter().find(|(name, _)| name == account) else { return Ok(None) };
        let path = path.clone();
        let cut_off = StorageKeyError { path: path.clone(), problem: "reading it was cut off".to_owned() };
        let read = tokio::task::spawn_blocking(move || shared_key_in(&path)).await;
        read.map_err(|_| cut_off)?.map(Some)
    }
}

/// The shared key that a file holds, in base64.
///
/// # Errors
/// [`StorageKeyError`] if the file cannot be read or holds no key.
pub fn shared_key_in(path: &Path) -> Result<Secret<String>, StorageKeyError> {
    let failed = |problem: String| StorageKeyError { path: path.to_owned(), problem };
    let read = limited_file::read(path, FILE_BYTES_MAX).map_err(|error| failed(error.to_string()))?;
    let text = std::str::from_utf8(read.expose()).unwrap_or_default();
    let key = Secret::new(text.trim().to_owned());
    match STANDARD.decode(key.expose()).map(Secret::new) {
        Ok(bytes) if !bytes.expose().is_empty() => Ok(key),
        _ => Err(failed("it holds no key in base64".to_owned())),
    }
}

/// A key of 64 bytes has 88 characters.
const FILE_BYTES_MAX: u64 = 4096;
