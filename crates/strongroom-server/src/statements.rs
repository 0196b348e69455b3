//! The key that signs what HSMs state to the outside (release answers, key attestations), and its certificate.
//!
//! One for a deployment, in the store, so that every node signs alike. It is made when it is first needed, and replaced by
//! a new one when a third of its certificate's life is left; what it signed carries the old certificate.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use strongroom_core::barrier::{Record, Stored};
use strongroom_core::request::Request;
use strongroom_core::statement::{STATEMENT_KEY, StatementSigner};
use strongroom_core::{Core, Error, Result};
use strongroom_crypto::{KeyMaterial, PublicKey, RsaPublicKey};
use strongroom_types::Timestamp;
use tokio::sync::Mutex;

use crate::http::host::Domain;
use crate::tls::ca::STATEMENT_DAYS;
use crate::tls::error::TlsError;
use crate::tls::stored_ca;

/// Where the signer comes from.
pub struct Statements {
    core: Arc<Core>,
    domains: Vec<Domain>,
    current: ArcSwapOption<Current>,
    making: Mutex<()>,
}

struct Current {
    signer: Arc<StatementSigner>,
    not_after: Timestamp,
}

/// What is stored: the certificates. The key lies beside it as a sealed secret.
#[derive(Serialize, Deserialize)]
struct StoredCertificate {
    /// DER in base64, leaf first.
    chain: Vec<String>,
    not_after: Timestamp,
    /// Where its key lies.
    key: String,
}

impl Record for StoredCertificate {
    const FORMAT: u16 = 1;
}

impl std::fmt::Debug for Statements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statements").finish_non_exhaustive()
    }
}

impl Statements {
    /// Signers whose certificates cover the hosts below these domains.
    pub fn new(core: Arc<Core>, domains: Vec<Domain>) -> Self {
        Self { core, domains, current: ArcSwapOption::empty(), making: Mutex::new(()) }
    }

    /// The signer for now.
    ///
    /// # Errors
    /// [`Error::Throttled`] if too many keys are being generated; what the store says.
    pub async fn signer(&self, now: Timestamp) -> Result<Arc<StatementSigner>> {
        let known = || self.current.load_full().filter(|current| current.is_fresh(now));
        if let Some(current) = known() {
            return Ok(Arc::clone(&current.signer));
        }
        let _making = self.making.lock().await;
        if let Some(current) = known() {
            return Ok(Arc::clone(&current.signer));
        }
        let current = self.open_or_create(now).await?;
        let signer = Arc::clone(&current.signer);
        self.current.store(Some(Arc::new(current)));
        Ok(signer)
    }

    async fn open_or_create(&self, now: Timestamp) -> Result<Current> {
        let stored = self.stored().await?;
        if let Some(stored) = stored.as_ref().filter(|stored| is_fresh(stored.value.not_after, now)) {
            return self.open(&stored.value).await;
        }
        match self.create(stored.as_ref(), now).await {
            // Another node has made one in the same moment.
            Ok(()) | Err(Error::Conflict) => {}
            Err(error) => return Err(error),
        }
        let stored = self.stored().await?.ok_or(Error::Internal("the certificate of statements is gone"))?;
        self.open(&stored.value).await
    }

    async fn stored(&self) -> Result<Option<Stored<StoredCertificate>>> {
        let barrier = self.core.barrier();
        barrier.read(barrier.deployment(), CERTIFICATE).await
    }

    async fn open(&self, stored: &StoredCertificate) -> Result<Current> {
        let barrier = self.core.barrier();
        let malformed = || Error::Tampered { key: CERTIFICATE.to_owned(), problem: "its certificate does not decode" };
        let found = barrier.read_secret(barrier.deployment(), &stored.key).await?;
        let (secret, _) = found.ok_or(Error::Tampered { key: stored.key.clone(), problem: "it is missing" })?;
        let key = KeyMaterial::from_sealable(STATEMENT_KEY, secret.expose())?;
        let chain = stored.chain.iter().map(|der| STANDARD.decode(der)).collect::<std::result::Result<_, _>>();
        let signer = StatementSigner::new(key, chain.map_err(|_| malformed())?)?;
        Ok(Current { signer: Arc::new(signer), not_after: stored.not_after })
    }

    async fn create(&self, old: Option<&Stored<StoredCertificate>>, now: Timestamp) -> Result<()> {
        let barrier = self.core.barrier();
        let id = uuid::Builder::from_random_bytes(barrier.entropy().sixteen()?).into_uuid();
        let request = Request::internal(id, now, "StatementKeyCreate", String::new());
        let key = self.core.generate_statement_key().await?;
        let PublicKey::Rsa { n, e } = key.public_key() else {
            return Err(Error::Internal("the key of statements is no RSA key"));
        };
        let public = RsaPublicKey::from_components(n, e)?.to_spki()?;
        let authority = stored_ca::open_or_create(&self.core, &request).await.map_err(in_core)?;
        let issued = authority.issue_for_statements(&public, &self.domains, barrier.entropy().as_ref(), now);
        let (chain, not_after) = issued.map_err(in_core)?;
        let place = format!("{KEYS}{id}");
        let record = StoredCertificate {
            chain: chain.iter().map(|der| STANDARD.encode(der)).collect(),
            not_after,
            key: place.clone(),
        };
        let mut transaction = barrier.transaction().detail("a key for the statements of HSMs");
        transaction.create_secret(barrier.deployment(), place, key.to_sealable()?.expose());
        match old {
            None => transaction.create(barrier.deployment(), CERTIFICATE.to_owned(), &record)?,
            Some(old) => {
                transaction.discard(old.value.key.clone());
                transaction.replace(barrier.deployment(), old, &record)?;
            }
        }
        transaction.commit(&request).await?;
        Ok(())
    }
}

impl Current {
    fn is_fresh(&self, now: Timestamp) -> bool {
        is_fresh(self.not_after, now)
    }
}

fn is_fresh(not_after: Timestamp, now: Timestamp) -> bool {
    now.plus_days(STATEMENT_DAYS / 3) < not_after
}

fn in_core(error: TlsError) -> Error {
    match error {
        TlsError::Core(error) => error,
        error => {
            tracing::error!(%error, "the certificate of statements cannot be issued");
            Error::Internal("the certificate of statements cannot be issued")
        }
    }
}

// Below `layout::DEPLOYMENT_AREA`; nobody else reads or writes them.
const CERTIFICATE: &str = "d/statements/certificate";
const KEYS: &str = "d/statements/key/";

#[cfg(test)]
mod tests {
    use strongroom_testkit::{START, core_in_memory};

    use super::*;

    #[tokio::test]
    async fn every_node_signs_with_the_same_key_until_a_third_of_its_life_is_left() {
        let core = core_in_memory().await.unwrap().core;
        let node = || Statements::new(Arc::clone(&core), vec![Domain::localhost()]);
        let one = node();
        let first = one.signer(START).await.unwrap();
        assert_eq!(first.chain().len(), 2);
        assert_eq!(node().signer(START).await.unwrap().chain(), first.chain());
        let later = START.plus_days(STATEMENT_DAYS * 2 / 3 - 1);
        assert_eq!(one.signer(later).await.unwrap().chain(), first.chain());
        let renewed = one.signer(later.plus_days(2)).await.unwrap();
        assert_ne!(renewed.chain()[0], first.chain()[0]);
        assert_eq!(renewed.chain()[1], first.chain()[1], "of the same CA");
        assert_eq!(core.barrier().keys(KEYS, 10).await.unwrap().len(), 1);
    }
}
