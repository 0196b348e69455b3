//! Key attestation and secure key release.

use std::env;

use azure_core::base64;
use azure_security_keyvault_keys::KeyClient;
use azure_security_keyvault_keys::models::{
    KeyAttributes, KeyEncryptionAlgorithm, KeyReleasePolicy, ReleaseParameters,
};
use serde_json::{Value, json};

use crate::keys::{Kind, P_256, create, id, parameters};
use crate::{Outcome, check, passed};

pub(crate) async fn attest_and_release(client: &KeyClient) -> Outcome {
    let name = "walk-attested";
    let attested = create(client, name, Kind::Rsa(2048)).await?;
    let read = client.get_key_attestation(name, None).await?.into_model()?;
    check(id(&read)? == id(&attested)?, "the attested key is the one asked for")?;
    let attestation = read.attributes.and_then(|it| it.attestation).ok_or("there is an attestation")?;
    let version = attestation.version.filter(|_| attestation.private_key_attestation.is_some());
    passed(format!("get attestation {}", version.ok_or("the attestation is whole")?));
    for (kind, name) in [(Kind::Rsa(2048), "walk-released-rsa"), (P_256, "walk-released-ec")] {
        let mut order = parameters(client, kind)?;
        order.key_attributes = Some(KeyAttributes { exportable: Some(true), ..Default::default() });
        order.release_policy = Some(policy()?);
        let key = client.create_key(name, order.try_into()?, None).await?.into_model()?;
        check(key.release_policy.as_ref().and_then(|it| it.immutable) == Some(true), "the policy is kept")?;
        for algorithm in ["CKM_RSA_AES_KEY_WRAP", "RSA_AES_KEY_WRAP_256", "RSA_AES_KEY_WRAP_384"] {
            let order = ReleaseParameters {
                algorithm: Some(algorithm.parse::<KeyEncryptionAlgorithm>()?),
                nonce: Some("n-1".to_owned()),
                target_attestation_token: Some(env::var("ATTESTATION_TOKEN")?),
            };
            let released = client.release(name, order.try_into()?, None).await?.into_model()?;
            check_released(&released.value.unwrap_or_default(), &id(&key)?, algorithm)?;
            passed(format!("release {kind:?} {algorithm}"));
        }
    }
    Ok(())
}

fn policy() -> Outcome<KeyReleasePolicy> {
    let claims = json!([{"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}]);
    let authority = env::var("ATTESTATION_AUTHORITY")?;
    let grammar = json!({"version": "1.0.0", "anyOf": [{"authority": authority, "allOf": claims}]});
    let encoded_policy = Some(grammar.to_string().into_bytes());
    Ok(KeyReleasePolicy { encoded_policy, immutable: Some(true), ..Default::default() })
}

fn check_released(jws: &str, key: &str, algorithm: &str) -> Outcome {
    let payload = jws.split('.').nth(1).ok_or("a JWS has three parts")?;
    let payload: Value = serde_json::from_slice(&base64::decode_url_safe(payload)?)?;
    check(payload["request"]["enc"] == algorithm && payload["request"]["kid"] == key, &payload["request"])?;
    check(payload["response"]["key"]["key"]["key_hsm"].is_string(), "the wrapped key is there")
}
