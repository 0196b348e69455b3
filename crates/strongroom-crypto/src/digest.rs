//! Hashes, message authentication codes, and comparison in constant time.

use aws_lc_rs::{digest, hmac};
use subtle::ConstantTimeEq;

use crate::CryptoError;

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    array(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// SHA-256 (FIPS 180-4) of the parts, one after the other. Parts of varying length must be made distinguishable by the caller.
pub fn sha256_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    array(context.finish().as_ref())
}

/// SHA-1, for certificate thumbprints (`x5t`, RFC 7517 §4.8) and nothing else.
pub fn sha1(bytes: &[u8]) -> [u8; 20] {
    array(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref())
}

/// HMAC-SHA-256 (RFC 2104) of the parts, one after the other. Parts of varying length must be made distinguishable by
/// the caller.
pub fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    array(authenticate(hmac::HMAC_SHA256, key, parts).as_ref())
}

/// HMAC-SHA-512 (RFC 2104) of the parts, one after the other. Parts of varying length must be made distinguishable by
/// the caller.
pub fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> [u8; 64] {
    array(authenticate(hmac::HMAC_SHA512, key, parts).as_ref())
}

/// Whether two values are equal; the time tells nothing but their lengths.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// A ready-made digest, checked for the length of its hash.
pub(crate) fn import_digest(
    hash: &'static digest::Algorithm,
    bytes: &[u8],
    parameter: &'static str,
) -> Result<digest::Digest, CryptoError> {
    digest::Digest::import_less_safe(bytes, hash)
        .map_err(|_| CryptoError::BadInput { parameter, problem: "must be as long as the digest of the algorithm" })
}

/// HMAC of the parts, one after the other, with a hash of the algorithm table.
pub(crate) fn authenticate(algorithm: hmac::Algorithm, key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    for part in parts {
        context.update(part);
    }
    context.sign()
}

/// Every caller's length is its hash's own, so the copy cannot fail.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn hashes_match_fips_180_4_examples() {
        assert_eq!(hex(&sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex(&sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn codes_match_rfc_4231_and_do_not_depend_on_how_the_message_is_cut() {
        // RFC 4231 §4.4: keys of twenty 0xaa, fifty 0xdd as data.
        let whole = hmac_sha512(&[0xaa; 20], &[&[0xdd; 50]]);
        assert_eq!(&hex(&whole)[..32], "fa73b0089d56a284efb0f0756c890be9");
        assert_eq!(hmac_sha512(&[0xaa; 20], &[&[0xdd; 20], &[], &[0xdd; 30]]), whole);
        // RFC 4231 §4.2 has a key of 20 bytes; HMAC pads keys with zeros, so 12 more change nothing.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(
            hex(&hmac_sha256(&key, &[b"Hi ", b"There"])),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn constant_time_comparison_compares() {
        assert!(constant_time_eq(b"ab", b"ab"));
        assert!(!constant_time_eq(b"ab", b"ac"));
        assert!(!constant_time_eq(b"ab", b"abc"));
    }
}
