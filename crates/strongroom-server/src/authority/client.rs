//! Authenticating clients of the token endpoint: secret, certificate assertion, federated assertion.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use strongroom_core::identity::IdentityError;
use strongroom_core::identity::record::{ClientCertificate, FederatedCredential, Principal, PrincipalState};
use strongroom_core::identity::token::{Claims, ParsedToken, TokenError, TokenHeader, VerificationKey};
use strongroom_types::Secret;
use uuid::Uuid;

use crate::authority::Authority;
use crate::authority::form::Form;
use crate::authority::refusal::{AssertionProblem, Refusal};
use crate::http::exchange::Inbound;

/// What a client says about itself, and how it proves it.
struct Credentials {
    client_id: Uuid,
    secret: Option<Secret<String>>,
}

impl Authority {
    /// The service principal that a token request comes from.
    pub(super) async fn authenticate_client(&self, inbound: &Inbound, form: &Form) -> Result<Principal, Refusal> {
        let Credentials { client_id, secret } = credentials(inbound, form)?;
        let principal = if let Some(secret) = secret {
            let found = self.directory.authenticate_with_secret(client_id, secret.expose(), inbound.received).await;
            found.map_err(|error| client_refusal(error, client_id))?
        } else {
            let assertion = form.get("client_assertion").ok_or(Refusal::NoCredential)?;
            if form.get("client_assertion_type") != Some(JWT_BEARER) {
                return Err(Refusal::WrongAssertion(AssertionProblem::Type));
            }
            self.authenticate_with_assertion(inbound, client_id, assertion).await?
        };
        Ok(principal)
    }

    async fn authenticate_with_assertion(
        &self,
        inbound: &Inbound,
        client_id: Uuid,
        assertion: &str,
    ) -> Result<Principal, Refusal> {
        let principal = self.directory.program(client_id).await.map_err(|error| client_refusal(error, client_id))?;
        let token = ParsedToken::parse(assertion)?;
        // RFC 7523 §3: a client's own assertion has the client as issuer and subject.
        let own =
            token.unproved_claims().text("iss").is_some_and(|iss| iss.eq_ignore_ascii_case(&client_id.to_string()));
        if own {
            // A managed identity has no certificates: only a federated credential may vouch for it here.
            let certificates = principal.service_principal().map(|program| program.certificates.as_slice());
            self.check_own_assertion(inbound, client_id, certificates.unwrap_or_default(), token)?;
        } else {
            self.check_federated(inbound, principal.federated(), token).await?;
        }
        match principal.state {
            PrincipalState::Enabled => Ok(principal),
            PrincipalState::Disabled => Err(Refusal::ApplicationDisabled),
        }
    }

    fn check_own_assertion(
        &self,
        inbound: &Inbound,
        client_id: Uuid,
        certificates: &[ClientCertificate],
        token: ParsedToken<'_>,
    ) -> Result<(), Refusal> {
        let now = inbound.received;
        let wrong = |problem| Err(Refusal::WrongAssertion(problem));
        let Some(certificate) = named_certificate(certificates, token.header()) else {
            return wrong(AssertionProblem::UnknownCertificate);
        };
        if certificate.expires <= now {
            return wrong(AssertionProblem::CertificateExpired);
        }
        let key = VerificationKey::rsa(&certificate.n, &certificate.e, &[Algorithm::RS256, Algorithm::PS256])?;
        let claims = key.verify(token, now)?;
        let id = client_id.to_string();
        if !claims.text("sub").is_some_and(|sub| sub.eq_ignore_ascii_case(&id)) {
            return Err(TokenError::MissingClaim("sub").into());
        }
        if claims.check_audience(|audience| self.is_token_endpoint(audience, inbound)).is_err() {
            return wrong(AssertionProblem::Audience);
        }
        let expires = claims.expires()?;
        if expires > now.plus_seconds(ASSERTION_SECONDS_MAX) {
            return wrong(AssertionProblem::TooLong);
        }
        let jti = claims.text("jti").ok_or(TokenError::MissingClaim("jti"))?;
        self.replays.remember(client_id, jti, expires, now)
    }

    async fn check_federated(
        &self,
        inbound: &Inbound,
        credentials: &[FederatedCredential],
        token: ParsedToken<'_>,
    ) -> Result<(), Refusal> {
        let fits = |claims: &Claims| credentials.iter().any(|credential| fits(credential, claims));
        // Before anything is read from outside or computed.
        if !fits(token.unproved_claims()) {
            return Err(Refusal::NoFederatedCredential);
        }
        let claims = self.outside.verify(token, inbound.received).await?;
        if fits(&claims) { Ok(()) } else { Err(Refusal::NoFederatedCredential) }
    }
}

/// Client id and secret from the body or from HTTP Basic (RFC 6749 §2.3.1), never from both.
fn credentials(inbound: &Inbound, form: &Form) -> Result<Credentials, Refusal> {
    let basic = inbound.header("authorization").and_then(|value| value.split_once(' '));
    let basic = basic.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let (client_id, secret) = match basic {
        None => (form.require("client_id")?.to_owned(), form.get("client_secret").map(|text| text.to_owned())),
        Some(_) if form.get("client_secret").is_some() => return Err(Refusal::MalformedForm),
        Some((_, encoded)) => {
            let (client_id, secret) = decode_basic(encoded).ok_or(Refusal::MalformedForm)?;
            (client_id, Some(secret))
        }
    };
    let secret = secret.map(Secret::new);
    match client_id.parse() {
        Ok(client_id) => Ok(Credentials { client_id, secret }),
        Err(_) => Err(Refusal::UnknownClient(client_id.chars().take(CLIENT_ID_SHOWN_MAX).collect())),
    }
}

/// Both halves are form-encoded within the base64 (RFC 6749 §2.3.1).
fn decode_basic(encoded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = text.split_once(':')?;
    let decode = |part: &str| {
        let part = part.replace('+', " ");
        percent_encoding::percent_decode_str(&part).decode_utf8().ok().map(|text| text.into_owned())
    };
    Some((decode(client_id)?, decode(secret)?))
}

/// The certificate a header names, by SHA-256 or SHA-1 of its DER.
fn named_certificate<'a>(certificates: &'a [ClientCertificate], header: &TokenHeader) -> Option<&'a ClientCertificate> {
    let named = |given: &Option<String>, known: &str| {
        given.as_deref().is_some_and(|given| given.trim_end_matches('=') == known)
    };
    certificates.iter().find(|known| {
        named(&header.x5t_s256, &known.thumbprint_sha256)
            || (header.x5t_s256.is_none() && named(&header.x5t, &known.thumbprint_sha1))
    })
}

fn fits(credential: &FederatedCredential, claims: &Claims) -> bool {
    claims.text("iss") == Some(&credential.issuer)
        && claims.text("sub") == Some(&credential.subject)
        && claims.texts("aud").contains(&credential.audience.as_str())
}

fn client_refusal(error: IdentityError, client_id: Uuid) -> Refusal {
    match error {
        IdentityError::ClientNotFound => Refusal::UnknownClient(client_id.to_string()),
        IdentityError::PrincipalDisabled => Refusal::ApplicationDisabled,
        other => other.into(),
    }
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longest life of a client's own assertion from now on.
const ASSERTION_SECONDS_MAX: i64 = 86_400;
/// Characters of an unknown client id that are repeated in the refusal.
const CLIENT_ID_SHOWN_MAX: usize = 64;
