//! Addresses of blob stores and of containers in them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use url::{Host, Url};

/// Where the blobs of an account lie: `https://account.blob.core.windows.net`, or `https://127.0.0.1:10000/account`.
///
/// Which account that is follows from the configuration and never from the address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BlobEndpoint(Url);

/// The name of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerName(String);

/// Why an address is none of a blob store or of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no URL.
    #[error("it is no URL such as https://account.blob.example.com/container")]
    NotAUrl,
    /// Credentials would travel in the clear.
    #[error("it must begin with https://; http:// is for this machine itself only")]
    NotHttps,
    /// It says more than where something is.
    #[error("it must have no user name, query or fragment")]
    NotPlain,
    /// The path has something in it that names nothing.
    #[error("its path must be names between single slashes")]
    PathMalformed,
    /// The last name of the path cannot be one of a container.
    #[error("the name of a container is 3 to 63 small letters, digits and single hyphens")]
    ContainerNameNotValid,
    /// There is nothing in front of the container.
    #[error("it names no container")]
    NoContainer,
}

impl BlobEndpoint {
    /// The URL, without a slash at the end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The parsed URL.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it is reached by TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Tells the address of a container apart: the last name of its path, and everything before.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn split(address: &str) -> Result<(Self, ContainerName), EndpointError> {
        let mut url = plain(address)?;
        let name = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(EndpointError::NoContainer);
        }
        url.path_segments_mut().map_err(|()| EndpointError::NotAUrl)?.pop();
        Ok((Self(url), name.parse()?))
    }
}

/// A URL that says where something is and no more, without a slash at the end of its path.
fn plain(text: &str) -> Result<Url, EndpointError> {
    let mut url = Url::parse(text).map_err(|_| EndpointError::NotAUrl)?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err(EndpointError::NotHttps),
        _ => return Err(EndpointError::NotAUrl),
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user || url.query().is_some() || url.fragment().is_some() || text.contains(['\\', '\t', '\n', '\r']) {
        return Err(EndpointError::NotPlain);
    }
    url.path_segments_mut().map_err(|()| EndpointError::NotAUrl)?.pop_if_empty();
    let named = |segment: &str| {
        let plain = segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        !segment.is_empty() && plain && !segment.starts_with('.')
    };
    if url.path() != "/" && !url.path_segments().is_some_and(|mut segments| segments.all(named)) {
        return Err(EndpointError::PathMalformed);
    }
    // What the parser takes out of a path (`a/../b`, `a/%2e%2e/b`) was meant to mislead somebody.
    if text.contains("/.") || text.contains('%') {
        return Err(EndpointError::PathMalformed);
    }
    Ok(url)
}

/// Whether a URL names this machine by what it says, not by what a name service says.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl FromStr for BlobEndpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        plain(text).map(Self)
    }
}

impl TryFrom<String> for BlobEndpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl fmt::Display for BlobEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ContainerName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerName {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid = (3..=63).contains(&text.len())
            && text.bytes().all(plain)
            && !text.starts_with('-')
            && !text.ends_with('-')
            && !text.contains("--");
        if valid { Ok(Self(text.to_owned())) } else { Err(EndpointError::ContainerNameNotValid) }
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> BlobEndpoint {
        text.parse().unwrap()
    }

    /// The container of a blob store that an address names, unless it is one of somewhere else.
    fn container_at(endpoint: &BlobEndpoint, address: &str) -> Option<ContainerName> {
        let (found, container) = BlobEndpoint::split(address).ok()?;
        (found == *endpoint).then_some(container)
    }

    #[test]
    fn a_container_is_the_last_name_in_either_style() {
        let host = endpoint("https://acct.blob.localhost:10000/");
        assert_eq!(host.as_str(), "https://acct.blob.localhost:10000");
        for address in ["https://acct.blob.localhost:10000/backups", "https://ACCT.blob.localhost:10000/backups/"] {
            assert_eq!(container_at(&host, address).unwrap().as_str(), "backups", "{address}");
        }
        let path = endpoint("https://127.0.0.1:10000/acct");
        assert_eq!(container_at(&path, "https://127.0.0.1:10000/acct/backups").unwrap().as_str(), "backups");
        let (split, container) = BlobEndpoint::split("https://127.0.0.1:10000/acct/backups/").unwrap();
        assert_eq!((split, container.as_str()), (path, "backups"));
        assert_eq!(container_at(&endpoint("https://a.example:443"), "https://a.example/abc").unwrap().as_str(), "abc");
    }

    #[test]
    fn an_address_of_somewhere_else_is_none_of_the_endpoint() {
        let host = endpoint("https://acct.blob.localhost:10000");
        let path = endpoint("https://127.0.0.1:10000/acct");
        let elsewhere = [
            "https://acct.blob.localhost/backups",
            "https://acct.blob.localhost:10001/backups",
            "http://acct.blob.localhost:10000/backups",
            "https://acct.blob.localhost.evil.example:10000/backups",
            "https://acct.blob.localhost:10000@evil.example/backups",
            "https://acct.blob.localhost:10000/other/backups",
            "https://127.0.0.1:10000/acct2/backups",
            "https://127.0.0.1:10000/acct/x/backups",
            "https://127.0.0.1:10000/acct",
            "https://127.0.0.1:10000/acct/../other/backups",
            "https://127.0.0.1:10000/acct%2fbackups",
        ];
        for address in elsewhere {
            assert!(container_at(&host, address).is_none() && container_at(&path, address).is_none(), "{address}");
        }
    }

    #[test]
    fn what_says_more_than_a_place_is_refused() {
        let cases = [
            ("backups", EndpointError::NotAUrl),
            ("file:///backups/abc", EndpointError::NotAUrl),
            ("http://blob.example/abc", EndpointError::NotHttps),
            ("https://user@blob.example/abc", EndpointError::NotPlain),
            ("https://blob.example/abc?sig=x", EndpointError::NotPlain),
            ("https://blob.example/abc#x", EndpointError::NotPlain),
            ("https://blob.example/x//abc", EndpointError::PathMalformed),
            ("https://blob.example/%2e%2e/abc", EndpointError::PathMalformed),
            ("https://blob.example/a/../abc", EndpointError::PathMalformed),
            ("https://blob.example/ABC", EndpointError::ContainerNameNotValid),
            ("https://blob.example/ab", EndpointError::ContainerNameNotValid),
            ("https://blob.example/", EndpointError::NoContainer),
        ];
        for (address, expected) in cases {
            assert_eq!(BlobEndpoint::split(address).unwrap_err(), expected, "{address}");
        }
        assert!("http://127.0.0.1:10000/acct".parse::<BlobEndpoint>().is_ok());
        assert!("http://acct.localhost:10000".parse::<BlobEndpoint>().is_ok());
    }
}
