//! The instance metadata service: tokens of managed identities for local processes, over plain HTTP on loopback.
//!
//! Whoever reaches it gets tokens, so it demands a header no browser sends by itself, refuses what a proxy forwarded and
//! what was sent to another name (protocols.md §8), and never speaks for the administrator.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;
use strongroom_core::audit::Result as EventResult;
use strongroom_core::identity::record::{Principal, PrincipalState};
use strongroom_core::identity::{AccessTokenOrder, Directory, IdentityError, IssuedToken};
use strongroom_types::Secret;
use uuid::Uuid;

use crate::authentication::PublicNames;
use crate::authority::recording::{caller_of, record, request};
use crate::authority::scope::Wanted;
use crate::authority::secret_fits;
use crate::http::exchange::{Inbound, Outbound, empty, json as json_answer, performed, with_header};

/// The metadata service.
pub struct Imds {
    directory: Arc<Directory>,
    names: Arc<PublicNames>,
    identity_header: Secret<String>,
    served: ServedIdentities,
}

/// Which identities are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServedIdentities {
    /// `machine` and every user-assigned identity: the local profile.
    All,
    /// Those with these ARM resource ids, compared without case (`[metadata] identities`).
    Listed(Vec<String>),
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the header Metadata: true is required")]
    NoMetadataHeader,
    #[error("forwarded requests are not served")]
    Forwarded,
    #[error("the parameter {0} is required")]
    MissingParameter(&'static str),
    #[error("only one of client_id, object_id, msi_res_id and mi_res_id may be given")]
    SeveralSelectors,
    #[error("Identity not found")]
    IdentityNotFound,
    #[error("the resource is not known here")]
    UnknownResource,
    #[error("the header X-IDENTITY-HEADER is missing or wrong")]
    WrongIdentityHeader,
    #[error("the directory cannot be used at the moment")]
    Unavailable(#[from] IdentityError),
}

impl std::fmt::Debug for Imds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imds").field("served", &self.served).finish_non_exhaustive()
    }
}

impl Imds {
    /// A metadata service. `identity_header` is what `X-IDENTITY-HEADER` must be on `/msi/token`.
    pub fn new(
        directory: Arc<Directory>,
        names: Arc<PublicNames>,
        identity_header: Secret<String>,
        served: ServedIdentities,
    ) -> Self {
        Self { directory, names, identity_header, served }
    }

    /// Answers one request.
    pub async fn handle(&self, inbound: Inbound) -> Outbound {
        if !is_loopback_name(inbound.header("host").unwrap_or(&inbound.host.authority)) {
            return empty(StatusCode::MISDIRECTED_REQUEST);
        }
        let result = match (&inbound.method, inbound.path().trim_end_matches('/')) {
            (&Method::GET, path) if path.eq_ignore_ascii_case(METADATA_PATH) => self.metadata(&inbound).await,
            (&Method::GET, path) if path.eq_ignore_ascii_case(APP_SERVICE_PATH) => self.app_service(&inbound).await,
            _ => return empty(StatusCode::NOT_FOUND),
        };
        let answer = result.unwrap_or_else(|refused| refused.answer(&inbound));
        performed(with_header(answer, "cache-control", "no-store"), SIGN_IN)
    }

    /// The instance metadata service's own way. The values of its answer are text, as clients expect.
    async fn metadata(&self, inbound: &Inbound) -> Result<Outbound, Refused> {
        // A bare probe is answered with 400 too: that is how Go's default credential finds the service.
        if inbound.header("metadata").is_none_or(|value| !value.eq_ignore_ascii_case("true")) {
            return Err(Refused::NoMetadataHeader);
        }
        let (token, client_id, wanted) = self.token(inbound).await?;
        Ok(json_answer(
            StatusCode::OK,
            &json!({
                "access_token": token.text.expose(),
                "client_id": client_id.to_string(),
                "expires_in": token.lifetime_seconds.to_string(),
                "ext_expires_in": token.lifetime_seconds.to_string(),
                "expires_on": token.expires.seconds().to_string(),
                "not_before": token.issued.seconds().to_string(),
                "resource": wanted.audience,
                "token_type": "Bearer",
            }),
        ))
    }

    /// App Service's way: a secret header instead of a fixed one.
    async fn app_service(&self, inbound: &Inbound) -> Result<Outbound, Refused> {
        if !inbound.header("x-identity-header").is_some_and(|sent| secret_fits(&self.identity_header, sent)) {
            return Err(Refused::WrongIdentityHeader);
        }
        let (token, client_id, wanted) = self.token(inbound).await?;
        Ok(json_answer(
            StatusCode::OK,
            &json!({
                "access_token": token.text.expose(),
                "client_id": client_id.to_string(),
                "expires_on": token.expires.seconds().to_string(),
                "resource": wanted.audience,
                "token_type": "Bearer",
            }),
        ))
    }

