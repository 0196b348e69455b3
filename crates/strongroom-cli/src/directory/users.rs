//! `directory user …`.

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::Graph;
use crate::connection::text;

/// What can be done with people.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a person, and show the one-time password of their first login.
    Add(AddUser),
    /// List all people.
    List,
    /// Show a person.
    Show(OneUser),
    /// Let a person log in again.
    Enable(OneUser),
    /// Let a person not log in any more; tokens of theirs are refused at once.
    Disable(OneUser),
    /// End a person's passphrase and logins, and show a new one-time password.
    ResetPassword(OneUser),
    /// Remove a person for good.
    Remove(OneUser),
}

/// `directory user add`.
#[derive(Debug, Args)]
pub struct AddUser {
    /// The user name, such as alice; the deployment's domain is added if there is no @.
    #[arg(value_name = "NAME")]
    name: String,
    /// The name shown to people [default: the user name].
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
}

/// A command on one person.
#[derive(Debug, Args)]
pub struct OneUser {
    /// The user name, or the object id.
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) async fn run(graph: &Graph, command: UserCommand) -> Result<()> {
    match command {
        UserCommand::Add(add) => self::add(graph, &add).await,
        UserCommand::List => {
            let columns = [
                ("NAME", "/userPrincipalName"),
                ("DISPLAY NAME", "/displayName"),
                ("ENABLED", "/accountEnabled"),
                ("ID", "/id"),
            ];
            graph.print_list(&graph.all("users").await?, &columns)
        }
        UserCommand::Show(one) => {
            let user = graph.user(&one.name).await?;
            graph.print(&user, &format!("{user:#}"))
        }
        UserCommand::Enable(one) => enable(graph, &one.name, true).await,
        UserCommand::Disable(one) => enable(graph, &one.name, false).await,
        UserCommand::ResetPassword(one) => reset(graph, &one.name).await,
        UserCommand::Remove(one) => {
            let user = graph.user(&one.name).await?;
            graph.send(Method::DELETE, &format!("/users/{}", text(&user, "/id")?), None).await?;
            graph.print(&json!({}), &format!("{} was removed.", text(&user, "/userPrincipalName")?))
        }
    }
}

async fn add(graph: &Graph, add: &AddUser) -> Result<()> {
    let display_name = add.display_name.as_deref().unwrap_or(&add.name);
    let body = json!({"userPrincipalName": graph.full_name(&add.name)?, "displayName": display_name});
    let made = graph.post("/users", &body).await?;
    let name = text(&made, "/userPrincipalName")?;
    show_password(graph, &made, &text(&made, "/passwordProfile/password")?, &format!("{name} was added."))
}

async fn reset(graph: &Graph, name: &str) -> Result<()> {
    let user = graph.user(name).await?;
    let path = format!("/users/{}/authentication/methods/{PASSWORD_METHOD}/resetPassword", text(&user, "/id")?);
    let reset = graph.post(&path, &json!({})).await?;
    let name = text(&user, "/userPrincipalName")?;
    show_password(graph, &user, &text(&reset, "/newPassword")?, &format!("{name} has to choose a new passphrase."))
}

fn show_password(graph: &Graph, user: &Value, password: &str, sentence: &str) -> Result<()> {
    let (id, name) = (text(user, "/id")?, text(user, "/userPrincipalName")?);
    let shown = json!({"id": id, "userPrincipalName": name, "oneTimePassword": password});
    let page = graph.device_page()?;
    graph.print(
        &shown,
        &format!(
            "{sentence}\n\n  one-time password  {password}\n\nIt is shown this once, and opens one login: \
             `az login --use-device-code`, then {page}\nwith the code that az shows. A passphrase of their own is set there."
        ),
    )
}

async fn enable(graph: &Graph, name: &str, enabled: bool) -> Result<()> {
    let user = graph.user(name).await?;
    let path = format!("/users/{}", text(&user, "/id")?);
    graph.send(Method::PATCH, &path, Some(&json!({"accountEnabled": enabled}))).await?;
    let state = if enabled { "enabled" } else { "disabled" };
    graph.print(&json!({"accountEnabled": enabled}), &format!("{} is {state}.", text(&user, "/userPrincipalName")?))
}

/// The id that the password has among the ways to authenticate of every user, as in Graph.
const PASSWORD_METHOD: &str = "28c10230-6103-485e-b985-444c60001490";
