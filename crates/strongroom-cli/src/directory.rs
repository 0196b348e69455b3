//! `strongroom directory …`: the built-in directory, through the directory's own API.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::connection::{Connection, text};

/// `directory user add`.
#[derive(Debug, Args)]
pub struct AddUser {
    /// The user name, such as alice; the deployment's domain is added if there is no @.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The name shown to people [default: the user name].
    #[arg(long, value_name = "TEXT")]
    pub display_name: Option<String>,
    /// The data folder of the running server.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Adds a person, and prints the one-time password: the only time it is shown.
///
/// # Errors
/// If no server runs on the folder, or the directory refuses.
pub async fn add_user(add: AddUser, data_dir: Option<PathBuf>) -> Result<()> {
    let connection = Connection::open(&data_dir.context("no data folder is set: use --data-dir DIR")?)?;
    let graph = connection.environment.get("STRONGROOM_GRAPH_URL")?;
    let token = connection.token(graph).await?;
    let name = full_name(&add.name, connection.environment.get("STRONGROOM_MHSM_SUFFIX")?);
    let display_name = add.display_name.as_deref().unwrap_or(&add.name);
    let body = json!({"userPrincipalName": name, "displayName": display_name});
    let made = connection.json(Method::POST, &format!("{graph}/v1.0/users"), &token, Some(&body)).await?;
    let (id, name) = (text(&made, "/id")?, text(&made, "/userPrincipalName")?);
    let password = text(&made, "/passwordProfile/password")?;
    let mut out = std::io::stdout();
    if add.json {
        let made = json!({"id": id, "userPrincipalName": name, "oneTimePassword": password});
        writeln!(out, "{made:#}")?;
        return Ok(());
    }
    let page = format!("{}/device", connection.environment.get("STRONGROOM_AUTHORITY_URL")?);
    writeln!(
        out,
        "{name} was added.\n\n  one-time password  {password}\n\nIt is shown this once, and opens one login: \
         `az login --use-device-code`, then {page}\nwith the code that az shows. A passphrase of their own is set there."
    )?;
    Ok(())
}

/// The name with the deployment's domain, which `suffix` (`.managedhsm.DOMAIN:PORT`) tells.
fn full_name(name: &str, suffix: &str) -> String {
    if name.contains('@') {
        return name.to_owned();
    }
    let domain = suffix.trim_start_matches(".managedhsm.").split(':').next().unwrap_or_default();
    format!("{name}@{domain}")
}

#[cfg(test)]
mod tests {
    use super::full_name;

    #[test]
    fn a_bare_name_gets_the_deployments_domain() {
        assert_eq!(full_name("alice", ".managedhsm.localhost:8443"), "alice@localhost");
        assert_eq!(full_name("alice@example.org", ".managedhsm.localhost:8443"), "alice@example.org");
    }
}
