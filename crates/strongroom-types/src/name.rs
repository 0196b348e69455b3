//! Names people choose, and the version identifiers below them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::ParseError;
use crate::vocabulary::serde_as_text;

/// The name of a key: 1 to 127 characters `[0-9a-zA-Z-]` (REST: `key-name` pattern).
///
/// Compared without case; printed as it was written.
#[derive(Debug, Clone)]
pub struct KeyName {
    text: Arc<str>,
    /// Where it is another text.
    folded: Option<Arc<str>>,
}

impl KeyName {
    /// Longest name, in characters.
    pub const LENGTH_MAX: usize = 127;

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one form in which names are compared and stored: ASCII lower case.
    pub fn folded(&self) -> &str {
        self.folded.as_ref().unwrap_or(&self.text)
    }
}

impl FromStr for KeyName {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !fits {
            return Err(ParseError::new("key name", "1 to 127 characters 0-9, a-z, A-Z and -"));
        }
        Ok(Self { text: text.into(), folded: folded(text) })
    }
}

macro_rules! host_label_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// It is the first label of a host name, so it is compared without case.
        #[derive(Debug, Clone)]
        pub struct $name {
            text: Arc<str>,
            /// Where it is another text.
            folded: Option<Arc<str>>,
        }

        impl $name {
            /// The name as it was written.
            pub fn as_str(&self) -> &str {
                &self.text
            }

            /// The one form in which names are compared and stored: ASCII lower case.
            pub fn folded(&self) -> &str {
                self.folded.as_ref().unwrap_or(&self.text)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if !is_host_label_name(text) {
                    return Err(ParseError::new(
                        $what,
                        "3 to 24 letters, digits and single hyphens, beginning with a letter, ending with a letter or digit",
                    ));
                }
                Ok(Self { text: text.into(), folded: folded(text) })
            }
        }
    };
}

host_label_name!(
    /// The name of a managed HSM: 3 to 24 characters, a letter first, letters, digits and single hyphens, no hyphen at the end.
    HsmName,
    "managed HSM name"
);
host_label_name!(
    /// The name of a vault: 3 to 24 characters, a letter first, letters, digits and single hyphens, no hyphen at the end.
    VaultName,
    "vault name"
);

fn is_host_label_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (3..=24).contains(&bytes.len())
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && !text.contains("--")
}

/// A name in lower case, if that is another text. Names are cloned for every request: they share their text.
fn folded(text: &str) -> Option<Arc<str>> {
    text.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| text.to_ascii_lowercase().into())
}

macro_rules! compared_folded {
    ($name:ident) => {
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.folded() == other.folded()
            }
        }
        impl Eq for $name {}
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.folded().cmp(other.folded())
            }
        }
        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.folded().hash(state);
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text)
            }
        }
        serde_as_text!($name);
    };
}
compared_folded!(KeyName);
compared_folded!(HsmName);
compared_folded!(VaultName);

/// A version of a key: 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersion([u8; 16]);

impl KeyVersion {
    /// From 16 random bytes.
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Uuid::from_bytes(self.0).simple().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl FromStr for KeyVersion {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Of the spellings of a GUID only the one without hyphens has so many characters.
        let guid = (text.len() == KEY_VERSION_DIGITS).then(|| Uuid::try_parse(text).ok()).flatten();
        let version = guid.map(|guid| Self(guid.into_bytes()));
        version.ok_or_else(|| ParseError::new("key version", "32 hexadecimal digits"))
    }
}

const KEY_VERSION_DIGITS: usize = 32;
serde_as_text!(KeyVersion);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_name_ends_at_127_characters() {
        assert!("a".repeat(127).parse::<KeyName>().is_ok());
        for text in ["", "a_b", "ä", "a/b", &"a".repeat(128)] {
            assert!(text.parse::<KeyName>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_compared_without_case_and_printed_as_written() {
        let (one, two): (KeyName, KeyName) = ("Alpha".parse().unwrap(), "aLPHA".parse().unwrap());
        assert_eq!(one, two);
        assert_eq!(one.to_string(), "Alpha");
    }

    #[test]
    fn an_hsm_name_is_a_dns_label_that_begins_with_a_letter() {
        assert!("ContosoMHSM".parse::<HsmName>().is_ok());
        for text in ["ab", "1ab", "a--b", "ab-", "-ab", "a.b", &"a".repeat(25)] {
            assert!(text.parse::<HsmName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_version_round_trips_and_takes_no_sign() {
        let text = "0123456789abcdef0123456789abcdef";
        assert_eq!(text.parse::<KeyVersion>().unwrap().to_string(), text);
        assert!("+1".repeat(16).parse::<KeyVersion>().is_err());
        assert!("0".repeat(31).parse::<KeyVersion>().is_err());
    }
}
