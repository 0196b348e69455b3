//! TLS: the deployment's own CA and its certificates, or the operator's own; renewed without a restart.
//!
//! There is one TLS stack (rustls) over one cryptographic backend (AWS-LC). The CA is never presented as a server's
//! certificate: a chain is leaf, CA.

pub mod ca;
pub mod certificates;
pub mod error;
pub mod operator;
pub mod stored_ca;
pub mod trust;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::http::host::{AUTHORITY, BLOB, Domain, GRAPH, MANAGED_HSM, MANAGEMENT, PORTAL, VAULT};
use crate::http::listener::ALPN;
use crate::tls::certificates::Certificates;
use crate::tls::error::TlsError;

/// AWS-LC for everything: incoming and outgoing TLS say so explicitly, nothing depends on a process-wide default.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, no client certificates.
///
/// # Errors
/// [`TlsError::Stack`] if the provider lacks what these versions need.
pub fn server_config(certificates: Arc<Certificates>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = ALPN.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The DNS names a certificate must cover: exact ones for the planes, because a wildcard directly below `localhost` is
/// refused by OpenSSL (az-cli.md §1.3), and wildcards where customers choose names.
pub fn dns_names(domains: &[Domain]) -> Vec<String> {
    let exact = [MANAGEMENT, AUTHORITY, GRAPH, PORTAL];
    let wildcards = [MANAGED_HSM, VAULT, BLOB];
    let of = |domain: &Domain| {
        let exact = exact.iter().map(|label| domain.host(label)).collect::<Vec<_>>();
        let wildcards = wildcards.iter().map(|label| format!("*.{}", domain.host(label)));
        exact.into_iter().chain(wildcards).collect::<Vec<_>>()
    };
    domains.iter().flat_map(of).collect()
}

/// TLS versions of all connections.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
