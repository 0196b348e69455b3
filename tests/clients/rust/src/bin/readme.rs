use std::env;

use azure_core::credentials::Secret;
use azure_identity::ClientSecretCredential;
use azure_security_keyvault_keys::KeyClient;
use azure_security_keyvault_keys::models::{SignParameters, SignatureAlgorithm};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = Secret::from(env::var("STRONGROOM_CLIENT_SECRET")?);
    let (tenant, client) = (env::var("STRONGROOM_TENANT_ID")?, env::var("STRONGROOM_CLIENT_ID")?);
    let credential = ClientSecretCredential::new(&tenant, client, secret, None)?;
    let keys = KeyClient::new(&env::var("HSM_URL")?, credential, None)?;
    let digest = SignParameters { algorithm: Some(SignatureAlgorithm::Es256), value: Some(vec![0; 32]) };
    let signature = keys.sign("sign-ec", digest.try_into()?, None).await?.into_model()?.result;
    assert!(signature.is_some());
    Ok(())
}
