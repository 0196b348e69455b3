//! `directory service-principal …`.

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::Graph;
use crate::connection::text;

/// What can be done with service principals.
#[derive(Debug, Subcommand)]
pub enum ProgramCommand {
    /// Add a service principal without credentials.
    Add(OneProgram),
    /// List all service principals and managed identities.
    List,
    /// Show a service principal, with what is known of its credentials.
    Show(OneProgram),
    /// Let a service principal log in again.
    Enable(OneProgram),
    /// Let a service principal not log in any more; tokens it has are refused at once.
    Disable(OneProgram),
    /// Remove a service principal for good.
    Remove(OneProgram),
}

/// A command on one service principal.
#[derive(Debug, Args)]
pub struct OneProgram {
    /// The service principal: its name, client id or object id.
    #[arg(value_name = "NAME")]
    pub(super) name: String,
}

pub(super) async fn run(graph: &Graph, command: ProgramCommand) -> Result<()> {
    match command {
        ProgramCommand::Add(one) => {
            let made = graph.post("/applications", &json!({"displayName": one.name})).await?;
            let (client, id) = (text(&made, "/appId")?, text(&made, "/id")?);
            let ids = format!("  client id  {client}\n  object id  {id}");
            graph.print(&made, &format!("{} was added.\n\n{ids}\n\nRoles are assigned to the object id.", one.name))
        }
        ProgramCommand::List => {
            let columns = [
                ("NAME", "/displayName"),
                ("TYPE", "/servicePrincipalType"),
                ("ENABLED", "/accountEnabled"),
                ("CLIENT ID", "/appId"),
                ("OBJECT ID", "/id"),
            ];
            graph.print_list(&graph.all("servicePrincipals").await?, &columns)
        }
        ProgramCommand::Show(one) => {
            let id = text(&graph.program(&one.name).await?, "/id")?;
            let found = graph.get(&format!("/servicePrincipals/{id}")).await?;
            graph.print(&found, &format!("{found:#}"))
        }
        ProgramCommand::Enable(one) => enable(graph, &one.name, true).await,
        ProgramCommand::Disable(one) => enable(graph, &one.name, false).await,
        ProgramCommand::Remove(one) => {
            let id = text(&graph.program(&one.name).await?, "/id")?;
            graph.send(Method::DELETE, &format!("/servicePrincipals/{id}"), None).await?;
            graph.print(&json!({}), &format!("{} was removed.", one.name))
        }
    }
}

async fn enable(graph: &Graph, name: &str, enabled: bool) -> Result<()> {
    let id = text(&graph.program(name).await?, "/id")?;
    let body = json!({"accountEnabled": enabled});
    graph.send(Method::PATCH, &format!("/servicePrincipals/{id}"), Some(&body)).await?;
    let state = if enabled { "enabled" } else { "disabled" };
    graph.print(&body, &format!("{name} is {state}."))
}
