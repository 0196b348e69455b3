//! Discovery (OpenID Connect Discovery, RFC 8414) and the key set.

use http::StatusCode;
use serde_json::{Value, json};

use crate::authority::refusal::Refusal;
use crate::authority::{Authority, TenantPath};
use crate::http::exchange::{Inbound, Outbound, json as json_answer};

impl Authority {
    /// The provider's metadata. Endpoints are below the request's own host; the issuer is the canonical one and always
    /// names the tenant by its id, because `az` learns the id from it (az-cli.md §2.1).
    pub(super) fn discovery(&self, inbound: &Inbound, tenant: TenantPath) -> Result<Outbound, Refusal> {
        let base = inbound.base_url();
        let (below, version) = match tenant {
            TenantPath::Adfs => (format!("{base}/adfs"), ""),
            TenantPath::Any(name) => (format!("{base}/{name}"), "v2.0/"),
            TenantPath::Ours(id) => (format!("{base}/{id}"), "v2.0/"),
        };
        let document = json!({
            "issuer": self.directory.issuer()?,
            "authorization_endpoint": format!("{below}/oauth2/{version}authorize"),
            "token_endpoint": format!("{below}/oauth2/{version}token"),
            "device_authorization_endpoint": format!("{below}/oauth2/{version}devicecode"),
            "jwks_uri": format!("{below}/discovery/{version}keys"),
            "token_endpoint_auth_methods_supported":
                ["client_secret_post", "client_secret_basic", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256"],
            "grant_types_supported": ["client_credentials", "refresh_token", super::grant::DEVICE_CODE_GRANT],
            "response_types_supported": ["none"],
            "response_modes_supported": ["form_post"],
            "scopes_supported": ["openid", "profile", "offline_access"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": ["aud", "azp", "exp", "groups", "iat", "iss", "name", "nbf", "oid",
                "preferred_username", "sub", "tid", "upn", "ver"],
            "tenant_region_scope": null,
            "cloud_instance_name": inbound.host.authority,
        });
        Ok(json_answer(StatusCode::OK, &document))
    }

    /// What clients ask an authority they trust about one they do not know (components.md §0, rule 3).
    pub(super) fn instance_discovery(&self, inbound: &Inbound) -> Result<Outbound, Refusal> {
        let id = self.directory.tenant()?.id;
        let hosts: Vec<String> = self
            .names
            .addresses()
            .map(|address| address.authority_url().trim_start_matches("https://").to_owned())
            .chain([inbound.host.authority.clone()])
            .collect();
        let document = json!({
            "tenant_discovery_endpoint": format!("{}/{id}/v2.0/.well-known/openid-configuration", inbound.base_url()),
            "api-version": "1.1",
            "metadata": [{
                "preferred_network": inbound.host.authority,
                "preferred_cache": inbound.host.authority,
                "aliases": hosts,
            }],
        });
        Ok(json_answer(StatusCode::OK, &document))
    }

    /// The keys that verify our tokens (RFC 7517 §5), those that do not sign yet and those that sign no more included.
    pub(super) async fn keys(&self, inbound: &Inbound) -> Result<Outbound, Refusal> {
        let issuer = self.directory.issuer()?;
        let keys = self.directory.public_signing_keys(inbound.received).await?;
        let keys: Vec<Value> = keys
            .into_iter()
            .map(|key| {
                json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key.kid, "n": key.n, "e": key.e,
                    "issuer": issuer})
            })
            .collect();
        Ok(json_answer(StatusCode::OK, &json!({ "keys": keys })))
    }
}
