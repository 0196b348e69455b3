//! Hosts that a SAS may be for: `[backup] allowed_hosts`.

use std::net::Ipv6Addr;
use std::str::FromStr;

use reqwest::Url;
use serde::Deserialize;

use crate::outgoing::Reach;

/// A host by its own name, or all hosts below a domain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AllowedHost {
    /// `backups.example.com`, `10.0.0.5`, `[fd00::5]`: wherever that is.
    Exact(String),
    /// `*.blob.core.windows.net`: at public addresses, because others choose the names.
    Below(String),
}

/// It is neither a host nor `*.` and a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host: backups.example.com, 10.0.0.5, fd00::5 or *.blob.core.windows.net are; it has no port")]
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
        let found = match text.strip_prefix("*.") {
            Some(domain) => below(domain),
            None => exact(text),
        };
        found.ok_or_else(|| HostNotValid(text.chars().take(HOST_MAX).collect()))
    }
}

fn exact(text: &str) -> Option<AllowedHost> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let url = match bare.parse::<Ipv6Addr>() {
        Ok(address) => url(&format!("[{address}]"))?,
        Err(_) => url(checked(text)?)?,
    };
    Some(AllowedHost::Exact(url.host_str()?.to_owned()))
}

fn below(domain: &str) -> Option<AllowedHost> {
    let domain = url(checked(domain)?)?.domain()?.to_owned();
    domain.contains('.').then_some(AllowedHost::Below(domain))
}

/// The host as URLs of containers have it: only what is spelled like theirs is ever found.
fn url(host: &str) -> Option<Url> {
    Url::parse(&format!("https://{host}/")).ok()
}

/// A name or an IPv4 address by its letters, so that nothing else of a URL is in it.
fn checked(host: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let good = !host.is_empty() && host.len() <= HOST_MAX && host.bytes().all(plain) && !host.starts_with('.');
    good.then_some(host)
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
        for wrong in [
            "",
            "*",
            "*.",
            "*.net",
            "a/b",
            "https://a",
            "a b",
            ".a",
            "a:8443",
            "a:443",
            "10.0.0.5:8443",
            "[::1]:443",
            "[10.0.0.5]",
            "[a]",
            "256.0.0.1",
            "u@a",
            "*.10.0.0.5",
            "*.[::1]",
            "*.a.b:443",
            "*..a.b",
        ] {
            assert!(wrong.parse::<AllowedHost>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_is_found_as_a_url_spells_it() {
        for (written, url) in [
            ("Backups.example.com", "https://backups.EXAMPLE.com/c"),
            ("fd00::5", "https://[fd00::5]/c"),
            ("[fd00:0:0::5]", "https://[fd00::5]/c"),
            ("FD00::5", "https://[fd00:0:0:0:0:0:0:5]:8443/c"),
            ("::ffff:10.0.0.5", "https://[::ffff:10.0.0.5]/c"),
            ("10.0.0.5", "https://10.5:10000/c"),
            ("10.5", "https://10.0.0.5/c"),
        ] {
            let (allowed, url): (AllowedHost, _) = (written.parse().unwrap(), Url::parse(url).unwrap());
            assert_eq!(allowed.reach(url.host_str().unwrap()), Some(Reach::Everywhere), "{written} {url}");
        }
    }
}
