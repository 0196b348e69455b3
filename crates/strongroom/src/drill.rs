//! `strongroom drill`: the client's command, with the blob adapters of the server.

use strongroom_cli::drill::{self, DrillCommand, DrillFailure};
use strongroom_server::serve::named_place;

use crate::Failure;

/// Holds a drill, or checks the report of one.
pub(crate) async fn run(command: DrillCommand) -> Result<(), Failure> {
    match command {
        DrillCommand::Run(drill) => {
            let places = named_place(drill.container(), drill.ca_files())?;
            Ok(drill::run(drill, &places).await?)
        }
        DrillCommand::Verify(check) => Ok(drill::verify(&check)?),
    }
}

impl From<DrillFailure> for Failure {
    fn from(failure: DrillFailure) -> Self {
        Self { cause: failure.to_string(), remedy: failure.remedy().to_owned() }
    }
}
