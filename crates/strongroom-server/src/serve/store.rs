//! Opening the store, wherever it lies.

use std::sync::Arc;

use strongroom_store::{EmbeddedStore, Kv};

use crate::config::{Settings, StorePlace};
use crate::data_dir::DataDir;
use crate::serve::error::StartError;
use crate::tasks::Tasks;

/// Opens the store; `tasks` gets what an engine has to do now and then. An embedded one is this process's alone.
#[cfg_attr(not(feature = "etcd"), expect(unused_variables, reason = "only etcd needs them"))]
pub(super) async fn open(
    folder: &DataDir,
    settings: &Settings,
    tasks: &Tasks,
) -> Result<Arc<dyn Kv>, StartError> {
    match &settings.store {
        StorePlace::Embedded => Ok(Arc::new(EmbeddedStore::open(&folder.join(FILE))?)),
        #[cfg(feature = "etcd")]
        StorePlace::Etcd(place) => in_etcd::open(place, settings, tasks).await,
        #[cfg(not(feature = "etcd"))]
        StorePlace::Etcd(_) => Err(crate::config::SettingsError::NoEtcd.into()),
    }
}

/// Lets go of the store after a start that failed.
pub(super) async fn give_up(store: &dyn Kv) {
    if let Err(error) = store.close().await {
        tracing::warn!(%error, "the store was not closed cleanly");
    }
}

/// Reads the files that reaching the store takes.
pub(super) fn check_files(settings: &Settings) -> Result<(), StartError> {
    match &settings.store {
        StorePlace::Embedded => Ok(()),
        #[cfg(feature = "etcd")]
        StorePlace::Etcd(place) => in_etcd::access(place).map(drop),
        #[cfg(not(feature = "etcd"))]
        StorePlace::Etcd(_) => Err(crate::config::SettingsError::NoEtcd.into()),
    }
}

#[cfg(feature = "etcd")]
mod in_etcd {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use strongroom_store::{EtcdOptions, EtcdStore, EtcdTls, EtcdUser, Kv};

    use crate::config::{EtcdSettings, Settings};
    use crate::serve::error::StartError;
    use crate::tasks::Tasks;

    pub(super) async fn open(
        place: &EtcdSettings,
        settings: &Settings,
        tasks: &Tasks,
    ) -> Result<Arc<dyn Kv>, StartError> {
        let (tls, user) = access(place)?;
        let options = EtcdOptions {
            endpoints: place.endpoints.clone(),
            prefix: place.prefix.clone(),
            tls,
            user,
            // A member that hangs is left for another one before the node that waits for it has to stop serving.
            timeout: place.timeout.min(settings.cluster.call_max()),
            history: place.history,
        };
        let store = Arc::new(EtcdStore::open(options).await?);
        let (tended, stop) = (Arc::clone(&store), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.stopping() => {}
                () = tended.tend() => {}
            }
        });
        Ok(store)
    }

    /// What is trusted, and what this node shows.
    pub(super) fn access(place: &EtcdSettings) -> Result<(EtcdTls, Option<EtcdUser>), StartError> {
        let read =
            |path: &Path| fs::read(path).map_err(|source| StartError::StoreFile { path: path.to_owned(), source });
        let ca = place.ca_file.as_deref().map(read).transpose()?;
        let identity = match &place.identity_files {
            Some((certificate, private_key)) => Some((read(certificate)?, read(private_key)?)),
            None => None,
        };
        let user = match &place.user {
            Some((name, file)) => {
                let password = String::from_utf8(read(file)?).map_err(|_| StartError::StoreFile {
                    path: file.clone(),
                    source: std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not text"),
                })?;
                // Editors end a file with a line break.
                Some(EtcdUser { name: name.clone(), password: password.trim_end_matches(['\r', '\n']).to_owned() })
            }
            None => None,
        };
        Ok((EtcdTls { ca, identity }, user))
    }
}

/// The embedded store's file.
const FILE: &str = "store.redb";
