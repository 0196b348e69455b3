//! The keys of the story: create one of each type, use it, and check what came back.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{DATA_VERSION, Hsm, Steps, Tokens};
use crate::connection::{Connection, text};

/// What of the story a key does.
struct Keys<'a> {
    connection: &'a Connection,
    tokens: &'a Tokens,
    hsm: &'a Hsm,
}

/// Creates the keys that are not there, and proves that each works.
pub(super) async fn create_and_use(
    connection: &Connection,
    tokens: &Tokens,
    hsm: &Hsm,
    steps: &mut Steps,
) -> Result<Vec<String>> {
    let keys = Keys { connection, tokens, hsm };
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

impl Keys<'_> {
    async fn create_unless_there(&self, name: &str, parameters: &Value) -> Result<String> {
        let there = self.call(Method::GET, name, "", None).await.is_ok();
        if !there {
            self.call(Method::POST, name, "/create", Some(parameters)).await?;
        }
        Ok(name.to_owned())
    }

    async fn sign_and_verify(&self, name: &str, alg: &str) -> Result<()> {
        let digest = URL_SAFE_NO_PAD.encode([0x5A; 32]);
        let signed = self.call(Method::POST, name, "/sign", Some(&json!({"alg": alg, "value": digest}))).await?;
        let signature = text(&signed, "/value")?;
        let asked = json!({"alg": alg, "digest": digest, "value": signature});
        let verified = self.call(Method::POST, name, "/verify", Some(&asked)).await?;
        ensure!(verified.pointer("/value") == Some(&Value::Bool(true)), "{name}: its own signature is not accepted");
        Ok(())
    }

    async fn there_and_back(&self, name: &str, [there, back]: [&str; 2], alg: &str, value: &[u8]) -> Result<()> {
        let value = URL_SAFE_NO_PAD.encode(value);
        let body = json!({"alg": alg, "value": value});
        let made = self.call(Method::POST, name, &format!("/{there}"), Some(&body)).await?;
        // The answer's iv and tag are what the way back needs.
        let mut body = json!({"alg": alg, "value": text(&made, "/value")?});
        for member in ["iv", "tag"] {
            if let (Some(object), Some(given)) = (body.as_object_mut(), made.get(member)) {
                object.insert(member.to_owned(), given.clone());
            }
        }
        let opened = self.call(Method::POST, name, &format!("/{back}"), Some(&body)).await?;
        ensure!(text(&opened, "/value")? == value, "{name}: {back} does not give back what {there} took");
        Ok(())
    }

    async fn call(&self, method: Method, name: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}/keys/{name}{path}?api-version={DATA_VERSION}", self.hsm.url);
        self.connection.json(method, &url, &self.tokens.data, body).await
    }
}
