//! Documents that must exist, crate pages that must be written, links that must lead somewhere.

use std::path::Path;

use super::Source;
use crate::workspace::{Crate, Workspace};

pub(super) fn findings(workspace: &Workspace, sources: &[Source]) -> Vec<String> {
    let exists = |path: &str| sources.iter().any(|source| source.path == Path::new(path));
    let missing = REQUIRED.iter().filter(|path| !exists(path)).map(|path| format!("{path}: is missing"));
    let pages = workspace.crates.iter().filter_map(|member| crate_page(workspace, member, sources));
    let pages_of_text = sources.iter().filter(|source| source.path.extension().is_some_and(|it| it == "md"));
    let links = pages_of_text.flat_map(|source| dead_links(&workspace.root, source));
    missing.chain(pages).chain(links).collect()
}

/// What is wrong with the page at the head of a crate.
fn crate_page(workspace: &Workspace, member: &Crate, sources: &[Source]) -> Option<String> {
    let folder = member.folder.strip_prefix(&workspace.root).ok()?;
    let roots = [folder.join("src/lib.rs"), folder.join("src/main.rs")];
    let Some(source) = roots.iter().find_map(|path| sources.iter().find(|source| source.path == *path)) else {
        return Some(format!("{}: has neither src/lib.rs nor src/main.rs", member.name));
    };
    let lines = source.text.lines().take_while(|line| line.starts_with("//!")).count();
    (lines < PAGE_LINES_MIN).then(|| {
        format!("{}: begins with a page (`//!`): what it is for, what not, how it fails", source.path.display())
    })
}

/// Relative links of a page whose file is not there.
fn dead_links(root: &Path, page: &Source) -> Vec<String> {
    let folder = root.join(&page.path).parent().unwrap_or(root).to_owned();
    let targets = page.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
    let inside = targets.filter(|target| !target.is_empty() && !target.contains(':'));
    let dead = inside.filter(|target| !folder.join(target).exists());
    dead.map(|target| format!("{}: the link to {target} leads nowhere", page.path.display())).collect()
}

/// A page says at least what the crate is for and how it fails.
const PAGE_LINES_MIN: usize = 3;

const REQUIRED: [&str; 14] = [
    ".ci/run",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "deny.toml",
    "docs/adding-an-algorithm.md",
    "docs/adding-an-operation.md",
    "docs/compatibility.md",
    "docs/errors.md",
    "docs/threat-model.md",
    "xtask/tidy-exceptions.toml",
];

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Source, crate_page, dead_links};
    use crate::workspace::{Crate, Workspace};

    fn page(path: &str, text: &str) -> Source {
        Source { path: PathBuf::from(path), text: text.to_owned() }
    }

    #[test]
    fn a_link_to_a_file_that_is_not_there_is_reported() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("there.md"), "x").expect("written");
        let text = "[a](there.md#part) [b](gone.md) [c](https://example.org/) [d](#here)";
        let found = dead_links(folder.path(), &page("page.md", text));
        assert_eq!(found, ["page.md: the link to gone.md leads nowhere"]);
    }

    #[test]
    fn a_crate_without_a_page_is_reported() {
        let member = || Crate { name: "a".to_owned(), folder: PathBuf::from("/clone/crates/a"), edges: Vec::new() };
        let workspace =
            Workspace { root: PathBuf::from("/clone"), target: PathBuf::from("/clone/target"), crates: Vec::new() };
        let said = |text: &str| crate_page(&workspace, &member(), &[page("crates/a/src/lib.rs", text)]);
        assert!(said("//! a.\n").is_some());
        assert_eq!(said("//! What a is.\n//!\n//! How it fails.\n"), None);
    }
}
