//! Identifiers that are drawn, not chosen: GUIDs and numbers, one type for each meaning.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ParseError, Timestamp};

macro_rules! guid {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// From 16 random bytes; version and variant bits are set (RFC 9562 §5.4).
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// Wraps a GUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The GUID itself.
            pub const fn uuid(&self) -> Uuid {
                self.0
            }

            /// The 16 bytes, big-endian.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                // The hyphenated form only: urn:, braces and bare hex are other people's spellings.
                if text.len() != 36 {
                    return Err(ParseError::new($what, "a GUID such as 00000000-0000-0000-0000-000000000000"));
                }
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| ParseError::new($what, "a GUID such as 00000000-0000-0000-0000-000000000000"))
            }
        }
    };
}

guid!(
    /// A directory tenant (`tid`).
    TenantId,
    "tenant id"
);
guid!(
    /// A user, group, service principal or managed identity (`oid`); its meaning is bound to one tenant.
    PrincipalId,
    "principal id"
);
guid!(
    /// One life of a managed HSM: made at creation, never restored, never reused. Names of HSMs come and go, this does not.
    InstanceId,
    "instance id"
);
guid!(
    /// One deployment: everything that lives in one store.
    DeploymentId,
    "deployment id"
);
guid!(
    /// One node of a deployment: drawn at its first start, kept in its data folder.
    NodeId,
    "node id"
);
guid!(
    /// A security domain: what several HSMs share after a recovery.
    DomainId,
    "domain id"
);
guid!(
    /// What a key name points to; versions and material lie under it.
    KeyId,
    "key id"
);

impl KeyId {
    /// From a time and 16 random bytes, of which 74 bits remain (RFC 9562 §5.7). Keys that are made one after the other lie
    /// beside each other in the store, and share the pages that are written for them.
    pub fn from_time_and_random(made: Timestamp, bytes: [u8; 16]) -> Self {
        let millis = u64::try_from(made.millis()).unwrap_or_default();
        let [_, _, _, _, _, _, random @ ..] = bytes;
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

/// The number of a root within a security domain, counted from 1; it rises when the root is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u32);

impl Epoch {
    /// The first root of a domain.
    pub const FIRST: Self = Self(1);

    /// From its number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_are_in_the_order_of_their_time_and_differ_at_the_same_time() {
        let id = |seconds, byte| KeyId::from_time_and_random(Timestamp::from_seconds(seconds), [byte; 16]);
        assert!(id(1_795_000_000, 0xFF) < id(1_795_000_001, 0));
        assert!(id(1_795_000_000, 0xFF).to_string() < id(1_795_000_001, 0).to_string(), "in the store too");
        assert_ne!(id(1_795_000_000, 1), id(1_795_000_000, 2));
        assert_eq!(id(1_795_000_000, 1).uuid().get_version_num(), 7);
        assert_eq!(id(-5, 1), id(0, 1), "a clock before 1970 makes an id all the same");
    }
}
