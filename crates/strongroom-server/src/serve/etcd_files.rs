//! The files that it takes to reach etcd. Each is read once, and looked into, so that a wrong one shows before etcd is asked.

use std::io;
use std::path::Path;
use std::sync::Arc;

use strongroom_core::ports::Clock;
use strongroom_store::{EtcdOptions, EtcdTls, EtcdUser};
use strongroom_types::Secret;

use crate::clock::SystemClock;
use crate::config::EtcdSettings;
use crate::limited_file;
use crate::serve::error::StartError;
use crate::tls::error::TlsError;
use crate::tls::operator::{OperatorCertificate, certificates_in, pem_of};

/// How to reach etcd, as the configuration and its files say.
pub(super) fn options(place: &EtcdSettings) -> Result<EtcdOptions, StartError> {
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

/// What is trusted, and what this node shows.
fn access(place: &EtcdSettings) -> Result<(EtcdTls, Option<EtcdUser>), StartError> {
    let ca = match &place.ca_file {
        Some(path) => {
            let pem = pem_of(path).map_err(of_store)?;
            let malformed = |problem| of_store(TlsError::File { path: path.clone(), problem });
            certificates_in(pem.expose()).map_err(malformed)?;
            Some(pem.expose().clone())
        }
        None => None,
    };
    let identity = match &place.identity_files {
        Some((certificate, private_key)) => {
            let (certificate, private_key) = (certificate.clone(), private_key.clone());
            let files = OperatorCertificate { certificate, private_key };
            let (certificate, private_key) = files.files().map_err(of_store)?;
            files.parse(certificate.expose(), private_key.expose(), SystemClock.now()).map_err(of_store)?;
            Some((certificate.expose().clone(), Arc::new(private_key)))
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
    let read = limited_file::read(file, PASSWORD_BYTES_MAX);
    let bytes = read.map_err(|source| StartError::StoreFile { path: file.to_owned(), source })?;
    let text = std::str::from_utf8(bytes.expose()).map_err(|_| wrong("it is not text"))?;
    // Editors end a file with a line break.
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(wrong("it holds no password"));
    }
    Ok(Secret::new(password.to_owned()))
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
