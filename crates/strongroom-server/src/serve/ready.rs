//! What a person is told when a server is ready.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

use crate::authentication::PublicAddress;
use crate::http::host::{AUTHORITY, GRAPH, MANAGED_HSM, MANAGEMENT};

/// What a server says about itself once it serves.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The release.
    pub version: &'static str,
    /// What every URL is made of.
    pub address: PublicAddress,
    /// The metadata service's URL, if it listens.
    pub metadata_url: Option<String>,
    /// The CA, PEM.
    pub ca_file: PathBuf,
    /// What a shell reads.
    pub client_env: PathBuf,
    /// The root provider: `file` or `quorum`.
    pub root_provider: &'static str,
    /// The root file.
    pub root_file: PathBuf,
    /// Why memory may be swapped out; `None` if it may not.
    pub memory_not_locked: Option<String>,
}

impl Ready {
    /// The text.
    pub fn text(&self) -> String {
        let Self { version, address, metadata_url, ca_file, client_env, root_provider, root_file, memory_not_locked } =
            self;
        let mut text = format!("strongroom {version} is ready.\n\n");
        let memory = memory_not_locked
            .as_ref()
            .map_or_else(|| "kept out of swap".to_owned(), |reason| format!("MAY BE SWAPPED TO DISK: {reason}"));
        let root_meaning = match *root_provider {
            "quorum" => "every managed HSM is SEALED after a start, until a quorum uploads its security domain",
            _ => "whoever can read it and the store has every key",
        };
        let rows = [
            ("management", address.url(MANAGEMENT)),
            ("authority", address.url(AUTHORITY)),
            ("metadata", metadata_url.clone().unwrap_or_else(|| "off".to_owned())),
            ("CA", ca_file.display().to_string()),
            ("root", format!("{root_provider} {}", root_file.display())),
            ("", root_meaning.to_owned()),
            ("memory", memory),
        ];
        for (name, value) in rows {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {name:<11} {value}");
        }
        let _ = write!(text, "\nFor a client, in its shell:\n\n  . {}\n", quoted(&client_env.display().to_string()));
        text
    }

    /// What helps if this machine does not find the names; `None` if it does.
    pub async fn name_help(&self) -> Option<String> {
        let Self { address, .. } = self;
        let host = address.domain.host(MANAGEMENT);
        if let Ok(Ok(mut found)) = timeout(LOOKUP_MAX, tokio::net::lookup_host((host.as_str(), address.port))).await
            && found.next().is_some()
        {
            return None;
        }
        let domain = &address.domain;
        let remedy = if domain.is_localhost() {
            "Either `sudo apt install libnss-myhostname`, or these lines in /etc/hosts:"
        } else {
            "Put them, and *.managedhsm below the domain, into your DNS; or these lines into /etc/hosts:"
        };
        let names = [AUTHORITY, MANAGEMENT, GRAPH].map(|label| domain.host(label)).join(" ");
        let hsm = format!("HSM.{}", domain.host(MANAGED_HSM));
        Some(format!(
            "\nNames below {domain} are not found on this machine. {remedy}\n\n  \
             127.0.0.1 {names}\n  127.0.0.1 {hsm}      (one for each managed HSM, with its name in place of HSM)\n"
        ))
    }
}

/// As a word of a shell.
fn quoted(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Longest time to wait for the system's resolver.
const LOOKUP_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(domain: &str) -> Ready {
        Ready {
            version: "0.1.0",
            address: PublicAddress { domain: domain.parse().unwrap(), port: 8443 },
            metadata_url: None,
            ca_file: "/d/ca.pem".into(),
            client_env: "/it's/client.env".into(),
            root_provider: "file",
            root_file: "/d/root.key".into(),
            memory_not_locked: Some("a reason".to_owned()),
        }
    }

    #[test]
    fn the_text_says_where_everything_is_and_who_can_read_the_keys() {
        let text = ready("localhost").text();
        for part in [
            "strongroom 0.1.0 is ready.",
            "https://management.localhost:8443",
            "https://login.localhost:8443",
            "/d/ca.pem",
            "file /d/root.key",
            "whoever can read it and the store has every key",
            "MAY BE SWAPPED TO DISK: a reason",
            ". '/it'\\''s/client.env'",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }

    #[test]
    fn under_provider_quorum_the_text_says_that_hsms_are_sealed() {
        let text = Ready { root_provider: "quorum", ..ready("localhost") }.text();
        assert!(text.contains("quorum /d/root.key") && text.contains("SEALED after a start"), "{text}");
        assert!(!text.contains("has every key"), "{text}");
    }

    #[tokio::test]
    async fn names_that_are_not_found_come_with_the_lines_that_help() {
        let help = ready("does-not-exist.invalid").name_help().await.unwrap();
        assert!(help.contains("127.0.0.1 login.does-not-exist.invalid management.does-not-exist.invalid"), "{help}");
        assert!(help.contains("HSM.managedhsm.does-not-exist.invalid"), "{help}");
    }
}
