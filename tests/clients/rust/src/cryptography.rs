//! Every algorithm the crate knows. It computes nothing by itself: all of it reaches the service.

use azure_security_keyvault_keys::models::{
    EncryptionAlgorithm, Key, KeyClientEncryptOptions, KeyClientSignOptions, KeyClientWrapKeyOptions,
    KeyOperationParameters, SignParameters, SignatureAlgorithm, VerifyParameters,
};
use azure_security_keyvault_keys::{KeyClient, ResourceExt as _};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::keys::{Kind, P_256, create, get, of_each_type};
use crate::{Outcome, check, passed};

/// The crate's enums cannot be listed. Its `RSNULL` is left out: strongroom does not offer it.
const SIGNATURE_ALGORITHMS: [&str; 13] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES256K", "ES384",
    "ES512",
];
const ENCRYPTION_ALGORITHMS: [&str; 12] = [
    "RSA1_5",
    "RSA-OAEP",
    "RSA-OAEP-256",
    "A128GCM",
    "A192GCM",
    "A256GCM",
    "A128CBC",
    "A192CBC",
    "A256CBC",
    "A128CBCPAD",
    "A192CBCPAD",
    "A256CBCPAD",
];
const WRAP_ALGORITHMS: [&str; 8] =
    ["RSA1_5", "RSA-OAEP", "RSA-OAEP-256", "A128KW", "A192KW", "A256KW", "CKM_AES_KEY_WRAP", "CKM_AES_KEY_WRAP_PAD"];

pub(crate) async fn walk(client: &KeyClient) -> Outcome {
    for made in of_each_type(client) {
        let key = Named::of(&get(client, made.name, None).await?)?;
        for algorithm in SIGNATURE_ALGORITHMS.iter().filter(|it| fits_signature(made.kind, it)) {
            sign_and_verify(client, &key, algorithm).await?;
            passed(format!("sign verify {} {algorithm}", made.name));
        }
        for algorithm in ENCRYPTION_ALGORITHMS.iter().filter(|it| fits_content(made.kind, it)) {
            encrypt_and_decrypt(client, &key, algorithm).await?;
            passed(format!("encrypt decrypt {} {algorithm}", made.name));
        }
        for algorithm in WRAP_ALGORITHMS.iter().filter(|it| fits_content(made.kind, it)) {
            wrap_and_unwrap(client, &key, algorithm).await?;
            passed(format!("wrap unwrap {} {algorithm}", made.name));
        }
    }
    Ok(())
}

/// The little that shows that a credential works: a key is made, and signs.
pub(crate) async fn sign_in_and_sign(client: &KeyClient) -> Outcome {
    let key = create(client, "walk-credential", P_256).await?;
    sign_and_verify(client, &Named::of(&key)?, "ES256").await?;
    passed("sign verify walk-credential ES256");
    Ok(())
}

fn fits_signature(kind: Kind, algorithm: &str) -> bool {
    match kind {
        Kind::Rsa(_) => algorithm.starts_with("RS") || algorithm.starts_with("PS"),
        Kind::Ec("P-256") => algorithm == "ES256",
        Kind::Ec("P-256K") => algorithm == "ES256K",
        Kind::Ec("P-384") => algorithm == "ES384",
        Kind::Ec(_) => algorithm == "ES512",
        Kind::Oct(size) => size == 256 && algorithm.starts_with("HS"),
    }
}

fn fits_content(kind: Kind, algorithm: &str) -> bool {
    match kind {
        Kind::Rsa(_) => algorithm.starts_with("RSA"),
        Kind::Ec(_) => false,
        Kind::Oct(size) => algorithm.starts_with(&format!("A{size}")) || (size == 256 && algorithm.starts_with("CKM_")),
    }
}

/// A version of a key, as the calls want it.
struct Named {
    name: String,
    version: String,
}

