//! The names tokens are asked for and presented under (architecture.md §2).

use crate::http::host::{AUTHORITY, BLOB, Domain, GRAPH, MANAGED_HSM, MANAGEMENT, VAULT};

/// A plane that takes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The data plane of managed HSMs.
    ManagedHsm,
    /// The data plane of vaults.
    Vault,
    /// The management plane (ARM).
    Management,
    /// The directory (Graph).
    Graph,
}

/// Something tokens are issued for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Managed HSMs.
    ManagedHsm,
    /// Vaults.
    Vault,
    /// The management plane.
    Management,
    /// The directory.
    Graph,
    /// Blob storage; our planes never take such a token.
    Storage,
}

/// Who vouches for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    /// The built-in authority, which may also be asked under public names.
    BuiltIn,
    /// An issuer by configuration.
    Outside,
}

/// A domain and the port its names are reached at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicAddress {
    /// The domain.
    pub domain: Domain,
    /// The port.
    pub port: u16,
}

impl PublicAddress {
    /// `https://<label>.<domain>[:port]`, without the port if it is 443.
    pub fn url(&self, label: &str) -> String {
        match self.port {
            HTTPS => format!("https://{label}.{}", self.domain),
            port => format!("https://{label}.{}:{port}", self.domain),
        }
    }

    /// `https://login.<domain>[:port]`.
    pub fn authority_url(&self) -> String {
        self.url(AUTHORITY)
    }

    /// `host[:port]` of an `https` URL below this address: with its port or without any; the rest is a label or several.
    fn labels<'a>(&self, origin: &'a str) -> Option<&'a str> {
        let host = origin.strip_suffix(&format!(":{}", self.port)).unwrap_or(origin);
        host.strip_suffix(self.domain.as_str())?.strip_suffix('.')
    }
}

/// All names of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicNames {
    canonical: PublicAddress,
    others: Vec<PublicAddress>,
    /// What tokens usually name: our own planes, spelled as we do.
    usual: Vec<(String, Resource)>,
}

impl PublicNames {
    /// The names below the canonical address and below others (`[public] suffixes`).
    pub fn new(canonical: PublicAddress, others: Vec<PublicAddress>) -> Self {
        let plane = |address: &PublicAddress, label| (address.url(label), own_resource(label));
        let planes = |address| [MANAGED_HSM, VAULT, MANAGEMENT, GRAPH].map(|label| plane(address, label));
        let usual = std::iter::once(&canonical).chain(&others).flat_map(planes);
        let usual = usual.filter_map(|(url, resource)| Some((url, resource?))).collect();
        Self { canonical, others, usual }
    }

    /// The address that everything we print names.
    pub fn canonical(&self) -> &PublicAddress {
        &self.canonical
    }

    /// All addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &PublicAddress> {
        std::iter::once(&self.canonical).chain(&self.others)
    }

    /// What a resource, or a token's `aud`, means; a slash at the end and case make no difference.
    ///
    /// Names of the public cloud mean ours, because clients have them compiled in.
    pub fn resource(&self, text: &str) -> Option<Resource> {
        if let Some((_, resource)) = self.usual.iter().find(|(usual, _)| usual == text) {
            return Some(*resource);
        }
        let text = text.to_ascii_lowercase();
        let origin = text.strip_suffix('/').unwrap_or(&text).strip_prefix("https://")?;
        public_resource(origin).or_else(|| self.addresses().find_map(|address| own_resource(address.labels(origin)?)))
    }

    /// Whether a plane takes a token with this `aud`. Public names count from the built-in authority only.
    pub fn accepts(&self, audience: Audience, aud: &str, issuer: Issuer) -> bool {
        let wanted = match audience {
            Audience::ManagedHsm => Resource::ManagedHsm,
            Audience::Vault => Resource::Vault,
            Audience::Management => Resource::Management,
            Audience::Graph => Resource::Graph,
        };
        let public = || {
            let text = aud.to_ascii_lowercase();
            let origin = text.strip_suffix('/').unwrap_or(&text).strip_prefix("https://");
            origin.and_then(public_resource).is_some()
        };
        self.resource(aud) == Some(wanted) && (issuer == Issuer::BuiltIn || !public())
    }
}

