//! Where the repository is, which files it has, and what cargo says about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::Failure;
use crate::program;

/// The checked-out repository.
pub(crate) struct Workspace {
    /// The folder with the workspace manifest.
    pub(crate) root: PathBuf,
    /// Where cargo builds; the test environment is kept below it.
    pub(crate) target: PathBuf,
    /// The workspace's own crates.
    pub(crate) crates: Vec<Crate>,
}

/// A crate of the workspace.
pub(crate) struct Crate {
    pub(crate) name: String,
    /// The folder with its manifest.
    pub(crate) folder: PathBuf,
    /// Crates of this workspace that it names in its manifest.
    pub(crate) edges: Vec<Edge>,
}

/// A dependency of one workspace crate on another.
pub(crate) struct Edge {
    pub(crate) on: String,
    pub(crate) kind: EdgeKind,
}

/// Whether an edge is part of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EdgeKind {
    /// A normal or build dependency.
    Product,
    /// A dependency of tests, examples and benchmarks.
    Development,
}

impl Workspace {
    /// Asks cargo for the workspace this program was built from.
    pub(crate) fn load() -> Result<Self, Failure> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let mut metadata = cargo();
        metadata.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(&manifest);
        let remedy = "run `cargo metadata --no-deps` and mend the manifest it names";
        let text = program::output(&mut metadata, remedy)?;
        let metadata: Value =
            serde_json::from_str(&text).map_err(|error| Failure::new(format!("cargo metadata: {error}"), remedy))?;
        Self::from_metadata(&metadata)
            .ok_or_else(|| Failure::new("cargo metadata has an unknown form", "use the toolchain of Cargo.toml"))
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let packages = metadata.get("packages")?.as_array()?;
        Some(Self {
            root: PathBuf::from(metadata.get("workspace_root")?.as_str()?),
            target: PathBuf::from(metadata.get("target_directory")?.as_str()?),
            crates: packages.iter().map(Crate::from_package).collect::<Option<_>>()?,
        })
    }

    /// A cargo command that runs in the repository's root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }

    /// The compiler that cargo takes in the repository's root.
    pub(crate) fn rustc(&self) -> Command {
        let mut command = Command::new("rustc");
        command.current_dir(&self.root);
        command
    }

    /// The files of the repository, those not yet added included, ignored ones not; relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut list = Command::new("git");
        list.current_dir(&self.root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let text = program::output(&mut list, "run this in a git clone, with git installed")?;
        let named = text.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
        Ok(named.filter(|path| self.root.join(path).is_file()).collect())
    }

    /// The folder of the installed test clients.
    pub(crate) fn test_environment(&self) -> PathBuf {
        self.target.join("test-env")
    }
}

impl Crate {
    fn from_package(package: &Value) -> Option<Self> {
        let manifest = Path::new(package.get("manifest_path")?.as_str()?);
        let dependencies = package.get("dependencies")?.as_array()?;
        // Only dependencies inside the workspace have a path.
        let inside = dependencies.iter().filter(|dependency| dependency.get("path").is_some_and(Value::is_string));
        Some(Self {
            name: package.get("name")?.as_str()?.to_owned(),
            folder: manifest.parent()?.to_owned(),
            edges: inside.map(Edge::from_dependency).collect::<Option<_>>()?,
        })
    }
}

impl Edge {
    fn from_dependency(dependency: &Value) -> Option<Self> {
        let kind = match dependency.get("kind")?.as_str() {
            Some("dev") => EdgeKind::Development,
            _ => EdgeKind::Product,
        };
        Some(Self { on: dependency.get("name")?.as_str()?.to_owned(), kind })
    }
}

fn cargo() -> Command {
    // cargo names itself to the programs it runs; a direct call of the binary takes the one on the path.
    #[expect(clippy::disallowed_methods, reason = "a build task has no configuration of its own")]
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{EdgeKind, Workspace};

    #[test]
    fn only_dependencies_inside_the_workspace_are_edges() {
        let metadata = json!({
            "workspace_root": "/clone",
            "target_directory": "/clone/target",
            "packages": [{
                "name": "strongroom-core",
                "manifest_path": "/clone/crates/strongroom-core/Cargo.toml",
                "dependencies": [
                    {"name": "serde", "kind": null},
                    {"name": "strongroom-types", "kind": null, "path": "/clone/crates/strongroom-types"},
                    {"name": "strongroom-testkit", "kind": "dev", "path": "/clone/crates/strongroom-testkit"},
                ],
            }],
        });
        let workspace = Workspace::from_metadata(&metadata).expect("the metadata is whole");
        let edges: Vec<_> = workspace.crates[0].edges.iter().map(|edge| (edge.on.as_str(), edge.kind)).collect();
        assert_eq!(edges, [("strongroom-types", EdgeKind::Product), ("strongroom-testkit", EdgeKind::Development)]);
    }

    #[test]
    fn the_repository_lists_its_own_manifest() {
        let workspace = Workspace::load().expect("tests run in a clone");
        let files = workspace.files().expect("git is there");
        assert!(files.iter().any(|path| path == std::path::Path::new("xtask/src/workspace.rs")));
        assert!(workspace.crates.iter().any(|member| member.name == "xtask"));
    }
}
