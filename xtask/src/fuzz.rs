//! `cargo xtask fuzz`: the fuzz targets under libFuzzer, for as long as one likes.
//!
//! The same entry points are part of `cargo test` with a fixed number of seeded inputs; this task looks for what those
//! do not reach. It needs a nightly toolchain, because libFuzzer needs flags of the compiler that are not stable.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::program;
use crate::steps::Steps;
use crate::tools::Tool;
use crate::workspace::Workspace;

/// What to fuzz, and how long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order<'a> {
    /// One target; all of them if there is none.
    target: Option<&'a str>,
    /// For each target.
    seconds: u32,
}

impl<'a> Order<'a> {
    pub(crate) fn parse(arguments: &[&'a str]) -> Option<Self> {
        let (seconds, rest) = match arguments {
            ["--seconds", seconds, rest @ ..] => (seconds.parse().ok().filter(|seconds| *seconds > 0)?, rest),
            rest => (SECONDS, rest),
        };
        match rest {
            [] => Some(Self { target: None, seconds }),
            [target] if !target.starts_with('-') => Some(Self { target: Some(target), seconds }),
            _ => None,
        }
    }
}

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps, order: &Order<'_>) -> Result<(), Failure> {
    let targets = chosen(targets(&workspace.root)?, order.target)?;
    steps.run("nightly toolchain", || {
        let mut version = Command::new("rustup");
        program::run(version.args(["run", NIGHTLY, "rustc", "--version"]), "rustup toolchain install nightly")
    })?;
    let cargo_fuzz = steps.run("cargo-fuzz", || CARGO_FUZZ.install(workspace))?;
    for target in targets {
        steps.run(&target, || {
            // libFuzzer writes what it finds interesting into the first folder: the kept corpus stays small.
            let found = workspace.target.join("fuzz/found").join(&target);
            fs::create_dir_all(&found).map_err(|error| Failure::file(&found, &error))?;
            let mut fuzz = Command::new(&cargo_fuzz);
            // Not the cargo that runs this task, which is the stable one.
            fuzz.current_dir(&workspace.root).env("RUSTUP_TOOLCHAIN", NIGHTLY).env_remove("CARGO");
            fuzz.args(["run", "--target-dir"]).arg(workspace.target.join("fuzz")).arg(&target);
            fuzz.arg(found).arg(Path::new(CORPUS).join(&target)).arg("--");
            fuzz.arg(format!("-max_total_time={}", order.seconds)).args(LIMITS);
            program::run(&mut fuzz, "mend what the input above shows, keep it in fuzz/corpus, and write a unit test")
        })?;
    }
    Ok(())
}

/// Every target: it has a folder of kept inputs.
fn targets(root: &Path) -> Result<Vec<String>, Failure> {
    let folder = root.join(CORPUS);
    let entries = fs::read_dir(&folder).map_err(|error| Failure::file(&folder, &error))?;
    let mut names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn chosen(targets: Vec<String>, wanted: Option<&str>) -> Result<Vec<String>, Failure> {
    let Some(wanted) = wanted else { return Ok(targets) };
    if targets.iter().any(|target| target == wanted) {
        return Ok(vec![wanted.to_owned()]);
    }
    Err(Failure::new(format!("there is no target {wanted}"), format!("one of: {}", targets.join(", "))))
}

const CORPUS: &str = "fuzz/corpus";

const NIGHTLY: &str = "nightly";

const CARGO_FUZZ: Tool = Tool { name: "cargo-fuzz", program: "cargo-fuzz", version: "0.13.2" };

/// What one input may cost: 20 s, 2 GiB, 64 KiB of length.
const LIMITS: [&str; 3] = ["-timeout=20", "-rss_limit_mb=2048", "-max_len=65536"];

/// How long each target runs unless the command line says otherwise.
const SECONDS: u32 = 60;

#[cfg(test)]
mod tests {
    use super::{Order, SECONDS, chosen, targets};
    use crate::workspace::Workspace;

    #[test]
    fn seconds_and_target_are_understood() {
        assert_eq!(Order::parse(&[]), Some(Order { target: None, seconds: SECONDS }));
        assert_eq!(Order::parse(&["token"]), Some(Order { target: Some("token"), seconds: SECONDS }));
        assert_eq!(Order::parse(&["--seconds", "5", "token"]), Some(Order { target: Some("token"), seconds: 5 }));
        for wrong in [&["--seconds"][..], &["--seconds", "0"], &["--seconds", "x"], &["--fast"], &["token", "path"]] {
            assert_eq!(Order::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_target_that_is_not_there_is_refused_with_those_that_are() {
        let all = targets(&Workspace::load().expect("tests run in a clone").root).expect("the corpus is there");
        assert_eq!(chosen(all.clone(), Some("token")).expect("it is there"), ["token"]);
        assert_eq!(chosen(all.clone(), None).expect("all"), all);
        let failure = chosen(all, Some("tokens")).expect_err("there is no such target");
        assert!(failure.remedy.contains("token"), "{}", failure.remedy);
    }
}
