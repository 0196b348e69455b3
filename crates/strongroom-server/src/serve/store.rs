//! Opening the store, wherever it lies.

use std::sync::Arc;

use strongroom_store::{EmbeddedStore, Kv};

use crate::config::{Settings, SettingsError, StorePlace};
use crate::data_dir::DataDir;
use crate::serve::error::StartError;
use crate::tasks::Tasks;

/// Opens the store; `tasks` gets what an engine has to do now and then. An embedded one is this process's alone.
#[cfg_attr(not(feature = "etcd"), expect(unused_variables, reason = "only etcd needs them"))]
pub(super) async fn open(folder: &DataDir, settings: &Settings, tasks: &Tasks) -> Result<Arc<dyn Kv>, StartError> {
    match &settings.store {
        StorePlace::Embedded => Ok(Arc::new(EmbeddedStore::open(&folder.join(FILE))?)),
        #[cfg(feature = "etcd")]
        StorePlace::Etcd(place) => in_etcd::open(place, settings, tasks).await,
        #[cfg(not(feature = "etcd"))]
        StorePlace::Etcd(_) => Err(SettingsError::NoEtcd.into()),
    }
}

/// Opens a store that several nodes may share, to look at it: nothing is changed.
pub(super) async fn observe(settings: &Settings) -> Result<Arc<dyn Kv>, StartError> {
    match &settings.store {
        StorePlace::Embedded => Err(SettingsError::NoCluster.into()),
        #[cfg(feature = "etcd")]
        StorePlace::Etcd(place) => in_etcd::observe(place).await,
        #[cfg(not(feature = "etcd"))]
        StorePlace::Etcd(_) => Err(SettingsError::NoEtcd.into()),
    }
}

/// Opens a store that is there, and that several nodes may share, to write what needs no node: none is made.
pub(super) async fn enter(settings: &Settings) -> Result<Arc<dyn Kv>, StartError> {
    observe(settings).await?.close().await?;
    match &settings.store {
        StorePlace::Embedded => Err(SettingsError::NoCluster.into()),
        #[cfg(feature = "etcd")]
        StorePlace::Etcd(place) => in_etcd::enter(place).await,
        #[cfg(not(feature = "etcd"))]
        StorePlace::Etcd(_) => Err(SettingsError::NoEtcd.into()),
    }
}

/// A store that is open for something else than serving.
pub(crate) struct Held {
    pub(crate) store: Arc<dyn Kv>,
    /// Locked as long as an embedded store is open.
    _folder: Option<DataDir>,
}

/// Opens a store that is there, if it is. In etcd it can then only be looked at.
pub(crate) async fn look(settings: &Settings) -> Result<Option<Held>, StartError> {
    match &settings.store {
        StorePlace::Embedded if !settings.data_dir.join(FILE).exists() => Ok(None),
        StorePlace::Embedded => embedded(settings).map(Some),
        #[cfg(feature = "etcd")]
        StorePlace::Etcd(place) => {
            let store = in_etcd::observe(place).await?;
            Ok(Some(Held { store, _folder: None }))
        }
        #[cfg(not(feature = "etcd"))]
        StorePlace::Etcd(_) => Err(SettingsError::NoEtcd.into()),
    }
}

/// Opens a store, or makes it, to write to it without serving it.
pub(crate) async fn open_alone(settings: &Settings) -> Result<Held, StartError> {
    match &settings.store {
        StorePlace::Embedded => embedded(settings),
        #[cfg(feature = "etcd")]
        StorePlace::Etcd(place) => {
            let store = in_etcd::enter(place).await?;
            Ok(Held { store, _folder: None })
        }
        #[cfg(not(feature = "etcd"))]
        StorePlace::Etcd(_) => Err(SettingsError::NoEtcd.into()),
    }
}

fn embedded(settings: &Settings) -> Result<Held, StartError> {
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
        #[cfg(feature = "etcd")]
        StorePlace::Etcd(place) => in_etcd::access(place).map(drop),
        #[cfg(not(feature = "etcd"))]
        StorePlace::Etcd(_) => Err(SettingsError::NoEtcd.into()),
    }
}

#[cfg(feature = "etcd")]
mod in_etcd {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;

    use strongroom_core::ports::Clock;
    use strongroom_store::{EtcdOptions, EtcdStore, EtcdTls, EtcdUser, Kv};
    use strongroom_types::Secret;

    use crate::clock::SystemClock;
    use crate::config::{EtcdSettings, Settings};
    use crate::limited_file::{self, PEM_BYTES_MAX};
    use crate::serve::error::StartError;
    use crate::tasks::Tasks;
    use crate::tls::error::TlsError;
    use crate::tls::operator::{OperatorCertificate, certificates};

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

    pub(super) async fn observe(place: &EtcdSettings) -> Result<Arc<dyn Kv>, StartError> {
        Ok(Arc::new(EtcdStore::observe(options(place)?).await?))
    }

    /// Opens it without looking after it.
    pub(super) async fn enter(place: &EtcdSettings) -> Result<Arc<dyn Kv>, StartError> {
        Ok(Arc::new(EtcdStore::open(options(place)?).await?))
    }

    fn options(place: &EtcdSettings) -> Result<EtcdOptions, StartError> {
        let (tls, user) = access(place)?;
        Ok(EtcdOptions {
            endpoints: place.endpoints.clone(),
            prefix: place.prefix.clone(),
            tls,
            user,
            timeout: place.timeout,
            history: place.history,
        })
    }

