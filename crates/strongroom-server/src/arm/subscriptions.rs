//! Tenants, subscriptions, locations, resource providers, resources of any type (az-cli.md §2.3, §4).

use http::StatusCode;
use serde_json::{Value, json};
use strongroom_core::pools::{Permit, Resources, Subscription};

use crate::arm::error::ArmError;
use crate::arm::filter::{self, Condition};
use crate::arm::wire::{self, list_of};
use crate::arm::{Call, versions};
use crate::http::exchange::{Outbound, json as answer};

/// A resource provider and its types.
struct Provider {
    namespace: &'static str,
    types: &'static [&'static str],
    versions: &'static [&'static str],
}

const PROVIDERS: &[Provider] = &[
    Provider {
        namespace: "Microsoft.KeyVault",
        types: &["managedHSMs", "deletedManagedHSMs", "vaults", "deletedVaults", "locations"],
        versions: versions::KEY_VAULT,
    },
    Provider {
        namespace: "Microsoft.ManagedIdentity",
        types: &["userAssignedIdentities"],
        versions: &["2018-11-30", "2023-01-31", "2024-11-30", "2025-05-31-preview"],
    },
    Provider {
        namespace: "Microsoft.Storage",
        types: &["storageAccounts"],
        versions: &["2021-09-01", "2022-09-01", "2023-05-01", "2024-01-01", "2025-01-01", "2025-06-01", "2025-08-01"],
    },
    Provider {
        namespace: "Microsoft.Network",
        types: &["virtualNetworks", "privateEndpoints"],
        versions: &["2021-02-01", "2022-07-01", "2023-09-01", "2024-05-01", "2025-07-01", "2026-01-01"],
    },
    Provider {
        namespace: "Microsoft.Authorization",
        types: &["roleAssignments", "roleDefinitions"],
        versions: &["2015-07-01", "2018-01-01-preview", "2020-04-01-preview", "2022-04-01", "2022-05-01-preview"],
    },
    Provider {
        namespace: "Microsoft.Resources",
        types: &["subscriptions", "resourceGroups", "tenants"],
        versions: &["2021-04-01", "2022-12-01", "2024-11-01"],
    },
];

/// Whether a namespace is one of ours.
pub(super) fn is_known(namespace: &str) -> bool {
    find_provider(namespace).is_some()
}

/// `GET /tenants`: the caller's own.
pub(super) fn tenants(call: &Call<'_>) -> Result<Outbound, ArmError> {
    let tenant = call.request.caller.tenant;
    // A foreign token's tenant is not one that this deployment knows anything of.
    if tenant != call.arm.pools.tenant()? {
        return Ok(list_of(Vec::<Value>::new()));
    }
    Ok(list_of(vec![json!({
        "id": format!("/tenants/{tenant}"),
        "tenantId": tenant,
        "displayName": "strongroom",
        "defaultDomain": call.inbound.host.domain.split(':').next(),
        "tenantType": "AAD",
        "tenantCategory": "Home",
    })]))
}

/// `GET /subscriptions`: those in which the caller may read anything.
pub(super) async fn list(call: &Call<'_>) -> Result<Outbound, ArmError> {
    let subscriptions = call.arm.pools.visible_subscriptions(&call.request.caller).await?;
    Ok(list_of(subscriptions.iter().map(subscription).collect()))
}

/// `GET /subscriptions/{id}`.
pub(super) async fn get(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let found = call.arm.pools.show_subscription(permit, call.place.subscription()?).await?;
    Ok(answer(StatusCode::OK, &subscription(&found)))
}

fn subscription(subscription: &Subscription) -> Value {
    let Subscription { id, display_name, tenant, created: _ } = subscription;
    json!({
        "id": format!("/subscriptions/{id}"),
        "subscriptionId": id,
        "tenantId": tenant,
        "displayName": display_name,
        "state": "Enabled",
        "subscriptionPolicies": {"locationPlacementId": "Public_2014-09-01", "quotaId": "Strongroom", "spendingLimit": "Off"},
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
    })
}

