//! `strongroom domain …`.

use strongroom_cli::domain::Domain;

use crate::Failure;
use crate::arguments::default_data_dir;

/// Does what was asked for through the data plane of the server that runs on the data folder.
pub(crate) async fn run(domain: Domain) -> Result<(), Failure> {
    strongroom_cli::domain::run(domain, default_data_dir()).await.map_err(|error| Failure {
        cause: format!("{error:#}"),
        remedy: "see that `strongroom serve` runs on the folder (--data-dir) and has this managed HSM; if it has refused, do \
                 what its message says"
            .to_owned(),
    })
}
