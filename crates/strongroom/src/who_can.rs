//! `strongroom who-can`.

use strongroom_cli::who_can::{WhoCan, run as ask};

use crate::Failure;
use crate::arguments::default_data_dir;

/// Asks the server that runs on the data folder.
pub(crate) async fn run(question: WhoCan) -> Result<(), Failure> {
    ask(question, default_data_dir()).await.map_err(|error| Failure {
        cause: format!("{error:#}"),
        remedy: "see that `strongroom serve` runs on the folder (--data-dir), that the names are right, and that the \
                 principal of client.env may read roles"
            .to_owned(),
    })
}
