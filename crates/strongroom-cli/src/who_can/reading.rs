//! Reading everything that decides, through the planes, as the principal of `client.env`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::picture::{Authority, GROUP, Picture, Policy, Principal};
use super::rights::{Assignment, Rights, Role, Scope};
use crate::connection::{Connection, text};
use crate::directory::{Graph, pages};

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// A managed HSM and, if one is named, a key in it.
    Hsm(String, Option<String>),
    /// A vault and, if one is named, a key in it.
    Vault(String, Option<String>),
    /// A resource, a resource group or the subscription.
    Resource(String),
}

/// A picture, and where in it the question is about.
pub(super) struct Reading {
    pub(super) picture: Picture,
    pub(super) scope: Scope,
}

/// The management plane, asked.
struct Management<'a> {
    connection: &'a Connection,
    url: &'a str,
    token: String,
    subscription: String,
}

impl Management<'_> {
    async fn list(&self, path: &str, version: &str) -> Result<Vec<Value>> {
        let url = format!("{}{}{path}?api-version={version}", self.url, self.subscription);
        pages(self.connection, &url, &self.token, "/nextLink").await
    }

    async fn named(&self, kind: &str, name: &str) -> Result<Value> {
        let all = self.list(&format!("/providers/Microsoft.KeyVault/{kind}"), KEY_VAULT_VERSION).await?;
        let is = |item: &Value| item["name"].as_str().is_some_and(|known| known.eq_ignore_ascii_case(name));
        all.into_iter().find(is).with_context(|| format!("no {kind} are called {name}, or they may not be read"))
    }
}

/// Reads all of it.
pub(super) async fn read(connection: &Connection, subject: &Subject) -> Result<Reading> {
    let url = connection.environment.get("STRONGROOM_MANAGEMENT_URL")?;
    let subscription = format!("/subscriptions/{}", connection.environment.get("STRONGROOM_SUBSCRIPTION_ID")?);
    let management = Management { connection, url, token: connection.token(url).await?, subscription };
    let azure = azure_rights(&management).await?;
    let (authority, scope, resource, tenant) = match subject {
        Subject::Hsm(name, key) => hsm(connection, &management, name, key.as_deref()).await?,
        Subject::Vault(name, key) => vault(&management, name, key.as_deref()).await?,
        Subject::Resource(id) => {
            if !Scope::new(&management.subscription).covers(&Scope::new(id)) {
                bail!("{id} does not lie in {}", management.subscription);
            }
            (Authority::Azure, Scope::new(id), Scope::new(id), None)
        }
    };
    let own = connection.environment.get("STRONGROOM_TENANT_ID")?;
    let graph = Graph::over(connection.clone(), false).await?;
    let (principals, members) = principals(&graph).await?;
    let picture = Picture {
        principals,
        members,
        identities: identities(&management).await?,
        administrator: connection.environment.get("STRONGROOM_PRINCIPAL_ID")?.to_lowercase(),
        azure,
        authority,
        own_tenant: tenant.is_none_or(|tenant| tenant.eq_ignore_ascii_case(own)),
        resource,
    };
    Ok(Reading { picture, scope })
}

/// What the question is about: who decides, where, which resource it belongs to, and whose it is.
type Place = (Authority, Scope, Scope, Option<String>);

async fn hsm(connection: &Connection, management: &Management<'_>, name: &str, key: Option<&str>) -> Result<Place> {
    let resource = management.named("managedHSMs", name).await?;
    let url = text(&resource, "/properties/hsmUri")?;
    let url = url.trim_end_matches('/');
    let suffix = connection.environment.get("STRONGROOM_MHSM_SUFFIX")?.trim_start_matches('.');
    let token = connection.token(&format!("https://{suffix}")).await?;
    let list = async |scope: &str, kind: &str| {
        let url = format!("{url}{scope}/providers/Microsoft.Authorization/{kind}?api-version={DATA_PLANE_VERSION}");
        pages(connection, &url, &token, "/nextLink").await
    };
    let roles = list("", "roleDefinitions").await?.iter().filter_map(Role::read).collect();
    let scope = match key {
        Some(key) => format!("/keys/{key}"),
        None => "/keys".to_owned(),
    };
    let mut found = list("", "roleAssignments").await?;
    let keys = match key {
        Some(key) => vec![format!("/keys/{key}")],
        None => key_scopes(connection, url, &token).await?,
    };
    for key in &keys {
        found.extend(list(key, "roleAssignments").await?);
    }
    let mut assignments: Vec<_> = found.iter().filter_map(Assignment::read).collect();
    // What holds at several keys was read several times.
    assignments.sort_by(|one, other| one.name.cmp(&other.name));
    assignments.dedup();
    let tenant = text(&resource, "/properties/tenantId")?;
    let id = Scope::new(&text(&resource, "/id")?);
    Ok((Authority::Local(Rights { roles, assignments }), Scope::new(&scope), id, Some(tenant)))
}