impl Named {
    fn of(key: &Key) -> Outcome<Self> {
        let id = key.resource_id()?;
        Ok(Self { name: id.name, version: id.version.ok_or("a key has a version")? })
    }

    fn version(&self) -> Option<String> {
        Some(self.version.clone())
    }
}

async fn sign_and_verify(client: &KeyClient, key: &Named, algorithm: &str) -> Outcome {
    let algorithm: Option<SignatureAlgorithm> = Some(algorithm.parse()?);
    let digest = digest(algorithm.as_ref().map(AsRef::as_ref).unwrap_or_default());
    let options = KeyClientSignOptions { key_version: key.version(), ..Default::default() };
    let order = SignParameters { algorithm: algorithm.clone(), value: Some(digest.clone()) };
    let signature = client.sign(&key.name, order.try_into()?, Some(options)).await?.into_model()?.result;
    let other = digest.iter().map(|byte| byte ^ 1).collect();
    for (digest, good) in [(digest, true), (other, false)] {
        let order =
            VerifyParameters { algorithm: algorithm.clone(), digest: Some(digest), signature: signature.clone() };
        let answer = client.verify(&key.name, &key.version, order.try_into()?, None).await?.into_model()?;
        check(answer.value == Some(good), format!("a signature is good for its own digest only ({good})"))?;
    }
    Ok(())
}

async fn encrypt_and_decrypt(client: &KeyClient, key: &Named, algorithm: &str) -> Outcome {
    let text = b"sixteen bytes ok".to_vec();
    let mut order = operation(algorithm, text.clone())?;
    if algorithm.contains("GCM") {
        order.additional_authenticated_data = Some(b"context".to_vec());
    }
    if algorithm.contains("CBC") {
        order.iv = Some(random(16));
    }
    let options = KeyClientEncryptOptions { key_version: key.version(), ..Default::default() };
    let sealed = client.encrypt(&key.name, order.clone().try_into()?, Some(options)).await?.into_model()?;
    check(sealed.result.as_ref().is_some_and(|sealed| *sealed != text), "the text is encrypted")?;
    if algorithm.contains("GCM") {
        (order.iv, order.authentication_tag) = (sealed.iv, sealed.authentication_tag);
    }
    order.value = sealed.result;
    let opened = client.decrypt(&key.name, &key.version, order.try_into()?, None).await?.into_model()?;
    check(opened.result == Some(text), "the text comes back")
}

async fn wrap_and_unwrap(client: &KeyClient, key: &Named, algorithm: &str) -> Outcome {
    let content_key = random(32);
    let options = KeyClientWrapKeyOptions { key_version: key.version(), ..Default::default() };
    let order = operation(algorithm, content_key.clone())?;
    let wrapped = client.wrap_key(&key.name, order.try_into()?, Some(options)).await?.into_model()?.result;
    let wrapped = wrapped.filter(|wrapped| *wrapped != content_key).ok_or("the key is wrapped")?;
    let order = operation(algorithm, wrapped)?;
    let unwrapped = client.unwrap_key(&key.name, &key.version, order.try_into()?, None).await?.into_model()?;
    check(unwrapped.result == Some(content_key), "the key comes back")
}

fn operation(algorithm: &str, value: Vec<u8>) -> Outcome<KeyOperationParameters> {
    let algorithm: EncryptionAlgorithm = algorithm.parse()?;
    Ok(KeyOperationParameters { algorithm: Some(algorithm), value: Some(value), ..Default::default() })
}

/// A digest of the length that a signature algorithm takes.
fn digest(algorithm: &str) -> Vec<u8> {
    match algorithm.get(2..5) {
        Some("384") => Sha384::digest(b"strongroom").to_vec(),
        Some("512") => Sha512::digest(b"strongroom").to_vec(),
        _ => Sha256::digest(b"strongroom").to_vec(),
    }
}

pub(crate) fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    rand::thread_rng().fill_bytes(&mut bytes);
    bytes
}
