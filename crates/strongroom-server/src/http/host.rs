//! Which plane a Host means (architecture.md §2).

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::http::exchange::{Host, Plane};

/// A domain that names below it are served for: lower case, without a dot at either end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Domain(String);

/// Text is not a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a domain is labels of letters, digits and hyphens joined by dots, such as localhost or hsm.example.com")]
pub struct NotADomain;

/// `host[:port]` behind the names of managed HSMs and of vaults, in every URL that is made to last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suffixes {
    /// Such as `managedhsm.localhost:8443`.
    pub managed_hsm: String,
    /// Such as `vault.localhost:8443`.
    pub vault: String,
}

/// The names the server answers to.
#[derive(Debug, Clone)]
pub struct Hosts {
    domains: Vec<Domain>,
}

impl Domain {
    /// `localhost`: names below it never leave the machine.
    pub fn localhost() -> Self {
        Self("localhost".to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host of a plane below this domain, such as `login.localhost`.
    pub fn host(&self, label: &str) -> String {
        format!("{label}.{self}")
    }

    /// Whether names below it never leave the machine (RFC 6761 §6.3).
    pub fn is_localhost(&self) -> bool {
        self.0 == "localhost" || self.0.ends_with(".localhost")
    }
}

impl FromStr for Domain {
    type Err = NotADomain;

    fn from_str(text: &str) -> Result<Self, NotADomain> {
        let domain = text.to_ascii_lowercase();
        let fits = domain.len() <= DOMAIN_BYTES_MAX && domain.split('.').all(is_label);
        if fits { Ok(Self(domain)) } else { Err(NotADomain) }
    }
}

impl TryFrom<String> for Domain {
    type Error = NotADomain;

    fn try_from(text: String) -> Result<Self, NotADomain> {
        text.parse()
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Hosts {
    /// The names below these domains.
    pub fn new(domains: Vec<Domain>) -> Self {
        Self { domains }
    }

    /// The host that `host[:port]` means, in any case; `None` if it is none of ours.
    pub fn find(&self, authority: &str) -> Option<Host> {
        let authority = authority.to_ascii_lowercase();
        let (name, port) = split_port(&authority)?;
        let (plane, domain) = self.domains.iter().find_map(|domain| plane(name, domain))?;
        let domain = port.map_or_else(|| domain.to_string(), |port| format!("{domain}:{port}"));
        Some(Host { plane, authority, domain })
    }
}

fn plane<'a>(name: &str, domain: &'a Domain) -> Option<(Plane, &'a Domain)> {
    let labels = name.strip_suffix(domain.as_str())?.strip_suffix('.')?;
    let plane = match labels {
        AUTHORITY => Plane::Authority,
        MANAGEMENT => Plane::Management,
        GRAPH => Plane::Graph,
        _ => {
            let (label, product) = labels.split_once('.').filter(|(label, _)| is_label(label))?;
            match product {
                MANAGED_HSM => Plane::ManagedHsm(label.to_owned()),
                VAULT => Plane::Vault(label.to_owned()),
                _ => return None,
            }
        }
    };
    Some((plane, domain))
}

/// `host[:port]`; `None` if the port is not a number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        None => Some((authority, None)),
        // `parse` alone would take a sign.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some((name, Some(port.parse().ok()?))),
        Some(_) => None,
    }
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let fits = (1..=LABEL_BYTES_MAX).contains(&bytes.len());
    let spelled = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    fits && spelled && !label.starts_with('-') && !label.ends_with('-')
}

/// Label of the authority's host.
pub const AUTHORITY: &str = "login";
/// Label of the management plane's host.
pub const MANAGEMENT: &str = "management";
/// Label of the directory's host.
pub const GRAPH: &str = "graph";
/// Label of the console's host.
pub const PORTAL: &str = "portal";
/// Label above the names of managed HSMs.
pub const MANAGED_HSM: &str = "managedhsm";
/// Label above the names of vaults.
pub const VAULT: &str = "vault";
/// Label above the names of storage accounts.
pub const BLOB: &str = "blob";

/// Longest label of a name (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;
/// Longest domain: leaves room for the labels in front of it (RFC 1035 §2.3.4: 253 for the whole name).
const DOMAIN_BYTES_MAX: usize = 170;

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        Hosts::new(vec!["localhost".parse().unwrap(), "hsm.example.com".parse().unwrap()])
    }

    fn found(authority: &str) -> Host {
        hosts().find(authority).unwrap_or_else(|| panic!("{authority} is ours"))
    }

    #[test]
    fn each_plane_has_its_host() {
        assert_eq!(found("login.localhost").plane, Plane::Authority);
        assert_eq!(found("management.localhost").plane, Plane::Management);
        assert_eq!(found("graph.localhost").plane, Plane::Graph);
        assert_eq!(found("contoso.managedhsm.localhost").plane, Plane::ManagedHsm("contoso".to_owned()));
        assert_eq!(found("contoso.vault.localhost").plane, Plane::Vault("contoso".to_owned()));
    }

    #[test]
    fn case_does_not_matter_and_is_folded() {
        let host = found("ContosoMHSM.ManagedHSM.LocalHost:8443");
        assert_eq!(host.plane, Plane::ManagedHsm("contosomhsm".to_owned()));
        assert_eq!(host.authority, "contosomhsm.managedhsm.localhost:8443");
        assert_eq!(host.domain, "localhost:8443");
    }

    #[test]
    fn the_port_is_the_one_that_was_asked_for() {
        assert_eq!(found("login.localhost").domain, "localhost");
        assert_eq!(found("login.localhost:443").domain, "localhost:443");
        assert_eq!(found("login.hsm.example.com:1").domain, "hsm.example.com:1");
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "",
            "localhost",
            "127.0.0.1:8443",
            "[::1]:8443",
            "login.example.com",
            "loginlocalhost",
            "x.login.localhost",
            "managedhsm.localhost",
            ".managedhsm.localhost",
            "a.b.managedhsm.localhost",
            "-a.managedhsm.localhost",
            "a_b.managedhsm.localhost",
            "login.localhost:",
            "login.localhost:+1",
            "login.localhost:65536",
            "login.localhost:x",
            "login.localhost.",
            "login.localhost@evil.example",
            "vault.localhost",
            "a.b.vault.localhost",
            "vault1.vaults.localhost",
        ] {
            assert_eq!(hosts().find(name), None, "{name}");
        }
    }

    #[test]
    fn a_domain_is_labels_joined_by_dots() {
        assert_eq!("HSM.Example.com".parse::<Domain>().unwrap().as_str(), "hsm.example.com");
        for text in
            ["", ".", "a..b", ".localhost", "localhost.", "a_b", "-a", "a-", "a b", "a:1", "é", &"a.".repeat(90)]
        {
            assert_eq!(text.parse::<Domain>(), Err(NotADomain), "{text}");
        }
    }

    #[test]
    fn localhost_and_names_below_it_stay_on_the_machine() {
        let local = |text: &str| text.parse::<Domain>().unwrap().is_localhost();
        assert!(local("localhost") && local("dev.localhost"));
        assert!(!local("mylocalhost") && !local("localhost.example"));
    }
}
