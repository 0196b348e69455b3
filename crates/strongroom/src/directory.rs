//! `strongroom directory …`.

use strongroom_cli::directory::add_user;

use crate::Failure;
use crate::arguments::{DirectoryCommand, UserCommand, default_data_dir};

/// Does what was asked for through the API of the server that runs on the data folder.
pub(crate) async fn run(command: DirectoryCommand) -> Result<(), Failure> {
    let DirectoryCommand::User(UserCommand::Add(add)) = command;
    let data_dir = add.data_dir.clone().or_else(default_data_dir);
    add_user(add, data_dir).await.map_err(|error| Failure {
        cause: format!("{error:#}"),
        remedy: "see that `strongroom serve` runs on the folder (--data-dir) and that the name is not taken".to_owned(),
    })
}
