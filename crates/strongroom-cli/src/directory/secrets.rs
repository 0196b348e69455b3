//! `directory secret …`.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use super::programs::OneProgram;
use super::{Graph, OneCredential};
use crate::connection::text;

/// What can be done with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Make a secret, and show it: the only time.
    Add(AddSecret),
    /// List secrets by id, without themselves.
    List(OneProgram),
    /// End a secret at once.
    Revoke(OneCredential),
}

/// `directory secret add`.
#[derive(Debug, Args)]
pub struct AddSecret {
    /// The service principal: its name, client id or object id.
    #[arg(value_name = "NAME")]
    name: String,
    /// How long it counts [default: two years].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: Option<u32>,
}

pub(super) async fn run(graph: &Graph, command: SecretCommand) -> Result<()> {
    match command {
        SecretCommand::Add(add) => self::add(graph, &add).await,
        SecretCommand::List(list) => {
            let program = graph.program(&list.name).await?;
            let secrets =
                program.pointer("/passwordCredentials").and_then(Value::as_array).cloned().unwrap_or_default();
            let columns = [
                ("ID", "/keyId"),
                ("HINT", "/hint"),
                ("MADE", "/startDateTime"),
                ("ENDS", "/endDateTime"),
                ("NODE", "/displayName"),
            ];
            graph.print_list(&secrets, &columns)
        }
        SecretCommand::Revoke(revoke) => {
            let id = text(&graph.program(&revoke.name).await?, "/id")?;
            let body = json!({"keyId": revoke.id});
            graph.send(Method::POST, &format!("/applications/{id}/removePassword"), Some(&body)).await?;
            graph.print(&json!({}), &format!("The secret {} of {} has ended.", revoke.id, revoke.name))
        }
    }
}

/// The time of day so many days ahead. The server decides by its own clock; this says what was meant.
fn end_after(days: u32) -> Result<String> {
    let end = Timestamp::now().checked_add(SignedDuration::from_hours(i64::from(days) * 24));
    Ok(end.context("so far ahead there is no date")?.to_string())
}

async fn add(graph: &Graph, add: &AddSecret) -> Result<()> {
    let program = graph.program(&add.name).await?;
    let path = format!("/applications/{}/addPassword", text(&program, "/id")?);
    let body = match add.days {
        None => json!({}),
        Some(days) => json!({"passwordCredential": {"endDateTime": end_after(days)?}}),
    };
    let made = graph.post(&path, &body).await?;
    let (secret, end) = (text(&made, "/secretText")?, text(&made, "/endDateTime")?);
    let client = text(&program, "/appId")?;
    let shown = json!({
        "appId": client, "keyId": text(&made, "/keyId")?, "password": secret, "tenant": graph.tenant()?,
        "endDateTime": end,
    });
    let lines = format!("  client id  {client}\n  tenant     {}\n  secret     {secret}", graph.tenant()?);
    graph.print(
        &shown,
        &format!("A secret of {} was made. It counts until {end}.\n\n{lines}\n\nIt is shown this once.", add.name),
    )
}