/// `GET /subscriptions/{id}/locations`: regions mean nothing here; this is the one the first start uses.
pub(super) fn locations(call: &Call<'_>) -> Result<Outbound, ArmError> {
    Ok(list_of(vec![json!({
        "id": format!("/subscriptions/{}/locations/local", call.place.subscription()?),
        "name": "local",
        "type": "Region",
        "displayName": "Local",
        "regionalDisplayName": "Local",
        "metadata": {"regionType": "Physical", "regionCategory": "Recommended", "geographyGroup": "Local"},
    })]))
}

/// `GET /subscriptions/{id}/providers`.
pub(super) fn providers(call: &Call<'_>) -> Result<Outbound, ArmError> {
    let all = PROVIDERS.iter().map(|provider| rendered(call, provider)).collect::<Result<Vec<_>, _>>()?;
    Ok(list_of(all))
}

/// `GET /subscriptions/{id}/providers/{namespace}`.
pub(super) fn provider(call: &Call<'_>) -> Result<Outbound, ArmError> {
    let namespace = call.place.text("namespace");
    let found = find_provider(namespace).ok_or_else(|| ArmError::NamespaceUnknown(namespace.to_owned()))?;
    Ok(answer(StatusCode::OK, &rendered(call, found)?))
}

/// `POST …/register`: every provider always is.
pub(super) fn registered(call: &Call<'_>, namespace: &str) -> Result<Outbound, ArmError> {
    let found = find_provider(namespace).ok_or_else(|| ArmError::NamespaceUnknown(namespace.to_owned()))?;
    Ok(answer(StatusCode::OK, &rendered(call, found)?))
}

fn find_provider(namespace: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.namespace.eq_ignore_ascii_case(namespace))
}

fn rendered(call: &Call<'_>, provider: &Provider) -> Result<Value, ArmError> {
    let Provider { namespace, types, versions } = provider;
    let newest_first: Vec<_> = versions.iter().rev().collect();
    let resource_types: Vec<_> = types
        .iter()
        .map(|name| json!({"resourceType": name, "locations": ["local"], "apiVersions": newest_first}))
        .collect();
    Ok(json!({
        "id": format!("/subscriptions/{}/providers/{namespace}", call.place.subscription()?),
        "namespace": namespace,
        "registrationPolicy": "RegistrationFree",
        "registrationState": "Registered",
        "resourceTypes": resource_types,
    }))
}

/// `GET /subscriptions/{id}/resources`, of one type or name if the filter says so.
pub(super) async fn resources(call: &Call<'_>, permit: &Permit) -> Result<Outbound, ArmError> {
    let wanted = Wanted::parse(call)?;
    let Resources { hsms, vaults, identities, storage_accounts, virtual_networks, private_endpoints } =
        call.arm.pools.resources(permit, call.place.subscription()?).await?;
    let hsms = hsms.iter().map(wire::hsm_resource);
    let all = hsms
        .chain(vaults.iter().map(wire::vault_resource))
        .chain(identities.iter().map(wire::identity_resource))
        .chain(storage_accounts.iter().map(wire::storage_account_resource))
        .chain(virtual_networks.iter().map(wire::network_resource))
        .chain(private_endpoints.iter().map(wire::endpoint_resource));
    Ok(list_of(all.filter(|resource| wanted.shows(resource)).collect()))
}

/// Which resources a list shows; what is not said does not matter.
#[derive(Default)]
struct Wanted {
    resource_type: Option<String>,
    name: Option<String>,
}

impl Wanted {
    fn parse(call: &Call<'_>) -> Result<Self, ArmError> {
        let mut wanted = Self::default();
        for condition in filter::parse(call.inbound.query_parameter("$filter").as_deref())? {
            let (member, value) = match condition {
                Condition::Equals(name, value) if name == "resourcetype" => (&mut wanted.resource_type, value),
                Condition::Equals(name, value) if name == "name" => (&mut wanted.name, value),
                _ => return Err(ArmError::FilterNotValid),
            };
            if member.replace(value).is_some() {
                return Err(ArmError::FilterNotValid);
            }
        }
        Ok(wanted)
    }

    fn shows(&self, resource: &Value) -> bool {
        let is = |member: &str, wanted: &Option<String>| match (wanted, resource.get(member).and_then(Value::as_str)) {
            (None, _) => true,
            (Some(wanted), Some(found)) => wanted.eq_ignore_ascii_case(found),
            (Some(_), None) => false,
        };
        is("type", &self.resource_type) && is("name", &self.name)
    }
}
