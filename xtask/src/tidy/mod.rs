//! `cargo xtask tidy`: the repository's own rules, which no compiler checks.
//!
//! All rules are looked at before the task fails, so that one run names everything there is to mend.

mod documents;
mod edges;
mod sizes;
mod words;

use std::fs;
use std::path::PathBuf;

use crate::failure::Failure;
use crate::workspace::Workspace;

/// Applies every rule.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let sources = sources(workspace)?;
    let exceptions = sizes::Exceptions::load(&workspace.root)?;
    let findings = [
        edges::findings(&workspace.crates),
        sizes::findings(&sources, &exceptions),
        words::findings(&sources),
        documents::findings(workspace, &sources),
    ]
    .concat();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("{} files, nothing to mend", sources.len());
        return Ok(());
    }
    Err(Failure::new(format!("tidy found {} things to mend", findings.len()), "mend the lines above; each says what"))
}

/// A text file of the repository.
struct Source {
    /// Relative to the root.
    path: PathBuf,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "rs")
    }
}

/// The text files; what is not UTF-8 has no words and no lines.
fn sources(workspace: &Workspace) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for path in workspace.files()? {
        let full = workspace.root.join(&path);
        let bytes = fs::read(&full).map_err(|error| Failure::file(&full, &error))?;
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}
