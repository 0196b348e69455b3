//! What a token is wanted for: `scope` (v2) or `resource` (v1).

use strongroom_core::identity::IssuerForm;

use crate::authentication::{PublicNames, Resource};
use crate::authority::form::Form;
use crate::authority::refusal::Refusal;
use crate::http::host::GRAPH;

/// What a token is wanted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The token's `aud`, as the client spelled it.
    pub(super) audience: String,
    /// What it means.
    pub(super) resource: Resource,
    /// What the client sent as `scope`; it finds the token again under that.
    pub(super) scope: String,
    /// Whether an id token is wanted.
    pub(super) openid: bool,
    /// Whether a refresh token is wanted.
    pub(super) offline_access: bool,
}

impl Wanted {
    /// Reads `resource` or `scope`. Without a resource a person's token is for the directory, a program's is refused.
    ///
    /// # Errors
    /// [`Refusal::UnknownResource`], [`Refusal::UnusableScope`].
    pub(super) fn read(form: &Form, names: &PublicNames) -> Result<Self, Refusal> {
        let scope = form.get("scope").unwrap_or_default();
        Self::of(scope, form.get("resource"), names)
    }

    /// As [`Wanted::read`], from a scope alone.
    ///
    /// # Errors
    /// As [`Wanted::read`].
    pub(super) fn of(scope: &str, resource: Option<&str>, names: &PublicNames) -> Result<Self, Refusal> {
        let has = |wanted: &str| scope.split_ascii_whitespace().any(|scope| scope == wanted);
        let audience = match resource {
            Some(resource) => resource.to_owned(),
            None => audience_of(scope, names)?,
        };
        let Some(resource) = names.resource(&audience) else {
            return Err(Refusal::UnknownResource(audience.chars().take(AUDIENCE_SHOWN_MAX).collect()));
        };
        let (openid, offline_access) = (has("openid"), has("offline_access"));
        Ok(Self { audience, resource, scope: scope.to_owned(), openid, offline_access })
    }

    /// The issuer the token names: storage services look for a certain one.
    pub(super) fn issuer_form(&self) -> IssuerForm {
        if self.resource == Resource::Storage { IssuerForm::V1 } else { IssuerForm::V2 }
    }
}

/// The one resource that all scopes but those of OpenID Connect name.
fn audience_of(scope: &str, names: &PublicNames) -> Result<String, Refusal> {
    let mut audience = None;
    for scope in scope.split_ascii_whitespace().filter(|scope| !OPENID_SCOPES.contains(scope)) {
        let named = match scope.rsplit_once('/') {
            Some((resource, _)) if resource.starts_with("https://") => resource.to_owned(),
            // A permission without a resource is one of the directory's.
            _ => names.canonical().url(GRAPH),
        };
        if audience.as_ref().is_some_and(|known| *known != named) {
            return Err(Refusal::UnusableScope);
        }
        audience = Some(named);
    }
    Ok(audience.unwrap_or_else(|| names.canonical().url(GRAPH)))
}

const OPENID_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];
/// Characters of an unknown resource that are repeated in the refusal.
const AUDIENCE_SHOWN_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use crate::authentication::PublicAddress;

    use super::*;

    fn wanted(scope: &str) -> Result<Wanted, Refusal> {
        let canonical = PublicAddress { domain: "localhost".parse().unwrap(), port: 8443 };
        Wanted::of(scope, None, &PublicNames::new(canonical, Vec::new()))
    }

    #[test]
    fn the_default_scope_is_stripped_with_either_number_of_slashes() {
        for (scope, audience, resource) in [
            ("https://graph.localhost:8443//.default", "https://graph.localhost:8443/", Resource::Graph),
            ("https://managedhsm.azure.net/.default", "https://managedhsm.azure.net", Resource::ManagedHsm),
            (
                "https://management.localhost:8443/user_impersonation offline_access openid profile",
                "https://management.localhost:8443",
                Resource::Management,
            ),
            ("openid profile", "https://graph.localhost:8443", Resource::Graph),
            ("User.Read", "https://graph.localhost:8443", Resource::Graph),
        ] {
            let wanted = wanted(scope).unwrap();
            assert_eq!((wanted.audience.as_str(), wanted.resource), (audience, resource), "{scope}");
        }
    }

    #[test]
    fn unknown_and_mixed_resources_are_refused() {
        assert!(matches!(wanted("https://example.com/.default"), Err(Refusal::UnknownResource(_))));
        let mixed = "https://managedhsm.localhost/.default https://vault.localhost/.default";
        assert!(matches!(wanted(mixed), Err(Refusal::UnusableScope)));
    }
}
