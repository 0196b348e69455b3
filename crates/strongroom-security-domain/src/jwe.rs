//! The two compact JWEs of the format (RFC 7516): to an RSA key, and under a key that both sides derive.
//!
//! Nothing else is produced or accepted: five segments, canonical unpadded base64url, exactly three header members with
//! exactly these values. The associated data is the header as it came, never made again.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use strongroom_crypto::aes_cbc_hmac::{self, IV_BYTES, KEY_BYTES};
use strongroom_crypto::{CryptoError, Entropy, RsaPrivateKey, RsaPublicKey};
use strongroom_types::{Algorithm, Secret};

/// Encrypts to the holder of an RSA key: RSA-OAEP-256 with a content key drawn for the purpose.
pub(crate) fn seal_to(recipient: &RsaPublicKey, payload: &[u8], entropy: &dyn Entropy) -> Result<String, CryptoError> {
    let mut key = Secret::new([0; KEY_BYTES]);
    entropy.fill(key.expose_mut())?;
    let encrypted_key = recipient.encrypt(Algorithm::RsaOaep256, key.expose())?;
    let header = format!(r#"{{"alg":"{RSA}","enc":"{ENC}","kid":"{KID}"}}"#);
    seal(&header, &encrypted_key, key.expose(), payload, entropy)
}

/// Encrypts under the derived key of an entry.
pub(crate) fn seal_entry(
    key: &[u8; KEY_BYTES],
    tag: &str,
    payload: &[u8],
    entropy: &dyn Entropy,
) -> Result<String, CryptoError> {
    let header = format!(r#"{{"alg":"{DIRECT}","enc":"{ENC}","kid":"{tag}"}}"#);
    seal(&header, &[], key, payload, entropy)
}

/// Opens what [`seal_to`] made.
///
/// # Errors
/// [`CryptoError::Rejected`] for everything. A content key that does not decrypt fails where a wrong tag fails, so that
/// neither the error nor the time tells one from the other.
pub(crate) fn open_with(key: &RsaPrivateKey, compact: &str) -> Result<Secret<Vec<u8>>, CryptoError> {
    let parts = Parts::parse(compact, RSA, KID)?;
    let decrypted = key.decrypt(Algorithm::RsaOaep256, &parts.encrypted_key);
    let content_key = decrypted.as_ref().ok().and_then(|key| key.expose().as_slice().try_into().ok());
    let payload = parts.decrypt(content_key.unwrap_or(&[0; KEY_BYTES]));
    // The substitute is public, so whatever opens under it counts for nothing.
    content_key.ok_or(CryptoError::Rejected).and(payload)
}

/// Opens what [`seal_entry`] made.
///
/// # Errors
/// [`CryptoError::Rejected`] for everything.
pub(crate) fn open_entry(key: &[u8; KEY_BYTES], tag: &str, compact: &str) -> Result<Secret<Vec<u8>>, CryptoError> {
    let parts = Parts::parse(compact, DIRECT, tag)?;
    if !parts.encrypted_key.is_empty() {
        return Err(CryptoError::Rejected);
    }
    parts.decrypt(key)
}

/// A compact JWE taken apart.
struct Parts<'a> {
    header: &'a str,
    encrypted_key: Vec<u8>,
    iv: [u8; IV_BYTES],
    ciphertext: Vec<u8>,
    tag: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    enc: String,
    kid: String,
}

impl<'a> Parts<'a> {
    fn parse(compact: &'a str, alg: &str, kid: &str) -> Result<Self, CryptoError> {
        let rejected = || CryptoError::Rejected;
        let segments: Vec<&str> = compact.split('.').collect();
        let [header, encrypted_key, iv, ciphertext, tag] = segments.try_into().map_err(|_| rejected())?;
        let fields: Header = serde_json::from_slice(&decode(header)?).map_err(|_| rejected())?;
        if fields.alg != alg || fields.enc != ENC || fields.kid != kid {
            return Err(rejected());
        }
        Ok(Self {
            header,
            encrypted_key: decode(encrypted_key)?,
            iv: decode(iv)?.try_into().map_err(|_| rejected())?,
            ciphertext: decode(ciphertext)?,
            tag: decode(tag)?,
        })
    }

    fn decrypt(&self, key: &[u8; KEY_BYTES]) -> Result<Secret<Vec<u8>>, CryptoError> {
        aes_cbc_hmac::decrypt(key, &self.iv, self.header.as_bytes(), &self.ciphertext, &self.tag)
    }
}

fn seal(
    header: &str,
    encrypted_key: &[u8],
    key: &[u8; KEY_BYTES],
    payload: &[u8],
    entropy: &dyn Entropy,
) -> Result<String, CryptoError> {
    let mut iv = [0; IV_BYTES];
    entropy.fill(&mut iv)?;
    let header = URL_SAFE_NO_PAD.encode(header);
    let sealed = aes_cbc_hmac::encrypt(key, &iv, header.as_bytes(), payload)?;
    let segments = [encrypted_key, &iv, &sealed.ciphertext, &sealed.tag].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    Ok(format!("{header}.{}", segments.join(".")))
}

/// The decoder refuses padding and bits that stand for nothing.
fn decode(segment: &str) -> Result<Vec<u8>, CryptoError> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| CryptoError::Rejected)
}

