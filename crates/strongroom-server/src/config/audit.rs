//! `[audit]`: how the audit log is kept.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use crate::audit_log::{AuditTerms, OnFull, SegmentTerms};
use crate::config::SettingsError;
use crate::config::settings::in_range;
use crate::config::url::without_user;

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// What to do when the log cannot be written (protocols.md §7).
    pub on_full: OnFull,
    /// A segment of this many MiB is followed by a new one.
    pub segment_mib: u64,
    /// So is one of this age, in hours.
    pub segment_hours: u64,
    /// Segments that ended so many days ago are removed; without it they are kept for ever.
    pub retention_days: Option<u64>,
    /// Seconds between two checkpoints, if there were events.
    pub checkpoint_seconds: u64,
    /// Where checkpoints are appended as well; best on another disk, or one that can only be appended to.
    pub checkpoint_file: Option<PathBuf>,
    /// An `https` URL that each checkpoint is posted to as well.
    pub checkpoint_url: Option<String>,
}

/// Where checkpoints are kept besides the data folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointPlaces {
    /// A file that is appended to.
    pub file: Option<PathBuf>,
    /// Where each is posted.
    pub url: Option<Url>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            on_full: OnFull::default(),
            segment_mib: 64,
            segment_hours: 24,
            retention_days: None,
            checkpoint_seconds: 60,
            checkpoint_file: None,
            checkpoint_url: None,
        }
    }
}

impl Audit {
    /// Where checkpoints are kept besides the data folder.
    ///
    /// # Errors
    /// [`SettingsError::CheckpointUrl`] if that is no `https` URL.
    pub fn places(self) -> Result<CheckpointPlaces, SettingsError> {
        let file = self.checkpoint_file;
        let Some(text) = self.checkpoint_url else { return Ok(CheckpointPlaces { file, url: None }) };
        let url = without_user(&text).filter(|url| url.scheme() == "https").ok_or(SettingsError::CheckpointUrl)?;
        Ok(CheckpointPlaces { file, url: Some(url) })
    }

    /// What the log works with.
    ///
    /// # Errors
    /// [`SettingsError::OutOfRange`] names the first value that cannot be kept.
    pub fn terms(&self) -> Result<AuditTerms, SettingsError> {
        let bytes = in_range("audit.segment_mib", self.segment_mib, 1..=4096)? * 1024 * 1024;
        let age = Duration::from_secs(in_range("audit.segment_hours", self.segment_hours, 1..=24 * 366)? * 3600);
        let days = self.retention_days.map(|days| in_range("audit.retention_days", days, 1..=36_600)).transpose()?;
        let retention_days = days.map(|days| u32::try_from(days).unwrap_or(u32::MAX));
        let seconds = in_range("audit.checkpoint_seconds", self.checkpoint_seconds, 1..=3600)?;
        Ok(AuditTerms {
            on_full: self.on_full,
            segments: SegmentTerms { bytes, age, retention_days },
            checkpoint_every: Duration::from_secs(seconds),
        })
    }
}
