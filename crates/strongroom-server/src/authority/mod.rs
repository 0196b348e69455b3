//! The authority (`login.<domain>`), the directory's Graph calls (`graph.<domain>`) and the metadata service: everything
//! that hands out tokens, in the shapes that clients of Entra ID expect (az-cli.md §2).
//!
//! Tokens are signed and principals are kept by the core's directory; here are the protocols around them: discovery, the
//! token endpoint and its grants, the device page, the error codes.

mod certificate;
mod client;
mod device;
mod device_page;
mod discovery;
mod form;
mod grant;
mod graph;
mod imds;
mod page;
mod public_clients;
mod recording;
mod refusal;
mod replay;
mod scope;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use strongroom_api::path::{Captures, PathPattern, RequestPath};
use strongroom_core::identity::Directory;
use strongroom_types::{Secret, TenantId};

use crate::audit_log::Strangers;
use crate::authentication::{Attempts, Limits, OutsideIssuers, PublicNames, counted};
use crate::http::exchange::{Inbound, Outbound, empty, performed};
pub use certificate::{CertificateError, client_certificate};
use device::DeviceLogins;
pub use graph::Graph;
pub use imds::{Imds, ServedIdentities};
use refusal::Refusal;
use replay::Replays;

/// `login.<domain>`.
pub struct Authority {
    directory: Arc<Directory>,
    names: Arc<PublicNames>,
    outside: Arc<OutsideIssuers>,
    strangers: Arc<Strangers>,
    devices: DeviceLogins,
    replays: Replays,
    client_failures: Attempts<IpAddr>,
    user_failures: Attempts<String>,
    page_failures: Attempts<IpAddr>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// What the authority serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Discovery,
    InstanceDiscovery,
    Keys,
    Token,
    DeviceAuthorization,
    DevicePage,
    DeviceForm,
    Authorize,
}

impl Endpoint {
    /// What metrics call it.
    const fn name(self) -> &'static str {
        match self {
            Self::Discovery => "Discovery",
            Self::InstanceDiscovery => "InstanceDiscovery",
            Self::Keys => "KeySet",
            Self::Token => "Token",
            Self::DeviceAuthorization => "DeviceAuthorization",
            Self::DevicePage | Self::DeviceForm => "DeviceLogin",
            Self::Authorize => "Authorize",
        }
    }
}

struct Route {
    method: Method,
    pattern: PathPattern,
    endpoint: Endpoint,
}

/// The tenant a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TenantPath {
    /// The alias under which clients skip instance discovery (components.md §0, rule 3).
    Adfs,
    /// Any of our users (`organizations`, `common`).
    Any(&'static str),
    /// The tenant itself, by its id or by a domain of ours.
    Ours(TenantId),
}

impl Authority {
    /// An authority for the principals of a directory. Failed attempts are reported to `strangers`.
    pub fn new(
        directory: Arc<Directory>,
        names: Arc<PublicNames>,
        outside: Arc<OutsideIssuers>,
        strangers: Arc<Strangers>,
    ) -> Self {
        Self {
            devices: DeviceLogins::new(Arc::clone(directory.core().barrier().entropy())),
            directory,
            names,
            outside,
            strangers,
            replays: Replays::default(),
            client_failures: Attempts::new(CLIENT_LIMITS),
            user_failures: Attempts::new(USER_LIMITS),
            page_failures: Attempts::new(PAGE_LIMITS),
        }
    }

    /// Answers one request.
    pub async fn handle(&self, inbound: Inbound) -> Outbound {
        let Ok(path) = RequestPath::parse(inbound.path()) else { return empty(StatusCode::NOT_FOUND) };
        let (endpoint, captures) = match find(&inbound.method, &path) {
            Found::Endpoint(endpoint, captures) => (endpoint, captures),
            Found::OtherMethod => return empty(StatusCode::METHOD_NOT_ALLOWED),
            Found::Nothing => return empty(StatusCode::NOT_FOUND),
        };
        let answer = match endpoint {
            Endpoint::DevicePage => self.device_page(&inbound),
            Endpoint::DeviceForm => self.device_form(&inbound).await,
            Endpoint::Authorize => page::interactive(&inbound),
            _ => match self.answer_for_tenant(&inbound, endpoint, &captures).await {
                Ok(answer) => answer,
                Err(refusal) => self.refuse(&inbound, &refusal),
            },
        };
        performed(answer, endpoint.name())
    }

    async fn answer_for_tenant(
        &self,
        inbound: &Inbound,
        endpoint: Endpoint,
        captures: &Captures,
    ) -> Result<Outbound, Refusal> {
        let tenant = self.tenant(captures)?;
        match endpoint {
            Endpoint::Keys => self.keys(inbound).await,
            Endpoint::InstanceDiscovery => self.instance_discovery(inbound),
            Endpoint::Token => self.token(inbound).await,
            Endpoint::DeviceAuthorization => self.device_authorization(inbound),
            _ => self.discovery(inbound, tenant),
        }
    }

    /// The tenant of a path; behind `/adfs` any of its names may follow.
    fn tenant(&self, captures: &Captures) -> Result<TenantPath, Refusal> {
        let text = captures.get("tenant").unwrap_or(ADFS);
        self.known_tenant(text)?.ok_or_else(|| Refusal::UnknownTenant(text.chars().take(TENANT_SHOWN_MAX).collect()))
    }

