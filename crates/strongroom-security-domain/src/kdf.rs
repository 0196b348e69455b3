//! The key of each entry, from the master key.

use strongroom_crypto::digest::hmac_sha512;
use strongroom_types::Secret;

/// The content encryption key of the entry with this tag: NIST SP 800-108r1 §4.1 in counter mode with HMAC-SHA-512, one
/// block of 512 bits, the tag as label, an empty context.
pub(crate) fn entry_key(master: &[u8; 32], tag: &str) -> Secret<[u8; 64]> {
    Secret::new(one_block(master, tag.as_bytes(), b"", 512))
}

/// The one block of the derivation; of an output shorter than 512 bits it holds the beginning.
fn one_block(key: &[u8], label: &[u8], context: &[u8], output_bits: u32) -> [u8; 64] {
    let counter: u32 = 1;
    hmac_sha512(key, &[&counter.to_be_bytes(), label, &[0], context, &output_bits.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        key_hex: String,
        label: String,
        context: String,
        bits: u32,
        out_hex: String,
    }

    #[test]
    fn keys_are_what_the_vectors_say() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../../../vectors/security-domain/kdf.json")).unwrap();
        assert_eq!(vectors.len(), 4);
        for vector in vectors {
            let key: Vec<u8> =
                (0..64).step_by(2).map(|at| u8::from_str_radix(&vector.key_hex[at..at + 2], 16).unwrap()).collect();
            let block = one_block(&key, vector.label.as_bytes(), vector.context.as_bytes(), vector.bits);
            let hex: String = block.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex[..vector.bits as usize / 4], vector.out_hex);
            if vector.context.is_empty() && vector.bits == 512 {
                assert_eq!(entry_key(key.as_slice().try_into().unwrap(), &vector.label).expose(), &block);
            }
        }
    }
}
