//! A platform root in a file: who can read it and the store has every key.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_types::Secret;

use super::RootProvider;
use crate::one_use::OneUseKeys;
use crate::{CryptoError, Entropy, Label, Root, SystemEntropy};

/// The root provider `file`.
///
/// The file is text, so that it can be printed and typed in again: a comment, then 32 bytes in base64. What it wraps is
/// ```text
/// format u8 = 1 | salt 32 | ciphertext | tag 16
/// ```
/// under a one-use AES-256-GCM key, with format and purpose as associated data.
pub struct FileRoot {
    keys: OneUseKeys,
    check_value: [u8; 16],
}

impl FileRoot {
    /// Opens an existing root file.
    ///
    /// # Errors
    /// [`CryptoError::RootFile`] if it cannot be read, is no root file, or others than its owner may read it.
    pub fn open(path: &Path) -> Result<Self, CryptoError> {
        let failed = |error: std::io::Error| root_file(path, error.to_string());
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(root_file(path, "is not a regular file".to_owned()));
        }
        if metadata.mode() & 0o077 != 0 {
            let mode = metadata.mode() & 0o7777;
            let problem = format!("mode {mode:03o} lets others read or change it; run `chmod 600` on it");
            return Err(root_file(path, problem));
        }
        // Room for the longest file from the start: growing would leave copies of the secret behind.
        let mut text = Secret::new(String::with_capacity(FILE_BYTES_MAX as usize));
        file.take(FILE_BYTES_MAX).read_to_string(text.expose_mut()).map_err(failed)?;
        let root = parse(text.expose())
            .ok_or_else(|| root_file(path, "holds no root: expected one line of 32 bytes in base64".to_owned()))?;
        Self::from_root(&root)
    }

    /// Draws a new root and writes it to a file that must not exist yet. When this returns it is on disk.
    ///
    /// # Errors
    /// [`CryptoError::RootFile`] if the file exists or cannot be written.
    pub fn create(path: &Path, entropy: &dyn Entropy) -> Result<Self, CryptoError> {
        let failed = |error: std::io::Error| root_file(path, error.to_string());
        let root = Root::generate(entropy)?;
        let text = Secret::new(format!("{COMMENT}\n{}\n", STANDARD.encode(root.expose())));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(text.expose().as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        // A new name is durable only when its folder is.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Self::from_root(&root)
    }

    fn from_root(root: &Root) -> Result<Self, CryptoError> {
        let check = root.derive(Label::Check, &[b"file"])?;
        let (check_value, _) = check.expose().split_first_chunk().ok_or(CryptoError::Library("HKDF"))?;
        let key = root.derive(Label::Wrap, &[])?;
        Ok(Self { keys: OneUseKeys::new(key.expose()), check_value: *check_value })
    }
}

impl RootProvider for FileRoot {
    fn name(&self) -> &'static str {
        "file"
    }

    fn wrap(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.keys.seal(&SystemEntropy, vec![FORMAT], &associated_data(purpose), secret)
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        match wrapped.split_first() {
            Some((&FORMAT, rest)) => self.keys.open(&associated_data(purpose), rest),
            _ => Err(CryptoError::Rejected),
        }
    }

    fn check_value(&self) -> [u8; 16] {
        self.check_value
    }
}

impl std::fmt::Debug for FileRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileRoot").finish_non_exhaustive()
    }
}

const FORMAT: u8 = 1;
/// Longest root file read, in bytes: the comment may be rewritten, the file is no place for more.
const FILE_BYTES_MAX: u64 = 4096;
const COMMENT: &str =
    "# strongroom root: with this line and the store every key can be read. Keep it secret, keep a copy offline.";

fn associated_data(purpose: &str) -> Vec<u8> {
    [&[FORMAT], purpose.as_bytes()].concat()
}

/// The one line that is neither empty nor a comment.
fn parse(text: &str) -> Option<Root> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let bytes = Secret::new(STANDARD.decode(line).ok()?);
    Root::from_bytes(bytes.expose()).ok()
}

fn root_file(path: &Path, problem: String) -> CryptoError {
    CryptoError::RootFile { path: path.display().to_string(), problem }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_root_file_opens_again_as_the_same_root() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let made = FileRoot::create(&path, &SystemEntropy).unwrap();
        let opened = FileRoot::open(&path).unwrap();
        assert_eq!(made.check_value(), opened.check_value());
        let wrapped = made.wrap("deployment", b"secret").unwrap();
        assert_eq!(opened.unwrap("deployment", &wrapped).unwrap().expose(), b"secret");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_secret_unwraps_only_unaltered_for_its_purpose_and_under_its_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = FileRoot::create(&folder.path().join("a"), &SystemEntropy).unwrap();
        let other = FileRoot::create(&folder.path().join("b"), &SystemEntropy).unwrap();
        assert_ne!(root.check_value(), other.check_value());
        let wrapped = root.wrap("deployment", b"secret").unwrap();
        assert_ne!(root.wrap("deployment", b"secret").unwrap(), wrapped);
        assert_eq!(root.unwrap("hsm", &wrapped).unwrap_err(), CryptoError::Rejected);
        assert_eq!(other.unwrap("deployment", &wrapped).unwrap_err(), CryptoError::Rejected);
        for position in 0..wrapped.len() {
            let mut altered = wrapped.clone();
            altered[position] ^= 1;
            assert_eq!(root.unwrap("deployment", &altered).unwrap_err(), CryptoError::Rejected);
            assert_eq!(root.unwrap("deployment", &wrapped[..position]).unwrap_err(), CryptoError::Rejected);
        }
    }

    #[test]
    fn a_root_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let first = FileRoot::create(&path, &SystemEntropy).unwrap();
        assert!(matches!(FileRoot::create(&path, &SystemEntropy), Err(CryptoError::RootFile { .. })));
        assert_eq!(FileRoot::open(&path).unwrap().check_value(), first.check_value());
    }

    #[test]
    fn a_root_file_that_others_can_read_is_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        FileRoot::create(&path, &SystemEntropy).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let message = FileRoot::open(&path).unwrap_err().to_string();
            assert!(message.contains("root.key") && message.contains("chmod 600"), "{message}");
        }
    }

    #[test]
    fn a_file_without_exactly_one_root_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let line = STANDARD.encode([7; 32]);
        for text in ["", "# comment\n", "c2hvcnQ=\n", &format!("{line}\n{line}\n"), &line[..40]] {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let message = FileRoot::open(&path).unwrap_err().to_string();
            assert!(message.contains("no root") && !message.contains("BwcH"), "{message}");
        }
    }
}
