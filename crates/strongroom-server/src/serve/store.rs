//! Opening the store, wherever it lies.

use std::sync::Arc;

use strongroom_store::{EmbeddedStore, Kv};

use crate::config::{Settings, StorePlace};
use crate::data_dir::DataDir;
use crate::serve::error::StartError;
use crate::tasks::Tasks;

/// Opens the store to serve it; `tasks` gets what an engine has to do now and then. An embedded one is this process's alone.
pub(super) async fn open(folder: &DataDir, settings: &Settings, tasks: &Tasks) -> Result<Arc<dyn Kv>, StartError> {
    match &settings.store {
        StorePlace::Embedded => Ok(Arc::new(EmbeddedStore::open(&folder.join(FILE))?)),
        StorePlace::Etcd(place) => in_etcd::open(place, settings, tasks).await,
    }
}

/// What somebody who does not serve a store opens it for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To look at one that is there.
    Look,
    /// To write to one that is there.
    Change,
    /// To write all that is to be in it; it is made if it is not there.
    Fill,
}

/// A store that is open for something else than serving.
pub(crate) struct Held {
    pub(crate) store: Arc<dyn Kv>,
    /// Locked as long as an embedded store is open.
    _folder: Option<DataDir>,
}

/// Opens a store without serving it.
pub(crate) async fn hold(settings: &Settings, purpose: Purpose) -> Result<Held, StartError> {
    match &settings.store {
        StorePlace::Embedded => embedded(settings, purpose),
        StorePlace::Etcd(place) => Ok(Held { store: in_etcd::hold(place, purpose).await?, _folder: None }),
    }
}

fn embedded(settings: &Settings, purpose: Purpose) -> Result<Held, StartError> {
    if purpose != Purpose::Fill && !settings.data_dir.join(FILE).exists() {
        return Err(StartError::NoDeployment);
    }
    let folder = DataDir::open(&settings.data_dir)?;
    let store = Arc::new(EmbeddedStore::open(&folder.join(FILE))?);
    Ok(Held { store, _folder: Some(folder) })
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
        StorePlace::Etcd(place) => in_etcd::check_files(place),
    }
}

#[cfg(feature = "etcd")]
mod in_etcd {
    use std::sync::Arc;

    use strongroom_store::{EtcdOptions, EtcdStore, Kv};

    use super::Purpose;
    use crate::config::{EtcdSettings, Settings};
    use crate::serve::error::StartError;
    use crate::serve::etcd_files::options;
    use crate::tasks::Tasks;

    pub(super) async fn open(
        place: &EtcdSettings,
        settings: &Settings,
        tasks: &Tasks,
    ) -> Result<Arc<dyn Kv>, StartError> {
        // A member that hangs is left for another one before the node that waits for it has to stop serving.
        let timeout = place.timeout.min(settings.cluster.call_max());
        let store = Arc::new(EtcdStore::open(EtcdOptions { timeout, ..options(place)? }).await?);
        let (tended, stop) = (Arc::clone(&store), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.stopping() => {}
                () = tended.tend() => {}
            }
        });
        Ok(store)
    }

    /// Opens it without looking after it.
    pub(super) async fn hold(place: &EtcdSettings, purpose: Purpose) -> Result<Arc<dyn Kv>, StartError> {
        let options = options(place)?;
        let store = match purpose {
            Purpose::Look => EtcdStore::observe(options).await,
            Purpose::Change => EtcdStore::enter(options).await,
            Purpose::Fill => EtcdStore::open(options).await,
        };
        Ok(Arc::new(store?))
    }

    pub(super) fn check_files(place: &EtcdSettings) -> Result<(), StartError> {
        options(place).map(drop)
    }
}

/// In a program that is built without etcd. Its configuration never says that the store is there.
#[cfg(not(feature = "etcd"))]
mod in_etcd {
    use std::sync::Arc;

    use strongroom_store::Kv;

    use super::Purpose;
    use crate::config::{EtcdSettings, Settings, SettingsError};
    use crate::serve::error::StartError;
    use crate::tasks::Tasks;

    pub(super) async fn open(_: &EtcdSettings, _: &Settings, _: &Tasks) -> Result<Arc<dyn Kv>, StartError> {
        Err(SettingsError::NoEtcd.into())
    }

    pub(super) async fn hold(_: &EtcdSettings, _: Purpose) -> Result<Arc<dyn Kv>, StartError> {
        Err(SettingsError::NoEtcd.into())
    }

    pub(super) fn check_files(_: &EtcdSettings) -> Result<(), StartError> {
        Err(SettingsError::NoEtcd.into())
    }
}

/// The embedded store's file.
const FILE: &str = "store.redb";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Configuration, Flags};

    #[tokio::test]
    async fn a_store_that_is_not_there_is_made_only_to_be_filled() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let settings = Settings::resolve(Configuration::default(), Flags::default(), Some(folder.clone())).unwrap();
        for purpose in [Purpose::Look, Purpose::Change] {
            assert!(matches!(hold(&settings, purpose).await, Err(StartError::NoDeployment)), "{purpose:?}");
            assert!(!folder.exists(), "{purpose:?}");
        }
        hold(&settings, Purpose::Fill).await.unwrap().store.close().await.unwrap();
        hold(&settings, Purpose::Look).await.unwrap().store.close().await.unwrap();
    }
}
