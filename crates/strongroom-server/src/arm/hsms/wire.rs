//! Managed HSMs on the wire (management-plane.md §3).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::audit::rfc3339;
use strongroom_core::guard::HsmState;
use strongroom_core::managed_hsm::{ManagedHsm, NetworkAcls, Provisioning, PublicNetworkAccess};
use strongroom_core::pools::{
    CreateMode, Error, HsmId, HsmSpecification, HsmView, IdentityChange, LinkTarget, Location, Result, network_acls,
    sku,
};

use crate::arm::error::ArmError;
use crate::arm::private_links::stage_connections;
use crate::arm::wire::{
    NameWords, NumberOrText, TagsBody, create_mode, guid, hsm_resource, location, tags, with_members,
};

/// The body of PUT and PATCH.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HsmBody {
    location: Option<String>,
    sku: Option<SkuBody>,
    tags: Option<TagsBody>,
    identity: Option<IdentityBody>,
    properties: Option<Properties>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SkuBody {
    family: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IdentityBody {
    #[serde(rename = "type")]
    kind: Option<String>,
    user_assigned_identities: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Properties {
    tenant_id: Option<String>,
    initial_admin_object_ids: Option<Vec<String>>,
    enable_soft_delete: Option<bool>,
    soft_delete_retention_in_days: Option<NumberOrText>,
    enable_purge_protection: Option<bool>,
    create_mode: Option<String>,
    network_acls: Option<AclsBody>,
    public_network_access: Option<String>,
    regions: Option<Vec<RegionBody>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AclsBody {
    bypass: Option<String>,
    default_action: Option<String>,
    ip_rules: Option<Vec<IpRuleBody>>,
    virtual_network_rules: Option<Vec<Value>>,
    service_tags: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct IpRuleBody {
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RegionBody {
    name: Option<String>,
    is_primary: Option<bool>,
}

impl HsmBody {
    /// What the user wants.
    pub(super) fn into_parts(self) -> Result<(CreateMode, HsmSpecification), ArmError> {
        let properties = self.properties.unwrap_or_default();
        let mode = create_mode(properties.create_mode.as_deref())?;
        let location = location(self.location)?;
        check_regions(properties.regions.as_deref().unwrap_or_default(), location.as_ref())?;
        let specification = HsmSpecification {
            location,
            sku: self.sku.map(SkuBody::into_sku).transpose()?,
            tags: tags(self.tags)?,
            identity: self.identity.map(IdentityBody::into_change).transpose()?,
            tenant: properties.tenant_id.map(|text| guid("properties.tenantId", &text)).transpose()?,
            initial_administrators: properties.initial_admin_object_ids.map(|ids| administrators(&ids)).transpose()?,
            soft_delete: properties.enable_soft_delete,
            retention: properties.soft_delete_retention_in_days.map(NumberOrText::into_days).transpose()?,
            purge_protection: properties.enable_purge_protection,
            public_network_access: properties.public_network_access.map(|text| public_access(&text)).transpose()?,
            network_acls: properties.network_acls.map(AclsBody::into_acls).transpose()?,
        };
        Ok((mode, specification))
    }
}

impl SkuBody {
    fn into_sku(self) -> Result<strongroom_core::managed_hsm::Sku> {
        sku(&self.family.unwrap_or_default(), &self.name.unwrap_or_default())
    }
}

impl IdentityBody {
    fn into_change(self) -> Result<IdentityChange> {
        let is = |kind: &str| self.kind.as_ref().is_some_and(|text| text.eq_ignore_ascii_case(kind));
        if is("None") {
            return Ok(IdentityChange::None);
        }
        if !is("UserAssigned") {
            return Err(Error::bad_property("identity.type", "None or UserAssigned is expected"));
        }
        let not_valid = |_| Error::bad_property("identity.userAssignedIdentities", "resource ids are expected");
        // In a PATCH, null takes one away; as the rest is given whole, leaving it out is the same.
        let given = self.user_assigned_identities.unwrap_or_default().into_iter().filter(|(_, value)| !value.is_null());
        Ok(IdentityChange::UserAssigned(given.map(|(id, _)| id.parse().map_err(not_valid)).collect::<Result<_>>()?))
    }
}

impl AclsBody {
    fn into_acls(self) -> Result<NetworkAcls> {
        let Self { bypass, default_action, ip_rules, virtual_network_rules, service_tags } = self;
        if virtual_network_rules.is_some_and(|rules| !rules.is_empty()) {
            let problem = "managed HSMs have no service endpoints";
            return Err(Error::bad_property("properties.networkAcls.virtualNetworkRules", problem));
        }
        if service_tags.is_some_and(|tags| !tags.is_empty()) {
            let problem = "service tags are not supported here";
            return Err(Error::bad_property("properties.networkAcls.serviceTags", problem));
        }
        let rules: Vec<_> = ip_rules.unwrap_or_default().into_iter().map(|rule| rule.value).collect();
        network_acls(bypass.as_deref(), default_action.as_deref(), &rules)
    }
}

fn administrators<T: std::str::FromStr>(ids: &[String]) -> Result<Vec<T>> {
    ids.iter().map(|id| guid("properties.initialAdminObjectIds", id)).collect()
}

fn public_access(text: &str) -> Result<PublicNetworkAccess> {
    match text {
        _ if text.eq_ignore_ascii_case("Enabled") => Ok(PublicNetworkAccess::Enabled),
        _ if text.eq_ignore_ascii_case("Disabled") => Ok(PublicNetworkAccess::Disabled),
        _ => Err(Error::bad_property("properties.publicNetworkAccess", "Enabled or Disabled is expected")),
    }
}

/// An HSM has one region: its location. Clients send it back with the rest.
fn check_regions(regions: &[RegionBody], location: Option<&Location>) -> Result<()> {
    let is_location = |name: &str| {
        let name: Option<Location> = name.parse().ok();
        name.zip(location).is_some_and(|(name, location)| name.normalized() == location.normalized())
    };
    let primary =
        |region: &RegionBody| region.is_primary == Some(true) || region.name.as_deref().is_some_and(is_location);
    if regions.len() > 1 || !regions.iter().all(primary) {
        return Err(Error::bad_property(
            "properties.regions",
            "only the region of the HSM's own location is supported",
        ));
    }
    Ok(())
}

/// The resource.
pub(super) fn hsm(view: &HsmView, hsm_suffix: &str) -> Value {
    let HsmView { hsm, state, sealed, identities } = view;
    let (activation, activation_message) = activation(*state, *sealed);
    let waits_for_domain = *sealed || *state == Some(HsmState::Recovering);
    let members = json!({
        "systemData": {"createdAt": rfc3339(hsm.created), "lastModifiedAt": rfc3339(hsm.updated)},
        "properties": {
            "tenantId": hsm.tenant,
            "initialAdminObjectIds": hsm.initial_administrators,
            "hsmUri": format!("https://{}.{hsm_suffix}/", hsm.name.folded()),
            "enableSoftDelete": true,
            "softDeleteRetentionInDays": hsm.retention_days,
            "enablePurgeProtection": hsm.purge_protection,
            "publicNetworkAccess": public_network_access(hsm.public_network_access),
            "networkAcls": acls(&hsm.network_acls),
            "provisioningState": if waits_for_domain { WAITS_FOR_DOMAIN } else { provisioning_state(hsm.provisioning) },
            "statusMessage": status_message(hsm.provisioning, waits_for_domain),
            "securityDomainProperties": {
                "activationStatus": activation,
                "activationStatusMessage": activation_message,
            },
        },
    });
    let mut resource = with_members(hsm_resource(view), members);
    if let Ok(id) = HsmId::of(hsm) {
        stage_connections(&mut resource, &LinkTarget::ManagedHsm(id), &hsm.private_endpoint_connections);
    }
    if !identities.is_empty() {
        let map: serde_json::Map<_, _> = identities
            .iter()
            .map(|(id, ids)| {
                let ids = ids.map(|ids| json!({"principalId": ids.object_id, "clientId": ids.client_id}));
                (id.clone(), ids.unwrap_or_else(|| json!({})))
            })
            .collect();
        if let Some(members) = resource.as_object_mut() {
            members.insert("identity".to_owned(), json!({"type": "UserAssigned", "userAssignedIdentities": map}));
        }
    }
    resource
}

fn acls(acls: &NetworkAcls) -> Value {
    let NetworkAcls { bypass, default_action, ip_rules } = acls;
    let ip_rules: Vec<_> = ip_rules.iter().map(|rule| json!({"value": rule})).collect();
    json!({"bypass": bypass, "defaultAction": default_action, "ipRules": ip_rules, "virtualNetworkRules": []})
}

fn public_network_access(access: PublicNetworkAccess) -> &'static str {
    match access {
        PublicNetworkAccess::Enabled => "Enabled",
        PublicNetworkAccess::Disabled => "Disabled",
    }
}

/// `provisioningState` (management-plane.md §4).
pub(super) fn provisioning_state(state: Provisioning) -> &'static str {
    match state {
        Provisioning::Provisioning => "Provisioning",
        Provisioning::Succeeded => "Succeeded",
        Provisioning::Purging => "Deleting",
    }
}

/// `provisioningState` of an HSM in recovery, and of a sealed one, until the upload.
const WAITS_FOR_DOMAIN: &str = "SecurityDomainRestore";

fn status_message(state: Provisioning, waits_for_domain: bool) -> &'static str {
    match state {
        Provisioning::Succeeded if waits_for_domain => "The Managed HSM waits for the upload of a security domain.",
        Provisioning::Provisioning => "The Managed HSM is being provisioned.",
        Provisioning::Succeeded => "The Managed HSM is provisioned and ready to use.",
        Provisioning::Purging => "The Managed HSM is being removed for good.",
    }
}

fn activation(state: Option<HsmState>, sealed: bool) -> (&'static str, &'static str) {
    match state {
        None => ("Unknown", "The activation status is known when the HSM is provisioned."),
        Some(HsmState::NotActivated) => (
            "NotActivated",
            "Your HSM has been provisioned, but cannot be used for cryptographic operations until it is activated: \
             download its security domain.",
        ),
        Some(HsmState::Recovering) => (
            "NotActivated",
            "Your HSM waits for the upload of another HSM's security domain; it cannot be used until then.",
        ),
        Some(HsmState::Restoring) => (
            "Active",
            "Your HSM has been activated and is being restored from a backup; it cannot be used until that has ended.",
        ),
        Some(HsmState::Active) if sealed => (
            "Active",
            "Your HSM has been activated, but is sealed since the start of the server: a quorum of its custodians must \
             upload its security domain.",
        ),
        Some(HsmState::Active) => {
            ("Active", "Your HSM has been activated and can be used for cryptographic operations.")
        }
    }
}

/// A soft-deleted HSM.
pub(super) fn deleted_hsm(hsm: &ManagedHsm) -> Value {
    let location = hsm.location.parse::<Location>().map(|location| location.normalized()).unwrap_or_default();
    let scope = HsmId::deleted_scope(hsm.subscription, &location, hsm.name.as_str());
    json!({
        "id": scope.as_str(),
        "name": hsm.name,
        "type": "Microsoft.KeyVault/deletedManagedHSMs",
        "properties": {
            "mhsmId": hsm.resource_id(),
            "location": hsm.location,
            "deletionDate": hsm.deletion.map(|deletion| rfc3339(deletion.at)),
            "scheduledPurgeDate": hsm.deletion.map(|deletion| rfc3339(deletion.scheduled_purge)),
            "purgeProtectionEnabled": hsm.purge_protection,
            "tags": hsm.tags,
        },
    })
}

/// The names of managed HSMs.
pub(super) const NAME_WORDS: NameWords = NameWords {
    expected: "A name has 3 to 24 letters, digits and hyphens; it begins with a letter, ends with a letter or a digit and has no \
               two hyphens in a row.",
    taken: "The name is in use by a managed HSM, maybe by a deleted one.",
};
