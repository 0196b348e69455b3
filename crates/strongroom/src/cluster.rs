//! `strongroom cluster …`: the nodes of a deployment, read from its store; no node need run.

use std::fmt::Write;

use strongroom_server::serve::{ClusterView, drain, join};

use crate::Failure;
use crate::arguments::ClusterCommand;
use crate::serve::say;

/// Does what was asked for.
pub(crate) async fn run(command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Status { place, json } => {
            let view = ClusterView::look(&place.settings()?).await?;
            if json {
                say(&format!("{}\n", encoded(&view)?))
            } else {
                say(&table(&view))
            }
            if view.is_well() { Ok(()) } else { Err(silent(&view)) }
        }
        ClusterCommand::Join { place } => {
            let settings = place.settings()?;
            let deployment = join(&settings).await?;
            say(&format!(
                "{} is ready to be a node of deployment {deployment}.\n\nNext: `strongroom serve` with the same configuration; then \
                 `strongroom cluster status` shows the node.\n",
                settings.data_dir.display()
            ));
            Ok(())
        }
        ClusterCommand::Drain { place, node, undo } => {
            let id = drain(&place.settings()?, &node, undo).await?;
            say(&if undo {
                format!("Node {id} is ready again within a second.\n")
            } else {
                format!(
                    "Node {id} says within a second that it is not ready (/health/ready), and goes on serving.\n\nNext: stop it when \
                     its load balancer sends nothing more. A start makes it ready again; so does --undo.\n"
                )
            });
            Ok(())
        }
    }
}

fn encoded(view: &ClusterView) -> Result<String, Failure> {
    serde_json::to_string_pretty(view).map_err(|error| Failure {
        cause: format!("the answer cannot be written: {error}"),
        remedy: "please report it".to_owned(),
    })
}

fn silent(view: &ClusterView) -> Failure {
    let silent = view.nodes.iter().filter(|node| !node.renewing).count();
    Failure {
        cause: format!("{silent} of {} registrations are not renewed", view.nodes.len()),
        remedy: "look at those nodes; the others expel a node that is gone within seconds, and forget it seconds later"
            .to_owned(),
    }
}

fn table(view: &ClusterView) -> String {
    let mut text = format!(
        "{:<36}  {:<16}  {:<10}  {:<8}  {:>9}  {:>6}  state\n",
        "node", "name", "standing", "release", "applied", "behind"
    );
    for node in &view.nodes {
        let state = if node.renewing { "renewing" } else { "silent" };
        let draining = if node.draining { ", draining" } else { "" };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<36}  {:<16}  {:<10}  {:<8}  {:>9}  {:>6}  {state}{draining}",
            node.node, node.name, node.standing, node.release, node.applied_revision, node.behind
        );
    }
    let _ = writeln!(text, "\nThe store is at revision {}.", view.revision);
    text
}
