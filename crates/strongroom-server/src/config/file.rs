//! Reading the configuration file, and saying in one line what is wrong with it.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::config::Configuration;

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    #[source]
    pub problem: FileProblem,
}

/// What is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[source] std::io::Error),
    /// A line of it is wrong.
    #[error("line {line}: {text}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The key, what is wrong with it, and what is allowed.
        text: String,
    },
}

impl Configuration {
    /// Reads a file. Names of files in it are relative to its folder.
    ///
    /// # Errors
    /// [`FileError`] names the file, the line and the key.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let failed = |problem| FileError { path: path.to_owned(), problem };
        let text = fs::read_to_string(path).map_err(|error| failed(FileProblem::Unreadable(error)))?;
        let mut configuration = Self::parse(&text).map_err(failed)?;
        configuration.resolve_paths(path.parent().unwrap_or(Path::new("")));
        Ok(configuration)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`FileProblem::Line`].
    pub fn parse(text: &str) -> Result<Self, FileProblem> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let place = Place::of(text, error.span().unwrap_or(0..0));
            let mut problem = error.message().replace('\n', ", ");
            if let Some(key) = &place.key {
                problem = format!("{key}: {problem}");
            }
            if let Some(allowed) = place.key.as_deref().and_then(allowed) {
                problem = format!("{problem}; allowed: {allowed}");
            }
            FileProblem::Line { line: place.line, text: problem }
        })
    }

    fn resolve_paths(&mut self, folder: &Path) {
        let Self { data_dir, tls, root, store, issuer, attestation, storage_account, backup, audit, .. } = self;
        let files = [
            &mut tls.certificate_file,
            &mut tls.private_key_file,
            &mut root.file,
            &mut store.ca_file,
            &mut store.certificate_file,
            &mut store.private_key_file,
            &mut store.password_file,
            data_dir,
            &mut audit.checkpoint_file,
        ];
        let of_issuers = issuer.iter_mut().filter_map(|issuer| issuer.ca_file.as_mut());
        let of_attestations =
            attestation.iter_mut().flat_map(|it| [it.ca_file.as_mut(), it.jwks_file.as_mut()]).flatten();
        let of_accounts = storage_account.iter_mut().filter_map(|account| account.key_file.as_mut());
        let named = files.into_iter().flatten().chain(&mut tls.extra_ca_files);
        let of_backups = backup.directories.iter_mut().flatten();
        for path in named.chain(of_issuers).chain(of_attestations).chain(of_accounts).chain(of_backups) {
            *path = folder.join(&path);
        }
    }
}

/// Where in the text an error lies.
struct Place {
    line: usize,
    /// With its table in front, such as `public.port`.
    key: Option<String>,
}

impl Place {
    fn of(text: &str, span: Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let above: Vec<&str> = text.lines().take(line).collect();
        let key = above.iter().rev().map_while(|line| (!is_table(line)).then_some(line)).find_map(|line| key_of(line));
        let table = above.iter().rev().find(|line| is_table(line)).map(|line| {
            let name = line.split('#').next().unwrap_or_default();
            name.trim().trim_matches(['[', ']']).trim().to_owned()
        });
        let key = match (table, key) {
            (Some(table), Some(key)) => Some(format!("{table}.{key}")),
            (table, key) => key.or(table),
        };
        Self { line, key }
    }
}

fn is_table(line: &str) -> bool {
    line.trim_start().starts_with('[') && !line.contains('=')
}

fn key_of(line: &str) -> Option<String> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    (!key.is_empty() && !key.starts_with('#')).then(|| key.to_owned())
}

/// What a key takes, where the type alone does not say it.
fn allowed(key: &str) -> Option<&'static str> {
    ALLOWED.iter().find(|(name, _)| *name == key).map(|(_, allowed)| *allowed)
}

const ALLOWED: &[(&str, &str)] = &[
    ("data_dir", "a folder, such as \"/var/lib/strongroom\""),
    ("domain", "a domain, such as \"hsm.example.com\""),
    ("listen", "a list of ADDRESS:PORT, such as [\"0.0.0.0:443\", \"[::]:443\"]"),
    ("public.port", "a port from 1 to 65535"),
    ("public.suffixes", "a list of domains, such as [\"hsm.example.com\"]"),
    ("public.drain_seconds", "seconds from 0 to 600"),
    ("tls.certificate_file", "a PEM file"),
    ("tls.private_key_file", "a PEM file"),
    ("tls.extra_ca_files", "a list of PEM files"),
    ("root.file", "a file"),
    ("root.require_locked_memory", "true or false"),
    ("store.endpoints", "a list of URLs, such as [\"https://etcd1.example.com:2379\"]"),
    ("store.prefix", "a key of etcd, such as \"/strongroom\""),
    ("store.timeout_seconds", "seconds from 1 to 60"),
    ("store.history_minutes", "minutes from 15 to 10080, or 0"),
    ("cluster.serving_seconds", "seconds from 2 to 4"),
    ("cluster.margin_milliseconds", "milliseconds from 10 to 1000"),
    ("network.subnet", "VNET/SUBNET, such as \"plant/hsm-clients\""),
    ("network.listen", "ADDRESS:PORT, such as \"10.1.0.1:8443\""),
    ("network.clients", "a list of addresses and networks, such as [\"10.1.0.0/16\"]"),
    ("proxy.addresses", "a list of addresses and networks, such as [\"10.0.0.5\"]"),
    ("proxy.client_address", "\"proxy-protocol\" or \"x-forwarded-for\""),
    ("storage_account.name", "3 to 24 small letters and digits"),
    ("storage_account.blob_endpoint", "an https:// URL, such as \"https://account.blob.example.com\""),
    ("storage_account.key_file", "a file with a shared key in base64"),
    ("backup.fresh_target_backup_minutes", "a number of minutes from 1 to 1440"),
    ("backup.earliest_end_seconds", "a number of seconds from 0 to 60"),
    ("backup.directories", "a list of folders, such as [\"/var/backups/strongroom\"]"),
    ("backup.allowed_hosts", "a list of hosts, such as [\"backups.example.com\", \"*.blob.core.windows.net\"]"),
    ("security_domain.download_again", "\"disabled\", \"quorum\" or \"administrator\""),
    ("metadata.listen", "\"off\", or ADDRESS:PORT on loopback or link-local, such as \"127.0.0.1:8480\""),
    ("metadata.identities", "a list of resource ids of user-assigned identities"),
    ("throttle.per_principal_per_second", "requests from 1 to 1000000"),
    ("throttle.per_principal_burst", "requests from 1 to 1000000"),
    ("throttle.per_key_per_second", "uses from 1 to 1000000"),
    ("throttle.per_key_burst", "uses from 1 to 1000000"),
    ("audit.on_full", "\"stop\" or \"serve\""),
    ("audit.segment_mib", "MiB from 1 to 4096"),
    ("audit.segment_hours", "hours from 1 to 8784"),
    ("audit.retention_days", "days from 1 to 36600"),
    ("audit.checkpoint_seconds", "seconds from 1 to 3600"),
    ("audit.checkpoint_file", "a file, best on another disk"),
    ("audit.checkpoint_url", "an https URL"),
    ("metrics.listen", "ADDRESS:PORT on loopback, such as \"127.0.0.1:9480\""),
    ("telemetry.otlp_endpoint", "a URL, such as \"https://collector.example.com:4318\""),
    ("log.format", "\"text\" or \"json\""),
];
