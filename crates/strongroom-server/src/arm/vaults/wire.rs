//! Vaults on the wire (management-plane.md §8).

use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::audit::rfc3339;
use strongroom_core::pools::{
    CreateMode, Error, LinkTarget, Location, Result, VaultId, VaultSpecification, VaultView, vault_network_acls,
    vault_sku,
};
use strongroom_core::vault::{
    AccessPolicy, AuthorizationModel, Permissions, Vault, VaultNetworkAccess, VaultNetworkAcls, VaultSku,
    VirtualNetworkRule,
};
use strongroom_types::{KeyPermission, KeyPermissionSet};
use uuid::Uuid;

use crate::arm::error::ArmError;
use crate::arm::private_links::stage_connections;
use crate::arm::wire::{
    NameWords, NumberOrText, TagsBody, create_mode, guid, location, tags, vault_resource, with_members,
};

/// The body of PUT and PATCH.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct VaultBody {
    location: Option<String>,
    tags: Option<TagsBody>,
    properties: Option<Properties>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Properties {
    tenant_id: Option<String>,
    sku: Option<SkuBody>,
    access_policies: Option<Vec<PolicyBody>>,
    enabled_for_deployment: Option<bool>,
    enabled_for_disk_encryption: Option<bool>,
    enabled_for_template_deployment: Option<bool>,
    enable_soft_delete: Option<bool>,
    soft_delete_retention_in_days: Option<NumberOrText>,
    enable_rbac_authorization: Option<bool>,
    create_mode: Option<String>,
    enable_purge_protection: Option<bool>,
    network_acls: Option<AclsBody>,
    public_network_access: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SkuBody {
    family: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PolicyBody {
    tenant_id: Option<String>,
    object_id: Option<String>,
    application_id: Option<String>,
    permissions: Option<PermissionsBody>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PermissionsBody {
    keys: Option<Vec<String>>,
    secrets: Option<Vec<String>>,
    certificates: Option<Vec<String>>,
    storage: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AclsBody {
    bypass: Option<String>,
    default_action: Option<String>,
    ip_rules: Option<Vec<IpRuleBody>>,
    virtual_network_rules: Option<Vec<SubnetBody>>,
}

#[derive(Debug, Deserialize)]
struct IpRuleBody {
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubnetBody {
    id: String,
    ignore_missing_vnet_service_endpoint: Option<bool>,
}

/// The body of a change of access policies.
#[derive(Debug, Deserialize)]
pub(super) struct PoliciesBody {
    properties: PoliciesProperties,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PoliciesProperties {
    access_policies: Vec<PolicyBody>,
}

impl VaultBody {
    /// What the user wants.
    pub(super) fn into_parts(self) -> Result<(CreateMode, VaultSpecification), ArmError> {
        let properties = self.properties.unwrap_or_default();
        let mode = create_mode(properties.create_mode.as_deref())?;
        let specification = VaultSpecification {
            location: location(self.location)?,
            sku: properties.sku.map(SkuBody::into_sku).transpose()?,
            tags: tags(self.tags)?,
            tenant: properties.tenant_id.map(|text| guid("properties.tenantId", &text)).transpose()?,
            policies: properties.access_policies.map(into_policies).transpose()?,
            model: properties.enable_rbac_authorization.map(model),
            enabled_for_deployment: properties.enabled_for_deployment,
            enabled_for_disk_encryption: properties.enabled_for_disk_encryption,
            enabled_for_template_deployment: properties.enabled_for_template_deployment,
            soft_delete: properties.enable_soft_delete,
            retention: properties.soft_delete_retention_in_days.map(NumberOrText::into_days).transpose()?,
            purge_protection: properties.enable_purge_protection,
            public_network_access: properties.public_network_access.map(|text| public_access(&text)).transpose()?,
            network_acls: properties.network_acls.map(AclsBody::into_acls).transpose()?,
        };
        Ok((mode, specification))
    }
}

impl PoliciesBody {
    /// The policies that are named.
    pub(super) fn into_policies(self) -> Result<Vec<AccessPolicy>> {
        into_policies(self.properties.access_policies)
    }
}

impl SkuBody {
    fn into_sku(self) -> Result<VaultSku> {
        vault_sku(&self.family.unwrap_or_default(), &self.name.unwrap_or_default())
    }
}

impl PolicyBody {
    fn into_policy(self) -> Result<AccessPolicy> {
        let required =
            |property, value: Option<String>| value.ok_or_else(|| Error::bad_property(property, "is required"));
        let (tenant, principal) = ("properties.accessPolicies.tenantId", "properties.accessPolicies.objectId");
        let application = self.application_id.filter(|text| !text.is_empty());
        Ok(AccessPolicy {
            tenant: guid(tenant, &required(tenant, self.tenant_id)?)?,
            principal: guid(principal, &required(principal, self.object_id)?)?,
            application: application
                .map(|text| guid::<Uuid>("properties.accessPolicies.applicationId", &text).map(|id| id.to_string()))
                .transpose()?,
            permissions: self.permissions.unwrap_or_default().into_permissions()?,
        })
    }
}

impl PermissionsBody {
    fn into_permissions(self) -> Result<Permissions> {
        const KEYS: &str = "properties.accessPolicies.permissions.keys";
        let Self { keys, secrets, certificates, storage } = self;
        let key = |text: &String| {
            KeyPermission::from_wire(text).map_err(|error| Error::bad_property(KEYS, error.to_string()))
        };
        Ok(Permissions {
            keys: keys.unwrap_or_default().iter().map(key).collect::<Result<KeyPermissionSet>>()?,
            secrets: known("properties.accessPolicies.permissions.secrets", secrets, SECRETS)?,
            certificates: known("properties.accessPolicies.permissions.certificates", certificates, CERTIFICATES)?,
            storage: known("properties.accessPolicies.permissions.storage", storage, STORAGE)?,
        })
    }
}

impl AclsBody {
    fn into_acls(self) -> Result<VaultNetworkAcls> {
        let Self { bypass, default_action, ip_rules, virtual_network_rules } = self;
        let rules: Vec<_> = ip_rules.unwrap_or_default().into_iter().map(|rule| rule.value).collect();
        let subnets = virtual_network_rules.unwrap_or_default().into_iter().map(|rule| VirtualNetworkRule {
            id: rule.id,
            ignore_missing_service_endpoint: rule.ignore_missing_vnet_service_endpoint,
        });
        vault_network_acls(bypass.as_deref(), default_action.as_deref(), &rules, subnets.collect())
    }
}

fn into_policies(policies: Vec<PolicyBody>) -> Result<Vec<AccessPolicy>> {
    policies.into_iter().map(PolicyBody::into_policy).collect()
}

/// Permissions on what vaults do not hold here: kept in lower case, each once.
fn known(property: &'static str, given: Option<Vec<String>>, words: &[&str]) -> Result<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for text in given.unwrap_or_default() {
        let word = words.iter().find(|word| word.eq_ignore_ascii_case(&text));
        let word =
            word.ok_or_else(|| Error::bad_property(property, format!("one of {} is expected", words.join(", "))))?;
        if !kept.iter().any(|present| present == word) {
            kept.push((*word).to_owned());
        }
    }
    Ok(kept)
}

fn model(rbac: bool) -> AuthorizationModel {
    if rbac { AuthorizationModel::AzureRbac } else { AuthorizationModel::AccessPolicies }
}

/// What a new vault gets if nothing is said: Azure RBAC since a certain api-version, access policies before.
pub(super) fn default_model(api_version: &str) -> AuthorizationModel {
    model(api_version >= RBAC_BY_DEFAULT_SINCE)
}

fn public_access(text: &str) -> Result<VaultNetworkAccess> {
    let known = VaultNetworkAccess::ALL.into_iter().find(|access| access.as_str().eq_ignore_ascii_case(text));
    known.ok_or_else(|| {
        Error::bad_property("properties.publicNetworkAccess", "Enabled, Disabled or SecuredByPerimeter is expected")
    })
}

/// The resource.
pub(super) fn vault(view: &VaultView, vault_suffix: &str) -> Value {
    let VaultView { vault, access } = view;
    let mut properties = json!({
        "tenantId": vault.tenant,
        "sku": {"family": "A", "name": vault.sku.as_str()},
        "accessPolicies": access.policies.iter().map(policy).collect::<Vec<_>>(),
        "enabledForDeployment": vault.enabled_for_deployment,
        "enabledForDiskEncryption": vault.enabled_for_disk_encryption,
        "enabledForTemplateDeployment": vault.enabled_for_template_deployment,
        "enableSoftDelete": true,
        "softDeleteRetentionInDays": vault.retention_days,
        "enableRbacAuthorization": access.model == AuthorizationModel::AzureRbac,
        "publicNetworkAccess": vault.public_network_access.as_str(),
        "vaultUri": format!("https://{}.{vault_suffix}/", vault.name.folded()),
        "provisioningState": "Succeeded",
    });
    if let Some(members) = properties.as_object_mut() {
        // The service shows it once it is on, and never as off.
        if vault.purge_protection {
            members.insert("enablePurgeProtection".to_owned(), json!(true));
        }
        if let Some(rules) = &vault.network_acls {
            members.insert("networkAcls".to_owned(), acls(rules));
        }
    }
    let members = json!({
        "systemData": {"createdAt": rfc3339(vault.created), "lastModifiedAt": rfc3339(vault.updated)},
        "properties": properties,
    });
    let mut resource = with_members(vault_resource(vault), members);
    if let Ok(id) = VaultId::of(vault) {
        stage_connections(&mut resource, &LinkTarget::Vault(id), &vault.private_endpoint_connections);
    }
    resource
}

/// The answer to a change of access policies: all of them.
pub(super) fn policies(view: &VaultView) -> Value {
    json!({
        "id": format!("{}/accessPolicies/", view.vault.resource_id()),
        "type": "Microsoft.KeyVault/vaults/accessPolicies",
        "properties": {"accessPolicies": view.access.policies.iter().map(policy).collect::<Vec<_>>()},
    })
}

fn policy(policy: &AccessPolicy) -> Value {
    let AccessPolicy { tenant, principal, application, permissions } = policy;
    let Permissions { keys, secrets, certificates, storage } = permissions;
    let mut shown = json!({
        "tenantId": tenant,
        "objectId": principal,
        "permissions": {
            "keys": keys.iter().map(KeyPermission::as_str).collect::<Vec<_>>(),
            "secrets": secrets,
            "certificates": certificates,
            "storage": storage,
        },
    });
    if let (Some(application), Some(members)) = (application, shown.as_object_mut()) {
        members.insert("applicationId".to_owned(), json!(application));
    }
    shown
}

fn acls(rules: &VaultNetworkAcls) -> Value {
    let ip_rules: Vec<_> = rules.acls.ip_rules.iter().map(|rule| json!({"value": rule})).collect();
    let subnets: Vec<_> = rules
        .virtual_network_rules
        .iter()
        .map(|rule| match rule.ignore_missing_service_endpoint {
            None => json!({"id": rule.id}),
            Some(ignore) => json!({"id": rule.id, "ignoreMissingVnetServiceEndpoint": ignore}),
        })
        .collect();
    json!({
        "bypass": rules.acls.bypass,
        "defaultAction": rules.acls.default_action,
        "ipRules": ip_rules,
        "virtualNetworkRules": subnets,
    })
}

/// A soft-deleted vault.
pub(super) fn deleted_vault(vault: &Vault) -> Value {
    let location = vault.location.parse::<Location>().map(|location| location.normalized()).unwrap_or_default();
    let scope = VaultId::deleted_scope(vault.subscription, &location, vault.name.as_str());
    json!({
        "id": scope.as_str(),
        "name": vault.name,
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": {
            "vaultId": vault.resource_id(),
            "location": vault.location,
            "deletionDate": vault.deletion.map(|deletion| rfc3339(deletion.at)),
            "scheduledPurgeDate": vault.deletion.map(|deletion| rfc3339(deletion.scheduled_purge)),
            "purgeProtectionEnabled": vault.purge_protection,
            "tags": vault.tags,
        },
    })
}

/// The names of vaults.
pub(super) const NAME_WORDS: NameWords = NameWords {
    expected: "A name has 3 to 24 letters, digits and hyphens; it begins with a letter, ends with a letter or a digit and has no \
               two hyphens in a row.",
    taken: "The name is in use by a vault, maybe by a deleted one.",
};

/// The first api-version under which new vaults are under Azure RBAC if nothing is said.
const RBAC_BY_DEFAULT_SINCE: &str = "2026-02-01";
/// Permissions on secrets (management-plane.md §8).
const SECRETS: &[&str] = &["get", "list", "set", "delete", "recover", "backup", "restore", "purge", "all"];
/// Permissions on certificates (management-plane.md §8).
const CERTIFICATES: &[&str] = &[
    "get",
    "list",
    "delete",
    "create",
    "import",
    "update",
    "managecontacts",
    "getissuers",
    "listissuers",
    "setissuers",
    "deleteissuers",
    "manageissuers",
    "recover",
    "purge",
    "backup",
    "restore",
    "all",
];
/// Permissions on storage accounts, a feature of the past.
const STORAGE: &[&str] = &[
    "get",
    "list",
    "delete",
    "set",
    "update",
    "regeneratekey",
    "recover",
    "purge",
    "backup",
    "restore",
    "setsas",
    "listsas",
    "getsas",
    "deletesas",
    "all",
];
