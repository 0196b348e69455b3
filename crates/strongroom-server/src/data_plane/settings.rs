//! Handlers of settings: extract, call, convert.

use http::StatusCode;
use strongroom_api::settings as api;
use strongroom_core::settings::Setting;

use super::wire::{self, required};
use super::{ApiError, Call};
use crate::http::exchange::{Outbound, json};

type Answer = Result<Outbound, ApiError>;

pub(super) async fn list(call: &Call<'_>) -> Answer {
    let settings = call.hsm()?.settings(call.request).await?.into_iter().map(show).collect();
    Ok(json(StatusCode::OK, &api::SettingsList { settings }))
}

pub(super) async fn get(call: &Call<'_>) -> Answer {
    let setting = call.hsm()?.setting(call.request, name(call)).await?;
    Ok(json(StatusCode::OK, &show(setting)))
}

pub(super) async fn update(call: &Call<'_>) -> Answer {
    let change: api::UpdateSettingRequest = wire::body(&call.inbound.body)?;
    let value = required("value", change.value)?;
    let setting = call.hsm()?.update_setting(call.request, name(call), &value).await?;
    Ok(json(StatusCode::OK, &show(setting)))
}

fn name<'a>(call: &Call<'a>) -> &'a str {
    call.asked.captures.get("setting-name").unwrap_or_default()
}

fn show(setting: Setting) -> api::Setting {
    api::Setting { name: setting.name.as_str(), kind: "boolean", value: setting.value.to_string() }
}
