//! The kept inputs of a target.

use std::io;
use std::path::{Path, PathBuf};

use super::Target;

/// Inputs to begin with, in the order of their files' names.
#[derive(Debug)]
pub struct Corpus {
    /// The inputs, never empty.
    pub inputs: Vec<Vec<u8>>,
}

impl Corpus {
    /// Reads the corpus of a target from the repository.
    ///
    /// # Errors
    /// What the file system says; [`io::ErrorKind::NotFound`] if there is no input.
    pub fn read(target: Target) -> io::Result<Self> {
        let folder = Self::folder(target);
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
        files.sort();
        let inputs: Vec<_> = files.iter().map(std::fs::read).collect::<io::Result<_>>()?;
        if inputs.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{} is empty", folder.display())));
        }
        Ok(Self { inputs })
    }

    /// Where it lies.
    pub fn folder(target: Target) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target.name())
    }
}
