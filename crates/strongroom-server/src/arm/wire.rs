//! What all resources share on the wire: bodies, lists, tags, locations.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strongroom_core::pools::{
    self, CreateMode, HsmId, HsmView, Location, NameAvailability, PrivateEndpoint, Removed, RetentionDays,
    StorageAccount, StorageAccountView, Tags, UserAssignedIdentity, VaultId, VirtualNetwork, Written,
};
use strongroom_core::vault::Vault;

use crate::arm::error::ArmError;
use crate::arm::{API_VERSION, Call};
use crate::http::exchange::{Inbound, Outbound, empty, json as answer};

/// `tags`, as they come.
pub(super) type TagsBody = BTreeMap<String, String>;

/// The body of a request.
pub(super) fn body<T: DeserializeOwned>(inbound: &Inbound) -> Result<T, ArmError> {
    if inbound.body.is_empty() {
        return Err(ArmError::BodyNotValid("it is empty".to_owned()));
    }
    // The parser would also take a list of the members' values.
    if inbound.body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ArmError::BodyNotValid("a JSON object is expected".to_owned()));
    }
    serde_json::from_slice(&inbound.body).map_err(|error| {
        let problem = error.to_string();
        ArmError::BodyNotValid(problem.chars().take(PROBLEM_SHOWN_MAX).collect())
    })
}

/// The body of a question for a name.
#[derive(Deserialize)]
pub(super) struct NameBody {
    pub(super) name: String,
}

/// What a name of a kind of resource is, in words.
pub(super) struct NameWords {
    /// A good one.
    pub(super) expected: &'static str,
    /// One that somebody has.
    pub(super) taken: &'static str,
}

/// The answer to a question for a name.
pub(super) fn name_availability(availability: &NameAvailability, words: &NameWords) -> Outbound {
    let not = |reason, message| json!({"nameAvailable": false, "reason": reason, "message": message});
    let said = match availability {
        NameAvailability::Available => json!({"nameAvailable": true}),
        NameAvailability::Invalid => not("AccountNameInvalid", words.expected),
        NameAvailability::Taken => not("AlreadyExists", words.taken),
    };
    answer(StatusCode::OK, &said)
}

/// 201 with what was made, or 200 with what was there and is now as asked.
pub(super) fn written<T>(written: &Written<T>, show: impl Fn(&T) -> Value) -> Outbound {
    match written {
        Written::Created(made) => answer(StatusCode::CREATED, &show(made)),
        Written::Updated(changed) => answer(StatusCode::OK, &show(changed)),
    }
}

/// 200 for what is gone, or 204 if there was none.
pub(super) fn removed(removed: Removed) -> Outbound {
    empty(match removed {
        Removed::Gone => StatusCode::OK,
        Removed::WasAbsent => StatusCode::NO_CONTENT,
    })
}

/// A resource with members that lists of any type do not show.
pub(super) fn with_members(mut resource: Value, members: Value) -> Value {
    if let (Some(all), Value::Object(members)) = (resource.as_object_mut(), members) {
        all.extend(members);
    }
    resource
}

/// A list that fits one page.
pub(super) fn list_of<T: Serialize>(value: Vec<T>) -> Outbound {
    answer(StatusCode::OK, &json!({"value": value}))
}

/// `location`; an empty one counts as none.
pub(super) fn location(text: Option<String>) -> Result<Option<Location>, ArmError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let expected = || format!("{} are expected", Location::EXPECTED);
    let location = text.parse().map_err(|_| strongroom_core::pools::Error::bad_property("location", expected()))?;
    Ok(Some(location))
}

/// `tags`.
pub(super) fn tags(tags: Option<TagsBody>) -> Result<Option<Tags>, ArmError> {
    Ok(tags.map(Tags::new).transpose()?)
}

/// An HSM in a list of resources of any type.
pub(super) fn hsm_resource(view: &HsmView) -> Value {
    let hsm = &view.hsm;
    json!({
        "id": hsm.resource_id(),
        "name": hsm.name,
        "type": HsmId::RESOURCE_TYPE,
        "location": hsm.location,
        "sku": {"family": hsm.sku.family, "name": hsm.sku.name},
        "tags": hsm.tags,
    })
}

/// A vault in a list of resources of any type.
pub(super) fn vault_resource(vault: &Vault) -> Value {
    json!({
        "id": vault.resource_id(),
        "name": vault.name,
        "type": VaultId::RESOURCE_TYPE,
        "location": vault.location,
        "tags": vault.tags,
    })
}

/// A GUID in a body.
pub(super) fn guid<T: std::str::FromStr>(property: &'static str, text: &str) -> Result<T, pools::Error> {
    text.parse().map_err(|_| pools::Error::bad_property(property, "a GUID is expected"))
}

