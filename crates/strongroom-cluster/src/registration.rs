//! A node's entry in the store: what others must know to rely on it.

use serde::{Deserialize, Serialize};
use strongroom_store::Revision;

/// Prefix of the registrations. They are not sealed: they hold no secret, and a store that lies about them can break no more
/// than one that withholds changes.
pub const REGISTRATIONS: &str = "node/";

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
    pub(crate) fn new(name: &str, applied: Revision) -> Self {
        Self { name: name.to_owned(), applied: applied.0, renewals: 0, standing: Standing::Registered }
    }

    pub(crate) fn renewed(&self, applied: Revision) -> Self {
        Self { applied: applied.0, renewals: self.renewals.saturating_add(1), ..self.clone() }
    }

    pub(crate) fn expelled(&self) -> Self {
        Self { standing: Standing::Expelled, ..self.clone() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // Text and numbers always have a form in JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// One that cannot be read counts as that of a node which has applied nothing: it is waited for and then expelled.
    pub(crate) fn decode(value: &[u8]) -> Self {
        serde_json::from_slice(value).unwrap_or_else(|_| Self::new("unreadable", Revision(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_read_as_it_was_written() {
        let registration = Registration::new("a", Revision(7)).renewed(Revision(9)).expelled();
        assert_eq!(Registration::decode(&registration.encode()), registration);
        assert_eq!(registration.renewals, 1);
    }

    #[test]
    fn one_that_cannot_be_read_has_applied_nothing() {
        let unreadable = Registration::decode(b"{\"format\":9}");
        assert_eq!((unreadable.applied, unreadable.standing), (0, Standing::Registered));
    }
}
