//! Tags of resources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pools::{Error, Result};

/// The tags of a resource: names and values that mean something to its owners.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// Most tags of a resource (Azure Resource Manager).
    pub const COUNT_MAX: usize = 50;
    /// Longest name, in characters (Azure Resource Manager).
    pub const NAME_MAX: usize = 512;
    /// Longest value, in characters (Azure Resource Manager).
    pub const VALUE_MAX: usize = 256;

    /// Checks what a user wrote.
    ///
    /// # Errors
    /// [`Error::BadProperty`] beyond the limits.
    pub fn new(tags: BTreeMap<String, String>) -> Result<Self> {
        if tags.len() > Self::COUNT_MAX {
            return Err(Error::bad_property("tags", "at most 50 tags are allowed"));
        }
        let fits = |(name, value): (&String, &String)| {
            (1..=Self::NAME_MAX).contains(&name.chars().count()) && value.chars().count() <= Self::VALUE_MAX
        };
        if !tags.iter().all(fits) {
            return Err(Error::bad_property("tags", "a name has 1 to 512 characters, a value at most 256"));
        }
        Ok(Self(tags))
    }

    /// The tags.
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The tags themselves.
    pub fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_tags_fit_and_no_more() {
        let tags = |count: usize| (0..count).map(|n| (format!("t{n}"), String::new())).collect();
        assert!(Tags::new(tags(50)).is_ok());
        assert!(Tags::new(tags(51)).is_err());
        assert!(Tags::new(BTreeMap::from([("n".to_owned(), "v".repeat(257))])).is_err());
    }
}
