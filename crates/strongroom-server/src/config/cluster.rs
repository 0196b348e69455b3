//! `[cluster]`: how long a node that falls silent is relied on.

use std::time::Duration;

use serde::Deserialize;
use strongroom_cluster::Timing;

use crate::config::settings::in_range;
use crate::config::{SettingsError, StoreKind};

/// `[cluster]`. All nodes should have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// T: how long a registration counts.
    pub serving_seconds: Option<u64>,
    /// What clocks may differ by over that time, and how long the clock of a guest may stand still.
    pub margin_milliseconds: Option<u64>,
}

impl Cluster {
    /// The times of the protocol.
    pub(super) fn timing(self, store: StoreKind) -> Result<Timing, SettingsError> {
        if store == StoreKind::Embedded && self != Self::default() {
            return Err(SettingsError::ClusterAlone);
        }
        let defaults = Timing::default();
        let serving = self.serving_seconds.map(|seconds| in_range("cluster.serving_seconds", seconds, 2..=4));
        let margin = self.margin_milliseconds.map(|time| in_range("cluster.margin_milliseconds", time, 10..=1000));
        let serving = serving.transpose()?.map_or(defaults.serving, Duration::from_secs);
        let timing = Timing::of(serving, margin.transpose()?.map_or(defaults.margin, Duration::from_millis));
        timing.check()?;
        Ok(timing)
    }
}