    async fn token(&self, inbound: &Inbound) -> Result<(IssuedToken, Uuid, Wanted), Refused> {
        if FORWARDED.iter().any(|name| inbound.headers.contains_key(*name)) {
            return Err(Refused::Forwarded);
        }
        for name in ["api-version", "resource"] {
            inbound.query_parameter(name).filter(|value| !value.is_empty()).ok_or(Refused::MissingParameter(name))?;
        }
        let resource = inbound.query_parameter("resource").unwrap_or_default();
        let wanted = Wanted::of("", Some(&resource), &self.names).map_err(|_| Refused::UnknownResource)?;
        let principal = self.identity(inbound).await?;
        let client_id = principal.client_id().ok_or(Refused::IdentityNotFound)?;
        let order = AccessTokenOrder {
            principal: &principal,
            client_id,
            audience: &wanted.audience,
            form: wanted.issuer_form(),
        };
        let token = self.directory.issue_access_token(order, inbound.received).await?;
        let caller = caller_of(&self.directory, &principal, Some(client_id.to_string()));
        let request = request(inbound, SIGN_IN, caller.ok_or(IdentityError::NotFounded)?);
        record(
            self.directory.core(),
            &request,
            EventResult::success(200),
            Some(format!("audience {}", wanted.audience)),
        );
        Ok((token, client_id, wanted))
    }

    /// The managed identity that is asked for: `machine` if none is named. Service principals are never found here.
    async fn identity(&self, inbound: &Inbound) -> Result<Principal, Refused> {
        let given: Vec<_> =
            SELECTORS.iter().filter_map(|(name, by)| inbound.query_parameter(name).map(|value| (*by, value))).collect();
        let found = match given.as_slice() {
            [] => self.directory.principal(self.directory.tenant()?.machine).await?,
            [(Selector::Client, text)] => match text.parse() {
                Ok(client_id) => self.directory.by_client_id(client_id).await?,
                Err(_) => None,
            },
            [(Selector::Object, text)] => match text.parse() {
                Ok(object_id) => self.directory.principal(object_id).await?,
                Err(_) => None,
            },
            [(Selector::Resource, text)] => self.directory.by_resource_id(text).await?,
            _ => return Err(Refused::SeveralSelectors),
        };
        let principal = found.map(|stored| stored.value).filter(|found| self.serves(found));
        principal.ok_or(Refused::IdentityNotFound)
    }

    fn serves(&self, principal: &Principal) -> bool {
        let Some(identity) = principal.managed_identity() else { return false };
        let served = match &self.served {
            ServedIdentities::All => true,
            ServedIdentities::Listed(ids) => ids.iter().any(|id| id.eq_ignore_ascii_case(&identity.resource_id)),
        };
        served && principal.state == PrincipalState::Enabled
    }
}

impl Refused {
    fn answer(&self, inbound: &Inbound) -> Outbound {
        let (status, error) = match self {
            Self::WrongIdentityHeader => (StatusCode::UNAUTHORIZED, "unauthorized_client"),
            Self::UnknownResource => (StatusCode::BAD_REQUEST, "invalid_resource"),
            Self::Unavailable(error) => {
                tracing::error!(request = %inbound.id, %error, "the metadata service cannot answer");
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
            }
            Self::NoMetadataHeader
            | Self::Forwarded
            | Self::MissingParameter(_)
            | Self::SeveralSelectors
            | Self::IdentityNotFound => (StatusCode::BAD_REQUEST, "invalid_request"),
        };
        json_answer(status, &json!({"error": error, "error_description": self.to_string()}))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selector {
    Client,
    Object,
    Resource,
}

/// Whether a Host is a name that never leaves the machine; the port makes no difference.
fn is_loopback_name(host: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    LOOPBACK_NAMES.iter().any(|name| {
        let rest = host.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name)).map(|_| &host[name.len()..]);
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
    })
}

/// The one operation there is.
const SIGN_IN: &str = "ManagedIdentitySignIn";
const METADATA_PATH: &str = "/metadata/identity/oauth2/token";
const APP_SERVICE_PATH: &str = "/msi/token";
/// Both spellings of the resource id are in use (az-cli.md §2.4).
const SELECTORS: [(&str, Selector); 4] = [
    ("client_id", Selector::Client),
    ("object_id", Selector::Object),
    ("msi_res_id", Selector::Resource),
    ("mi_res_id", Selector::Resource),
];
const FORWARDED: [&str; 2] = ["x-forwarded-for", "forwarded"];
const LOOPBACK_NAMES: [&str; 4] = ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"];
