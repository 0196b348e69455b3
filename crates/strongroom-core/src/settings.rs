//! Settings of a managed HSM.
//!
//! They are part of the guard: what was allowed under a setting is not written if the setting changes before it is
//! committed.

use serde::{Deserialize, Serialize};
use strongroom_types::{DataAction, Scope, SettingName};

use crate::guard::Guard;
use crate::hsm::Hsm;
use crate::request::Request;
use crate::retry_on_conflict;
use crate::{Error, Result};

/// The values of all settings; at first everything is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// [`SettingName::AllowKeyManagementOperationsThroughArm`].
    allow_key_management_through_arm: bool,
}

/// A setting and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: SettingName,
    /// Whether it is on.
    pub value: bool,
}

impl Settings {
    /// The value of a setting.
    pub const fn get(self, name: SettingName) -> bool {
        match name {
            SettingName::AllowKeyManagementOperationsThroughArm => self.allow_key_management_through_arm,
        }
    }

    const fn with(self, setting: Setting) -> Self {
        match setting.name {
            SettingName::AllowKeyManagementOperationsThroughArm => {
                Self { allow_key_management_through_arm: setting.value }
            }
        }
    }
}

impl Hsm<'_> {
    /// All settings.
    pub async fn settings(&self, request: &Request) -> Result<Vec<Setting>> {
        let permit = self.authorize(request, DataAction::SettingsRead, &Scope::Root).await?;
        let settings = permit.guard().value.settings;
        Ok(SettingName::ALL.iter().map(|name| Setting { name: *name, value: settings.get(*name) }).collect())
    }

    /// One setting.
    ///
    /// # Errors
    /// [`Error::SettingNotFound`].
    pub async fn setting(&self, request: &Request, name: &str) -> Result<Setting> {
        let permit = self.authorize(request, DataAction::SettingsRead, &Scope::Root).await?;
        let name = known(name)?;
        Ok(Setting { name, value: permit.guard().value.settings.get(name) })
    }

    /// Changes a setting. `value` is what the client wrote: `true` or `false`.
    ///
    /// # Errors
    /// [`Error::SettingNotFound`]; [`Error::BadParameter`] for another value.
    pub async fn update_setting(&self, request: &Request, name: &str, value: &str) -> Result<Setting> {
        retry_on_conflict!(self.try_update_setting(request, name, value))
    }

    async fn try_update_setting(&self, request: &Request, name: &str, value: &str) -> Result<Setting> {
        let permit = self.authorize(request, DataAction::SettingsWrite, &Scope::Root).await?;
        let setting = Setting { name: known(name)?, value: boolean(value)? };
        let guard = permit.guard();
        let changed = Guard { settings: guard.value.settings.with(setting), ..guard.value.clone() };
        let mut transaction = permit.transaction().detail(format!("{} is {}", setting.name, setting.value));
        transaction.replace(permit.barrier().deployment(), guard, &changed)?;
        transaction.commit(request).await?;
        Ok(setting)
    }
}

fn known(name: &str) -> Result<SettingName> {
    name.parse().map_err(|_| Error::SettingNotFound { name: name.chars().take(NAME_SHOWN_MAX).collect() })
}

fn boolean(value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::bad_parameter("value", "must be \"true\" or \"false\"")),
    }
}

/// Characters of an unknown name that an error repeats.
const NAME_SHOWN_MAX: usize = 128;
