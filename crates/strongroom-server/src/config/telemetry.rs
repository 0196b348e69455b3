//! `[telemetry]`: who gets what OpenTelemetry makes of this server.

use reqwest::Url;
use serde::Deserialize;

use crate::config::SettingsError;
use crate::config::url::{keeps_secrets, without_user};

/// `[telemetry]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// The base URL of a collector that speaks OTLP over HTTP.
    pub otlp_endpoint: Option<String>,
}

/// Where a collector listens: `https`, or `http` on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpEndpoint(Url);

impl Telemetry {
    /// The collector.
    ///
    /// # Errors
    /// [`SettingsError::NoOtlp`] if this program has no use for one; [`SettingsError::OtlpEndpoint`].
    pub fn endpoint(self) -> Result<Option<OtlpEndpoint>, SettingsError> {
        self.endpoint_of(cfg!(feature = "otlp"))
    }

    /// The same in a program that is built with OpenTelemetry or without.
    fn endpoint_of(self, has_otlp: bool) -> Result<Option<OtlpEndpoint>, SettingsError> {
        let Some(text) = self.otlp_endpoint else { return Ok(None) };
        if !has_otlp {
            return Err(SettingsError::NoOtlp);
        }
        OtlpEndpoint::parse(&text).map(Some).ok_or(SettingsError::OtlpEndpoint)
    }
}

impl OtlpEndpoint {
    /// The base URL of a collector, such as `https://collector.example.com:4318`; `None` if records would travel in the clear
    /// over a network.
    pub fn parse(text: &str) -> Option<Self> {
        let mut url = without_user(text).filter(|url| url.query().is_none() && keeps_secrets(url))?;
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Some(Self(url))
    }

    /// The URL, which ends with a slash.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_built_without_it_has_no_use_for_a_collector() {
        let endpoint =
            |url: Option<&str>, has_otlp| Telemetry { otlp_endpoint: url.map(str::to_owned) }.endpoint_of(has_otlp);
        let good = Some("https://collector.example.com:4318");
        assert_eq!(endpoint(good, false).unwrap_err(), SettingsError::NoOtlp);
        assert!(endpoint(good, true).unwrap().is_some());
        assert_eq!(endpoint(None, false).unwrap(), None);
    }

    #[test]
    fn records_leave_the_machine_encrypted_or_not_at_all() {
        for good in
            ["https://collector.example.com:4318", "http://127.0.0.1:4318/x", "http://[::1]:4318", "http://localhost:1"]
        {
            assert!(OtlpEndpoint::parse(good).is_some(), "{good}");
        }
        for bad in [
            "http://collector.example.com",
            "http://10.0.0.1",
            "https://u@a.example",
            "https://:p@a.example",
            "https://a.example?b",
        ] {
            assert!(OtlpEndpoint::parse(bad).is_none(), "{bad}");
        }
    }
}
