//! `directory federated-credential …`.

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::programs::OneProgram;
use super::{Graph, segment};
use crate::connection::text;

/// What can be done with federated credentials.
#[derive(Debug, Subcommand)]
pub enum FederatedCommand {
    /// Let an outside identity act as a service principal.
    Add(AddFederated),
    /// List the outside identities that may.
    List(OneProgram),
    /// End one at once.
    Remove(RemoveFederated),
}

/// `directory federated-credential add`.
#[derive(Debug, Args)]
pub struct AddFederated {
    /// The service principal: its name, client id or object id.
    #[arg(value_name = "PROGRAM")]
    program: String,
    /// What the credential is called.
    #[arg(long)]
    name: String,
    /// The `iss` of the outside tokens.
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// The `sub` of the outside tokens.
    #[arg(long, value_name = "TEXT")]
    subject: String,
    /// The `aud` of the outside tokens.
    #[arg(long, value_name = "TEXT", default_value = "api://AzureADTokenExchange")]
    audience: String,
}

/// `directory federated-credential remove`.
#[derive(Debug, Args)]
pub struct RemoveFederated {
    /// The service principal: its name, client id or object id.
    #[arg(value_name = "PROGRAM")]
    program: String,
    /// The credential's name or id.
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) async fn run(graph: &Graph, command: FederatedCommand) -> Result<()> {
    match command {
        FederatedCommand::Add(add) => {
            let path = path(graph, &add.program).await?;
            let AddFederated { program, name, issuer, subject, audience } = add;
            let body = json!({"name": name, "issuer": issuer, "subject": subject, "audiences": [audience]});
            let made = graph.post(&path, &body).await?;
            graph.print(&made, &format!("{subject} of {issuer} can act as {program}."))
        }
        FederatedCommand::List(list) => {
            let columns =
                [("NAME", "/name"), ("ISSUER", "/issuer"), ("SUBJECT", "/subject"), ("AUDIENCES", "/audiences")];
            let url = path(graph, &list.name).await?;
            graph.print_list(&graph.all(url.trim_start_matches('/')).await?, &columns)
        }
        FederatedCommand::Remove(remove) => {
            let path = path(graph, &remove.program).await?;
            graph.send(Method::DELETE, &format!("{path}/{}", segment(&remove.name)), None).await?;
            graph.print(&json!({}), &format!("The credential {} of {} has ended.", remove.name, remove.program))
        }
    }
}

async fn path(graph: &Graph, program: &str) -> Result<String> {
    let id = text(&graph.program(program).await?, "/id")?;
    Ok(format!("/applications/{id}/federatedIdentityCredentials"))
}
