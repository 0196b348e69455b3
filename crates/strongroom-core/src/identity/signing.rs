//! The keys that sign our tokens, and their rotation.
//!
//! A key is published before it signs, so that verifiers that keep our key set for a while know it in time, and stays
//! published until the last token it signed has expired. Its state follows from times alone.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use strongroom_crypto::digest::sha256;
use strongroom_crypto::{KeyMaterial, KeySpecification, PublicKey};
use strongroom_types::{RsaSize, Timestamp};

use crate::Error;
use crate::barrier::{KeptWhole, Record, Stored, Transaction};
use crate::identity::directory::repeat_on_conflict;
use crate::identity::issue::ACCESS_TOKEN_SECONDS;
use crate::identity::token::{SKEW_SECONDS, VerificationKey};
use crate::identity::{Directory, IdentityError, Result, layout};
use crate::ports::Lane;
use crate::request::Request;

/// The public part of a token-signing key, as the key set shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicSigningKey {
    /// Its thumbprint (RFC 7638).
    pub kid: String,
    /// The modulus, base64url.
    pub n: String,
    /// The exponent, base64url.
    pub e: String,
    /// Where it is in its life.
    pub state: SigningKeyState,
}

/// Where a token-signing key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningKeyState {
    /// Published, does not sign yet.
    Published,
    /// Signs.
    Active,
    /// Signs no more; tokens it signed may still be good.
    Retiring,
    /// All tokens it signed have expired; not published any more.
    Ended,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct SigningKeys {
    /// In the order in which they begin to sign.
    keys: Vec<SigningKey>,
}

impl Record for SigningKeys {
    const FORMAT: u16 = 1;
}

impl KeptWhole for SigningKeys {}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SigningKey {
    kid: String,
    n: String,
    e: String,
    created: Timestamp,
    signs_from: Timestamp,
}

/// The signing keys as this node knows them, ready to use.
#[derive(Default)]
pub(super) struct Keyring {
    stored: Option<Arc<Stored<SigningKeys>>>,
    signers: HashMap<String, Arc<KeyMaterial>>,
    verifiers: HashMap<String, VerificationKey>,
}

impl Keyring {
    /// In the order in which they begin to sign.
    fn keys(&self) -> &[SigningKey] {
        self.stored.as_ref().map_or(&[], |stored| &stored.value.keys)
    }

    fn state(&self, kid: &str, now: Timestamp) -> Option<SigningKeyState> {
        self.stored.as_ref()?.value.state(kid, now)
    }

    /// The verification key with this id, while it is published.
    pub(super) fn verifier(&self, kid: &str, now: Timestamp) -> Option<&VerificationKey> {
        (self.state(kid, now)? != SigningKeyState::Ended).then(|| self.verifiers.get(kid)).flatten()
    }
}

impl SigningKeys {
    fn state(&self, kid: &str, now: Timestamp) -> Option<SigningKeyState> {
        let position = self.keys.iter().position(|key| key.kid == kid)?;
        let key = self.keys.get(position)?;
        if now < key.signs_from {
            return Some(SigningKeyState::Published);
        }
        let Some(successor) = self.keys.get(position + 1).filter(|successor| successor.signs_from <= now) else {
            return Some(SigningKeyState::Active);
        };
        let last_token_ends = successor.signs_from.plus_seconds(ACCESS_TOKEN_SECONDS + SKEW_SECONDS);
        Some(if now < last_token_ends { SigningKeyState::Retiring } else { SigningKeyState::Ended })
    }
}

impl Directory {
    /// The keys to publish, oldest first.
    ///
    /// # Errors
    /// [`IdentityError::Core`] if the store fails.
    pub async fn public_signing_keys(&self, now: Timestamp) -> Result<Vec<PublicSigningKey>> {
        let ring = self.refresh_keyring().await?;
        let public = |key: &SigningKey| {
            let state = ring.state(&key.kid, now).filter(|state| *state != SigningKeyState::Ended)?;
            Some(PublicSigningKey { kid: key.kid.clone(), n: key.n.clone(), e: key.e.clone(), state })
        };
        Ok(ring.keys().iter().filter_map(public).collect())
    }

    /// Publishes a new signing key, which begins to sign [`PUBLISHED_AHEAD_SECONDS`] later, and removes ended ones.
    /// Answers its `kid`. While one is published that does not sign yet, that one is answered and nothing changes.
    ///
    /// # Errors
    /// [`IdentityError::NotFounded`] before [`Directory::found`].
    pub async fn rotate_signing_key(&self, request: &Request) -> Result<String> {
        repeat_on_conflict(|| self.try_rotate(request)).await
    }

