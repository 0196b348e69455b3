//! Handlers of rotation: now, and by policy.

use http::StatusCode;
use strongroom_api::rotation_policy as api;
use strongroom_core::Error;
use strongroom_core::keys::{
    LifetimeAction, LifetimeActionType, Period, RotationPolicy, RotationRules, RotationTrigger,
};
use strongroom_types::{KeyName, Timestamp};

use super::wire::{self, required};
use super::{ApiError, Call};
use crate::http::exchange::{Outbound, json};

pub(super) async fn rotate(call: &Call<'_>) -> Result<Outbound, ApiError> {
    let key = call.keys.rotate_key(call.request, &wire::key_name(call)?).await?;
    Ok(json(StatusCode::OK, &wire::key_bundle(call, &key)))
}

pub(super) async fn get_policy(call: &Call<'_>) -> Result<Outbound, ApiError> {
    let name = wire::key_name(call)?;
    let policy = call.keys.rotation_policy(call.request, &name).await?;
    Ok(json(StatusCode::OK, &show(call, &name, policy)))
}

pub(super) async fn set_policy(call: &Call<'_>) -> Result<Outbound, ApiError> {
    let name = wire::key_name(call)?;
    let wanted = rules(wire::body(&call.inbound.body)?)?;
    let policy = call.keys.set_rotation_policy(call.request, &name, wanted).await?;
    Ok(json(StatusCode::OK, &show(call, &name, policy)))
}

fn rules(policy: api::KeyRotationPolicy) -> Result<RotationRules, ApiError> {
    let actions = policy.lifetime_actions.unwrap_or_default();
    let actions = actions.into_iter().map(lifetime_action).collect::<Result<Vec<_>, _>>()?;
    let expiry_time = policy.attributes.and_then(|attributes| attributes.expiry_time);
    let expiry_time = expiry_time.map(|text| period("expiryTime", &text)).transpose()?;
    Ok(RotationRules::for_managed_hsm(&actions, expiry_time)?)
}

fn lifetime_action(action: api::LifetimeAction) -> Result<LifetimeAction, ApiError> {
    let kind = required("action.type", action.action.and_then(|action| action.kind))?;
    let kind = [("Rotate", LifetimeActionType::Rotate), ("Notify", LifetimeActionType::Notify)]
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&kind))
        .ok_or_else(|| Error::bad_parameter("action.type", "must be Rotate"))?
        .1;
    let api::LifetimeActionTrigger { time_after_create, time_before_expiry } = required("trigger", action.trigger)?;
    let trigger = match (time_after_create, time_before_expiry) {
        (Some(after), None) => RotationTrigger::TimeAfterCreate(period("timeAfterCreate", &after)?),
        (None, Some(before)) => RotationTrigger::TimeBeforeExpiry(period("timeBeforeExpiry", &before)?),
        _ => return Err(Error::bad_parameter("trigger", "needs one of timeAfterCreate and timeBeforeExpiry").into()),
    };
    Ok(LifetimeAction { action: kind, trigger })
}

fn period(parameter: &'static str, text: &str) -> Result<Period, ApiError> {
    text.parse().map_err(wire::bad(parameter))
}

/// A policy as it is shown; a key without one has no actions.
fn show(call: &Call<'_>, name: &KeyName, policy: Option<RotationPolicy>) -> api::KeyRotationPolicy {
    let rules = policy.as_ref().map(|policy| policy.rules).unwrap_or_default();
    let attributes = api::KeyRotationPolicyAttributes {
        created: policy.as_ref().map(|policy| Timestamp::seconds(policy.created)),
        expiry_time: rules.expiry_time().map(String::from),
        updated: policy.as_ref().map(|policy| Timestamp::seconds(policy.updated)),
    };
    api::KeyRotationPolicy {
        attributes: Some(attributes),
        id: Some(format!("{}/keys/{name}/rotationpolicy", call.canonical_url)),
        lifetime_actions: Some(rules.rotate().map(show_rotate).into_iter().collect()),
    }
}

fn show_rotate(trigger: RotationTrigger) -> api::LifetimeAction {
    let none = api::LifetimeActionTrigger::default();
    let trigger = match trigger {
        RotationTrigger::TimeAfterCreate(period) => {
            api::LifetimeActionTrigger { time_after_create: Some(period.into()), ..none }
        }
        RotationTrigger::TimeBeforeExpiry(period) => {
            api::LifetimeActionTrigger { time_before_expiry: Some(period.into()), ..none }
        }
    };
    let action = api::LifetimeActionType { kind: Some("Rotate".to_owned()) };
    api::LifetimeAction { action: Some(action), trigger: Some(trigger) }
}
