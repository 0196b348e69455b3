//! Elliptic-curve keys, parsed once and ready to use.

use std::fmt;

use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _, ParsedPublicKey};
use strongroom_types::{CurveName, Secret};

use crate::CryptoError;
use crate::algorithms::curve;
use crate::digest::import_digest;
use crate::rsa::without_leading_zeros;

/// A public point: verifies signatures.
pub struct EcPublicKey {
    curve: CurveName,
    // SEC 1 §2.3.3, uncompressed: 04 ‖ x ‖ y.
    point: Vec<u8>,
    verifier: ParsedPublicKey,
}

impl EcPublicKey {
    /// From coordinates as long as the field.
    ///
    /// # Errors
    /// [`CryptoError::MalformedMaterial`] if they have another length or are no point of the curve.
    pub fn from_coordinates(curve: CurveName, x: &[u8], y: &[u8]) -> Result<Self, CryptoError> {
        if x.len() != curve.field_bytes() || y.len() != curve.field_bytes() {
            return Err(CryptoError::MalformedMaterial);
        }
        Self::from_point(curve, [&[UNCOMPRESSED], x, y].concat())
    }

    /// The curve.
    pub fn curve(&self) -> CurveName {
        self.curve
    }

    /// Whether `r ‖ s` (RFC 7518 §3.4) is a signature of this key over the digest; a malformed one is not.
    ///
    /// # Errors
    /// [`CryptoError::BadInput`] for a digest of the wrong length.
    pub fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<bool, CryptoError> {
        let digest = import_digest(curve(self.curve).hash, digest, "digest")?;
        Ok(self.verifier.verify_digest_sig(&digest, signature).is_ok())
    }

    /// Both coordinates.
    pub(crate) fn coordinates(&self) -> (&[u8], &[u8]) {
        let coordinates = self.point.get(1..).unwrap_or_default();
        coordinates.split_at_checked(self.curve.field_bytes()).unwrap_or_default()
    }

    fn from_point(name: CurveName, point: Vec<u8>) -> Result<Self, CryptoError> {
        let verifier =
            ParsedPublicKey::new(curve(name).verification, &point).map_err(|_| CryptoError::MalformedMaterial)?;
        Ok(Self { curve: name, point, verifier })
    }
}

impl fmt::Debug for EcPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EcPublicKey").field("curve", &self.curve).finish_non_exhaustive()
    }
}

/// A private key on a curve: signs.
pub(crate) struct EcPrivateKey {
    pair: EcdsaKeyPair,
    public: EcPublicKey,
}

impl EcPrivateKey {
    pub(crate) fn generate(name: CurveName) -> Result<Self, CryptoError> {
        let pair =
            EcdsaKeyPair::generate(curve(name).signing).map_err(|_| CryptoError::Library("EC key generation"))?;
        Self::from_pair(name, pair)
    }

    /// From PKCS#8 DER (RFC 5208, RFC 5915); the curve and the public point are checked.
    pub(crate) fn from_pkcs8(name: CurveName, der: &[u8]) -> Result<Self, CryptoError> {
        let pair = EcdsaKeyPair::from_pkcs8(curve(name).signing, der).map_err(|_| CryptoError::MalformedMaterial)?;
        Self::from_pair(name, pair)
    }

    /// From its parts; that the point belongs to the number is checked.
    pub(crate) fn from_parts(name: CurveName, x: &[u8], y: &[u8], d: &Secret<Vec<u8>>) -> Result<Self, CryptoError> {
        let d = without_leading_zeros(d.expose());
        let (Some(x), Some(y)) = (coordinate(name, x), coordinate(name, y)) else {
            return Err(CryptoError::MalformedMaterial);
        };
        if d.len() > name.field_bytes() {
            return Err(CryptoError::MalformedMaterial);
        }
        let point = [&[UNCOMPRESSED], x.as_slice(), &y].concat();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(curve(name).signing, d, &point)
            .map_err(|_| CryptoError::MalformedMaterial)?;
        Self::from_pair(name, pair)
    }

    pub(crate) fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, CryptoError> {
        let document = self.pair.to_pkcs8v1().map_err(|_| CryptoError::Library("PKCS#8"))?;
        Ok(Secret::new(document.as_ref().to_vec()))
    }

    pub(crate) fn public(&self) -> &EcPublicKey {
        &self.public
    }

    /// Signs a digest as `r ‖ s`. The length of the digest must be that of the curve's hash.
    pub(crate) fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let digest = import_digest(curve(self.public.curve).hash, digest, "value")?;
        let signature = self.pair.sign_digest(&digest).map_err(|_| CryptoError::Library("ECDSA signature"))?;
        Ok(signature.as_ref().to_vec())
    }

    fn from_pair(name: CurveName, pair: EcdsaKeyPair) -> Result<Self, CryptoError> {
        let public = EcPublicKey::from_point(name, pair.public_key().as_ref().to_vec())?;
        Ok(Self { pair, public })
    }
}

/// A coordinate as long as the field.
fn coordinate(name: CurveName, number: &[u8]) -> Option<Vec<u8>> {
    let number = without_leading_zeros(number);
    let zeros = name.field_bytes().checked_sub(number.len())?;
    Some([vec![0; zeros].as_slice(), number].concat())
}

/// First octet of an uncompressed point (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;
