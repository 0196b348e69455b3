//! `[store]`: where records lie.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::config::SettingsError;
use crate::config::settings::in_range;
use crate::config::url::{keeps_secrets, without_user};

/// `[store]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Which engine.
    pub kind: StoreKind,
    /// The members of etcd, each as `http://HOST:PORT` or `https://HOST:PORT`.
    pub endpoints: Vec<String>,
    /// Below which key of etcd the store lies.
    pub prefix: Option<String>,
    /// The CAs that etcd's certificate may come from, PEM; without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// This node's certificate for etcd, PEM.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub private_key_file: Option<PathBuf>,
    /// A user of etcd.
    pub user: Option<String>,
    /// A file with its password.
    pub password_file: Option<PathBuf>,
    /// How long an answer of etcd is waited for.
    pub timeout_seconds: Option<u64>,
    /// How long every revision can be read before this node compacts it; 0: it compacts nothing.
    pub history_minutes: Option<u64>,
}

/// `[store] kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// One file in the data folder.
    #[default]
    Embedded,
    /// etcd.
    Etcd,
}

/// Where the store lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// In the data folder.
    Embedded,
    /// In etcd.
    Etcd(EtcdSettings),
}

/// How etcd is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdSettings {
    /// At least one.
    pub endpoints: Vec<String>,
    /// Below which key.
    pub prefix: String,
    /// The CAs that are trusted, PEM.
    pub ca_file: Option<PathBuf>,
    /// This node's certificate and its private key, both PEM.
    pub identity_files: Option<(PathBuf, PathBuf)>,
    /// A user, and the file with its password.
    pub user: Option<(String, PathBuf)>,
    /// The longest time until a call is answered.
    pub timeout: Duration,
    /// How long every revision can be read; without it this node compacts nothing.
    pub history: Option<Duration>,
}

impl Store {
    pub(super) fn place(self) -> Result<StorePlace, SettingsError> {
        self.place_of(cfg!(feature = "etcd"))
    }

    /// The same in a program that is built with etcd or without.
    fn place_of(self, has_etcd: bool) -> Result<StorePlace, SettingsError> {
        match self.kind {
            StoreKind::Embedded if self == Self::default() => Ok(StorePlace::Embedded),
            StoreKind::Embedded => Err(SettingsError::StoreNotEtcd),
            StoreKind::Etcd if !has_etcd => Err(SettingsError::NoEtcd),
            StoreKind::Etcd => self.in_etcd().map(StorePlace::Etcd),
        }
    }

    fn in_etcd(self) -> Result<EtcdSettings, SettingsError> {
        if self.endpoints.is_empty() || self.endpoints.len() > ENDPOINTS_MAX {
            return Err(SettingsError::EtcdEndpoints);
        }
        let numbered = self.endpoints.iter().zip(1..);
        let endpoints = numbered.map(|(text, number)| endpoint(text).ok_or(SettingsError::EtcdEndpoint(number)));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        // A client that would fall back to plain HTTP at one member has no secret left.
        let https = endpoints.iter().filter(|endpoint| endpoint.starts_with(HTTPS)).count();
        let has_tls_keys = self.ca_file.is_some() || self.certificate_file.is_some() || self.private_key_file.is_some();
        if https != endpoints.len() && (https > 0 || has_tls_keys) {
            return Err(SettingsError::EtcdMixed);
        }
        let prefix = self.prefix.unwrap_or_else(|| PREFIX.to_owned());
        if !is_prefix(&prefix) {
            return Err(SettingsError::EtcdPrefix(prefix));
        }
        let timeout = in_range("store.timeout_seconds", self.timeout_seconds.unwrap_or(TIMEOUT_SECONDS), 1..=60)?;
        let history = match self.history_minutes.unwrap_or(HISTORY_MINUTES) {
            0 => None,
            minutes => Some(in_range("store.history_minutes", minutes, HISTORY_MINUTES_MIN..=10_080)?),
        };
        Ok(EtcdSettings {
            identity_files: both(self.certificate_file, self.private_key_file, "certificate_file", "private_key_file")?,
            user: both(self.user, self.password_file, "user", "password_file")?,
            endpoints,
            prefix,
            ca_file: self.ca_file,
            timeout: Duration::from_secs(timeout),
            history: history.map(|minutes| Duration::from_secs(minutes * 60)),
        })
    }
}

/// A scheme, a host and a port, and nothing else, as every part of the program spells them. Plain HTTP stays on this machine:
/// what travels is sealed, but a password of etcd is not, and nobody there has shown who they are.
fn endpoint(text: &str) -> Option<String> {
    let url = without_user(text).filter(|url| url.path() == "/" && url.query().is_none() && keeps_secrets(url))?;
    Some(url.origin().ascii_serialization())
}

#[cfg(feature = "etcd")]
fn is_prefix(text: &str) -> bool {
    strongroom_store::EtcdOptions::is_prefix(text)
}

/// Never asked: there is no etcd without the feature.
#[cfg(not(feature = "etcd"))]
fn is_prefix(_: &str) -> bool {
    false
}

fn both<A, B>(
    first: Option<A>,
    second: Option<B>,
    first_name: &'static str,
    second_name: &'static str,
) -> Result<Option<(A, B)>, SettingsError> {
    match (first, second) {
        (Some(first), Some(second)) => Ok(Some((first, second))),
        (None, None) => Ok(None),
        _ => Err(SettingsError::HalfOfStore { first: first_name, second: second_name }),
    }
}

const HTTPS: &str = "https://";
/// More members than any etcd has.
const ENDPOINTS_MAX: usize = 16;
const PREFIX: &str = "/strongroom";
const TIMEOUT_SECONDS: u64 = 5;
const HISTORY_MINUTES: u64 = 60;
/// Longer than the ten minutes after which etcd gives a quiet watch a sign of life.
const HISTORY_MINUTES_MIN: u64 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_built_without_etcd_puts_no_store_there() {
        let store =
            Store { kind: StoreKind::Etcd, endpoints: vec!["http://127.0.0.1:2379".to_owned()], ..Store::default() };
        assert_eq!(store.place_of(false).unwrap_err(), SettingsError::NoEtcd);
        assert_eq!(Store::default().place_of(false).unwrap(), StorePlace::Embedded);
    }
}