/// `createMode`.
pub(super) fn create_mode(text: Option<&str>) -> Result<CreateMode, pools::Error> {
    match text {
        None => Ok(CreateMode::Default),
        Some(text) if text.eq_ignore_ascii_case("default") => Ok(CreateMode::Default),
        Some(text) if text.eq_ignore_ascii_case("recover") => Ok(CreateMode::Recover),
        Some(_) => Err(pools::Error::bad_property("properties.createMode", "default or recover is expected")),
    }
}

/// A number that some clients send as text (az-cli.md §4).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum NumberOrText {
    Number(u64),
    Text(String),
}

impl NumberOrText {
    pub(super) fn into_days(self) -> Result<RetentionDays, pools::Error> {
        let days = match self {
            Self::Number(days) => days,
            // What is no number is no number of days either.
            Self::Text(text) => text.trim().parse().unwrap_or(0),
        };
        RetentionDays::new(days)
    }
}

/// At most `$top` of a list in the order of names, behind the name that `$skiptoken` holds.
pub(super) fn page<T>(
    call: &Call<'_>,
    all: &[T],
    folded_name: impl Fn(&T) -> &str,
    show: impl Fn(&T) -> Value,
) -> Result<Outbound, ArmError> {
    let top = match call.inbound.query_parameter("$top") {
        None => PAGE_MAX,
        Some(text) => text.parse().ok().filter(|top| *top > 0).ok_or(ArmError::QueryNotValid("$top"))?,
    };
    let after = call.inbound.query_parameter("$skiptoken").unwrap_or_default().to_ascii_lowercase();
    let behind: Vec<_> = all.iter().filter(|item| folded_name(item) > after.as_str()).collect();
    let shown: Vec<_> = behind.iter().take(top.min(PAGE_MAX)).collect();
    let value: Vec<_> = shown.iter().map(|item| show(item)).collect();
    match shown.last().filter(|_| shown.len() < behind.len()) {
        None => Ok(list_of(value)),
        Some(last) => {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair(API_VERSION, &call.inbound.query_parameter(API_VERSION).unwrap_or_default())
                .append_pair("$top", &top.to_string())
                .append_pair("$skiptoken", folded_name(last))
                .finish();
            let next = format!("{}{}?{query}", call.inbound.base_url(), call.inbound.path());
            Ok(answer(StatusCode::OK, &json!({"value": value, "nextLink": next})))
        }
    }
}

/// Most entries on a page, and how many if nobody says.
const PAGE_MAX: usize = 100;

/// An identity in a list of resources of any type.
pub(super) fn identity_resource(identity: &UserAssignedIdentity) -> Value {
    json!({
        "id": identity.scope().as_str(),
        "name": identity.name,
        "type": UserAssignedIdentity::RESOURCE_TYPE,
        "location": identity.location,
        "tags": identity.tags,
    })
}

/// A storage account in a list of resources of any type.
pub(super) fn storage_account_resource(view: &StorageAccountView) -> Value {
    let account = &view.account;
    json!({
        "id": account.id().scope().as_str(),
        "name": account.name,
        "type": StorageAccount::RESOURCE_TYPE,
        "kind": account.kind,
        "location": account.location,
        "sku": {"name": account.sku, "tier": tier(&account.sku)},
        "tags": account.tags,
    })
}

/// A virtual network in a list of resources of any type.
pub(super) fn network_resource(network: &VirtualNetwork) -> Value {
    json!({
        "id": network.id().scope().as_str(),
        "name": network.name,
        "type": VirtualNetwork::RESOURCE_TYPE,
        "location": network.location,
        "tags": network.tags,
    })
}

/// A private endpoint in a list of resources of any type.
pub(super) fn endpoint_resource(endpoint: &PrivateEndpoint) -> Value {
    json!({
        "id": endpoint.id().scope().as_str(),
        "name": endpoint.name,
        "type": PrivateEndpoint::RESOURCE_TYPE,
        "location": endpoint.location,
        "tags": endpoint.tags,
    })
}

/// `sku.tier` follows from the name: `Standard_LRS`, `Premium_LRS`.
fn tier(sku: &str) -> &'static str {
    if sku.to_ascii_lowercase().starts_with("premium") { "Premium" } else { "Standard" }
}

/// A host without its port.
pub(super) fn without_port(host: &str) -> &str {
    host.split_once(':').map_or(host, |(name, _)| name)
}

/// Characters of a parser's complaint that an error repeats.
const PROBLEM_SHOWN_MAX: usize = 200;
