//! `DIR/client.env`: everything a client needs, to be sourced by a shell (architecture.md §4).
//!
//! It is written last, so its being there means that the server is ready. It is removed when a server stops; after a
//! crash it is there until the next start, which removes it first.

use std::path::PathBuf;

use strongroom_types::Secret;

use crate::authentication::PublicAddress;
use crate::http::host::{BLOB, GRAPH, MANAGED_HSM, MANAGEMENT, VAULT};

/// What clients are told.
#[derive(Debug)]
pub struct ClientEnvironment {
    /// What every URL is made of.
    pub address: PublicAddress,
    /// Where the instance metadata service listens, if it does.
    pub metadata_url: Option<String>,
    /// The CA alone, PEM.
    pub ca_file: PathBuf,
    /// The system's roots and the CA, PEM.
    pub ca_bundle: PathBuf,
    /// The tenant.
    pub tenant: String,
    /// The subscription.
    pub subscription: String,
    /// The resource group made at the first start.
    pub resource_group: String,
    /// The administrator's client id.
    pub client_id: String,
    /// This node's own secret for it.
    pub client_secret: Secret<String>,
    /// The administrator's object id.
    pub principal_id: String,
}

/// The file's name in the data folder.
pub const FILE: &str = "client.env";

impl ClientEnvironment {
    /// The file's text: `export NAME='value'` lines.
    pub fn to_shell(&self) -> Secret<String> {
        let mut text = Secret::new(String::with_capacity(TEXT_CAPACITY));
        text.expose_mut().push_str(COMMENT);
        for (name, value) in self.variables() {
            text.expose_mut().push_str(&format!("export {name}="));
            push_quoted(text.expose_mut(), value.expose());
            text.expose_mut().push('\n');
        }
        text
    }

