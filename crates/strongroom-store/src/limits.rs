//! The limits of the contract, checked the same way by every engine before it does anything.

use std::collections::HashSet;

use crate::{
    COMMIT_BYTES_MAX, COMMIT_OPERATIONS_MAX, Commit, Entry, KEY_BYTES_MAX, LIMIT_MAX, PAGE_BYTES_MAX, Page,
    Precondition, Revision, StoreError, Write,
};

impl Precondition {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::Unchanged(key, _) => key,
        }
    }
}

impl Write {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put(key, value) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        }
    }
}

impl Commit {
    /// Bytes of all keys and values, as [`COMMIT_BYTES_MAX`] counts them.
    pub(crate) fn bytes(&self) -> usize {
        let preconditions: usize = self.preconditions.iter().map(|precondition| precondition.key().len()).sum();
        let writes: usize = self.writes.iter().map(Write::bytes).sum();
        preconditions + writes
    }

    /// Refuses a batch that no engine may take.
    pub(crate) fn check_limits(&self) -> Result<(), StoreError> {
        let operations = self.preconditions.len() + self.writes.len();
        let bytes = self.bytes();
        if operations > COMMIT_OPERATIONS_MAX || bytes > COMMIT_BYTES_MAX {
            return Err(StoreError::TooLarge { operations, bytes });
        }
        self.preconditions.iter().try_for_each(|precondition| check_key(precondition.key()))?;
        let mut written = HashSet::with_capacity(self.writes.len());
        for write in &self.writes {
            check_key(write.key())?;
            if !written.insert(write.key()) {
                return Err(StoreError::WrittenTwice { key: write.key().to_owned() });
            }
        }
        Ok(())
    }
}

/// Refuses a key that no engine may hold.
///
/// # Errors
/// [`StoreError::KeyLength`].
pub fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(StoreError::KeyLength { bytes: key.len() });
    }
    Ok(())
}

/// A page being filled, up to its limits in entries and bytes: for engines.
#[derive(Debug)]
pub struct PageBuilder {
    page: Page,
    limit: usize,
    bytes: usize,
}

impl PageBuilder {
    /// An empty page of a revision.
    #[must_use]
    pub fn new(limit: usize, revision: Revision) -> Self {
        let page = Page { entries: Vec::new(), revision, more: false };
        Self { page, limit: limit.clamp(1, LIMIT_MAX), bytes: 0 }
    }

    /// Whether one more entry of this size fits; if not, the page knows that more follow.
    pub fn has_room(&mut self, key: &str, value: &[u8]) -> bool {
        self.bytes += key.len() + value.len();
        // One entry always fits, or a reader could never get past it.
        let full =
            self.page.entries.len() >= self.limit || (self.bytes > PAGE_BYTES_MAX && !self.page.entries.is_empty());
        self.page.more = full;
        !full
    }

    /// How many more entries its limit allows.
    #[cfg(feature = "etcd")]
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.page.entries.len())
    }

    #[cfg(feature = "etcd")]
    pub(crate) fn revision(&self) -> Revision {
        self.page.revision
    }

    /// For an engine that learns with the first entries at which revision it reads.
    #[cfg(feature = "etcd")]
    pub(crate) fn set_revision(&mut self, revision: Revision) {
        self.page.revision = revision;
    }

    /// Adds an entry that there is room for.
    pub fn push(&mut self, entry: Entry) {
        self.page.entries.push(entry);
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> Page {
        self.page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_one_entry_that_is_larger_than_a_page() {
        let mut page = PageBuilder::new(10, Revision(1));
        let value = vec![0; PAGE_BYTES_MAX + 1];
        assert!(page.has_room("a", &value));
        page.push(Entry { key: "a".into(), value, created: Revision(1), modified: Revision(1) });
        assert!(!page.has_room("b", b""));
        assert!(page.finish().more);
    }

    #[test]
    fn a_page_is_full_at_its_limit_of_bytes() {
        let mut page = PageBuilder::new(LIMIT_MAX, Revision(1));
        let value = vec![0; PAGE_BYTES_MAX / 4];
        let mut taken = 0;
        while page.has_room("", &value) {
            page.push(Entry { key: String::new(), value: value.clone(), created: Revision(1), modified: Revision(1) });
            taken += 1;
        }
        assert_eq!(taken, 4);
    }
}
