//! Keys from elsewhere: `vectors/import`, made by another program.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a vector that cannot be read fails the test"
)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use strongroom_crypto::{
    CryptoError, KeyMaterial, KeyParts, KeySpecification, PublicKey, RsaParts, SystemEntropy, WrappedKind,
};
use strongroom_types::{Algorithm, CurveName, KeyType, RsaSize, Secret, SymmetricSize};

#[derive(Deserialize)]
struct Vectors {
    exchange: Vec<String>,
    keys: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    jwk: serde_json::Map<String, serde_json::Value>,
    sealable: String,
    exchange: usize,
    wrapped: String,
}

impl Vector {
    fn member(&self, name: &str) -> Vec<u8> {
        bytes(self.jwk[name].as_str().unwrap())
    }

    fn secret(&self, name: &str) -> Secret<Vec<u8>> {
        Secret::new(self.member(name))
    }

    fn curve(&self) -> CurveName {
        self.jwk["crv"].as_str().unwrap().parse().unwrap()
    }

    fn parts(&self) -> KeyParts {
        match self.kind() {
            WrappedKind::Rsa => KeyParts::Rsa(RsaParts {
                n: self.member("n"),
                e: self.member("e"),
                d: self.secret("d"),
                p: self.secret("p"),
                q: self.secret("q"),
                dp: self.secret("dp"),
                dq: self.secret("dq"),
                qi: self.secret("qi"),
            }),
            WrappedKind::Ec(_) => {
                KeyParts::Ec { curve: self.curve(), x: self.member("x"), y: self.member("y"), d: self.secret("d") }
            }
            WrappedKind::Oct => KeyParts::Oct { k: self.secret("k") },
        }
    }

    fn kind(&self) -> WrappedKind {
        match self.jwk["kty"].as_str().unwrap() {
            "RSA" => WrappedKind::Rsa,
            "EC" => WrappedKind::Ec(Some(self.curve())),
            "oct" => WrappedKind::Oct,
            other => panic!("{other}"),
        }
    }