    /// Every variable with its value, in the order of the file.
    fn variables(&self) -> Vec<(&'static str, Secret<String>)> {
        let Self { address, .. } = self;
        let suffix = |label: &str| address.url(label).replacen("https://", ".", 1);
        // The storage suffix has no leading dot, and no label either (az-cli.md §1.1).
        let storage = suffix(BLOB).replacen(".blob.", "", 1);
        let authority = address.authority_url();
        let metadata = self.metadata_url.clone().unwrap_or_default();
        let (ca_file, ca_bundle) = (self.ca_file.display().to_string(), self.ca_bundle.display().to_string());
        let mut variables = vec![
            ("STRONGROOM_MANAGEMENT_URL", address.url(MANAGEMENT)),
            ("STRONGROOM_AUTHORITY_URL", authority.clone()),
            ("STRONGROOM_GRAPH_URL", address.url(GRAPH)),
            ("STRONGROOM_IMDS_URL", metadata.clone()),
            ("STRONGROOM_CA_FILE", ca_file.clone()),
            ("STRONGROOM_TENANT_ID", self.tenant.clone()),
            ("STRONGROOM_SUBSCRIPTION_ID", self.subscription.clone()),
            ("STRONGROOM_RESOURCE_GROUP", self.resource_group.clone()),
            ("STRONGROOM_CLIENT_ID", self.client_id.clone()),
            ("STRONGROOM_PRINCIPAL_ID", self.principal_id.clone()),
            ("STRONGROOM_MHSM_SUFFIX", suffix(MANAGED_HSM)),
            ("STRONGROOM_KEYVAULT_SUFFIX", suffix(VAULT)),
            ("STRONGROOM_STORAGE_SUFFIX", storage),
            // `DefaultAzureCredential` asks a real tenant's authority elsewhere first (components.md §0 rule 3).
            ("AZURE_TENANT_ID", TENANT_ALIAS.to_owned()),
            ("AZURE_CLIENT_ID", self.client_id.clone()),
            ("AZURE_AUTHORITY_HOST", authority),
            ("REQUESTS_CA_BUNDLE", ca_bundle.clone()),
            ("SSL_CERT_FILE", ca_bundle),
            ("NODE_EXTRA_CA_CERTS", ca_file),
        ];
        if self.metadata_url.is_some() {
            variables.push(("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata));
        }
        let mut variables: Vec<_> = variables.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        for name in ["STRONGROOM_CLIENT_SECRET", "AZURE_CLIENT_SECRET"] {
            variables.push((name, Secret::new(self.client_secret.expose().clone())));
        }
        variables
    }
}

/// Single quotes, inside which a shell changes nothing; a quote itself is `'\''`.
fn push_quoted(text: &mut String, value: &str) {
    text.push('\'');
    for (number, part) in value.split('\'').enumerate() {
        if number > 0 {
            text.push_str("'\\''");
        }
        text.push_str(part);
    }
    text.push('\'');
}

const COMMENT: &str = "# Made by `strongroom serve` when it is ready. It holds an administrator's secret.\n\
                       # In a shell: . client.env\n";
/// The authority answers for it as for the tenant.
const TENANT_ALIAS: &str = "adfs";
/// Room for the whole text, so that growing leaves no copies of the secret behind.
const TEXT_CAPACITY: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use super::*;

    fn environment(metadata_url: Option<&str>) -> ClientEnvironment {
        ClientEnvironment {
            address: PublicAddress { domain: "localhost".parse().unwrap(), port: 8443 },
            metadata_url: metadata_url.map(str::to_owned),
            ca_file: "/it's a $HOME/`ca`.pem".into(),
            ca_bundle: "/b \"undle\"\\.pem".into(),
            tenant: "t".to_owned(),
            subscription: "s".to_owned(),
            resource_group: "strongroom".to_owned(),
            client_id: "c".to_owned(),
            client_secret: Secret::new("'quoted'".to_owned()),
            principal_id: "p".to_owned(),
        }
    }

    /// What a real shell makes of it.
    fn sourced(environment: &ClientEnvironment) -> BTreeMap<String, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), environment.to_shell().expose()).unwrap();
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", ". ./client.env; env -0"])
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin");
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.split('\0').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn a_shell_reads_every_value_as_it_was() {
        let seen = sourced(&environment(Some("http://127.0.0.1:8480")));
        for (name, value) in [
            ("STRONGROOM_MANAGEMENT_URL", "https://management.localhost:8443"),
            ("STRONGROOM_AUTHORITY_URL", "https://login.localhost:8443"),
            ("STRONGROOM_GRAPH_URL", "https://graph.localhost:8443"),
            ("STRONGROOM_IMDS_URL", "http://127.0.0.1:8480"),
            ("STRONGROOM_CA_FILE", "/it's a $HOME/`ca`.pem"),
            ("STRONGROOM_TENANT_ID", "t"),
            ("STRONGROOM_SUBSCRIPTION_ID", "s"),
            ("STRONGROOM_RESOURCE_GROUP", "strongroom"),
            ("STRONGROOM_CLIENT_ID", "c"),
            ("STRONGROOM_CLIENT_SECRET", "'quoted'"),
            ("STRONGROOM_PRINCIPAL_ID", "p"),
            ("STRONGROOM_MHSM_SUFFIX", ".managedhsm.localhost:8443"),
            ("STRONGROOM_KEYVAULT_SUFFIX", ".vault.localhost:8443"),
            ("STRONGROOM_STORAGE_SUFFIX", "localhost:8443"),
            ("AZURE_TENANT_ID", "adfs"),
            ("AZURE_CLIENT_ID", "c"),
            ("AZURE_CLIENT_SECRET", "'quoted'"),
            ("AZURE_AUTHORITY_HOST", "https://login.localhost:8443"),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:8480"),
            ("REQUESTS_CA_BUNDLE", "/b \"undle\"\\.pem"),
            ("SSL_CERT_FILE", "/b \"undle\"\\.pem"),
            ("NODE_EXTRA_CA_CERTS", "/it's a $HOME/`ca`.pem"),
        ] {
            assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn without_a_metadata_service_no_client_is_sent_to_one() {
        let seen = sourced(&environment(None));
        assert_eq!(seen["STRONGROOM_IMDS_URL"], "");
        assert!(!seen.contains_key("AZURE_POD_IDENTITY_AUTHORITY_HOST"));
    }

    #[test]
    fn every_line_is_an_export_or_a_comment() {
        let text = environment(None).to_shell();
        assert!(text.expose().lines().all(|line| line.starts_with("export ") || line.starts_with('#')));
        assert!(text.expose().len() < TEXT_CAPACITY);
    }
}