    fn known_tenant(&self, text: &str) -> Result<Option<TenantPath>, Refusal> {
        let ours = self.directory.tenant()?.id;
        let any = ANY_TENANT.iter().find(|name| text.eq_ignore_ascii_case(name));
        if let Some(name) = any {
            return Ok(Some(TenantPath::Any(name)));
        }
        if text.eq_ignore_ascii_case(ADFS) {
            return Ok(Some(TenantPath::Adfs));
        }
        let is_domain = || self.names.addresses().any(|known| text.eq_ignore_ascii_case(known.domain.as_str()));
        let is_ours = text.to_ascii_lowercase().parse() == Ok(ours) || is_domain();
        Ok(is_ours.then_some(TenantPath::Ours(ours)))
    }

    /// Whether an `aud` is our token endpoint or our issuer, in one of their spellings.
    fn is_token_endpoint(&self, audience: &str, inbound: &Inbound) -> bool {
        let ours = self.names.addresses().flat_map(|address| {
            let without_port = format!("https://{}", address.domain.host(crate::http::host::AUTHORITY));
            [address.authority_url(), without_port]
        });
        let lower = audience.to_ascii_lowercase();
        let path = ours
            .chain([inbound.base_url()])
            .find_map(|url| lower.strip_prefix(&url).filter(|path| path.starts_with('/')).map(str::to_owned));
        let Some(path) = path.and_then(|path| RequestPath::parse(&path).ok()) else { return false };
        let captures = match find(&Method::POST, &path) {
            Found::Endpoint(Endpoint::Token, captures) => captures,
            _ => match ISSUER.captures(&path) {
                Some(captures) => captures,
                None => return false,
            },
        };
        self.tenant(&captures).is_ok()
    }

    /// Answers a refusal, counts it if somebody tried a credential, and reports it.
    fn refuse(&self, inbound: &Inbound, refusal: &Refusal) -> Outbound {
        let address = inbound.peer.remote.ip();
        if refusal.is_failed_attempt() {
            self.client_failures.failed(&counted(address), inbound.received);
        }
        if let Refusal::Unavailable(error) | Refusal::OutcomeUnknown(error) = refusal {
            tracing::error!(request = %inbound.id, %error, "the authority cannot answer");
        }
        if !matches!(refusal, Refusal::AuthorizationPending) {
            self.strangers.saw(address, inbound.path(), &refusal.code(), inbound.received);
        }
        refusal.answer(inbound)
    }
}

enum Found {
    Endpoint(Endpoint, Captures),
    OtherMethod,
    Nothing,
}

fn find(method: &Method, path: &RequestPath) -> Found {
    let mut found = Found::Nothing;
    for route in ROUTES {
        let Some(captures) = route.pattern.captures(path) else { continue };
        if route.method == *method {
            return Found::Endpoint(route.endpoint, captures);
        }
        found = Found::OtherMethod;
    }
    found
}

/// Compares a secret that was sent with the one that is right, in constant time.
fn secret_fits(right: &Secret<String>, sent: &str) -> bool {
    strongroom_crypto::digest::constant_time_eq(right.expose().as_bytes(), sent.as_bytes())
}

const fn route(method: Method, pattern: &'static str, endpoint: Endpoint) -> Route {
    Route { method, pattern: PathPattern::new(pattern), endpoint }
}

/// In the order they are tried.
const ROUTES: &[Route] = &[
    route(Method::GET, "/device", Endpoint::DevicePage),
    route(Method::POST, "/device", Endpoint::DeviceForm),
    route(Method::GET, "/{tenant}/v2.0/.well-known/openid-configuration", Endpoint::Discovery),
    route(Method::GET, "/{tenant}/.well-known/openid-configuration", Endpoint::Discovery),
    route(Method::GET, "/adfs/{tenant}/v2.0/.well-known/openid-configuration", Endpoint::Discovery),
    route(Method::GET, "/adfs/{tenant}/.well-known/openid-configuration", Endpoint::Discovery),
    route(Method::GET, "/{tenant}/discovery/instance", Endpoint::InstanceDiscovery),
    route(Method::GET, "/{tenant}/discovery/v2.0/keys", Endpoint::Keys),
    route(Method::GET, "/{tenant}/discovery/keys", Endpoint::Keys),
    route(Method::POST, "/{tenant}/oauth2/v2.0/token", Endpoint::Token),
    route(Method::POST, "/{tenant}/oauth2/token", Endpoint::Token),
    route(Method::POST, "/{tenant}/oauth2/v2.0/devicecode", Endpoint::DeviceAuthorization),
    route(Method::POST, "/{tenant}/oauth2/devicecode", Endpoint::DeviceAuthorization),
    route(Method::GET, "/{tenant}/oauth2/v2.0/authorize", Endpoint::Authorize),
    route(Method::GET, "/{tenant}/oauth2/authorize", Endpoint::Authorize),
];
const ISSUER: PathPattern = PathPattern::new("/{tenant}/v2.0");
const ADFS: &str = "adfs";
const ANY_TENANT: &[&str] = &["organizations", "common"];
/// Characters of an unknown tenant that are repeated in the refusal.
const TENANT_SHOWN_MAX: usize = 64;
/// Wrong client credentials of one address: a broken program gets its answers, a flood does not. Secrets have 256 bits,
/// so nothing is guessed here; the limit saves work.
const CLIENT_LIMITS: Limits = Limits { free: 200, delay_seconds_max: 30, forgotten_after_seconds: 300 };
/// Wrong passwords of one user.
const USER_LIMITS: Limits = Limits { free: 5, delay_seconds_max: 300, forgotten_after_seconds: 3600 };
/// Wrong codes and passwords of one address.
const PAGE_LIMITS: Limits = Limits { free: 30, delay_seconds_max: 300, forgotten_after_seconds: 900 };
