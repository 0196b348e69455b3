//! The little of OData's `$filter` that clients of the management plane use.

use crate::arm::error::ArmError;
use crate::http::odata::literal;

/// One condition; a filter is conditions joined by `and`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// `name eq 'value'`.
    Equals(String, String),
    /// `name('value')` or `name()`.
    Call(String, Option<String>),
}

/// Parses a filter; an absent one has no conditions. Names are in lower case.
pub(crate) fn parse(filter: Option<&str>) -> Result<Vec<Condition>, ArmError> {
    let Some(text) = filter.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
    if text.len() > LENGTH_MAX {
        return Err(ArmError::FilterNotValid);
    }
    let mut rest = text;
    let mut conditions = Vec::new();
    loop {
        let (found, behind) = condition(rest).ok_or(ArmError::FilterNotValid)?;
        conditions.push(found);
        let behind = behind.trim_start();
        if behind.is_empty() {
            return Ok(conditions);
        }
        rest = strip_word(behind, "and").ok_or(ArmError::FilterNotValid)?;
    }
}

fn condition(text: &str) -> Option<(Condition, &str)> {
    let text = text.trim_start();
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && !"./_".contains(letter))?;
    let (name, rest) = text.split_at_checked(end)?;
    if name.is_empty() {
        return None;
    }
    let name = name.to_ascii_lowercase();
    if let Some(inside) = rest.trim_start().strip_prefix('(') {
        let inside = inside.trim_start();
        if let Some(rest) = inside.strip_prefix(')') {
            return Some((Condition::Call(name, None), rest));
        }
        let (value, rest) = literal(inside)?;
        return Some((Condition::Call(name, Some(value)), rest.trim_start().strip_prefix(')')?));
    }
    let (value, rest) = literal(strip_word(rest.trim_start(), "eq")?.trim_start())?;
    Some((Condition::Equals(name, value), rest))
}

/// What follows a word, in any case, and a space.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (found, rest) = text.split_at_checked(word.len())?;
    (found.eq_ignore_ascii_case(word) && rest.starts_with(' ')).then_some(rest)
}

const LENGTH_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn equals(name: &str, value: &str) -> Condition {
        Condition::Equals(name.to_owned(), value.to_owned())
    }

    #[test]
    fn filters_of_real_clients_are_understood() {
        let cases = [
            ("roleName eq 'Key Vault Reader'", vec![equals("rolename", "Key Vault Reader")]),
            ("atScope()", vec![Condition::Call("atscope".into(), None)]),
            ("assignedTo('1')", vec![Condition::Call("assignedto".into(), Some("1".into()))]),
            (
                "atScopeAndBelow() and type EQ 'CustomRole'",
                vec![Condition::Call("atscopeandbelow".into(), None), equals("type", "CustomRole")],
            ),
            ("resourceType eq 'Microsoft.KeyVault/vaults'", vec![equals("resourcetype", "Microsoft.KeyVault/vaults")]),
            ("roleName eq 'it''s'", vec![equals("rolename", "it's")]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(Some(text)).unwrap(), expected, "{text}");
        }
        assert!(parse(None).unwrap().is_empty() && parse(Some(" ")).unwrap().is_empty());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in
            ["roleName", "roleName eq x", "roleName eq 'x", "a eq 'b' or c eq 'd'", "f('x'", "eq 'x'", "é eq 'x'"]
        {
            assert!(parse(Some(text)).is_err(), "{text}");
        }
        assert!(parse(Some(&format!("a eq '{}'", "x".repeat(2000)))).is_err());
    }
}