const RSA: &str = "RSA-OAEP-256";
const DIRECT: &str = "dir";
const ENC: &str = "A256CBC-HS512";
/// What the official clients write where a key identifier would stand.
const KID: &str = "not used";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strongroom_crypto::SystemEntropy;
    use strongroom_types::RsaSize;

    use super::*;

    const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];

    #[test]
    fn headers_are_byte_for_byte_those_of_the_official_clients() {
        let key = RsaPrivateKey::generate(RsaSize::Bits2048).unwrap();
        let compact = seal_to(key.public(), b"payload", &SystemEntropy).unwrap();
        assert!(
            compact.starts_with("eyJhbGciOiJSU0EtT0FFUC0yNTYiLCJlbmMiOiJBMjU2Q0JDLUhTNTEyIiwia2lkIjoibm90IHVzZWQifQ.")
        );
        assert_eq!(open_with(&key, &compact).unwrap().expose(), b"payload");
        let compact = seal_entry(&KEY, "hsm_backup", b"payload", &SystemEntropy).unwrap();
        assert!(compact.starts_with("eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2Q0JDLUhTNTEyIiwia2lkIjoiaHNtX2JhY2t1cCJ9.."));
    }

    #[test]
    fn a_content_key_that_does_not_decrypt_is_rejected_even_if_the_rest_fits_the_substitute() {
        let key = RsaPrivateKey::generate(RsaSize::Bits2048).unwrap();
        let header = format!(r#"{{"alg":"{RSA}","enc":"{ENC}","kid":"{KID}"}}"#);
        let forged = seal(&header, &[1; 256], &[0; KEY_BYTES], b"payload", &SystemEntropy).unwrap();
        assert_eq!(open_with(&key, &forged).unwrap_err(), CryptoError::Rejected);
        let short_key = key.public().encrypt(Algorithm::RsaOaep256, &[0; 63]).unwrap();
        let forged = seal(&header, &short_key, &[0; KEY_BYTES], b"payload", &SystemEntropy).unwrap();
        assert_eq!(open_with(&key, &forged).unwrap_err(), CryptoError::Rejected);
    }

    #[test]
    fn other_headers_are_rejected_though_their_tag_fits() {
        for header in [
            r#"{"alg":"dir","enc":"A256CBC-HS512"}"#,
            r#"{"alg":"dir","enc":"A256CBC-HS512","kid":"u"}"#,
            r#"{"alg":"dir","enc":"A128CBC-HS256","kid":"t"}"#,
            r#"{"alg":"RSA-OAEP-256","enc":"A256CBC-HS512","kid":"t"}"#,
            r#"{"alg":"dir","enc":"A256CBC-HS512","kid":"t","zip":"DEF"}"#,
            r#"{"alg":"dir","enc":"A256CBC-HS512","kid":"t","kid":"t"}"#,
            r#"["dir","A256CBC-HS512"]"#,
            "",
        ] {
            let compact = seal(header, &[], &KEY, b"payload", &SystemEntropy).unwrap();
            assert_eq!(open_entry(&KEY, "t", &compact).unwrap_err(), CryptoError::Rejected, "{header}");
        }
        let spaced = r#"{ "kid": "t", "alg": "dir", "enc": "A256CBC-HS512" }"#;
        let compact = seal(spaced, &[], &KEY, b"payload", &SystemEntropy).unwrap();
        assert_eq!(open_entry(&KEY, "t", &compact).unwrap().expose(), b"payload");
    }

    #[test]
    fn segments_must_be_five_and_canonical() {
        let compact = seal_entry(&KEY, "t", b"payload", &SystemEntropy).unwrap();
        let cut = compact.rsplit_once('.').unwrap().0;
        let last = compact.chars().last().unwrap();
        // The last of 43 characters stands for four bits: the next letter has another unused bit.
        let unused_bit = format!("{}{}", &compact[..compact.len() - 1], (last as u8 + 1) as char);
        for wrong in [cut, &format!("{compact}."), &format!("{compact}="), &format!("{compact} "), &unused_bit, ""] {
            assert_eq!(open_entry(&KEY, "t", wrong).unwrap_err(), CryptoError::Rejected);
        }
    }

    proptest! {
        #[test]
        fn entries_survive_and_any_changed_character_is_noticed(payload: Vec<u8>, place: prop::sample::Index) {
            let compact = seal_entry(&KEY, "tag", &payload, &SystemEntropy).unwrap();
            let opened = open_entry(&KEY, "tag", &compact).unwrap();
            prop_assert_eq!(opened.expose(), &payload);
            let mut altered = compact.into_bytes();
            let place = place.index(altered.len());
            altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            prop_assert!(open_entry(&KEY, "tag", &altered).is_err());
        }
    }
}
