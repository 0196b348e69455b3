//! `directory group …`.

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::Graph;
use crate::connection::text;

/// What can be done with groups.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Add an empty group.
    Add(OneGroup),
    /// List all groups.
    List,
    /// List the members of a group.
    Members(OneGroup),
    /// Add a member; it has the group's rights at once.
    AddMember(Membership),
    /// Take a member out; it loses the group's rights at once.
    RemoveMember(Membership),
    /// Remove a group that has no members.
    Remove(OneGroup),
}

/// A command on one group.
#[derive(Debug, Args)]
pub struct OneGroup {
    /// The group's name, or its object id.
    #[arg(value_name = "GROUP")]
    name: String,
}

/// A command on one member of a group.
#[derive(Debug, Args)]
pub struct Membership {
    /// The group's name, or its object id.
    #[arg(value_name = "GROUP")]
    group: String,
    /// A user, a service principal or a managed identity: its name, client id or object id.
    #[arg(value_name = "MEMBER")]
    member: String,
}

pub(super) async fn run(graph: &Graph, command: GroupCommand) -> Result<()> {
    match command {
        GroupCommand::Add(one) => {
            let made = graph.post("/groups", &json!({"displayName": one.name})).await?;
            graph.print(&made, &format!("{} was added: {}", one.name, text(&made, "/id")?))
        }
        GroupCommand::List => graph.print_list(&graph.all("groups").await?, &[("NAME", "/displayName"), ("ID", "/id")]),
        GroupCommand::Members(one) => {
            let group = text(&graph.group(&one.name).await?, "/id")?;
            let columns = [("NAME", "/displayName"), ("TYPE", "/@odata.type"), ("ID", "/id")];
            graph.print_list(&graph.all(&format!("groups/{group}/members")).await?, &columns)
        }
        GroupCommand::AddMember(one) => {
            let (group, member) = membership(graph, &one).await?;
            let body = json!({"@odata.id": format!("{}/v1.0/directoryObjects/{member}", graph.url)});
            graph.send(Method::POST, &format!("/groups/{group}/members/$ref"), Some(&body)).await?;
            graph.print(&json!({}), &format!("{} is a member of {}.", one.member, one.group))
        }
        GroupCommand::RemoveMember(one) => {
            let (group, member) = membership(graph, &one).await?;
            graph.send(Method::DELETE, &format!("/groups/{group}/members/{member}/$ref"), None).await?;
            graph.print(&json!({}), &format!("{} is no member of {} any more.", one.member, one.group))
        }
        GroupCommand::Remove(one) => {
            let group = text(&graph.group(&one.name).await?, "/id")?;
            graph.send(Method::DELETE, &format!("/groups/{group}"), None).await?;
            graph.print(&json!({}), &format!("{} was removed.", one.name))
        }
    }
}

async fn membership(graph: &Graph, one: &Membership) -> Result<(String, String)> {
    let group = text(&graph.group(&one.group).await?, "/id")?;
    Ok((group, graph.principal_id(&one.member).await?))
}
