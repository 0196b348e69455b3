//! The private keys that custodians bring.

use std::path::PathBuf;

use clap::Args;
use strongroom_security_domain::CustodianKey;

use super::CeremonyError;
use super::files::{Input, read, read_password};

/// Which keys, and where their passwords are.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// A custodian's private key (PEM); its certificate lies beside it, as NAME.cer for NAME.key. Repeat it for each.
    #[arg(long = "key", value_name = "FILE", required = true, num_args = 1..)]
    keys: Vec<PathBuf>,
    /// File whose first line is a password; the first is that of the first encrypted key, and so on.
    #[arg(long = "password-file", value_name = "FILE", num_args = 1..)]
    password_files: Vec<PathBuf>,
}

/// A key that was read, with the file of its certificate.
pub(crate) struct HeldKey {
    pub(crate) key: CustodianKey,
    pub(crate) certificate: Input,
}

impl Keys {
    /// Reads all of them.
    ///
    /// # Errors
    /// The first file that cannot be used; a password without a key, a key without its password.
    pub(crate) fn read(&self) -> Result<Vec<HeldKey>, CeremonyError> {
        let mut passwords = self.password_files.iter();
        let mut held = Vec::new();
        for path in &self.keys {
            let (key, certificate) = (read(path)?, read(&path.with_extension("cer"))?);
            let password = if key.text.expose().contains("BEGIN ENCRYPTED PRIVATE KEY") {
                let file = passwords.next().ok_or_else(|| CeremonyError::PasswordMissing(path.clone()))?;
                Some(read_password(file)?)
            } else {
                None
            };
            let key = CustodianKey::from_pem(key.text.expose(), certificate.text.expose(), password.as_ref())
                .map_err(|problem| CeremonyError::Key { path: path.clone(), problem })?;
            held.push(HeldKey { key, certificate });
        }
        if passwords.next().is_some() {
            return Err(CeremonyError::PasswordTooMany);
        }
        Ok(held)
    }
}