/// The scopes of all keys of an HSM.
async fn key_scopes(connection: &Connection, url: &str, token: &str) -> Result<Vec<String>> {
    let url = format!("{url}/keys?api-version={DATA_PLANE_VERSION}");
    let keys = pages(connection, &url, token, "/nextLink").await?;
    if keys.len() > KEYS_MAX {
        bail!("the managed HSM has more than {KEYS_MAX} keys: name one with --key");
    }
    let name = |key: &Value| Some(format!("/keys/{}", key["kid"].as_str()?.rsplit('/').next()?));
    Ok(keys.iter().filter_map(name).collect())
}

async fn vault(management: &Management<'_>, name: &str, key: Option<&str>) -> Result<Place> {
    let listed = management.named("vaults", name).await?;
    let id = text(&listed, "/id")?;
    let properties = listed.get("properties").context("the vault has no properties")?;
    let tenant = text(&listed, "/properties/tenantId")?;
    let scope = key.map_or_else(|| id.clone(), |key| format!("{id}/keys/{key}"));
    let authority = if properties["enableRbacAuthorization"] == true {
        Authority::Azure
    } else {
        let policies = properties["accessPolicies"].as_array().into_iter().flatten().filter_map(policy);
        Authority::Policies(policies.collect())
    };
    Ok((authority, Scope::new(&scope), Scope::new(&id), Some(tenant)))
}

fn policy(policy: &Value) -> Option<Policy> {
    let keys = policy.pointer("/permissions/keys").and_then(Value::as_array).into_iter().flatten();
    Some(Policy {
        principal: policy["objectId"].as_str()?.to_lowercase(),
        keys: keys.filter_map(Value::as_str).map(str::to_lowercase).collect(),
        application: policy["applicationId"].as_str().map(str::to_lowercase),
    })
}

async fn azure_rights(management: &Management<'_>) -> Result<Rights> {
    let list = async |kind: &str| {
        management.list(&format!("/providers/Microsoft.Authorization/{kind}"), AUTHORIZATION_VERSION).await
    };
    Ok(Rights {
        roles: list("roleDefinitions").await?.iter().filter_map(Role::read).collect(),
        assignments: list("roleAssignments").await?.iter().filter_map(Assignment::read).collect(),
    })
}

async fn identities(management: &Management<'_>) -> Result<BTreeMap<String, Scope>> {
    let path = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    let all = management.list(path, IDENTITY_VERSION).await?;
    let pair = |one: &Value| {
        let principal = one.pointer("/properties/principalId")?.as_str()?.to_lowercase();
        Some((principal, Scope::new(one["id"].as_str()?)))
    };
    Ok(all.iter().filter_map(pair).collect())
}

/// All principals of the directory, and the members of its groups.
async fn principals(graph: &Graph) -> Result<(BTreeMap<String, Principal>, BTreeMap<String, Vec<String>>)> {
    let (mut principals, mut members) = (BTreeMap::new(), BTreeMap::new());
    for kind in ["users", "groups", "servicePrincipals"] {
        for one in graph.all(kind).await? {
            let id = text(&one, "/id")?.to_lowercase();
            if kind == "groups" {
                let all = graph.all(&format!("groups/{id}/members")).await?;
                let ids = all.iter().filter_map(|member| member["id"].as_str().map(str::to_lowercase)).collect();
                members.insert(id.clone(), ids);
            }
            principals.insert(id.clone(), principal(id, kind, &one));
        }
    }
    Ok((principals, members))
}

fn principal(id: String, kind: &str, one: &Value) -> Principal {
    let member = |name: &str| one[name].as_str().map(str::to_owned);
    let name = member("userPrincipalName").or_else(|| member("displayName")).unwrap_or_default();
    let kind = match kind {
        "users" => "user",
        "groups" => GROUP,
        _ if one["servicePrincipalType"] == "ManagedIdentity" => "managed identity",
        _ => "service principal",
    };
    Principal { id, name, kind: kind.to_owned(), enabled: one["accountEnabled"] != false }
}

const AUTHORIZATION_VERSION: &str = "2022-04-01";
const IDENTITY_VERSION: &str = "2023-01-31";
const KEY_VAULT_VERSION: &str = "2024-11-01";
const DATA_PLANE_VERSION: &str = "7.6";
/// The assignments of each key are a call.
const KEYS_MAX: usize = 2000;
