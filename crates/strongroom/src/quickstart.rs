//! `strongroom quickstart`: a server and, as its first client, the story.

use strongroom_cli::quickstart::{self, Story};
use strongroom_server::config::{Log, LogLevel};
use strongroom_server::serve::{Ready, Server, named_place};

use crate::Failure;
use crate::arguments::QuickstartArguments;
use crate::serve::{say, start};

/// Starts a server, tells the story against it, and serves on, or stops with `--exit`.
pub(crate) async fn run(arguments: QuickstartArguments) -> Result<(), Failure> {
    let QuickstartArguments { place, exit } = arguments;
    let mut settings = place.settings(|flags| flags)?;
    // What the server does is what the story shows.
    settings.log = Log { level: LogLevel::Warn, ..settings.log };
    let data_dir = settings.data_dir.clone();
    let mut server = start(settings).await?;
    let data_dir = std::path::absolute(data_dir).map_err(|error| Failure {
        cause: format!("the data folder has no absolute path: {error}"),
        remedy: "name the folder with --data-dir".to_owned(),
    })?;
    let backups = named_place(&quickstart::backups(&data_dir), &[])?;
    let told = tokio::select! {
        told = quickstart::run(&data_dir, &backups) => Some(told),
        () = server.must_stop() => None,
    };
    match told {
        Some(Ok(story)) if !exit => go_on(server, &story).await,
        told => {
            let stopped = server.stop().await;
            match told {
                Some(Err(error)) => Err(Failure {
                    cause: format!("{error:#}"),
                    remedy: "run it again: it goes on where it stopped; if it stays, please report it".to_owned(),
                }),
                Some(Ok(_)) | None => Ok(stopped?),
            }
        }
    }
}

async fn go_on(mut server: Server, story: &Story) -> Result<(), Failure> {
    let ready = server.ready().clone();
    say(&how_to_connect(&ready, story));
    if let Some(help) = ready.name_help().await {
        say(&help);
    }
    server.must_stop().await;
    Ok(server.stop().await?)
}

fn how_to_connect(ready: &Ready, story: &Story) -> String {
    let Story { hsm, url, keys, recovered } = story;
    format!(
        "\nManaged HSM {url} is active, with the keys {}.\n\
         {recovered} was recovered from its backup, and has the same.\n\
         The files in quickstart/ are the custodians': in earnest each belongs offline, with another person.\n\n\
         {}\n\
         For example:\n\n  \
         export AZURE_CONFIG_DIR=$(mktemp -d) AZURE_CORE_INSTANCE_DISCOVERY=false\n  \
         az cloud register -n strongroom --endpoint-resource-manager \"$STRONGROOM_MANAGEMENT_URL\" && \
         az cloud set -n strongroom\n  \
         az login --service-principal -u \"$STRONGROOM_CLIENT_ID\" -p \"$STRONGROOM_CLIENT_SECRET\" \
         --tenant \"$STRONGROOM_TENANT_ID\"\n  \
         az keyvault key list --hsm-name {hsm}\n\n\
         Ctrl-C stops the server; `strongroom serve` starts it again.\n",
        keys.join(", "),
        ready.text(),
    )
}
