//! Secure wrap and unwrap: a key that nobody has seen, for attested environments only.
//!
//! The HSM draws an AES-256 key and gives it out wrapped by a wrapping key; it unwraps it again only towards an environment
//! that the wrapping key's release policy accepts. Such a wrapping key does nothing else and is not exportable: with
//! `unwrapKey` beside it, anybody could go around the policy.

use std::sync::Arc;

use strongroom_types::{Algorithm, KeyOperation};

use crate::attestation::Environment;
use crate::hsm::Hsm;
use crate::keys::crypto::{Encrypted, UsableKey};
use crate::keys::record::KeyReference;
use crate::ports::{AttestationAuthorities, Lane};
use crate::request::Request;
use crate::{Error, Result};

impl Hsm<'_> {
    /// Draws an AES-256 key and wraps it.
    pub async fn secure_wrap_key(
        &self,
        request: &Request,
        key: &KeyReference,
        algorithm: Algorithm,
    ) -> Result<Encrypted> {
        let UsableKey { identifier, material, .. } =
            self.open_for(request, key, KeyOperation::SecureWrapKey, Some(algorithm)).await?;
        let entropy = Arc::clone(self.core().barrier().entropy());
        let wrap = move || material.wrap_new_key(algorithm, entropy.as_ref());
        let value = self.core().run(Lane::Fast, wrap).await??;
        Ok(Encrypted { key: identifier, value, iv: None, tag: None })
    }

    /// Unwraps a key and wraps it for an attested environment (`CKM_RSA_AES_KEY_WRAP`). Whatever is wrong with what was
    /// wrapped is one error.
    ///
    /// # Errors
    /// [`Error::AttestationRefused`], before anything is unwrapped.
    pub async fn secure_unwrap_key(
        &self,
        request: &Request,
        key: &KeyReference,
        algorithm: Algorithm,
        wrapped: Vec<u8>,
        target: &str,
        authorities: &dyn AttestationAuthorities,
    ) -> Result<Encrypted> {
        let UsableKey { id, identifier, material, record, .. } =
            self.open_for(request, key, KeyOperation::SecureUnwrapKey, Some(algorithm)).await?;
        let policy = record.value.release.policy();
        let policy = policy.ok_or(Error::Internal("a secure wrapping key without a release policy"))?;
        let environment = Environment::attested(policy, target, authorities, request.received).await?;
        let entropy = Arc::clone(self.core().barrier().entropy());
        let rewrap = move || material.rewrap_for(algorithm, &wrapped, &environment.key, entropy.as_ref());
        let opened = self.core().run(Lane::Fast, rewrap).await?;
        let value = self.within_budget(request, id, opened)?;
        Ok(Encrypted { key: identifier, value, iv: None, tag: None })
    }
}
