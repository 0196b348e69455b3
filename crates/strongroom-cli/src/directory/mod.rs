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
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;

use crate::connection::Connection;
pub(crate) use resolve::pages;

/// What is to be done with the directory of which server.
#[derive(Debug, Args)]
pub struct Directory {
    #[command(subcommand)]
    command: DirectoryCommand,
    /// The data folder of the running server.
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// What can be done with the directory.
#[derive(Debug, Subcommand)]
enum DirectoryCommand {
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

/// The directory of a running server, asked as the principal of `client.env`.
pub(crate) struct Graph {
    connection: Connection,
    url: String,
    token: String,
    json: bool,
}

impl Graph {
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
pub async fn run(directory: Directory, default_data_dir: Option<PathBuf>) -> Result<()> {
    let folder = directory.data_dir.or(default_data_dir).context("no data folder is set: use --data-dir DIR")?;
    let graph = Graph::over(Connection::open(&folder)?, directory.json).await?;
    match directory.command {
        DirectoryCommand::User(command) => users::run(&graph, command).await,
        DirectoryCommand::Group(command) => groups::run(&graph, command).await,
        DirectoryCommand::ServicePrincipal(command) => programs::run(&graph, command).await,
        DirectoryCommand::Secret(command) => secrets::run(&graph, command).await,
        DirectoryCommand::Certificate(command) => certificates::run(&graph, command).await,
        DirectoryCommand::FederatedCredential(command) => federated::run(&graph, command).await,
    }
}

/// A service principal's credential.
#[derive(Debug, Args)]
struct OneCredential {
    /// The service principal: its name, client id or object id.
    #[arg(value_name = "NAME")]
    name: String,
    /// The credential's id, as `list` shows it.
    #[arg(value_name = "ID")]
    id: String,
}

/// A text as one segment of a path.
fn segment(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// Everything but what RFC 3986 leaves unreserved, and the @ of user names.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');

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
    use clap::{Args, FromArgMatches};

    use super::{Directory, segment};

    #[test]
    fn folder_and_form_of_the_answer_are_understood_before_and_behind_every_command() {
        let parse = |words: &[&str]| {
            let command = Directory::augment_args(clap::Command::new("directory"));
            let matches = command.try_get_matches_from(std::iter::once(&"directory").chain(words))?;
            Directory::from_arg_matches(&matches)
        };
        for words in ["user add alice", "group members operators", "sp list", "secret revoke a 1", "certificate list a"]
        {
            let words: Vec<&str> = words.split(' ').collect();
            let more = ["--json", "--data-dir", "/data"];
            for line in [[&words[..], &more].concat(), [&more, &words[..]].concat()] {
                let parsed = parse(&line).unwrap();
                assert!(parsed.json && parsed.data_dir.as_deref() == Some("/data".as_ref()), "{line:?}");
            }
            let middle = [&words[..2], &more, &words[2..]].concat();
            assert!(parse(&middle).unwrap().json, "{middle:?}");
            assert!(!parse(&words).unwrap().json);
        }
        assert!(parse(&["--json"]).is_err());
    }

    #[test]
    fn a_name_stays_within_its_segment() {
        assert_eq!(segment("alice@localhost"), "alice@localhost");
        assert_eq!(segment("a/b ?ä"), "a%2Fb%20%3F%C3%A4");
    }
}
