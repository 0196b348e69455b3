//! Signed statements to the outside: compact JWS (RFC 7515) that carry the certificate that proves them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use strongroom_crypto::digest::sha256;
use strongroom_crypto::{KeyMaterial, KeySpecification};
use strongroom_types::{Algorithm, RsaSize};

use crate::ports::Lane;
use crate::{Core, Error, Result};

/// A key that signs statements, with the certificates that say whose it is.
pub struct StatementSigner {
    key: Arc<KeyMaterial>,
    chain: Vec<Vec<u8>>,
    thumbprint: String,
}

impl std::fmt::Debug for StatementSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatementSigner").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'a str,
    /// DER in standard base64, leaf first (RFC 7515 §4.1.6).
    x5c: Vec<String>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: &'a str,
}

impl StatementSigner {
    /// A signer from its RSA key and the DER of its certificates, leaf first.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no certificate.
    pub fn new(key: KeyMaterial, chain: Vec<Vec<u8>>) -> Result<Self> {
        let leaf = chain.first().ok_or(Error::Internal("statements are signed without a certificate"))?;
        let thumbprint = URL_SAFE_NO_PAD.encode(sha256(leaf));
        Ok(Self { key: Arc::new(key), chain, thumbprint })
    }

    /// The DER of its certificates, leaf first.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }
}

impl Core {
    /// Draws a key for statements.
    ///
    /// # Errors
    /// [`Error::Throttled`] if too many keys are being generated.
    pub async fn generate_statement_key(&self) -> Result<KeyMaterial> {
        let entropy = Arc::clone(self.barrier().entropy());
        let generate = move || KeyMaterial::generate(STATEMENT_KEY, entropy.as_ref());
        Ok(self.run(Lane::Slow, generate).await??)
    }

    /// Signs a statement with RS256. `typ` says what kind it is, so that none can be taken for another.
    ///
    /// # Errors
    /// [`Error::Throttled`] if too much is waiting.
    pub async fn sign_statement<T: Serialize + Sync>(
        &self,
        signer: &StatementSigner,
        typ: &str,
        payload: &T,
    ) -> Result<String> {
        let x5c = signer.chain.iter().map(|der| STANDARD.encode(der)).collect();
        let header = Header { alg: "RS256", kid: &signer.thumbprint, typ, x5c, x5t_s256: &signer.thumbprint };
        let signed = format!("{}.{}", encode(&header)?, encode(payload)?);
        let (key, digest) = (Arc::clone(&signer.key), sha256(signed.as_bytes()));
        let signature = self.run(Lane::Fast, move || key.sign(Algorithm::Rs256, &digest)).await??;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn encode<T: Serialize>(part: &T) -> Result<String> {
    let json = serde_json::to_vec(part).map_err(|_| Error::Internal("a statement does not encode"))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// The kind of key that signs statements: they may be looked at years later.
pub const STATEMENT_KEY: KeySpecification = KeySpecification::Rsa(RsaSize::Bits3072);
