//! The CA in the store, so that every node of a deployment issues from the same one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use strongroom_core::barrier::Record;
use strongroom_core::request::Request;
use strongroom_core::{Core, Error};

use crate::tls::ca::CertificateAuthority;
use crate::tls::error::TlsError;

/// The public half: the certificate. The key lies beside it as a sealed secret.
#[derive(Serialize, Deserialize)]
struct StoredAuthority {
    /// DER in base64.
    certificate: String,
}

impl Record for StoredAuthority {
    const FORMAT: u16 = 1;
}

/// Opens the deployment's CA, or makes it if there is none yet.
///
/// # Errors
/// [`TlsError`] if it cannot be read, made or stored.
pub async fn open_or_create(core: &Core, request: &Request) -> Result<CertificateAuthority, TlsError> {
    if let Some(authority) = open(core).await? {
        return Ok(authority);
    }
    match create(core, request).await {
        // Another node has made it in the same moment.
        Ok(()) | Err(TlsError::Core(Error::Conflict)) => {}
        Err(error) => return Err(error),
    }
    open(core).await?.ok_or(TlsError::MalformedCa)
}

async fn open(core: &Core) -> Result<Option<CertificateAuthority>, TlsError> {
    let barrier = core.barrier();
    let Some(stored) = barrier.read::<StoredAuthority>(barrier.deployment(), AUTHORITY).await? else {
        return Ok(None);
    };
    let (key, _) = barrier.read_secret(barrier.deployment(), AUTHORITY_KEY).await?.ok_or(TlsError::MalformedCa)?;
    let certificate = STANDARD.decode(&stored.value.certificate).map_err(|_| TlsError::MalformedCa)?;
    CertificateAuthority::open(certificate, key.expose()).map(Some)
}

async fn create(core: &Core, request: &Request) -> Result<(), TlsError> {
    let barrier = core.barrier();
    let name = format!("strongroom CA {}", core.deployment().id);
    let new = CertificateAuthority::generate(&name, barrier.entropy().as_ref(), barrier.clock().now())?;
    let record = StoredAuthority { certificate: STANDARD.encode(&new.certificate) };
    let mut transaction = barrier.transaction().detail(name);
    transaction.create(barrier.deployment(), AUTHORITY.to_owned(), &record)?;
    transaction.create_secret(barrier.deployment(), AUTHORITY_KEY.to_owned(), new.key.expose());
    transaction.commit(request).await?;
    Ok(())
}

// Below `layout::DEPLOYMENT_AREA`; nobody else reads or writes them.
const AUTHORITY: &str = "d/tls/ca";
const AUTHORITY_KEY: &str = "d/tls/ca-key";
