//! A node's entry in the store: what others must know to rely on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strongroom_store::{Kv, Revision, StoreError, entries};

use crate::node::{Identity, OpenError};
use crate::timing::{ACKNOWLEDGEMENT_MAX, Timing};

/// Prefix of the registrations. They are not sealed: they hold no secret, and a store that lies about them can break no more
/// than one that withholds changes.
pub const REGISTRATIONS: &str = "node/";

/// Prefix of what says that a node is being emptied: behind it comes the node's id. An operator writes it, the node removes it at
/// its next start.
pub const DRAINS: &str = "drain/";

/// The registrations in a store, and the revision they were read at, for those who are no node.
///
/// # Errors
/// What the store says.
pub async fn registrations(store: &dyn Kv) -> Result<(Revision, Vec<(String, Registration)>), StoreError> {
    let (revision, found) = entries(store, REGISTRATIONS).await?;
    Ok((revision, found.into_iter().map(|entry| (entry.key, Registration::decode(&entry.value))).collect()))
}

/// Refuses a release that reads records up to this form, beside a node that may write newer ones. A registration that is left from
/// a node which has gone counts as well: nobody knows what it has written.
///
/// # Errors
/// [`OpenError::NewerNode`].
pub fn refuse_newer<'a>(
    registrations: impl IntoIterator<Item = &'a Registration>,
    records: u32,
) -> Result<(), OpenError> {
    match registrations.into_iter().find(|registration| registration.records > records) {
        Some(Registration { name, release, .. }) => {
            Err(OpenError::NewerNode { name: name.clone(), release: release.clone() })
        }
        None => Ok(()),
    }
}

/// The id of the node whose registration lies under a store key.
#[must_use]
pub fn node_of(key: &str) -> Option<&str> {
    // Behind the id come the start and a number, which have no hyphen in them.
    key.strip_prefix(REGISTRATIONS)?.rsplitn(3, '-').nth(2)
}

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// What people call the node.
    pub name: String,
    /// Every change up to this revision counts in every answer of the node.
    pub applied: u64,
    /// Rises with each renewal.
    pub renewals: u64,
    /// Whether the node may serve.
    pub standing: Standing,
    /// T + margin of the node: how long it is waited for after its expulsion. `None` in one that cannot be read.
    pub waited_for: Option<Duration>,
    /// The release that the node runs; empty in one of a release that did not say so.
    #[serde(default)]
    pub release: String,
    /// The newest form of records that the node reads and may write; 0 in one of a release that did not say so.
    #[serde(default)]
    pub records: u32,
}

/// Whether others rely on a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// The node renews it.
    Registered,
    /// Another node has ended it. The node may go on serving for T + margin at most, so it is waited for that long; then the
    /// record is removed.
    Expelled,
}

impl Registration {
    pub(crate) fn new(identity: &Identity, applied: Revision, timing: Timing) -> Self {
        let Identity { id: _, start: _, name, release, records } = identity.clone();
        let waited_for = Some(timing.must_wait());
        Self { name, applied: applied.0, renewals: 0, standing: Standing::Registered, waited_for, release, records }
    }

    pub(crate) fn renewed(&self, applied: Revision) -> Self {
        Self { applied: applied.0, renewals: self.renewals.saturating_add(1), ..self.clone() }
    }

    pub(crate) fn expelled(&self) -> Self {
        Self { standing: Standing::Expelled, ..self.clone() }
    }