    /// What the other program says the key is, without the code under test.
    fn material(&self) -> KeyMaterial {
        let sealable = bytes(&self.sealable);
        let specification = match self.kind() {
            WrappedKind::Rsa => KeySpecification::Rsa(RsaSize::try_from(self.member("n").len() as u32 * 8).unwrap()),
            WrappedKind::Ec(curve) => KeySpecification::Ec(curve.unwrap()),
            WrappedKind::Oct => KeySpecification::Oct(SymmetricSize::try_from(sealable.len() as u32 * 8).unwrap()),
        };
        KeyMaterial::from_sealable(specification, &sealable).unwrap()
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../vectors/import/import.json")).unwrap()
}

fn bytes(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn exchange(vectors: &Vectors, number: usize) -> KeyMaterial {
    let size = [RsaSize::Bits2048, RsaSize::Bits4096][number];
    KeyMaterial::from_sealable(KeySpecification::Rsa(size), &bytes(&vectors.exchange[number])).unwrap()
}

/// The same private key: what one makes the other takes.
fn assert_same(one: &KeyMaterial, other: &KeyMaterial, name: &str) {
    assert_eq!(one.specification(), other.specification(), "{name}");
    assert_eq!(one.public_key(), other.public_key(), "{name}");
    match one.public_key() {
        PublicKey::Rsa { .. } => {
            let signature = one.sign(Algorithm::Ps256, &[1; 32]).unwrap();
            assert_eq!(other.verify(Algorithm::Ps256, &[1; 32], &signature), Ok(true), "{name}");
            let wrapped = other.wrap(Algorithm::RsaOaep256, &[2; 32], &SystemEntropy).unwrap();
            assert_eq!(one.unwrap(Algorithm::RsaOaep256, &wrapped).unwrap().expose(), &vec![2; 32], "{name}");
        }
        PublicKey::Ec { .. } | PublicKey::Oct => {
            assert_eq!(one.to_sealable().unwrap().expose(), other.to_sealable().unwrap().expose(), "{name}");
        }
    }
}

#[test]
fn a_key_in_parts_is_the_key_it_was_taken_from() {
    let vectors = vectors();
    assert_eq!(vectors.keys.len(), 12);
    for vector in &vectors.keys {
        let made = KeyMaterial::from_parts(&vector.parts()).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_same(&made, &vector.material(), &vector.name);
    }
}

#[test]
fn leading_zeros_change_nothing() {
    for vector in &vectors().keys {
        let pad = |number: &mut Vec<u8>| number.splice(0..0, [0, 0]).for_each(drop);
        let mut parts = vector.parts();
        match &mut parts {
            KeyParts::Rsa(parts) => {
                [&mut parts.n, &mut parts.e].into_iter().for_each(pad);
                for secret in [&mut parts.d, &mut parts.p, &mut parts.q, &mut parts.dp, &mut parts.dq, &mut parts.qi] {
                    pad(secret.expose_mut());
                }
            }
            KeyParts::Ec { x, y, d, .. } => [x, y, d.expose_mut()].into_iter().for_each(pad),
            // The bytes of a symmetric key are no number.
            KeyParts::Oct { .. } => continue,
        }
        assert_same(&KeyMaterial::from_parts(&parts).unwrap(), &vector.material(), &vector.name);
    }
}

#[test]
fn a_part_that_does_not_fit_the_others_is_refused() {
    let vectors = vectors();
    let flip = |number: &mut Vec<u8>| *number.last_mut().unwrap() ^= 2;
    let refused = |parts: &KeyParts, what: &str| {
        let refused = KeyMaterial::from_parts(parts);
        assert!(matches!(refused, Err(CryptoError::BadInput { parameter: "key", .. })), "{what}");
    };
    for vector in &vectors.keys {
        for member in ["n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y"] {
            let mut parts = vector.parts();
            match (&mut parts, member) {
                (KeyParts::Rsa(parts), "n") => flip(&mut parts.n),
                (KeyParts::Rsa(parts), "e") => flip(&mut parts.e),
                (KeyParts::Rsa(parts), "d") => flip(parts.d.expose_mut()),
                (KeyParts::Rsa(parts), "p") => flip(parts.p.expose_mut()),
                (KeyParts::Rsa(parts), "q") => flip(parts.q.expose_mut()),
                (KeyParts::Rsa(parts), "dp") => flip(parts.dp.expose_mut()),
                (KeyParts::Rsa(parts), "dq") => flip(parts.dq.expose_mut()),
                (KeyParts::Rsa(parts), "qi") => flip(parts.qi.expose_mut()),
                (KeyParts::Ec { x, .. }, "x") => flip(x),
                (KeyParts::Ec { y, .. }, "y") => flip(y),
                (KeyParts::Ec { d, .. }, "d") => flip(d.expose_mut()),
                _ => continue,
            }
            refused(&parts, &format!("{} {member}", vector.name));
        }
    }
    let KeyParts::Ec { x, y, .. } = vectors.keys[4].parts() else { panic!("{}", vectors.keys[4].name) };
    for d in [vec![], vec![0], vec![0xff; 32], vec![1; 33]] {
        let parts = KeyParts::Ec { curve: CurveName::P256, x: x.clone(), y: y.clone(), d: Secret::new(d) };
        refused(&parts, "a private number outside the group");
    }
}

#[test]
fn a_size_the_service_does_not_have_is_refused_and_named() {
    let problem = |parts: &KeyParts| KeyMaterial::from_parts(parts).unwrap_err().to_string();
    for length in [0, 15, 17, 33, 64] {
        assert!(problem(&KeyParts::Oct { k: Secret::new(vec![1; length]) }).contains("128, 192 or 256"));
    }
    let KeyParts::Rsa(mut parts) = vectors().keys[0].parts() else { panic!("the first one is RSA") };
    for n in [vec![], vec![0x80; 128], vec![0x80; 255], vec![0x80; 1024], vec![0x80; 100_000]] {
        parts.n = n;
        parts = match KeyParts::Rsa(parts) {
            parts if problem(&parts).contains("2048, 3072 or 4096") => match parts {
                KeyParts::Rsa(parts) => parts,
                _ => panic!("it was RSA"),
            },
            other => panic!("{}", problem(&other)),
        };
    }
}

#[test]
fn a_wrapped_key_opens_with_its_exchange_key() {
    let vectors = vectors();
    for vector in &vectors.keys {
        let exchange = exchange(&vectors, vector.exchange);
        let opened = exchange.unwrap_key_material(vector.kind(), &bytes(&vector.wrapped));
        assert_same(&opened.unwrap(), &vector.material(), &vector.name);
        if let WrappedKind::Ec(_) = vector.kind() {
            let opened = exchange.unwrap_key_material(WrappedKind::Ec(None), &bytes(&vector.wrapped)).unwrap();
            assert_same(&opened, &vector.material(), &vector.name);
        }
    }
}

#[test]
fn a_wrapped_key_that_is_not_as_it_should_be_is_rejected_in_one_way() {
    let vectors = vectors();
    let rejected = |exchange: &KeyMaterial, kind, wrapped: &[u8], what: &str| {
        assert_eq!(exchange.unwrap_key_material(kind, wrapped).unwrap_err(), CryptoError::Rejected, "{what}");
    };
    for vector in &vectors.keys {
        let (own, other) = (exchange(&vectors, vector.exchange), exchange(&vectors, 1 - vector.exchange));
        let wrapped = bytes(&vector.wrapped);
        rejected(&other, vector.kind(), &wrapped, "another exchange key");
        let modulus_bytes = [256, 512][vector.exchange];
        for position in [0, modulus_bytes - 1, modulus_bytes, wrapped.len() - 1] {
            let mut altered = wrapped.clone();
            altered[position] ^= 1;
            rejected(&own, vector.kind(), &altered, &format!("{} altered at {position}", vector.name));
        }
        for length in [0, 1, modulus_bytes - 1, modulus_bytes, modulus_bytes + 8, wrapped.len() - 8, wrapped.len() - 1]
        {
            rejected(&own, vector.kind(), &wrapped[..length], &format!("{} cut to {length}", vector.name));
        }
        let kinds = [WrappedKind::Rsa, WrappedKind::Ec(None), WrappedKind::Ec(Some(CurveName::P256)), WrappedKind::Oct];
        for kind in kinds {
            let fits =
                kind.key_type() == vector.kind().key_type() && (kind == WrappedKind::Ec(None) || kind == vector.kind());
            if !fits {
                rejected(&own, kind, &wrapped, &format!("{} taken for {kind:?}", vector.name));
            }
        }
    }
}

#[test]
fn only_an_rsa_key_exchanges_keys() {
    let key = KeyMaterial::generate(KeySpecification::Ec(CurveName::P256), &SystemEntropy).unwrap();
    let error = key.unwrap_key_material(WrappedKind::Oct, &[0; 300]).unwrap_err();
    assert_eq!(error, CryptoError::UnsuitableAlgorithm { algorithm: Algorithm::RsaOaep });
}

#[test]
fn parts_know_their_type_and_are_redacted_when_printed() {
    for vector in &vectors().keys {
        let parts = vector.parts();
        assert_eq!(parts.key_type(), vector.kind().key_type());
        assert_eq!(parts.key_type() == KeyType::OctHsm, vector.jwk.contains_key("k"));
        let printed = format!("{parts:?}");
        assert!(printed.contains("redacted"), "{printed}");
    }
}
