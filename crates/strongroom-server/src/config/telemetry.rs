//! `[telemetry]`: who gets what OpenTelemetry makes of this server.

use reqwest::Url;
use serde::Deserialize;

use crate::config::SettingsError;

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
        let Some(text) = self.otlp_endpoint else { return Ok(None) };
        if !cfg!(feature = "otlp") {
            return Err(SettingsError::NoOtlp);
        }
        OtlpEndpoint::parse(&text).map(Some).ok_or(SettingsError::OtlpEndpoint(text))
    }
}

impl OtlpEndpoint {
    /// The base URL of a collector, such as `https://collector.example.com:4318`; `None` if records would travel in the clear
    /// over a network.
    pub fn parse(text: &str) -> Option<Self> {
        let mut url = Url::parse(text).ok()?;
        let plain = url.username().is_empty() && url.query().is_none() && url.fragment().is_none();
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_loopback =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if !plain || !(url.scheme() == "https" || (url.scheme() == "http" && is_loopback)) {
            return None;
        }
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
    fn records_leave_the_machine_encrypted_or_not_at_all() {
        for good in
            ["https://collector.example.com:4318", "http://127.0.0.1:4318/x", "http://[::1]:4318", "http://localhost:1"]
        {
            assert!(OtlpEndpoint::parse(good).is_some(), "{good}");
        }
        for bad in
            ["http://collector.example.com", "http://10.0.0.1", "https://u@a.example", "https://a.example?b", "x"]
        {
            assert!(OtlpEndpoint::parse(bad).is_none(), "{bad}");
        }
    }
}
