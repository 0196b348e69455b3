//! Where a store lies in etcd: everything below one prefix, and what is ours apart from what is written through the
//! contract.
//!
//! ```text
//! PREFIX/format      which form the rest has
//! PREFIX/turn        written when the answer of a commit was lost
//! PREFIX/data/KEY    what was committed as KEY
//! ```
//!
//! Form 1 had `PREFIX/owner` too, the record of the one node that might use the store.

use etcd_client::proto::PbKeyValue;

use crate::{Entry, Revision, StoreError};

/// The keys of one store.
pub(super) struct Keyspace {
    prefix: String,
    format: String,
    turn: String,
    data: String,
}

impl Keyspace {
    /// A prefix is an absolute path of at most [`PREFIX_BYTES_MAX`] bytes in ASCII letters, digits and `/._-`, which does not
    /// end in `/`.
    pub(super) fn new(prefix: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        let is_path = prefix.len() > 1 && prefix.starts_with('/') && !prefix.ends_with('/');
        let good = is_path && prefix.len() <= PREFIX_BYTES_MAX && prefix.bytes().all(allowed);
        good.then(|| Self {
            prefix: prefix.to_owned(),
            format: format!("{prefix}/format"),
            turn: format!("{prefix}/turn"),
            data: format!("{prefix}/data/"),
        })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn format(&self) -> &str {
        &self.format
    }

    pub(super) fn turn(&self) -> &str {
        &self.turn
    }

    /// In form 1 only.
    pub(super) fn owner(&self) -> String {
        format!("{}/owner", self.prefix)
    }

    /// The first key below the prefix, and the one behind its last.
    pub(super) fn everything(&self) -> (Vec<u8>, Vec<u8>) {
        let first = format!("{}/", self.prefix).into_bytes();
        let end = behind_prefix(&first);
        (first, end)
    }

    pub(super) fn data(&self, key: &str) -> Vec<u8> {
        format!("{}{key}", self.data).into_bytes()
    }

    /// The first key of a range, and the one behind its last.
    pub(super) fn range(&self, prefix: &str, after: Option<&str>) -> (Vec<u8>, Vec<u8>) {
        let first = self.data(prefix);
        let end = behind_prefix(&first);
        match after.filter(|after| *after >= prefix) {
            Some(after) => {
                let mut next = self.data(after);
                next.push(0);
                (next, end)
            }
            None => (first, end),
        }
    }

    /// The contract's key of one of etcd's.
    pub(super) fn key(&self, raw: Vec<u8>) -> Result<String, StoreError> {
        let text = String::from_utf8(raw).ok();
        let key = text.as_deref().and_then(|text| text.strip_prefix(&self.data));
        key.map(str::to_owned).ok_or_else(|| StoreError::Damaged {
            path: self.prefix.clone(),
            detail: "etcd holds a key there that no commit can have written".to_owned(),
        })
    }

    /// The contract's entry of one of etcd's.
    pub(super) fn entry(&self, raw: PbKeyValue) -> Result<Entry, StoreError> {
        Ok(Entry {
            key: self.key(raw.key)?,
            value: raw.value,
            created: revision(raw.create_revision),
            modified: revision(raw.mod_revision),
        })
    }
}

/// etcd counts in signed numbers and never below zero.
pub(super) fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or_default())
}

/// The other way; no store lives long enough for the bound to count.
pub(super) fn number(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// The first key behind all that begin with a text. Its last byte is no 255: that is never part of UTF-8.
fn behind_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

/// Longest prefix: the keys of the largest commit then add 8 KiB to a request, far below etcd's limit.
const PREFIX_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_plain_absolute_path() {
        for good in ["/strongroom", "/a/b-c_d.e", "/1"] {
            assert!(Keyspace::new(good).is_some(), "{good}");
        }
        for bad in ["", "/", "a", "/a/", "/a b", "/ä", "/a\0", &format!("/{}", "a".repeat(PREFIX_BYTES_MAX))] {
            assert!(Keyspace::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_range_begins_behind_a_key_and_ends_with_its_prefix() {
        let keyspace = Keyspace::new("/p").unwrap();
        let range = |prefix, after| {
            let (first, end) = keyspace.range(prefix, after);
            (String::from_utf8(first).unwrap(), String::from_utf8_lossy(&end).into_owned())
        };
        assert_eq!(range("a/", None), ("/p/data/a/".to_owned(), "/p/data/a0".to_owned()));
        assert_eq!(range("a/", Some("a/1")), ("/p/data/a/1\0".to_owned(), "/p/data/a0".to_owned()));
        assert_eq!(range("a/", Some("a")), ("/p/data/a/".to_owned(), "/p/data/a0".to_owned()));
        assert_eq!(range("", None), ("/p/data/".to_owned(), "/p/data0".to_owned()));
    }

    #[test]
    fn a_key_comes_back_as_it_was_and_another_stores_key_is_damage() {
        let keyspace = Keyspace::new("/p").unwrap();
        assert_eq!(keyspace.key(keyspace.data("é/1")).unwrap(), "é/1");
        assert!(matches!(keyspace.key(b"/q/data/a".to_vec()), Err(StoreError::Damaged { .. })));
        assert!(matches!(keyspace.key(b"/p/data/\xff".to_vec()), Err(StoreError::Damaged { .. })));
    }
}
