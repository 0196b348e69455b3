//! Trusted services: who passes where `bypass` says `AzureServices`.

use serde::Deserialize;
use strongroom_types::{PrincipalId, TenantId};

use crate::request::{Caller, CallerKind};

/// A program that acts for a data service: the identity that a storage account or a database uses its key with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedService {
    /// What it is, for people.
    pub name: String,
    /// Its object id.
    pub principal: PrincipalId,
    /// The tenant it belongs to; without it, the deployment's own.
    pub tenant: Option<TenantId>,
}

/// Every trusted service. The operator of the machine names them in the configuration: nobody who manages an HSM through
/// ARM, or holds a role in it, can add one.
#[derive(Debug, Clone, Default)]
pub struct TrustedServices(Vec<(TenantId, PrincipalId)>);

impl TrustedServices {
    /// The services that were configured, in a deployment of a tenant.
    pub fn new(services: &[TrustedService], own_tenant: TenantId) -> Self {
        Self(services.iter().map(|service| (service.tenant.unwrap_or(own_tenant), service.principal)).collect())
    }

    /// Whether a caller is one of them, by its verified identity. A person never is, whatever program speaks for it, and
    /// membership of a group does not count.
    pub fn admit(&self, caller: &Caller) -> bool {
        caller.kind == CallerKind::Application && self.0.contains(&(caller.tenant, caller.principal))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn caller(tenant: u128, principal: u128, kind: CallerKind, groups: &[u128]) -> Caller {
        let id = |number: &u128| PrincipalId::from_uuid(Uuid::from_u128(*number));
        Caller {
            tenant: TenantId::from_uuid(Uuid::from_u128(tenant)),
            principal: id(&principal),
            groups: groups.iter().map(id).collect(),
            application: None,
            kind,
            issuer: String::new(),
            name: None,
        }
    }

    #[test]
    fn only_the_program_itself_is_trusted_and_only_in_its_tenant() {
        let storage = |tenant: Option<u128>| TrustedService {
            name: "storage".to_owned(),
            principal: PrincipalId::from_uuid(Uuid::from_u128(7)),
            tenant: tenant.map(|number| TenantId::from_uuid(Uuid::from_u128(number))),
        };
        let own = TenantId::from_uuid(Uuid::from_u128(1));
        let services = TrustedServices::new(&[storage(None)], own);
        assert!(services.admit(&caller(1, 7, CallerKind::Application, &[])));
        assert!(!services.admit(&caller(1, 7, CallerKind::User, &[])));
        assert!(!services.admit(&caller(2, 7, CallerKind::Application, &[])), "the same object id of another tenant");
        assert!(!services.admit(&caller(1, 8, CallerKind::Application, &[7])), "a group is nobody's identity");
        let services = TrustedServices::new(&[storage(Some(2))], own);
        assert!(services.admit(&caller(2, 7, CallerKind::Application, &[])));
        assert!(!services.admit(&caller(1, 7, CallerKind::Application, &[])));
        assert!(!TrustedServices::default().admit(&caller(1, 7, CallerKind::Application, &[])));
    }
}
