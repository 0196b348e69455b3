//! `cargo xtask instructions`: what each hot path costs, counted by callgrind and held against ceilings in the repository.
//!
//! Counted is what valgrind's processor executes. It has AES and AVX2, and neither SHA extensions nor AVX-512: hashing and
//! RSA cost more there than on a processor that has them, the same on every machine that has AVX2 itself. And counted is the
//! build that the tests have already made: cryptography is optimised in it and our code is not, so a count is far above what a
//! release needs and still grows with the work that is done.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::steps::Steps;
use crate::test::FEATURES;
use crate::variables::blessed;
use crate::workspace::Workspace;
use crate::{environment, program};

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    if !cfg!(target_arch = "x86_64") {
        println!("instructions are counted on x86-64 only: the ceilings mean nothing here");
        return Ok(());
    }
    steps.run("what counts instructions", environment::install_valgrind)?;
    steps.run("instructions of hot paths", || {
        let counted = count(workspace)?;
        let compiler = program::output(workspace.rustc().arg("--version"), "install the Rust toolchain")?;
        let compiler = compiler.trim();
        let file = workspace.root.join(CEILINGS);
        if blessed() {
            return fs::write(&file, written(&counted, compiler)).map_err(|error| Failure::file(&file, &error));
        }
        let text = fs::read_to_string(&file).map_err(|error| Failure::file(&file, &error))?;
        let ceilings = parse(&text).ok_or_else(|| Failure::new(format!("{CEILINGS} has an unknown form"), BLESS))?;
        let (table, wrong) = compare(&counted, &ceilings.counts);
        println!("{table}");
        if ceilings.compiler != compiler {
            println!("these ceilings are of {}, and this is {compiler}: shown, and not held", ceilings.compiler);
            return Ok(());
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::new(wrong.join("; "), BLESS)) }
    })
}

/// What is in the repository.
#[derive(Debug, PartialEq, Eq)]
struct Ceilings {
    /// Another one makes other instructions of the same code.
    compiler: String,
    counts: Counts,
}

/// Instructions of one request by the name of its path.
type Counts = BTreeMap<String, u64>;

/// Runs the program under callgrind, which writes a file for each path, in their order.
fn count(workspace: &Workspace) -> Result<Counts, Failure> {
    let folder = workspace.target.join("instructions-counts");
    // Files of a run before would look like those of this one.
    let anew = if folder.exists() { fs::remove_dir_all(&folder) } else { Ok(()) };
    anew.and_then(|()| fs::create_dir_all(&folder)).map_err(|error| Failure::file(&folder, &error))?;
    let file = folder.join("counts");
    let mut bench = workspace.cargo();
    bench.args(["--config", &format!("target.'cfg(all())'.runner={}", runner(&file))]);
    bench.args(["test", "--quiet", "--workspace", "--features", FEATURES, "--bench", "instructions"]);
    let paths = program::output(&mut bench, "see the message above")?;
    let mut counts = Counts::new();
    for (number, path) in paths.lines().enumerate() {
        let unknown = || Failure::new("the program prints what is not a path and its requests", "see the output above");
        let (name, requests) = path.split_once(' ').ok_or_else(unknown)?;
        let requests: u64 = requests.parse().ok().filter(|requests| *requests > 0).ok_or_else(unknown)?;
        let total = total(&PathBuf::from(format!("{}.{}", file.display(), number + 1)))?;
        counts.insert(name.to_owned(), total / requests);
    }
    Ok(counts)
}

/// What cargo starts the program with, as TOML.
fn runner(file: &Path) -> String {
    let output = format!("--callgrind-out-file={}", file.display());
    let words = ["valgrind", "--quiet", "--tool=callgrind", &output, ZERO, DUMP];
    let words = words.map(|word| toml::Value::from(word).to_string());
    format!("[{}]", words.join(","))
}

fn total(path: &Path) -> Result<u64, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.ok_or_else(|| Failure::new(format!("{} has no total", path.display()), "use valgrind 3.19 or later"))
}

fn parse(text: &str) -> Option<Ceilings> {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let compiler = lines.next()?.to_owned();
    let count = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    Some(Ceilings { compiler, counts: lines.map(count).collect::<Option<_>>()? })
}

fn written(counted: &Counts, compiler: &str) -> String {
    let mut text = format!("{HEAD}{compiler}\n");
    for (name, count) in counted {
        let _ = writeln!(text, "{name:<20} {count:>12}");
    }
    text
}

/// A table for people, and what is above its ceiling or has none.
fn compare(counted: &Counts, ceilings: &Counts) -> (String, Vec<String>) {
    let mut table = format!("{:<20}{:>12}{:>12}{:>9}\n", "path", "instructions", "ceiling", "");
    let mut wrong = Vec::new();
    for (name, count) in counted {
        let Some(ceiling) = ceilings.get(name) else {
            wrong.push(format!("{name} has no ceiling"));
            continue;
        };
        let percent = (*count as f64 / *ceiling as f64 - 1.0) * 100.0;
        let is_above = count.saturating_mul(100) > ceiling.saturating_mul(100 + TOLERANCE);
        let word = if is_above {
            "above"
        } else if count.saturating_mul(100) < ceiling.saturating_mul(100 - TOLERANCE) {
            "below: bless it"
        } else {
            ""
        };
        let _ = writeln!(table, "{name:<20}{count:>12}{ceiling:>12}{percent:>+8.1}% {word}");
        if is_above {
            wrong.push(format!("{name} costs {count} instructions, {percent:.1} % more than {ceiling}"));
        }
    }
    let gone = ceilings.keys().filter(|name| !counted.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{name} has a ceiling and was not counted")));
    (table, wrong)
}

/// Per cent that a count may be above its ceiling: two runs have differed by less than half of one.
const TOLERANCE: u64 = 3;
const ZERO: &str = "--zero-before=instructions::measured";
const DUMP: &str = "--dump-after=instructions::measured";
const CEILINGS: &str = "crates/strongroom-server/benches/instructions/ceilings.txt";
const BLESS: &str =
    "make it cheaper, or accept it: STRONGROOM_BLESS=1 cargo xtask instructions, and say why in the commit";
const HEAD: &str = "\
# Instructions of one request, all threads, as valgrind's processor executes the build of the tests (docs/performance.md),
# with the compiler that made it. Written by STRONGROOM_BLESS=1 cargo xtask instructions.
";

#[cfg(test)]
mod tests {
    use super::{Ceilings, Counts, compare, parse, written};

    fn counts(counts: &[(&str, u64)]) -> Counts {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let counted = counts(&[("get-key", 90_000), ("a-path-with-a-name-longer-than-its-column", 7)]);
        let compiler = "rustc 1.95.0 (59807616e 2026-04-14)";
        let text = written(&counted, compiler);
        assert_eq!(parse(&text), Some(Ceilings { compiler: compiler.to_owned(), counts: counted }));
        assert_eq!(parse("rustc 1.95.0\nget-key many"), None);
    }

    #[test]
    fn a_count_above_its_ceiling_without_one_or_not_taken_is_wrong() {
        let ceilings = counts(&[("a", 1000), ("b", 1000), ("c", 1000), ("gone", 1000)]);
        let (table, wrong) = compare(&counts(&[("a", 1030), ("b", 1031), ("c", 10), ("new", 1)]), &ceilings);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].starts_with("b costs 1031 instructions, 3.1 % more than 1000"), "{wrong:?}");
        assert!(wrong[1].starts_with("new ") && wrong[2].starts_with("gone "), "{wrong:?}");
        assert!(table.contains("below"), "{table}");
    }
}
