//! Public test vectors through the API: the vector's key is imported, then used by REST (`vectors/public/sample.json`).

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::hsm::Hsm;
use crate::rest::Answer;

#[test]
fn a_sample_of_the_public_vectors_of_every_algorithm_holds_through_the_api() {
    let mut deployment = Deployment::start();
    let rest = deployment.rest();
    let hsm = Hsm::activated(&rest, "vectors-hsm");
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../../../vectors/public/sample.json")).expect("the vectors are JSON");
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    for (number, vector) in vectors.iter().enumerate() {
        let name = format!("vector-{number}");
        let imported = hsm.send(&Method::PUT, &format!("/keys/{name}"), Some(&json!({"key": vector["key"]})));
        let imported = imported.expect(200);
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert_eq!(imported["key"][private], Value::Null, "{}", vector["source"]);
        }
        let subject = Subject { hsm: &hsm, name, vector };
        if vector.get("signature").is_some() {
            subject.signs();
        } else if vector.get("wrapped").is_some() {
            subject.wraps();
        } else {
            subject.decrypts();
        }
        *done.entry(text(&vector["alg"]).to_owned()).or_default() += 1;
    }
    let algorithms: Vec<&str> = done.keys().map(String::as_str).collect();
    assert_eq!(algorithms, ALGORITHMS);
    assert!(done.values().all(|count| *count >= 2), "{done:?}");
    assert_eq!(done.values().sum::<usize>(), vectors.len());
    deployment.stop();
}

/// An imported key and what its vector says about it.
struct Subject<'a> {
    hsm: &'a Hsm<'a>,
    name: String,
    vector: &'a Value,
}

impl Subject<'_> {
    fn signs(&self) {
        let (digest, signature) = (&self.vector["digest"], &self.vector["signature"]);
        let verified = self.post("verify", json!({"digest": digest, "value": signature})).expect(200);
        assert_eq!(verified["value"], self.vector["valid"], "{}", self.source());
        let signed = self.post("sign", json!({"value": digest})).expect(200);
        if self.is_valid() && DETERMINISTIC.contains(&self.algorithm()) {
            assert_eq!(&signed["value"], signature, "{}", self.source());
        }
        let verified = self.post("verify", json!({"digest": digest, "value": signed["value"]})).expect(200);
        assert_eq!(verified["value"], true, "{}", self.source());
    }

    fn wraps(&self) {
        let (key, wrapped) = (&self.vector["plaintext"], &self.vector["wrapped"]);
        let unwrapped = self.post("unwrapkey", json!({"value": wrapped}));
        if !self.is_valid() {
            return unwrapped.expect_error(400, "BadParameter");
        }
        assert_eq!(&unwrapped.expect(200)["value"], key, "{}", self.source());
        assert_eq!(&self.post("wrapkey", json!({"value": key})).expect(200)["value"], wrapped, "{}", self.source());
    }

    fn decrypts(&self) {
        let mut body = json!({"value": self.vector["ciphertext"]});
        for member in ["iv", "aad", "tag"] {
            if let Some(value) = self.vector.get(member) {
                body[member] = value.clone();
            }
        }
        let decrypted = self.post("decrypt", body);
        if !self.is_valid() {
            return decrypted.expect_error(400, "BadParameter");
        }
        let plaintext = &self.vector["plaintext"];
        assert_eq!(&decrypted.expect(200)["value"], plaintext, "{}", self.source());
        // The client gives the IV of CBC; that of GCM and the padding of RSA are drawn anew.
        let cbc = self.algorithm().contains("CBC");
        let body = match self.vector.get("iv") {
            Some(iv) if cbc => json!({"value": plaintext, "iv": iv}),
            _ => json!({"value": plaintext}),
        };
        let encrypted = self.post("encrypt", body).expect(200);
        if cbc {
            assert_eq!(encrypted["value"], self.vector["ciphertext"], "{}", self.source());
        }
        let back = json!({"value": encrypted["value"], "iv": encrypted["iv"], "tag": encrypted["tag"]});
        assert_eq!(&self.post("decrypt", back).expect(200)["value"], plaintext, "{}", self.source());
    }

    fn post(&self, operation: &str, mut body: Value) -> Answer {
        body["alg"] = self.vector["alg"].clone();
        self.hsm.post(&format!("/keys/{}/{operation}", self.name), &body)
    }

    fn algorithm(&self) -> &str {
        text(&self.vector["alg"])
    }

    fn is_valid(&self) -> bool {
        self.vector["valid"] == true
    }

    fn source(&self) -> &Value {
        &self.vector["source"]
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("the vectors hold text")
}

/// Those whose signature is the same each time.
const DETERMINISTIC: [&str; 6] = ["RS256", "RS384", "RS512", "HS256", "HS384", "HS512"];

/// All there are, by name.
const ALGORITHMS: [&str; 30] = [
    "A128CBC",
    "A128CBCPAD",
    "A128GCM",
    "A128KW",
    "A192CBC",
    "A192CBCPAD",
    "A192GCM",
    "A192KW",
    "A256CBC",
    "A256CBCPAD",
    "A256GCM",
    "A256KW",
    "CKM_AES_KEY_WRAP",
    "CKM_AES_KEY_WRAP_PAD",
    "ES256",
    "ES256K",
    "ES384",
    "ES512",
    "HS256",
    "HS384",
    "HS512",
    "PS256",
    "PS384",
    "PS512",
    "RS256",
    "RS384",
    "RS512",
    "RSA-OAEP",
    "RSA-OAEP-256",
    "RSA1_5",
];
