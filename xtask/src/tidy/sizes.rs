//! How long a Rust file and a function may be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Source;
use crate::failure::Failure;

/// What may be longer, with the reason, from `xtask/tidy-exceptions.toml`.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    /// File → reason.
    files: BTreeMap<String, String>,
    /// `file::function` → reason.
    functions: BTreeMap<String, String>,
}

impl Exceptions {
    pub(super) fn load(root: &Path) -> Result<Self, Failure> {
        let path = root.join("xtask/tidy-exceptions.toml");
        let text = fs::read_to_string(&path).map_err(|error| Failure::file(&path, &error))?;
        Self::parse(&text).map_err(|problem| {
            Failure::new(format!("{}: {problem}", path.display()), "the head of the file shows its form")
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let mut exceptions = Self::default();
        for (section, entries) in table {
            let into = match section.as_str() {
                "files" => &mut exceptions.files,
                "functions" => &mut exceptions.functions,
                _ => return Err(format!("unknown section `{section}`")),
            };
            *into = reasons(&section, entries)?;
        }
        Ok(exceptions)
    }
}

fn reasons(section: &str, entries: toml::Value) -> Result<BTreeMap<String, String>, String> {
    let entries: BTreeMap<String, String> =
        entries.try_into().map_err(|_| format!("section `{section}` must hold texts only"))?;
    match entries.iter().find(|(_, reason)| reason.trim().is_empty()) {
        Some((name, _)) => Err(format!("`{name}` has no reason")),
        None => Ok(entries),
    }
}

/// Files and functions that are too long without a reason, and reasons that nothing needs any more.
pub(super) fn findings(sources: &[Source], exceptions: &Exceptions) -> Vec<String> {
    let mut found = Vec::new();
    let mut files = exceptions.files.clone();
    let mut functions = exceptions.functions.clone();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let path = source.path.display().to_string();
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX && files.remove(&path).is_none() {
            found.push(format!("{path}: {lines} lines, at most {FILE_LINES_MAX}: name its second idea"));
        }
        for function in long_functions(&source.text) {
            let Function { name, line, lines } = function;
            if functions.remove(&format!("{path}::{name}")).is_none() {
                found.push(format!("{path}:{line}: `{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}"));
            }
        }
    }
    let unused = files.into_keys().chain(functions.into_keys());
    found.extend(unused.map(|name| format!("xtask/tidy-exceptions.toml: `{name}` needs no exception: remove it")));
    found
}

#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    /// Where it begins, counted from 1.
    line: usize,
    lines: usize,
}

/// Functions over the limit. rustfmt closes a function with a brace in the column of its first word, so no parser is
/// needed to find the end.
fn long_functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let end = format!("{:indent$}}}", "");
        let body = lines.iter().skip(start);
        // A function on one line, or one without a body, ends before the first such brace.
        if line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let Some(length) = body.clone().position(|line| *line == end) else { continue };
        if length + 1 > FUNCTION_LINES_MAX {
            found.push(Function { name: name.to_owned(), line: start + 1, lines: length + 1 });
        }
    }
    found
}

/// The name, if the line begins a function.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    loop {
        if let Some(name) = rest.strip_prefix("fn ") {
            return name.split(['(', '<']).next();
        }
        let (word, behind) = rest.split_once(' ')?;
        if !(word.starts_with("pub") || ["async", "const", "extern", "\"C\""].contains(&word)) {
            return None;
        }
        rest = behind;
    }
}

const FILE_LINES_MAX: usize = 600;

const FUNCTION_LINES_MAX: usize = 70;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Exceptions, FILE_LINES_MAX, FUNCTION_LINES_MAX, Source, findings, function_name, long_functions};

    fn function_with(lines: usize) -> String {
        let body = "        step();\n".repeat(lines - 2);
        format!("impl Long {{\n    pub(crate) async fn walk<T>(&self) {{\n{body}    }}\n}}\n")
    }

    #[test]
    fn a_function_at_the_limit_passes_and_one_line_more_does_not() {
        assert!(long_functions(&function_with(FUNCTION_LINES_MAX)).is_empty());
        let found = long_functions(&function_with(FUNCTION_LINES_MAX + 1));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].line, found[0].lines), ("walk", 2, FUNCTION_LINES_MAX + 1));
    }

    #[test]
    fn a_method_without_a_body_does_not_run_on_to_the_next_one() {
        let text = format!("    fn name(&self) -> &str;\n{}", function_with(5).repeat(30));
        assert!(long_functions(&text).is_empty());
    }

    #[test]
    fn only_lines_that_begin_a_function_have_a_name() {
        assert_eq!(function_name("pub(super) const fn limit() -> usize {"), Some("limit"));
        assert_eq!(function_name("    async fn sign<T: Kv>("), Some("sign"));
        assert_eq!(function_name("// a fn in a sentence"), None);
        assert_eq!(function_name("let call = fn_pointer;"), None);
    }

    #[test]
    fn an_exception_with_a_reason_is_heard_and_an_idle_one_is_reported() {
        let long = Source { path: PathBuf::from("crates/a/src/long.rs"), text: "//\n".repeat(FILE_LINES_MAX + 1) };
        let none = Exceptions::default();
        assert_eq!(findings(std::slice::from_ref(&long), &none).len(), 1);
        let exceptions = Exceptions::parse("[files]\n\"crates/a/src/long.rs\" = \"one table\"\n").expect("it parses");
        assert!(findings(&[long], &exceptions).is_empty());
        assert!(findings(&[], &exceptions)[0].contains("remove it"));
    }

    #[test]
    fn an_exception_without_a_reason_is_refused() {
        assert!(Exceptions::parse("[files]\n\"a.rs\" = \" \"\n").is_err());
        assert!(Exceptions::parse("[folders]\n\"a\" = \"because\"\n").is_err());
    }
}