    /// As [`Directory::rotate_signing_key`], if the newest key is [`SIGNING_KEY_DAYS`] old. Call it now and then.
    ///
    /// # Errors
    /// As [`Directory::rotate_signing_key`].
    pub async fn rotate_signing_key_if_due(&self, request: &Request) -> Result<Option<String>> {
        let ring = self.refresh_keyring().await?;
        let newest = ring.keys().last().ok_or(IdentityError::NotFounded)?;
        if request.received < newest.created.plus_days(SIGNING_KEY_DAYS) {
            return Ok(None);
        }
        self.rotate_signing_key(request).await.map(Some)
    }

    async fn try_rotate(&self, request: &Request) -> Result<String> {
        let now = request.received;
        let stored: Stored<SigningKeys> = self.read(layout::SIGNING_KEYS).await?.ok_or(IdentityError::NotFounded)?;
        if let Some(pending) = stored.value.keys.last().filter(|key| key.signs_from > now) {
            return Ok(pending.kid.clone());
        }
        let mut transaction = self.barrier().transaction();
        let state = |key: &SigningKey| stored.value.state(&key.kid, now);
        let (ended, mut keys): (Vec<_>, Vec<_>) =
            stored.value.keys.iter().cloned().partition(|key| state(key) == Some(SigningKeyState::Ended));
        for key in ended {
            transaction.discard(layout::signing_material(&key.kid));
        }
        let signs_from = now.plus_seconds(PUBLISHED_AHEAD_SECONDS);
        let key = self.stage_signing_key(&mut transaction, now, signs_from).await?;
        let kid = key.kid.clone();
        keys.push(key);
        transaction.replace(self.barrier().deployment(), &stored, &SigningKeys { keys })?;
        transaction.detail(format!("signing key {kid}")).commit(request).await?;
        self.refresh_keyring().await?;
        Ok(kid)
    }

    /// Adds the first signing key to the commit that founds the tenant; it signs at once.
    pub(super) async fn stage_first_signing_key(
        &self,
        transaction: &mut Transaction<'_>,
        now: Timestamp,
    ) -> Result<()> {
        let keys = vec![self.stage_signing_key(transaction, now, now).await?];
        let sealer = self.barrier().deployment();
        Ok(transaction.create(sealer, layout::SIGNING_KEYS.to_owned(), &SigningKeys { keys })?)
    }

    /// The key that signs now.
    pub(super) async fn signer(&self, now: Timestamp) -> Result<(String, Arc<KeyMaterial>)> {
        let ring = self.refresh_keyring().await?;
        // A clock that was set back must not leave us without a key: the oldest one signs then.
        let key = ring.keys().iter().rfind(|key| key.signs_from <= now).or(ring.keys().first());
        let kid = &key.ok_or(IdentityError::NotFounded)?.kid;
        let material = ring.signers.get(kid).ok_or(Error::Internal("a signing key without material"))?;
        Ok((kid.clone(), Arc::clone(material)))
    }

    /// The keyring as the store has it now.
    pub(super) async fn refresh_keyring(&self) -> Result<Arc<Keyring>> {
        let stored: Arc<Stored<SigningKeys>> =
            self.read_kept(layout::SIGNING_KEYS).await?.ok_or(IdentityError::NotFounded)?;
        let known = self.keyring.load_full();
        if known.stored.as_ref().is_some_and(|known| known.revision == stored.revision) {
            return Ok(known);
        }
        let mut ring = Keyring::default();
        for key in &stored.value.keys {
            let material = match known.signers.get(&key.kid) {
                Some(material) => Arc::clone(material),
                None => Arc::new(self.read_material(&key.kid).await?),
            };
            ring.signers.insert(key.kid.clone(), material);
            let verifier = VerificationKey::rsa(&key.n, &key.e, &[jsonwebtoken::Algorithm::RS256])
                .map_err(|_| Error::Internal("a signing key that cannot verify"))?;
            ring.verifiers.insert(key.kid.clone(), verifier);
        }
        ring.stored = Some(stored);
        let ring = Arc::new(ring);
        self.keyring.store(Arc::clone(&ring));
        Ok(ring)
    }

    async fn read_material(&self, kid: &str) -> Result<KeyMaterial> {
        let key = layout::signing_material(kid);
        let sealed = self.barrier().read_secret(self.barrier().deployment(), &key).await?;
        let (bytes, _) = sealed.ok_or(Error::Internal("a signing key without material"))?;
        Ok(KeyMaterial::from_sealable(SPECIFICATION, bytes.expose())?)
    }

