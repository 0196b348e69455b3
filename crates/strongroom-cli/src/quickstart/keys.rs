//! The keys of the story: create one of each type, use it, and check what came back.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::Steps;
use crate::connection::text;
use crate::managed_hsm::ManagedHsm;

/// Creates the keys that are not there, and proves that each works.
pub(super) async fn create_and_use(hsm: &ManagedHsm<'_>, steps: &mut Steps) -> Result<Vec<String>> {
    let keys = Keys(hsm);
    let step = steps.begin("Create an RSA, an EC and an AES key");
    let mut names = Vec::new();
    for (name, parameters) in [
        ("sign-rsa", json!({"kty": "RSA-HSM", "key_size": 2048})),
        ("sign-ec", json!({"kty": "EC-HSM", "crv": "P-256"})),
        ("data-aes", json!({"kty": "oct-HSM", "key_size": 256})),
    ] {
        names.push(keys.create_unless_there(name, &parameters).await?);
    }
    step.done(&names.join(", "));

    let step = steps.begin("Sign and verify");
    for (name, alg) in [("sign-rsa", "PS256"), ("sign-ec", "ES256")] {
        keys.sign_and_verify(name, alg).await?;
    }
    step.done("PS256, ES256");

    let step = steps.begin("Encrypt and decrypt, wrap and unwrap");
    keys.there_and_back("data-aes", ["encrypt", "decrypt"], "A256GCM", b"the plaintext never rests").await?;
    keys.there_and_back("data-aes", ["wrapkey", "unwrapkey"], "A256KW", &[7; 32]).await?;
    keys.there_and_back("sign-rsa", ["wrapkey", "unwrapkey"], "RSA-OAEP-256", &[7; 32]).await?;
    step.done("A256GCM, A256KW, RSA-OAEP-256");
    Ok(names)
}

/// Whether an HSM has the keys of the story.
pub(super) async fn are_there(hsm: &ManagedHsm<'_>) -> bool {
    Keys(hsm).call(Method::GET, "data-aes", "", None).await.is_ok()
}

/// Proves that two HSMs hold the same keys: what one signs the other verifies, what one encrypts the other decrypts.
pub(super) async fn prove_same(first: &ManagedHsm<'_>, second: &ManagedHsm<'_>) -> Result<()> {
    for (name, alg) in [("sign-rsa", "PS256"), ("sign-ec", "ES256")] {
        let (digest, signature) = Keys(second).sign(name, alg).await?;
        Keys(first).verify(name, alg, &digest, &signature).await?;
    }
    let value = URL_SAFE_NO_PAD.encode(b"written before the disaster");
    let sealed = Keys(first).there("data-aes", "encrypt", "A256GCM", &value).await?;
    Keys(second).back("data-aes", "decrypt", "A256GCM", &sealed, &value).await
}

/// The keys of an HSM.
struct Keys<'a>(&'a ManagedHsm<'a>);

impl Keys<'_> {
    async fn create_unless_there(&self, name: &str, parameters: &Value) -> Result<String> {
        let there = self.call(Method::GET, name, "", None).await.is_ok();
        if !there {
            self.call(Method::POST, name, "/create", Some(parameters)).await?;
        }
        Ok(name.to_owned())
    }

    async fn sign_and_verify(&self, name: &str, alg: &str) -> Result<()> {
        let (digest, signature) = self.sign(name, alg).await?;
        self.verify(name, alg, &digest, &signature).await
    }

    /// A digest and the key's signature of it.
    async fn sign(&self, name: &str, alg: &str) -> Result<(String, String)> {
        let digest = URL_SAFE_NO_PAD.encode([0x5A; 32]);
        let signed = self.call(Method::POST, name, "/sign", Some(&json!({"alg": alg, "value": digest}))).await?;
        Ok((digest, text(&signed, "/value")?))
    }

    async fn verify(&self, name: &str, alg: &str, digest: &str, signature: &str) -> Result<()> {
        let asked = json!({"alg": alg, "digest": digest, "value": signature});
        let verified = self.call(Method::POST, name, "/verify", Some(&asked)).await?;
        ensure!(verified.pointer("/value") == Some(&Value::Bool(true)), "{name}: its own signature is not accepted");
        Ok(())
    }

    async fn there_and_back(&self, name: &str, [there, back]: [&str; 2], alg: &str, value: &[u8]) -> Result<()> {
        let value = URL_SAFE_NO_PAD.encode(value);
        let made = self.there(name, there, alg, &value).await?;
        self.back(name, back, alg, &made, &value).await
    }

    async fn there(&self, name: &str, operation: &str, alg: &str, value: &str) -> Result<Value> {
        let body = json!({"alg": alg, "value": value});
        self.call(Method::POST, name, &format!("/{operation}"), Some(&body)).await
    }

    async fn back(&self, name: &str, operation: &str, alg: &str, made: &Value, value: &str) -> Result<()> {
        // The answer's iv and tag are what the way back needs.
        let mut body = json!({"alg": alg, "value": text(made, "/value")?});
        for member in ["iv", "tag"] {
            if let (Some(object), Some(given)) = (body.as_object_mut(), made.get(member)) {
                object.insert(member.to_owned(), given.clone());
            }
        }
        let opened = self.call(Method::POST, name, &format!("/{operation}"), Some(&body)).await?;
        ensure!(text(&opened, "/value")? == value, "{name}: {operation} does not give back what it was given");
        Ok(())
    }

    async fn call(&self, method: Method, name: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.0.call(method, &format!("/keys/{name}{path}"), body).await
    }
}
