//! Keys from elsewhere: in parts, and wrapped for a key exchange key.

#![expect(clippy::expect_used, reason = "the vectors compiled in are whole, or nothing here works")]

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use strongroom_api::keys as api;
use strongroom_crypto::{CryptoError, KeyMaterial, KeyParts, KeySpecification, PublicKey, RsaParts, WrappedKind};
use strongroom_types::{Algorithm, CurveName, KeyType, RsaSize, Secret};

/// Parts become the key they are the parts of, which works and can be sealed, or are refused in one way.
pub(super) fn parameters(input: &[u8]) {
    let Ok(body) = serde_json::from_slice::<api::KeyImportParameters>(input) else { return };
    let Some(parts) = body.key.and_then(parts) else { return };
    match KeyMaterial::from_parts(&parts) {
        Ok(material) => {
            assert!(is_of(&material, &parts), "the key is not the one that was sent");
            works(&material);
        }
        Err(error) => {
            assert!(matches!(error, CryptoError::BadInput { parameter: "key", .. }), "refused in another way: {error}");
        }
    }
}

/// Whatever opens is what was wrapped, as the kind it was wrapped as; all else is refused in one way.
pub(super) fn transfer_blob(input: &[u8]) {
    let Ok(blob) = serde_json::from_slice::<api::KeyTransferBlob>(input) else { return };
    let Some(wrapped) = decoded(blob.ciphertext) else { return };
    let Vectors { exchange, sent } = vectors();
    for kind in [WrappedKind::Rsa, WrappedKind::Ec(None), WrappedKind::Oct] {
        match exchange.unwrap_key_material(kind, &wrapped) {
            Ok(opened) => {
                let sent = sent.iter().find(|sent| sent.wrapped == wrapped).expect("an altered key was opened");
                let specification = opened.specification();
                assert_eq!(specification.key_type(), kind.key_type(), "a key opened as one of another type");
                let known =
                    KeyMaterial::from_sealable(specification, &sent.sealable).expect("it opened as another key");
                assert_eq!(sealed(&opened).expose(), sealed(&known).expose(), "it opened as another key");
            }
            Err(error) => assert_eq!(error, CryptoError::Rejected, "refused in another way"),
        }
    }
}

fn parts(key: api::JsonWebKeyParameters) -> Option<KeyParts> {
    Some(match KeyType::from_wire(key.kty.as_deref()?).ok()? {
        KeyType::RsaHsm => KeyParts::Rsa(RsaParts {
            n: decoded(key.n)?,
            e: decoded(key.e)?,
            d: secret(key.d)?,
            p: secret(key.p)?,
            q: secret(key.q)?,
            dp: secret(key.dp)?,
            dq: secret(key.dq)?,
            qi: secret(key.qi)?,
        }),
        KeyType::EcHsm => KeyParts::Ec {
            curve: CurveName::from_wire(key.crv.as_deref()?).ok()?,
            x: decoded(key.x)?,
            y: decoded(key.y)?,
            d: secret(key.d)?,
        },
        KeyType::OctHsm => KeyParts::Oct { k: secret(key.k)? },
    })
}

fn decoded(text: Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

fn secret(text: Option<Secret<String>>) -> Option<Secret<Vec<u8>>> {
    URL_SAFE_NO_PAD.decode(text?.expose()).ok().map(Secret::new)
}

/// Whether a key is the one of these parts, as far as it shows itself.
fn is_of(material: &KeyMaterial, parts: &KeyParts) -> bool {
    match (parts, material.public_key()) {
        (KeyParts::Rsa(parts), PublicKey::Rsa { n, e }) => same(n, &parts.n) && same(e, &parts.e),
        (KeyParts::Ec { curve, x, y, .. }, PublicKey::Ec { curve: made, x: made_x, y: made_y }) => {
            curve == made && same(made_x, x) && same(made_y, y)
        }
        (KeyParts::Oct { k }, PublicKey::Oct) => sealed(material).expose() == k.expose(),
        _ => false,
    }
}

/// The same number, whatever its leading zeros.
fn same(one: &[u8], other: &[u8]) -> bool {
    let significant = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
    significant(one) == significant(other)
}

/// A key that was taken in survives the seal, and what it signs then verifies: its halves belong together.
fn works(material: &KeyMaterial) {
    let specification = material.specification();
    let again = KeyMaterial::from_sealable(specification, sealed(material).expose()).expect("a sealed key opens");
    assert_eq!(again.public_key(), material.public_key(), "a key became another one under the seal");
    let (algorithm, digest_bytes) = match specification {
        KeySpecification::Rsa(_) => (Algorithm::Ps256, 32),
        KeySpecification::Ec(CurveName::P256) => (Algorithm::Es256, 32),
        KeySpecification::Ec(CurveName::P256K) => (Algorithm::Es256K, 32),
        KeySpecification::Ec(CurveName::P384) => (Algorithm::Es384, 48),
        KeySpecification::Ec(CurveName::P521) => (Algorithm::Es512, 64),
        KeySpecification::Oct(_) => return,
    };
    let digest = vec![7; digest_bytes];
    let signature = material.sign(algorithm, &digest).expect("a key that was taken in signs");
    assert_eq!(again.verify(algorithm, &digest, &signature), Ok(true), "the halves are not those of one key");
}

fn sealed(material: &KeyMaterial) -> Secret<Vec<u8>> {
    material.to_sealable().expect("any key can be sealed")
}

/// What another program wrapped, and the key it wrapped it for.
struct Vectors {
    exchange: KeyMaterial,
    sent: Vec<Sent>,
}

struct Sent {
    wrapped: Vec<u8>,
    sealable: Vec<u8>,
}

fn vectors() -> &'static Vectors {
    #[derive(Deserialize)]
    struct File {
        exchange: Vec<String>,
        keys: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        sealable: String,
        wrapped: String,
    }
    static VECTORS: OnceLock<Vectors> = OnceLock::new();
    let bytes = |text: &String| URL_SAFE_NO_PAD.decode(text).expect("the vector is base64url");
    VECTORS.get_or_init(|| {
        let file: File = serde_json::from_str(IMPORT).expect("the vectors are JSON");
        let exchange = file.exchange.first().map(bytes).expect("there is an exchange key");
        let exchange = KeyMaterial::from_sealable(KeySpecification::Rsa(RsaSize::Bits2048), &exchange);
        let sent = file.keys.iter().map(|key| Sent { wrapped: bytes(&key.wrapped), sealable: bytes(&key.sealable) });
        Vectors { exchange: exchange.expect("the exchange key is one"), sent: sent.collect() }
    })
}

const IMPORT: &str = include_str!("../../../../vectors/import/import.json");
