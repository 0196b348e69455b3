//! `strongroom directory …`: the built-in directory, through the directory's own API.
//!
//! Everything here is a Graph call that `az ad` could make as well; what `az` has no words for (one-time passwords) is here
//! too. Secrets are made by the server and printed once.
//!
//! Read first: [`Directory`], [`run`].

mod certificates;
mod federated;
mod groups;
mod output;
mod programs;
mod resolve;
mod secrets;
mod users;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use crate::connection::Connection;
pub(crate) use resolve::pages;

/// What can be done with the directory.
#[derive(Debug, Subcommand)]
pub enum Directory {
    /// Manage the people who can log in.
    #[command(subcommand, after_help = USER_EXAMPLES)]
    User(users::UserCommand),
    /// Manage groups and their members.
    #[command(subcommand, after_help = GROUP_EXAMPLES)]
    Group(groups::GroupCommand),
    /// Manage service principals: programs with credentials of their own.
    #[command(subcommand, visible_alias = "sp", after_help = PROGRAM_EXAMPLES)]
    ServicePrincipal(programs::ProgramCommand),
    /// Manage the secrets of service principals.
    #[command(subcommand, after_help = SECRET_EXAMPLES)]
    Secret(secrets::SecretCommand),
    /// Manage the certificates with whose keys service principals log in.
    #[command(subcommand, after_help = CERTIFICATE_EXAMPLES)]
    Certificate(certificates::CertificateCommand),
    /// Manage the outside identities that may act as service principals (workload identity).
    #[command(subcommand, after_help = FEDERATED_EXAMPLES)]
    FederatedCredential(federated::FederatedCommand),
}

/// What every command of the directory takes.
#[derive(Debug, Args)]
pub struct Place {
    /// The data folder of the running server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// The directory of a running server, asked as the principal of `client.env`.
pub(crate) struct Graph {
    connection: Connection,
    url: String,
    token: String,
    json: bool,
}

impl Graph {
    /// Signs in with the `client.env` of a data folder.
    async fn open(place: &Place, default_data_dir: Option<PathBuf>) -> Result<Self> {
        let folder = place.data_dir.clone().or(default_data_dir);
        let connection = Connection::open(&folder.context("no data folder is set: use --data-dir DIR")?)?;
        Self::over(connection, place.json).await
    }

    /// Signs in over a connection that is there.
    pub(crate) async fn over(connection: Connection, json: bool) -> Result<Self> {
        let url = connection.environment.get("STRONGROOM_GRAPH_URL")?.to_owned();
        let token = connection.token(&url).await?;
        Ok(Self { connection, url, token, json })
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.connection.json(Method::GET, &format!("{}/v1.0{path}", self.url), &self.token, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.connection.json(Method::POST, &format!("{}/v1.0{path}", self.url), &self.token, Some(body)).await
    }

    /// A call whose answer is empty.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<()> {
        self.connection.call(method, &format!("{}/v1.0{path}", self.url), &self.token, body).await?;
        Ok(())
    }
}

/// Does what was asked for.
///
/// # Errors
/// If no server runs on the folder, or the directory refuses.
pub async fn run(command: Directory, default_data_dir: Option<PathBuf>) -> Result<()> {
    let graph = Graph::open(command.place(), default_data_dir).await?;
    match command {
        Directory::User(command) => users::run(&graph, command).await,
        Directory::Group(command) => groups::run(&graph, command).await,
        Directory::ServicePrincipal(command) => programs::run(&graph, command).await,
        Directory::Secret(command) => secrets::run(&graph, command).await,
        Directory::Certificate(command) => certificates::run(&graph, command).await,
        Directory::FederatedCredential(command) => federated::run(&graph, command).await,
    }
}

impl Directory {
    fn place(&self) -> &Place {
        match self {
            Self::User(command) => command.place(),
            Self::Group(command) => command.place(),
            Self::ServicePrincipal(command) => command.place(),
            Self::Secret(command) => command.place(),
            Self::Certificate(command) => command.place(),
            Self::FederatedCredential(command) => command.place(),
        }
    }
}

/// A text as one segment of a path.
fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

const USER_EXAMPLES: &str = "\
Examples:
  strongroom directory user add alice --display-name 'Alice Example'
  strongroom directory user reset-password alice
  strongroom directory user disable alice";

const GROUP_EXAMPLES: &str = "\
Examples:
  strongroom directory group add operators
  strongroom directory group add-member operators alice
  strongroom directory group members operators";

const PROGRAM_EXAMPLES: &str = "\
Examples:
  strongroom directory service-principal add payments
  strongroom directory sp list";

const SECRET_EXAMPLES: &str = "\
Examples:
  strongroom directory secret add payments --days 90
  strongroom directory secret list payments";

const CERTIFICATE_EXAMPLES: &str = "\
Examples:
  strongroom directory certificate add payments --file payments.pem
  strongroom directory certificate list payments";

const FEDERATED_EXAMPLES: &str = "\
Example:
  strongroom directory federated-credential add payments --name cluster \\
    --issuer https://issuer.example --subject system:serviceaccount:bank:payments

The server's configuration must name the issuer ([[issuer]]).";

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn a_name_stays_within_its_segment() {
        assert_eq!(segment("alice@localhost"), "alice@localhost");
        assert_eq!(segment("a/b ?ä"), "a%2Fb%20%3F%C3%A4");
    }
}
