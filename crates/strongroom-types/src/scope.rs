//! Where a role assignment holds.

use std::fmt;
use std::str::FromStr;

use crate::vocabulary::serde_as_text;
use crate::{KeyName, ParseError};

/// A scope of local RBAC: the whole HSM, all keys, or all versions of one key. Rights are inherited downwards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `/`: the whole HSM.
    Root,
    /// `/keys`: all keys.
    Keys,
    /// `/keys/{name}`: one key, whether it exists yet or not.
    Key(KeyName),
}

impl Scope {
    /// Whether an assignment at this scope holds at the other one.
    pub fn covers(&self, other: &Self) -> bool {
        match self {
            Self::Root => true,
            Self::Keys => !matches!(other, Self::Root),
            Self::Key(_) => self == other,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("/"),
            Self::Keys => f.write_str("/keys"),
            Self::Key(name) => write!(f, "/keys/{name}"),
        }
    }
}

impl FromStr for Scope {
    type Err = ParseError;
    /// Repeated and trailing slashes count as one (data-plane.md §1).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = ParseError::new("scope", "/, /keys or /keys/{name}");
        let mut segments = text.split('/').filter(|segment| !segment.is_empty());
        match (segments.next(), segments.next(), segments.next()) {
            (None, ..) => Ok(Self::Root),
            (Some(keys), None, _) if keys.eq_ignore_ascii_case("keys") => Ok(Self::Keys),
            (Some(keys), Some(name), None) if keys.eq_ignore_ascii_case("keys") => {
                name.parse().map(Self::Key).map_err(|_| error)
            }
            _ => Err(error),
        }
    }
}
serde_as_text!(Scope);

#[cfg(test)]
mod tests {
    use super::Scope;

    #[test]
    fn rights_are_inherited_downwards_only() {
        let (root, keys, one, two): (Scope, Scope, Scope, Scope) =
            ("/".parse().unwrap(), "/keys".parse().unwrap(), "/keys/a".parse().unwrap(), "/keys/b".parse().unwrap());
        assert!(root.covers(&one) && keys.covers(&one) && one.covers(&one));
        assert!(!one.covers(&keys) && !keys.covers(&root) && !one.covers(&two));
    }

    #[test]
    fn scopes_parse_as_clients_write_them() {
        for text in ["", "/", "//"] {
            assert_eq!(text.parse(), Ok(Scope::Root));
        }
        assert_eq!("//keys".parse(), Ok(Scope::Keys));
        assert_eq!("/keys/A".parse::<Scope>(), "keys/a/".parse());
        assert!("/secrets".parse::<Scope>().is_err());
        assert!("/keys/a/b".parse::<Scope>().is_err());
    }
}