fn own_resource(labels: &str) -> Option<Resource> {
    match labels {
        MANAGED_HSM => Some(Resource::ManagedHsm),
        VAULT => Some(Resource::Vault),
        MANAGEMENT => Some(Resource::Management),
        GRAPH => Some(Resource::Graph),
        _ => {
            let account = labels.strip_suffix(BLOB)?.strip_suffix('.')?;
            is_storage_account(account).then_some(Resource::Storage)
        }
    }
}

fn public_resource(origin: &str) -> Option<Resource> {
    match origin {
        "managedhsm.azure.net" => Some(Resource::ManagedHsm),
        "vault.azure.net" => Some(Resource::Vault),
        "storage.azure.com" => Some(Resource::Storage),
        _ => {
            let account = origin.strip_suffix(".blob.core.windows.net")?;
            is_storage_account(account).then_some(Resource::Storage)
        }
    }
}

/// 3 to 24 lower-case letters and digits.
fn is_storage_account(name: &str) -> bool {
    (3..=24).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

const HTTPS: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> PublicNames {
        let address = |domain: &str, port| PublicAddress { domain: domain.parse().unwrap(), port };
        PublicNames::new(address("localhost", 8443), vec![address("hsm.example.com", 443)])
    }

    #[test]
    fn a_resource_is_known_with_and_without_port_and_slash_and_in_any_case() {
        for (text, expected) in [
            ("https://managedhsm.localhost:8443", Some(Resource::ManagedHsm)),
            ("https://managedhsm.localhost", Some(Resource::ManagedHsm)),
            ("https://ManagedHSM.localhost/", Some(Resource::ManagedHsm)),
            ("https://managedhsm.hsm.example.com", Some(Resource::ManagedHsm)),
            ("https://managedhsm.azure.net/", Some(Resource::ManagedHsm)),
            ("https://vault.azure.net", Some(Resource::Vault)),
            ("https://management.localhost:8443/", Some(Resource::Management)),
            ("https://graph.localhost:8443", Some(Resource::Graph)),
            ("https://storage.azure.com/", Some(Resource::Storage)),
            ("https://acct1.blob.localhost:8443", Some(Resource::Storage)),
            ("https://acct1.blob.core.windows.net", Some(Resource::Storage)),
            ("https://managedhsm.localhost:9", None),
            ("https://x.managedhsm.localhost", None),
            ("https://managedhsm.localhost.evil.example", None),
            ("https://evilmanagedhsm.localhost", None),
            ("http://managedhsm.localhost", None),
            ("https://management.azure.com", None),
            ("https://managedhsm.localhost//", None),
            ("managedhsm.localhost", None),
            ("", None),
        ] {
            assert_eq!(names().resource(text), expected, "{text}");
        }
    }

    #[test]
    fn public_names_count_from_the_built_in_authority_only() {
        let names = names();
        let public = "https://managedhsm.azure.net";
        assert!(names.accepts(Audience::ManagedHsm, public, Issuer::BuiltIn));
        assert!(!names.accepts(Audience::ManagedHsm, public, Issuer::Outside));
        assert!(names.accepts(Audience::ManagedHsm, "https://managedhsm.localhost", Issuer::Outside));
    }

    #[test]
    fn each_plane_takes_its_own_tokens_only_and_none_takes_storage_tokens() {
        let names = names();
        let planes = [Audience::ManagedHsm, Audience::Vault, Audience::Management, Audience::Graph];
        let auds = ["managedhsm", "vault", "management", "graph"].map(|label| format!("https://{label}.localhost"));
        for (at, plane) in planes.into_iter().enumerate() {
            for (of, aud) in auds.iter().enumerate() {
                assert_eq!(names.accepts(plane, aud, Issuer::BuiltIn), at == of, "{plane:?} {aud}");
            }
            assert!(!names.accepts(plane, "https://storage.azure.com", Issuer::BuiltIn));
        }
    }
}
