//! What every outgoing call keeps to (protocols.md §9): whom TLS trusts, how far a host may be away, no redirects, no
//! proxy.

mod poster;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::tls::provider;
pub(crate) use poster::{Plain, PostError, Poster};

/// How far a host may be away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Wherever the configuration says.
    Everywhere,
    /// At a public address: hosts that the configuration means by a pattern, and somebody else names.
    Public,
    /// On this machine: hosts that no configuration lists.
    Loopback,
}

/// A file with authorities cannot be read.
#[derive(Debug)]
pub(crate) struct CaFileError {
    pub(crate) path: PathBuf,
    pub(crate) problem: String,
}

/// These roots, and the authorities of a PEM file besides.
pub(crate) fn with_authorities(roots: &RootCertStore, ca_file: Option<&Path>) -> Result<RootCertStore, CaFileError> {
    let mut roots = roots.clone();
    if let Some(path) = ca_file {
        let failed = |problem: String| CaFileError { path: path.to_owned(), problem };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
    }
    Ok(roots)
}

/// Outgoing TLS that trusts these roots.
pub(crate) fn outgoing(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl Reach {
    /// A client that goes no further. The caller adds its limits of time.
    ///
    /// Addresses in URLs are looked up by nobody: [`Self::admits`] is to be asked for each URL as well.
    pub(crate) fn client(self, tls: ClientConfig) -> ClientBuilder {
        let client = Client::builder().tls_backend_preconfigured(tls).redirect(Policy::none()).no_proxy();
        match self {
            Self::Everywhere => client,
            Self::Public => client.dns_resolver(PublicAddresses),
            Self::Loopback => client.dns_resolver(Loopback),
        }
    }

    /// Whether what a URL says is within reach, whatever a name service will say.
    pub(crate) fn admits(self, url: &Url) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Public => literal(url).is_none_or(is_public),
            Self::Loopback => is_loopback(url),
        }
    }
}

/// What a message names of a URL: the rest may be a secret.
pub(crate) fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// The address in a URL, if it is one and no name.
pub(crate) fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether a URL names this machine by what it says, not by what a name service says.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let named = host == "localhost" || host.ends_with(".localhost");
    named || literal(url).is_some_and(|address| address.is_loopback())
}

/// Whether an address is one of the internet and not of this machine or somebody's own network.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && (64..128).contains(&second);
            let own = ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared;
            !own && !ip.is_multicast() && first != 0 && first < 240
        }
        IpAddr::V6(ip) => {
            let [first, ..] = ip.segments();
            // `fec0::/10` was for sites (RFC 3879 took it back), and still is where it was never renumbered.
            let of_a_site = first & 0xffc0 == 0xfec0;
            let own = ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unique_local() || of_a_site;
            let public_inside = embedded(ip).is_none_or(|inside| is_public(IpAddr::V4(inside)));
            !own && !ip.is_multicast() && !ip.is_unspecified() && public_inside
        }
    }
}

/// The IPv4 address that a translator or a tunnel delivers to: NAT64 (RFC 6052, RFC 8215), IPv4-translated (RFC 2765),
/// 6to4 (RFC 3056), Teredo (RFC 4380), and the old IPv4-compatible form. Mapped addresses have been told before.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => {
            (high, low)
        }
        [0x2002, high, low, ..] => (high, low),
        // A prefix of somebody's own network, where the address may stand anywhere; and tunnels to whom a server of
        // somebody's choice says.
        [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] => return Some(Ipv4Addr::UNSPECIFIED),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// Finds every name on loopback, whatever a name service says.
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(
            [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
                .into_iter()
                .map(|address| SocketAddr::new(address, 0)),
        );
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// Finds what the name service says, without addresses that are not public.
struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("the host has no public address, and is not listed by its own name".into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        let public = [
            "1.1.1.1",
            "100.63.0.1",
            "192.0.2.1",
            "2606:4700::1",
            "2001:1::1",
            "::ffff:1.1.1.1",
            "::ffff:0:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ];
        for public in public {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        let own = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1.1.1.1",
            "2002:7f00:1::1",
            "2001:0:7f00:1::1",
            "2001::1",
            "::ffff:0:127.0.0.1",
            "::ffff:0:10.0.0.1",
            "fec0::1",
            "feff::1",
        ];
        for address in own {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_url_is_admitted_by_what_it_says() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(Reach::Public.admits(&url("https://blob.example/")) && Reach::Public.admits(&url("https://1.1.1.1/")));
        assert!(!Reach::Public.admits(&url("https://[::1]/")) && !Reach::Public.admits(&url("https://10.0.0.1/")));
        assert!(
            Reach::Loopback.admits(&url("https://a.localhost:1/")) && Reach::Loopback.admits(&url("http://[::1]/"))
        );
        assert!(!Reach::Loopback.admits(&url("https://localhost.example/")));
    }

    #[test]
    fn an_own_address_is_not_admitted_however_it_is_spelled() {
        let hosts = [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "169.254.169.254",
            "[fe80::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
        ];
        for host in hosts {
            let url = Url::parse(&format!("https://{host}/backups")).unwrap();
            assert!(!Reach::Public.admits(&url), "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_that_means_this_machine_is_not_reached_as_a_public_one() {
        let tls = outgoing(RootCertStore::empty()).unwrap();
        let client = Reach::Public.client(tls).build().unwrap();
        let error = client.get("https://localhost:1/").send().await.unwrap_err();
        assert!(error.is_connect() && format!("{error:?}").contains("no public address"), "{error:?}");
    }
}
