//! `strongroom check-config`: everything that can be known about a configuration without starting.

use strongroom_server::config::{Flags, MetadataListener, Settings, StorePlace};
use strongroom_server::serve::check_files;

use crate::Failure;
use crate::arguments::{CheckConfigArguments, configured};
use crate::serve::say;

/// Reads the file and the files it names; prints what a server would do.
pub(crate) fn run(arguments: &CheckConfigArguments) -> Result<(), Failure> {
    let settings = configured(&arguments.config, Flags::default())?;
    let uncovered = check_files(&settings)?;
    say(&summary(&settings));
    if !uncovered.is_empty() {
        say(&format!("note: the certificate does not cover {}\n", uncovered.join(", ")));
    }
    Ok(())
}

fn summary(settings: &Settings) -> String {
    let listed = |items: Vec<String>| items.join(", ");
    let domains = listed(settings.domains().iter().map(ToString::to_string).collect());
    let listen = listed(settings.listen.iter().map(ToString::to_string).collect());
    let metadata = match settings.metadata {
        MetadataListener::Off => "off".to_owned(),
        MetadataListener::At(address) => format!("http://{address}"),
    };
    let certificate = settings
        .tls
        .certificate_file
        .as_ref()
        .map_or_else(|| "issued by the deployment's own CA".to_owned(), |file| file.display().to_string());
    let store = match &settings.store {
        StorePlace::Embedded => "in the data folder".to_owned(),
        StorePlace::Etcd(place) => format!("{} in etcd at {}", place.prefix, place.endpoints.join(", ")),
    };
    format!(
        "The configuration is good.\n\n  \
         data folder  {}\n  root         file {}\n  store        {store}\n  domains      {domains}\n  listen       {listen}\n  \
         metadata     {metadata}\n  certificate  {certificate}\n",
        settings.data_dir.display(),
        settings.root_file.display(),
    )
}
