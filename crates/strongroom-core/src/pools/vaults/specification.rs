//! What a user says about a vault.

use strongroom_types::TenantId;

use crate::pools::hsms::specification::checked_acls;
use crate::pools::{Error, Location, ResourceScope, Result, RetentionDays, Tags};
use crate::vault::{
    AccessPolicy, AuthorizationModel, VaultNetworkAccess, VaultNetworkAcls, VaultSku, VirtualNetworkRule,
};

/// The body of a PUT or PATCH. What is absent takes its default in a new vault, and stays as it is in an existing one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VaultSpecification {
    /// The region's name; needed to make one, cannot be changed.
    pub location: Option<Location>,
    /// The SKU; needed to make one; see [`vault_sku`].
    pub sku: Option<VaultSku>,
    /// Replaces all tags.
    pub tags: Option<Tags>,
    /// The tenant; cannot be changed.
    pub tenant: Option<TenantId>,
    /// Replaces all access policies.
    pub policies: Option<Vec<AccessPolicy>>,
    /// `enableRbacAuthorization`.
    pub model: Option<AuthorizationModel>,
    /// `enabledForDeployment`.
    pub enabled_for_deployment: Option<bool>,
    /// `enabledForDiskEncryption`.
    pub enabled_for_disk_encryption: Option<bool>,
    /// `enabledForTemplateDeployment`.
    pub enabled_for_template_deployment: Option<bool>,
    /// `enableSoftDelete`: cannot be off.
    pub soft_delete: Option<bool>,
    /// `softDeleteRetentionInDays`; cannot be changed.
    pub retention: Option<RetentionDays>,
    /// `enablePurgeProtection`: once on it stays on.
    pub purge_protection: Option<bool>,
    /// `publicNetworkAccess`.
    pub public_network_access: Option<VaultNetworkAccess>,
    /// `networkAcls`; see [`vault_network_acls`].
    pub network_acls: Option<VaultNetworkAcls>,
}

/// Checks a SKU: family A, standard or premium; compared without case.
///
/// # Errors
/// [`Error::SkuNotSupported`].
pub fn vault_sku(family: &str, name: &str) -> Result<VaultSku> {
    if !family.eq_ignore_ascii_case("A") {
        return Err(Error::SkuNotSupported { problem: "the family of a vault is A" });
    }
    [VaultSku::Standard, VaultSku::Premium]
        .into_iter()
        .find(|sku| sku.as_str().eq_ignore_ascii_case(name))
        .ok_or(Error::SkuNotSupported { problem: "the name is standard or premium" })
}

/// Checks the network rules of a vault, as [`crate::pools::network_acls`] does those of an HSM.
///
/// # Errors
/// [`Error::BadProperty`].
pub fn vault_network_acls(
    bypass: Option<&str>,
    default_action: Option<&str>,
    ip_rules: &[String],
    virtual_network_rules: Vec<VirtualNetworkRule>,
) -> Result<VaultNetworkAcls> {
    const PROPERTY: &str = "properties.networkAcls.virtualNetworkRules";
    if virtual_network_rules.len() > VIRTUAL_NETWORK_RULES_MAX {
        return Err(Error::bad_property(PROPERTY, "at most 200 rules are allowed"));
    }
    if virtual_network_rules.iter().any(|rule| rule.id.parse::<ResourceScope>().is_err()) {
        return Err(Error::bad_property(PROPERTY, "the resource id of a subnet is expected"));
    }
    let acls = checked_acls(bypass, default_action, ip_rules, IP_RULES_MAX)?;
    Ok(VaultNetworkAcls { acls, virtual_network_rules })
}

/// Checks a whole set of access policies for a vault of a tenant.
///
/// # Errors
/// [`Error::BadProperty`] for another tenant's principal, or two policies for one; [`Error::LimitReached`].
pub(super) fn check_policies(policies: &[AccessPolicy], tenant: TenantId) -> Result<()> {
    const PROPERTY: &str = "properties.accessPolicies";
    if policies.len() > POLICIES_MAX {
        return Err(Error::LimitReached { what: "access policies of a vault", limit: POLICIES_MAX });
    }
    if policies.iter().any(|policy| policy.tenant != tenant) {
        return Err(Error::bad_property(
            PROPERTY,
            format!("only principals of the vault's tenant, {tenant}, can be named"),
        ));
    }
    let twice = |(at, policy): (usize, &AccessPolicy)| {
        policies.iter().take(at).any(|earlier| earlier.is_about_the_same(policy))
    };
    if policies.iter().enumerate().any(twice) {
        return Err(Error::bad_property(PROPERTY, "an object id (with the same application id) stands there twice"));
    }
    Ok(())
}

/// Most access policies of a vault (management-plane.md §8).
pub(super) const POLICIES_MAX: usize = 1024;
/// Most IP rules of a vault (limits.md, "Networking").
pub(super) const IP_RULES_MAX: usize = 1000;
/// Most subnets (limits.md).
pub(super) const VIRTUAL_NETWORK_RULES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use strongroom_types::PrincipalId;
    use uuid::Uuid;

    use super::*;
    use crate::vault::Permissions;

    fn policy(tenant: u128, principal: u128) -> AccessPolicy {
        AccessPolicy {
            tenant: TenantId::from_uuid(Uuid::from_u128(tenant)),
            principal: PrincipalId::from_uuid(Uuid::from_u128(principal)),
            application: None,
            permissions: Permissions::default(),
        }
    }

    #[test]
    fn a_sku_is_standard_or_premium_of_family_a() {
        assert_eq!(vault_sku("a", "Premium").unwrap(), VaultSku::Premium);
        assert!(vault_sku("B", "standard").is_err() && vault_sku("A", "Standard_B1").is_err());
    }

    #[test]
    fn a_principal_has_one_policy_and_is_of_the_vaults_tenant() {
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        assert!(check_policies(&[policy(1, 1), policy(1, 2)], tenant).is_ok());
        assert!(check_policies(&[policy(1, 1), policy(1, 1)], tenant).is_err());
        assert!(check_policies(&[policy(2, 1)], tenant).is_err());
        let through = AccessPolicy { application: Some("a".to_owned()), ..policy(1, 1) };
        assert!(check_policies(&[policy(1, 1), through], tenant).is_ok());
    }

    #[test]
    fn policies_end_at_1024() {
        let many = |count: u128| (0..count).map(|number| policy(1, number)).collect::<Vec<_>>();
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        assert!(check_policies(&many(1024), tenant).is_ok());
        assert!(matches!(check_policies(&many(1025), tenant), Err(Error::LimitReached { .. })));
    }
}
