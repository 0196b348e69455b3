//! Models of settings (REST: Settings).

use serde::{Deserialize, Serialize};

/// All settings.
#[derive(Debug, Clone, Serialize)]
pub struct SettingsList {
    /// The settings; not under `value`, as other lists are.
    pub settings: Vec<Setting>,
}

/// A setting.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// `boolean`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `true` or `false`, as text.
    pub value: String,
}

/// Body of `PATCH /settings/{name}`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct UpdateSettingRequest {
    /// `true` or `false`, as text.
    pub value: Option<String>,
}
