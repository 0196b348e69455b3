//! `strongroom serve`.

use std::io::{IsTerminal, Write};

use strongroom_server::config::{Log, Settings};
use strongroom_server::logging::{self, Colour};
use strongroom_server::serve::{Server, StartError};

use crate::Failure;
use crate::arguments::ServeArguments;

/// Serves until a signal says to stop.
pub(crate) async fn run(arguments: ServeArguments) -> Result<(), Failure> {
    let mut server = start(arguments.settings()?).await?;
    let ready = server.ready().clone();
    say(&ready.text());
    let help = async {
        if let Some(help) = ready.name_help().await {
            say(&help);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = server.must_stop() => {}
        () = help => {}
    }
    Ok(server.stop().await?)
}

/// Starts a server whose log goes to stderr.
pub(crate) async fn start(settings: Settings) -> Result<Server, StartError> {
    log(settings.log);
    Box::pin(Server::start(settings, env!("CARGO_PKG_VERSION"))).await
}

/// Prints to stdout. A closed pipe ends the showing, not the serving.
pub(crate) fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[expect(clippy::disallowed_methods, reason = "the program's entry is where the environment is read")]
fn log(log: Log) {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = if std::io::stderr().is_terminal() && !plain { Colour::Allowed } else { Colour::None };
    logging::start(log, colour);
}