    /// How long after its expulsion the node may still serve, as a node with times of its own sees it: the longer of both, so
    /// that no record makes anybody wait less than without it. No node's T + margin is above the limit ([`Timing::check`]).
    pub(crate) fn must_wait(&self, own: Timing) -> Duration {
        own.must_wait().max(self.waited_for.unwrap_or_default()).min(ACKNOWLEDGEMENT_MAX)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // Text and numbers always have a form in JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What lies in a store that is not trusted: what people are shown of it has no control characters.
    ///
    /// One that cannot be read counts as that of a node which has applied nothing: it is waited for and then expelled. Only a newer
    /// release writes such a one, so no node starts beside it. If no node runs that expels and removes it, and none of the newer
    /// release is to run, an operator removes the record.
    pub(crate) fn decode(value: &[u8]) -> Self {
        let mut read: Self = serde_json::from_slice(value).unwrap_or_else(|_| Self {
            name: "unreadable".to_owned(),
            applied: 0,
            renewals: 0,
            standing: Standing::Registered,
            waited_for: None,
            release: "unknown".to_owned(),
            records: u32::MAX,
        });
        for shown in [&mut read.name, &mut read.release] {
            shown.retain(|character| !character.is_control());
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let (id, start, name) = ("a".to_owned(), "1".to_owned(), "machine".to_owned());
        Identity { id, start, name, release: "1.2.3".to_owned(), records: 4 }
    }

    #[test]
    fn a_registration_is_read_as_it_was_written() {
        let registration =
            Registration::new(&identity(), Revision(7), Timing::default()).renewed(Revision(9)).expelled();
        assert_eq!(Registration::decode(&registration.encode()), registration);
        assert_eq!(registration.renewals, 1);
    }

    #[test]
    fn a_store_key_names_the_node() {
        assert_eq!(node_of("node/a-b-0f-12"), Some("a-b"), "an id may have hyphens");
        for odd in ["node/a", "node/a-1", "key/a-0f-1", ""] {
            assert_eq!(node_of(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_registration_of_an_older_or_a_newer_release_is_read() {
        let older = br#"{"name":"a","applied":7,"renewals":1,"standing":"Registered","waited_for":null}"#;
        let read = Registration::decode(older);
        assert_eq!((read.applied, read.release.as_str(), read.records), (7, "", 0));
        let mut newer = serde_json::to_value(Registration::new(&identity(), Revision(7), Timing::default())).unwrap();
        newer["zone"] = "b".into();
        let read = Registration::decode(&serde_json::to_vec(&newer).unwrap());
        assert_eq!((read.applied, read.release.as_str(), read.records), (7, "1.2.3", 4));
    }

    #[test]
    fn one_that_cannot_be_read_has_applied_nothing() {
        let unreadable = Registration::decode(b"{\"format\":9}");
        assert_eq!((unreadable.applied, unreadable.standing), (0, Standing::Registered));
        assert_eq!(unreadable.must_wait(Timing::default()), Timing::default().must_wait());
    }

    #[test]
    fn no_node_starts_beside_one_that_may_write_what_it_cannot_read() {
        let known = Registration::new(&identity(), Revision(1), Timing::default());
        refuse_newer([&known], 4).unwrap();
        let refused = refuse_newer([&known], 3).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "node machine of release 1.2.3 may write records that this release cannot read"
        );
        let unreadable = Registration::decode(b"{\"format\":9}").expelled();
        let read_back = Registration::decode(&unreadable.encode());
        assert!(refuse_newer([&known, &read_back], 4).is_err(), "also when it was expelled");
    }

    #[test]
    fn names_without_control_characters_reach_a_terminal() {
        let odd = Identity { name: "a\u{1b}[2Jb\n".to_owned(), release: "1\r2".to_owned(), ..identity() };
        let read = Registration::decode(&Registration::new(&odd, Revision(1), Timing::default()).encode());
        assert_eq!((read.name.as_str(), read.release.as_str()), ("a[2Jb", "12"));
    }

    #[test]
    fn a_node_with_a_longer_time_to_serve_is_waited_for_longer() {
        let own = Timing::default();
        for (serving, waited) in [(5, 5500), (4, 4500), (3, 4500)] {
            let theirs = Timing { serving: Duration::from_secs(serving), ..own };
            let expelled = Registration::new(&identity(), Revision(1), theirs).renewed(Revision(2)).expelled();
            let read = Registration::decode(&expelled.encode());
            assert_eq!(read.must_wait(own), Duration::from_millis(waited), "T = {serving} s");
        }
        let endless =
            Registration { waited_for: Some(Duration::MAX), ..Registration::new(&identity(), Revision(1), own) };
        assert_eq!(endless.must_wait(own), ACKNOWLEDGEMENT_MAX);
    }
}
