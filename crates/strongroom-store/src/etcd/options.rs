//! How to reach etcd, and as who.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use strongroom_types::Secret;

use super::keyspace::Keyspace;

/// How to reach etcd, which store there, and as who.
#[derive(Clone)]
pub struct EtcdOptions {
    /// `http://HOST:PORT` or `https://HOST:PORT` of each member; one that answers is enough.
    pub endpoints: Vec<String>,
    /// Below which key the store lies, such as `/strongroom`.
    pub prefix: String,
    /// Trust and identity for `https` endpoints.
    pub tls: EtcdTls,
    /// A user of etcd.
    pub user: Option<EtcdUser>,
    /// Longest time until a question is answered, one way or the other. A commit whose answer is lost takes six times as long at
    /// most: its outcome is looked for, and it is sent again if it was not done.
    pub timeout: Duration,
    /// How long every revision can be read; `None` leaves compaction to others.
    pub history: Option<Duration>,
}

/// What `https` endpoints are verified with, and what they verify.
#[derive(Clone, Default)]
pub struct EtcdTls {
    /// The CAs that are trusted, PEM; without it, the system's.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate and its private key, both PEM.
    pub identity: Option<(Vec<u8>, PrivateKey)>,
}

/// A private key, PEM.
pub type PrivateKey = Arc<Secret<Vec<u8>>>;

/// A user of etcd.
#[derive(Clone)]
pub struct EtcdUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Arc<Secret<String>>,
}

impl EtcdOptions {
    /// Whether a store can have this prefix.
    #[must_use]
    pub fn is_prefix(prefix: &str) -> bool {
        Keyspace::new(prefix).is_some()
    }

    /// For one member. The share of the time limit that it may take to connect is up to the caller.
    pub(super) fn connect(&self, endpoint: &str, connect: Duration) -> ConnectOptions {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(connect)
            // etcd hangs up on who asks more often than every 5 s, or without a request under way.
            .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE_ANSWER)
            .with_keep_alive_while_idle(false)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if endpoint.starts_with("https://") {
            options = options.with_tls(self.tls.options());
        }
        if let Some(user) = &self.user {
            options = options.with_user(&user.name, user.password.expose());
        }
        options
    }
}

impl EtcdTls {
    fn options(&self) -> TlsOptions {
        let options = match &self.ca {
            Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(ca)),
            None => TlsOptions::new().with_native_roots(),
        };
        match &self.identity {
            Some((certificate, key)) => options.identity(Identity::from_pem(certificate, key.expose())),
            None => options,
        }
    }
}

impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoints, prefix, tls: _, user: _, timeout, history } = self;
        f.debug_struct("EtcdOptions")
            .field("endpoints", endpoints)
            .field("prefix", prefix)
            .field("timeout", timeout)
            .field("history", history)
            .finish_non_exhaustive()
    }
}

const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_password_nor_a_private_key_is_shown() {
        let options = EtcdOptions {
            endpoints: vec!["https://127.0.0.1:2379".to_owned()],
            prefix: "/strongroom".to_owned(),
            tls: EtcdTls {
                ca: None,
                identity: Some((b"certificate".to_vec(), Arc::new(Secret::new(b"private".to_vec())))),
            },
            user: Some(EtcdUser { name: "somebody".to_owned(), password: Arc::new(Secret::new("hunter2".to_owned())) }),
            timeout: Duration::from_secs(5),
            history: None,
        };
        let shown = format!("{options:?}");
        assert!(shown.contains("/strongroom"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains(&format!("{:?}", b"private")), "{shown}");
    }
}
