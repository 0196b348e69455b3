//! `[throttle]`.

use std::num::NonZeroU32;

use serde::Deserialize;
use strongroom_core::throttle::{Rate, Rates};

use crate::config::SettingsError;
use crate::config::settings::in_range;

/// How often one principal may ask and one key be used; what is left out is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Throttle {
    /// Requests of one principal in a second.
    pub per_principal_per_second: Option<NonZeroU32>,
    /// What passes at once after a pause; without it, as many as in a second.
    pub per_principal_burst: Option<NonZeroU32>,
    /// Uses of one key in a second.
    pub per_key_per_second: Option<NonZeroU32>,
    /// What passes at once after a pause; without it, as many as in a second.
    pub per_key_burst: Option<NonZeroU32>,
}

impl Throttle {
    /// What the core works with.
    ///
    /// # Errors
    /// [`SettingsError::OutOfRange`] names the first value that cannot be kept; [`SettingsError::BurstAlone`].
    pub fn rates(&self) -> Result<Rates, SettingsError> {
        let per_principal = Bucket {
            per_second: ("throttle.per_principal_per_second", self.per_principal_per_second),
            burst: ("throttle.per_principal_burst", self.per_principal_burst),
        };
        let per_key = Bucket {
            per_second: ("throttle.per_key_per_second", self.per_key_per_second),
            burst: ("throttle.per_key_burst", self.per_key_burst),
        };
        Ok(Rates { per_principal: per_principal.rate()?, per_key: per_key.rate()? })
    }
}

/// The two keys of one bucket, with their names.
struct Bucket {
    per_second: (&'static str, Option<NonZeroU32>),
    burst: (&'static str, Option<NonZeroU32>),
}

impl Bucket {
    fn rate(self) -> Result<Option<Rate>, SettingsError> {
        let Self { per_second: (rate_key, per_second), burst: (burst_key, burst) } = self;
        for (key, value) in [(rate_key, per_second), (burst_key, burst)] {
            in_range(key, value.map_or(1, |value| value.get().into()), 1..=TOKENS_MAX)?;
        }
        match (per_second, burst) {
            (Some(per_second), burst) => Ok(Some(Rate { per_second, burst: burst.unwrap_or(per_second) })),
            (None, Some(_)) => Err(SettingsError::BurstAlone { burst: burst_key, rate: rate_key }),
            (None, None) => Ok(None),
        }
    }
}

/// Far above what a server does in a second.
const TOKENS_MAX: u64 = 1_000_000;
