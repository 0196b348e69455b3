//! What a user says about a managed HSM.

use strongroom_types::{ParseError, PrincipalId, TenantId};

use crate::managed_hsm::{NetworkAcls, PublicNetworkAccess, Sku};
use crate::network::AddressRange;
use crate::pools::{Error, Location, ResourceScope, Result, Tags};

/// The body of a PUT or PATCH. What is absent takes its default in a new HSM, and stays as it is in an existing one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HsmSpecification {
    /// The region's name; needed to make one, cannot be changed.
    pub location: Option<Location>,
    /// The SKU; see [`sku`].
    pub sku: Option<Sku>,
    /// Replaces all tags.
    pub tags: Option<Tags>,
    /// Replaces the identities.
    pub identity: Option<IdentityChange>,
    /// The tenant; only ours, cannot be changed.
    pub tenant: Option<TenantId>,
    /// Who becomes Managed HSM Administrator; needed to make one, cannot be changed.
    pub initial_administrators: Option<Vec<PrincipalId>>,
    /// `enableSoftDelete`: cannot be off.
    pub soft_delete: Option<bool>,
    /// `softDeleteRetentionInDays`; cannot be changed.
    pub retention: Option<RetentionDays>,
    /// `enablePurgeProtection`: once on it stays on.
    pub purge_protection: Option<bool>,
    /// `publicNetworkAccess`.
    pub public_network_access: Option<PublicNetworkAccess>,
    /// `networkAcls`; see [`network_acls`].
    pub network_acls: Option<NetworkAcls>,
}

/// `identity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityChange {
    /// `None`: take all away.
    None,
    /// `UserAssigned`: these and no others, as written.
    UserAssigned(Vec<ResourceScope>),
}

/// How long a deleted HSM, or a deleted key, is kept: 7 to 90 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionDays(u32);

impl RetentionDays {
    /// What is taken if nothing is said.
    pub const DEFAULT: Self = Self(90);

    /// Checks a number of days.
    ///
    /// # Errors
    /// [`Error::BadProperty`] outside of 7 to 90.
    pub fn new(days: u64) -> Result<Self> {
        match u32::try_from(days) {
            Ok(days @ 7..=90) => Ok(Self(days)),
            _ => Err(Error::bad_property("properties.softDeleteRetentionInDays", "7 to 90 days are expected")),
        }
    }

    /// The days.
    pub const fn days(self) -> u32 {
        self.0
    }
}

/// Checks a SKU: family B or C; the name is kept and means nothing here.
///
/// # Errors
/// [`Error::SkuNotSupported`].
pub fn sku(family: &str, name: &str) -> Result<Sku> {
    if !["B", "C"].iter().any(|known| known.eq_ignore_ascii_case(family)) {
        return Err(Error::SkuNotSupported { problem: "the family is B or C" });
    }
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !(1..=SKU_NAME_MAX).contains(&name.len()) || !plain {
        return Err(Error::SkuNotSupported { problem: "the name is one such as Standard_B1" });
    }
    Ok(Sku { family: family.to_ascii_uppercase(), name: name.to_owned() })
}

/// Checks network rules. Absent members take Azure's defaults: `AzureServices`, `Allow`, no rules.
///
/// # Errors
/// [`Error::BadProperty`].
pub fn network_acls(bypass: Option<&str>, default_action: Option<&str>, ip_rules: &[String]) -> Result<NetworkAcls> {
    checked_acls(bypass, default_action, ip_rules, IP_RULES_MAX)
}

/// As [`network_acls`], with another limit on the number of rules.
pub(in crate::pools) fn checked_acls(
    bypass: Option<&str>,
    default_action: Option<&str>,
    ip_rules: &[String],
    ip_rules_max: usize,
) -> Result<NetworkAcls> {
    let choose = |property, text: Option<&str>, [first, second]: [&str; 2]| match text {
        None => Ok(first.to_owned()),
        Some(text) => [first, second]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(text))
            .map(str::to_owned)
            .ok_or_else(|| Error::bad_property(property, format!("{first} or {second} is expected"))),
    };
    if ip_rules.len() > ip_rules_max {
        let problem = format!("at most {ip_rules_max} rules are allowed");
        return Err(Error::bad_property("properties.networkAcls.ipRules", problem));
    }
    Ok(NetworkAcls {
        bypass: choose("properties.networkAcls.bypass", bypass, ["AzureServices", "None"])?,
        default_action: choose("properties.networkAcls.defaultAction", default_action, ["Allow", "Deny"])?,
        ip_rules: ip_rules.iter().map(|rule| ip_rule(rule)).collect::<Result<_>>()?,
    })
}

/// Checks an IP rule; it is kept as it was written.
fn ip_rule(text: &str) -> Result<String> {
    let problem = |error: ParseError| Error::bad_property("properties.networkAcls.ipRules", error.to_string());
    text.parse::<AddressRange>().map(|_| text.to_owned()).map_err(problem)
}

/// Most IP rules of an HSM (limits.md).
pub(super) const IP_RULES_MAX: usize = 10;
/// Most initial administrators; they are assigned in one commit at activation.
pub(super) const INITIAL_ADMINISTRATORS_MAX: usize = 30;
/// Most identities of an HSM.
pub(super) const IDENTITIES_MAX: usize = 10;
const SKU_NAME_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip_rules_are_kept_as_written_and_wrong_ones_refused() {
        for text in ["1.2.3.4", "1.2.3.4/32", "10.0.0.0/8", "FD00::/8"] {
            assert_eq!(ip_rule(text).unwrap(), text);
        }
        assert!(matches!(ip_rule("1.2.3.4/24"), Err(Error::BadProperty { .. })));
    }

    #[test]
    fn ten_ip_rules_fit_and_no_more() {
        let rules = |count: usize| vec!["192.0.2.1".to_owned(); count];
        assert!(network_acls(None, None, &rules(10)).is_ok());
        assert!(network_acls(None, None, &rules(11)).is_err());
    }

    #[test]
    fn network_rules_have_defaults_and_are_compared_without_case() {
        let acls = network_acls(Some("none"), None, &[]).unwrap();
        assert_eq!((acls.bypass.as_str(), acls.default_action.as_str()), ("None", "Allow"));
        assert!(network_acls(Some("Everything"), None, &[]).is_err());
    }

    #[test]
    fn retention_is_seven_to_ninety_days() {
        assert!([7, 90].into_iter().all(|days| RetentionDays::new(days).is_ok()));
        assert!([0, 6, 91, u64::MAX].into_iter().all(|days| RetentionDays::new(days).is_err()));
    }

    #[test]
    fn a_sku_has_family_b_or_c() {
        assert_eq!(sku("b", "Standard_B1").unwrap(), Sku { family: "B".into(), name: "Standard_B1".into() });
        assert!(sku("A", "Standard_B1").is_err() && sku("B", "").is_err() && sku("B", "x y").is_err());
    }
}