    /// What is trusted, and what this node shows. Each file is looked into, so that a wrong one shows before etcd is asked.
    pub(super) fn access(place: &EtcdSettings) -> Result<(EtcdTls, Option<EtcdUser>), StartError> {
        let ca = match &place.ca_file {
            Some(path) => {
                certificates(path).map_err(of_store)?;
                Some(read(path, PEM_BYTES_MAX)?.expose().clone())
            }
            None => None,
        };
        let identity = match &place.identity_files {
            Some((certificate, private_key)) => {
                let (certificate, private_key) = (certificate.clone(), private_key.clone());
                let files = OperatorCertificate { certificate, private_key };
                files.read(SystemClock.now()).map_err(of_store)?;
                let private_key = Arc::new(read(&files.private_key, PEM_BYTES_MAX)?);
                Some((read(&files.certificate, PEM_BYTES_MAX)?.expose().clone(), private_key))
            }
            None => None,
        };
        let user = match &place.user {
            Some((name, file)) => Some(EtcdUser { name: name.clone(), password: Arc::new(password(file)?) }),
            None => None,
        };
        Ok((EtcdTls { ca, identity }, user))
    }

    fn password(file: &Path) -> Result<Secret<String>, StartError> {
        let wrong = |what| StartError::StoreFile {
            path: file.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidData, what),
        };
        let bytes = read(file, PASSWORD_BYTES_MAX)?;
        let text = std::str::from_utf8(bytes.expose()).map_err(|_| wrong("it is not text"))?;
        // Editors end a file with a line break.
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(wrong("it holds no password"));
        }
        Ok(Secret::new(password.to_owned()))
    }

    fn read(path: &Path, bytes_max: u64) -> Result<Secret<Vec<u8>>, StartError> {
        let read = limited_file::read(path, bytes_max);
        read.map_err(|source| StartError::StoreFile { path: path.to_owned(), source })
    }

    /// The same file, and the section of the configuration that names it.
    fn of_store(error: TlsError) -> StartError {
        match error {
            TlsError::File { path, problem } => {
                let source = io::Error::new(io::ErrorKind::InvalidData, problem.to_string());
                StartError::StoreFile { path, source }
            }
            error => StartError::Tls(error),
        }
    }

    /// Longer than any password.
    const PASSWORD_BYTES_MAX: u64 = 4096;

    #[cfg(test)]
    mod tests {
        use std::fs;
        use std::path::PathBuf;
        use std::time::Duration;

        use strongroom_crypto::SystemEntropy;

        use super::*;
        use crate::tls::ca::CertificateAuthority;
        use crate::tls::trust::pem;

        fn place() -> EtcdSettings {
            EtcdSettings {
                endpoints: vec!["https://127.0.0.1:2379".to_owned()],
                prefix: "/strongroom".to_owned(),
                ca_file: None,
                identity_files: None,
                user: None,
                timeout: Duration::from_secs(5),
                history: None,
            }
        }

        fn cause(place: &EtcdSettings) -> String {
            let error = access(place).err().expect("a file is wrong");
            assert!(error.remedy().contains("[store]"), "{}", error.remedy());
            error.cause()
        }

        /// A CA, a certificate of it and its private key.
        fn files(folder: &Path) -> [PathBuf; 3] {
            let now = SystemClock.now();
            let new = CertificateAuthority::generate("test", &SystemEntropy, now).unwrap();
            let ca = pem("CERTIFICATE", &new.certificate);
            let authority = CertificateAuthority::open(new.certificate.to_vec(), new.key.expose()).unwrap();
            let leaf = authority.issue(&["localhost".parse().unwrap()], &SystemEntropy, now).unwrap();
            let key = pem("PRIVATE KEY", leaf.key.secret_der());
            let content = [("ca", ca), ("certificate", pem("CERTIFICATE", &leaf.chain[0])), ("key", key)];
            content.map(|(name, text)| {
                fs::write(folder.join(name), text).unwrap();
                folder.join(name)
            })
        }

        #[test]
        fn files_that_are_not_what_they_should_be_are_found_before_etcd_is_asked() {
            let folder = tempfile::tempdir().unwrap();
            let [ca, certificate, key] = files(folder.path());
            let other = tempfile::tempdir().unwrap();
            let [_, _, other_key] = files(other.path());
            let with = |ca: &PathBuf, certificate: &PathBuf, key: &PathBuf| EtcdSettings {
                ca_file: Some(ca.clone()),
                identity_files: Some((certificate.clone(), key.clone())),
                ..place()
            };
            assert!(access(&with(&ca, &certificate, &key)).is_ok());
            assert!(cause(&with(&key, &certificate, &key)).contains("no certificate"));
            assert!(cause(&with(&ca, &key, &key)).contains("no certificate"));
            assert!(cause(&with(&ca, &certificate, &certificate)).contains("no private key"));
            assert!(cause(&with(&ca, &certificate, &other_key)).contains("does not belong"));
            assert!(cause(&with(&folder.path().join("none"), &certificate, &key)).contains("none: No such file"));
        }

        #[test]
        fn a_password_is_a_line_of_a_file_and_never_nothing() {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("password");
            let with = || EtcdSettings { user: Some(("somebody".to_owned(), file.clone())), ..place() };
            fs::write(&file, "hush hush\r\n").unwrap();
            let (_, user) = access(&with()).unwrap();
            assert_eq!(user.unwrap().password.expose(), "hush hush");
            for (wrong, said) in [
                (vec![], "no password"),
                (b"\n".to_vec(), "no password"),
                (vec![0xff], "not text"),
                (vec![b'x'; 4097], "longer"),
            ] {
                fs::write(&file, wrong).unwrap();
                assert!(cause(&with()).contains(said), "{said}");
            }
        }
    }
}

/// The embedded store's file.
const FILE: &str = "store.redb";
