//! Why a task ended, and what to do about it.

use std::fmt;

/// One line of cause and one of remedy; anything longer has been printed before.
#[derive(Debug)]
pub(crate) struct Failure {
    cause: String,
    /// What the reader can do, in one line.
    pub(crate) remedy: String,
}

impl Failure {
    pub(crate) fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause: cause.into(), remedy: remedy.into() }
    }

    /// A file of the repository or of the test environment that could not be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(format!("{}: {error}", path.display()), "check the path, its owner and the free space")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}
