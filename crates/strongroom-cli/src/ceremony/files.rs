//! Files of a ceremony: read with a limit, written once, durable and for their owner only.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use strongroom_security_domain::TEXT_BYTES_MAX;
use strongroom_types::Secret;

use super::CeremonyError;

/// A file that was read. It may be a private key.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) text: Secret<String>,
}

pub(crate) fn read(path: &Path) -> Result<Input, CeremonyError> {
    let failed = |source| CeremonyError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let limit = TEXT_BYTES_MAX as u64;
    if length > limit {
        return Err(CeremonyError::NoText(path.to_owned()));
    }
    // Room for all of it from the start: growing would leave copies of a private key behind.
    let mut bytes = Secret::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1));
    file.take(limit).read_to_end(bytes.expose_mut()).map_err(failed)?;
    let text = std::str::from_utf8(bytes.expose()).map_err(|_| CeremonyError::NoText(path.to_owned()))?;
    Ok(Input { path: path.to_owned(), text: Secret::new(text.to_owned()) })
}

/// The first line of a file, or of standard input for `-`.
pub(crate) fn read_password(path: &Path) -> Result<Secret<String>, CeremonyError> {
    let text = if path == Path::new("-") {
        let mut line = Secret::new(String::with_capacity(PASSWORD_BYTES_MAX));
        let failed = |source| CeremonyError::Read { path: path.to_owned(), source };
        std::io::stdin().take(PASSWORD_BYTES_MAX as u64).read_to_string(line.expose_mut()).map_err(failed)?;
        line
    } else {
        read(path)?.text
    };
    Ok(Secret::new(text.expose().lines().next().unwrap_or_default().to_owned()))
}

pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), CeremonyError> {
    let failed = |source| CeremonyError::Write { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    // A new name is durable only when its folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Longest password read from standard input, in bytes.
const PASSWORD_BYTES_MAX: usize = 4096;