    async fn stage_signing_key(
        &self,
        transaction: &mut Transaction<'_>,
        created: Timestamp,
        signs_from: Timestamp,
    ) -> Result<SigningKey> {
        let entropy = Arc::clone(self.barrier().entropy());
        let generate = move || KeyMaterial::generate(SPECIFICATION, entropy.as_ref());
        let material = self.core().run(Lane::Slow, generate).await??;
        let PublicKey::Rsa { n, e } = material.public_key() else {
            return Err(Error::Internal("an RSA key without modulus").into());
        };
        let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        let kid = thumbprint(&n, &e);
        let (sealer, place) = (self.barrier().deployment(), layout::signing_material(&kid));
        transaction.create_secret(sealer, place, material.to_sealable()?.expose());
        Ok(SigningKey { kid, n, e, created, signs_from })
    }
}

/// The thumbprint of an RSA key: SHA-256 over its required members in lexicographic order (RFC 7638 §3).
fn thumbprint(n: &str, e: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#).as_bytes()))
}

const SPECIFICATION: KeySpecification = KeySpecification::Rsa(RsaSize::Bits2048);
/// A signing key older than this is replaced.
pub const SIGNING_KEY_DAYS: u32 = 90;
/// How long a key is published before it signs.
pub const PUBLISHED_AHEAD_SECONDS: i64 = 3600;

#[cfg(test)]
mod tests {
    use crate::identity::test_support::{NOW, directory, directory_on, request, request_at};

    use super::*;

    async fn states(directory: &Directory, now: Timestamp) -> Vec<SigningKeyState> {
        directory.public_signing_keys(now).await.unwrap().into_iter().map(|key| key.state).collect()
    }

    #[tokio::test]
    async fn a_new_key_is_published_ahead_and_the_old_one_until_its_last_token_has_expired() {
        use SigningKeyState::{Active, Published, Retiring};
        let (directory, _) = directory().await;
        assert_eq!(states(&directory, NOW).await, [Active]);
        let (old, _) = directory.signer(NOW).await.unwrap();
        let new = directory.rotate_signing_key(&request()).await.unwrap();
        assert_eq!(directory.rotate_signing_key(&request()).await.unwrap(), new);
        assert_eq!(states(&directory, NOW).await, [Active, Published]);
        assert_eq!(directory.signer(NOW).await.unwrap().0, old);

        let switch = NOW.plus_seconds(PUBLISHED_AHEAD_SECONDS);
        assert_eq!(states(&directory, switch).await, [Retiring, Active]);
        assert_eq!(directory.signer(switch).await.unwrap().0, new);

        let ended = switch.plus_seconds(ACCESS_TOKEN_SECONDS + SKEW_SECONDS);
        assert_eq!(states(&directory, ended.plus_seconds(-1)).await, [Retiring, Active]);
        assert_eq!(states(&directory, ended).await, [Active]);
        assert!(directory.keyring.load().verifier(&old, ended).is_none());

        directory.rotate_signing_key(&request_at(ended)).await.unwrap();
        let leftovers = directory.barrier().keys("d/directory/signing-material/", 10).await.unwrap();
        assert_eq!(leftovers.len(), 2);
        assert!(!leftovers.iter().any(|key| key.ends_with(&old)));
    }

    #[tokio::test]
    async fn rotation_is_due_after_ninety_days() {
        let (directory, _) = directory().await;
        let due = NOW.plus_days(SIGNING_KEY_DAYS);
        assert_eq!(directory.rotate_signing_key_if_due(&request_at(due.plus_seconds(-1))).await.unwrap(), None);
        assert!(directory.rotate_signing_key_if_due(&request_at(due)).await.unwrap().is_some());
        assert_eq!(directory.rotate_signing_key_if_due(&request_at(due)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn another_node_sees_the_rotation() {
        let (one, _) = directory().await;
        let two = directory_on(Arc::clone(one.core()));
        two.found(&request(), "/machine").await.unwrap();
        let kid = one.rotate_signing_key(&request()).await.unwrap();
        let seen = two.public_signing_keys(NOW).await.unwrap();
        assert_eq!(seen.last().unwrap().kid, kid);
        assert_eq!(two.signer(NOW.plus_seconds(PUBLISHED_AHEAD_SECONDS)).await.unwrap().0, kid);
    }

    #[test]
    fn the_kid_is_the_thumbprint_of_rfc_7638() {
        // RFC 7638 §3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        assert_eq!(thumbprint(n, "AQAB"), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}
