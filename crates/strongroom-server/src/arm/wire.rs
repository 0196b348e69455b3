//! What all resources share on the wire: bodies, lists, tags, locations.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strongroom_core::pools::{HsmId, HsmView, Location, Tags, UserAssignedIdentity};

use crate::arm::error::ArmError;
use crate::http::exchange::{Inbound, Outbound, json as answer};

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

/// Characters of a parser's complaint that an error repeats.
const PROBLEM_SHOWN_MAX: usize = 200;
