//! The limits of the service that an operator may set (`[limits]`). The defaults are those of Azure Managed HSM.

use serde::Deserialize;

/// How much there may be of what clients make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Versions of one key; those made by rotation count.
    pub versions_per_key: usize,
    /// Tags of one version of a key.
    pub tags_per_key: usize,
    /// Characters of a tag's name, and of its value.
    pub tag_characters: usize,
    /// Entries of one page of a list, and the default.
    pub page_entries: usize,
    /// Role assignments at `/` and `/keys` together.
    pub role_assignments_per_hsm: usize,
    /// Role assignments at the scope of one key.
    pub role_assignments_per_key: usize,
    /// Custom role definitions.
    pub custom_roles_per_hsm: usize,
    /// Failed decryptions of one caller on one key in a minute (protocols.md §10).
    pub failed_decryptions_per_minute: usize,
}

impl Default for Limits {
    /// limits.md, "Objects"; the last one is ours.
    fn default() -> Self {
        Self {
            versions_per_key: 100,
            tags_per_key: 15,
            tag_characters: 256,
            page_entries: 25,
            role_assignments_per_hsm: 50,
            role_assignments_per_key: 10,
            custom_roles_per_hsm: 50,
            failed_decryptions_per_minute: 100,
        }
    }
}

/// A limit is set to nothing, or to more than the records that it is about can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("limits.{name} must be 1 to {highest}")]
pub struct LimitOutOfRange {
    /// Which one.
    pub name: &'static str,
    /// The highest value it takes.
    pub highest: usize,
}

impl Limits {
    /// Refuses values that cannot be kept: a key's name record, all rights of an HSM and a page must stay small.
    ///
    /// # Errors
    /// [`LimitOutOfRange`] names the first that is wrong.
    pub fn check(&self) -> Result<(), LimitOutOfRange> {
        let Self {
            versions_per_key,
            tags_per_key,
            tag_characters,
            page_entries,
            role_assignments_per_hsm,
            role_assignments_per_key,
            custom_roles_per_hsm,
            failed_decryptions_per_minute,
        } = *self;
        let ranges = [
            ("versions_per_key", versions_per_key, 1000),
            ("tags_per_key", tags_per_key, 50),
            ("tag_characters", tag_characters, 512),
            ("page_entries", page_entries, 250),
            ("role_assignments_per_hsm", role_assignments_per_hsm, 1000),
            ("role_assignments_per_key", role_assignments_per_key, 100),
            ("custom_roles_per_hsm", custom_roles_per_hsm, 500),
            ("failed_decryptions_per_minute", failed_decryptions_per_minute, 100_000),
        ];
        match ranges.into_iter().find(|(_, value, highest)| !(1..=*highest).contains(value)) {
            None => Ok(()),
            Some((name, _, highest)) => Err(LimitOutOfRange { name, highest }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_too_much_are_refused() {
        Limits::default().check().unwrap();
        for versions_per_key in [0, 1001] {
            let error = Limits { versions_per_key, ..Limits::default() }.check().unwrap_err();
            assert_eq!(error.to_string(), "limits.versions_per_key must be 1 to 1000");
        }
        Limits { versions_per_key: 1000, ..Limits::default() }.check().unwrap();
    }
}
