//! Small files that the configuration names: read whole, and never more of them than they can sensibly hold.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use strongroom_types::Secret;

/// What a file holds.
///
/// # Errors
/// What the system says; [`io::ErrorKind::FileTooLarge`] beyond so many bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Secret<Vec<u8>>> {
    let file = File::open(path)?;
    // All at once: growing would leave copies behind.
    let capacity = file.metadata()?.len().min(bytes_max) + 1;
    let mut bytes = Secret::new(Vec::with_capacity(usize::try_from(capacity).unwrap_or_default()));
    file.take(bytes_max + 1).read_to_end(bytes.expose_mut())?;
    if u64::try_from(bytes.expose().len()).is_ok_and(|length| length <= bytes_max) {
        return Ok(bytes);
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {bytes_max} bytes")))
}

/// Most bytes of a file with certificates or a private key.
pub(crate) const PEM_BYTES_MAX: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(read(file.path(), 5).unwrap().expose(), b"12345");
        assert_eq!(read(file.path(), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        // One that says nothing of its length, and never ends.
        assert_eq!(read(Path::new("/dev/zero"), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
