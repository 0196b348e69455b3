//! Hosts that a SAS may be for: `[backup] allowed_hosts`.

use std::str::FromStr;

use serde::Deserialize;

use crate::outgoing::Reach;

/// A host by its own name, or all hosts below a domain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AllowedHost {
    /// `backups.example.com`, `10.0.0.5`: wherever that is.
    Exact(String),
    /// `*.blob.core.windows.net`: at public addresses, because others choose the names.
    Below(String),
}

/// It is neither a host nor `*.` and a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host: backups.example.com, 10.0.0.5 or *.blob.core.windows.net are")]
pub struct HostNotValid(String);

impl AllowedHost {
    /// How far a host of this name may be away; `None` if it is not meant.
    pub(super) fn reach(&self, host: &str) -> Option<Reach> {
        match self {
            Self::Exact(name) => (name == host).then_some(Reach::Everywhere),
            Self::Below(domain) => {
                let label = host.strip_suffix(domain.as_str()).and_then(|label| label.strip_suffix('.'));
                label.is_some_and(|label| !label.is_empty()).then_some(Reach::Public)
            }
        }
    }
}

impl FromStr for AllowedHost {
    type Err = HostNotValid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        let is_host = |host: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
            !host.is_empty() && host.len() <= HOST_MAX && host.bytes().all(plain) && !host.starts_with('.')
        };
        match lower.strip_prefix("*.") {
            Some(domain) if is_host(domain) && domain.contains('.') => Ok(Self::Below(domain.to_owned())),
            None if is_host(&lower) => Ok(Self::Exact(lower)),
            _ => Err(HostNotValid(text.chars().take(HOST_MAX).collect())),
        }
    }
}

impl TryFrom<String> for AllowedHost {
    type Error = HostNotValid;

    fn try_from(text: String) -> Result<Self, HostNotValid> {
        text.parse()
    }
}

/// Longest host (RFC 1035 §2.3.4).
const HOST_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_lies_below_it_and_nothing_that_ends_like_it() {
        let below: AllowedHost = "*.Blob.core.windows.net".parse().unwrap();
        assert_eq!(below.reach("acct.blob.core.windows.net"), Some(Reach::Public));
        for other in [
            "blob.core.windows.net",
            "evilblob.core.windows.net",
            "acct.blob.core.windows.net.evil",
            ".blob.core.windows.net",
        ] {
            assert_eq!(below.reach(other), None, "{other}");
        }
        let exact: AllowedHost = "10.0.0.5".parse().unwrap();
        assert_eq!((exact.reach("10.0.0.5"), exact.reach("a.10.0.0.5")), (Some(Reach::Everywhere), None));
        for wrong in ["", "*", "*.", "*.net", "a/b", "https://a", "a b", ".a"] {
            assert!(wrong.parse::<AllowedHost>().is_err(), "{wrong}");
        }
    }
}
