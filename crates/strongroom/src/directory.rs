//! `strongroom directory …`.

use strongroom_cli::directory::{Directory, run as perform};

use crate::Failure;
use crate::arguments::default_data_dir;

/// Does what was asked for through the API of the server that runs on the data folder.
pub(crate) async fn run(command: Directory) -> Result<(), Failure> {
    perform(command, default_data_dir()).await.map_err(|error| Failure {
        cause: format!("{error:#}"),
        remedy: "see that `strongroom serve` runs on the folder (--data-dir), and what `list` shows".to_owned(),
    })
}
