//! The protocol of a step: what the people in the room sign.

use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use strongroom_security_domain::Thumbprint;
use strongroom_types::Timestamp;

use super::CeremonyError;
use super::files::{Input, write_new};

/// What was done, with which files, and what came out. It never holds a secret.
pub(super) struct Protocol {
    facts: Map<String, Value>,
    read: Vec<Value>,
    written: Vec<Value>,
    warnings: Vec<String>,
}

impl Protocol {
    pub(super) fn of(step: &str) -> Self {
        let mut facts = Map::new();
        facts.insert("ceremony".to_owned(), step.into());
        facts.insert("time".to_owned(), rfc3339(now()).into());
        facts.insert("program".to_owned(), concat!("strongroom ", env!("CARGO_PKG_VERSION")).into());
        Self { facts, read: Vec::new(), written: Vec::new(), warnings: Vec::new() }
    }

    /// Notes a fact.
    pub(super) fn say(&mut self, name: &str, value: Value) {
        self.facts.insert(name.to_owned(), value);
    }

    /// Notes what a person must know.
    pub(super) fn warn(&mut self, warning: &str) {
        self.warnings.push(warning.to_owned());
    }

    /// Notes a file that was read.
    pub(super) fn read(&mut self, what: &str, input: &Input) {
        self.read.push(file(what, &input.path, input.text.expose().as_bytes()));
    }

    /// Writes a file that must not exist yet, and notes it.
    pub(super) fn wrote(&mut self, what: &str, path: &Path, bytes: &[u8]) -> Result<(), CeremonyError> {
        write_new(path, bytes)?;
        self.written.push(file(what, path, bytes));
        Ok(())
    }

    /// Prints it on standard output: for people, or as one JSON object.
    pub(super) fn print(self, as_json: bool) -> Result<(), CeremonyError> {
        let Self { mut facts, read, written, warnings } = self;
        for (name, list) in [("read", json!(read)), ("written", json!(written)), ("warnings", json!(warnings))] {
            if list.as_array().is_some_and(|list| !list.is_empty()) {
                facts.insert(name.to_owned(), list);
            }
        }
        let facts = Value::Object(facts);
        let text = if as_json { format!("{facts:#}\n") } else { render(&facts) };
        std::io::stdout().write_all(text.as_bytes()).map_err(CeremonyError::Print)
    }
}

/// Name, path and SHA-256 (base64url, as thumbprints are).
fn file(what: &str, path: &Path, bytes: &[u8]) -> Value {
    json!({"what": what, "path": path.display().to_string(), "sha256": hex(Thumbprint::of(bytes).as_bytes())})
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Rows of name and value; what is nested is indented.
fn render(facts: &Value) -> String {
    let mut text = String::new();
    if let Value::Object(members) = facts {
        // These first, then the rest in the order of the names.
        let first = ["ceremony", "time", "program"];
        for name in first.into_iter().chain(members.keys().map(String::as_str).filter(|name| !first.contains(name))) {
            if let Some(value) = members.get(name) {
                render_member(&mut text, 0, name, value);
            }
        }
    }
    text
}

fn render_member(text: &mut String, depth: usize, name: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) => {
            text.push_str(&format!("{indent}{name}\n"));
            members.iter().for_each(|(name, value)| render_member(text, depth + 1, name, value));
        }
        Value::Array(items) => {
            text.push_str(&format!("{indent}{name}{}\n", if items.is_empty() { "  none" } else { "" }));
            items.iter().for_each(|item| render_item(text, depth + 1, item));
        }
        _ => text.push_str(&format!("{indent}{name:<18} {}\n", plain(value))),
    }
}

fn render_item(text: &mut String, depth: usize, item: &Value) {
    let indent = "  ".repeat(depth);
    match item {
        Value::Object(members) => {
            let parts: Vec<String> =
                ["what", "sha256", "path"].iter().filter_map(|name| members.get(*name)).map(plain).collect();
            text.push_str(&format!("{indent}{}\n", parts.join("  ")));
        }
        _ => text.push_str(&format!("{indent}{}\n", plain(item))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "a protocol says when it was made; nothing is decided by it")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_seconds(i64::try_from(since.as_secs()).unwrap_or_default())
}

/// As text, in UTC.
pub(super) fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_for_people_names_everything_that_the_json_has() {
        let facts = json!({
            "ceremony": "open",
            "custodians": {"required": 2, "total": 3, "x5t#S256": ["one", "two"]},
            "written": [{"what": "upload", "path": "/tmp/upload.json", "sha256": "00ff"}],
            "warnings": ["be careful"],
            "present": [],
        });
        let text = render(&facts);
        assert!(text.starts_with("ceremony           open\n"), "{text}");
        for part in
            ["required           2", "    one\n", "upload  00ff  /tmp/upload.json", "be careful", "present  none"]
        {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert_eq!(rfc3339(Timestamp::from_seconds(1_800_000_000)), "2027-01-15T08:00:00Z");
    }
}
