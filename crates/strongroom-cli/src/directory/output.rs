//! What the commands print: aligned columns for people, JSON for programs.

use std::io::Write;

use anyhow::Result;
use serde_json::Value;

use super::Graph;

/// A column: its heading, and where its text is in an item.
pub(super) type Column = (&'static str, &'static str);

impl Graph {
    /// Prints a list.
    pub(super) fn print_list(&self, items: &[Value], columns: &[Column]) -> Result<()> {
        let mut out = std::io::stdout();
        if self.json {
            writeln!(out, "{:#}", Value::from(items.to_vec()))?;
            return Ok(());
        }
        out.write_all(table(items, columns).as_bytes())?;
        Ok(())
    }

    /// Prints one thing: as JSON, or as a sentence.
    pub(super) fn print(&self, item: &Value, sentence: &str) -> Result<()> {
        let mut out = std::io::stdout();
        if self.json {
            writeln!(out, "{item:#}")?
        } else {
            writeln!(out, "{sentence}")?
        }
        Ok(())
    }
}

fn table(items: &[Value], columns: &[Column]) -> String {
    let heading = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let rows = items.iter().map(|item| columns.iter().map(|(_, pointer)| cell(item, pointer)).collect());
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let width = width(at).unwrap_or_default();
            format!("{cell:<width$}")
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cell(item: &Value, pointer: &str) -> String {
    match item.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        // Names are the directory's, which has no control characters in them.
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let items = [json!({"a": "x", "b": true}), json!({"a": "äöü", "b": null, "c": ["1", "2"]})];
        let text = table(&items, &[("NAME", "/a"), ("ON", "/b"), ("LIST", "/c")]);
        assert_eq!(text, "NAME  ON    LIST\nx     true  -\näöü   -     1, 2\n");
    }
}
