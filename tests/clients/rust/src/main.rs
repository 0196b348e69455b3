//! Walks the operations that the official Rust crates offer, with their checks left on.
//!
//!     walk URL CREDENTIAL CHAPTER...
//!
//! One line is printed for each operation that did what it should; the first that does not ends the program.

mod cryptography;
mod keys;
mod material;
mod release;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_identity::{ClientSecretCredential, ManagedIdentityCredential, WorkloadIdentityCredential};
use azure_security_keyvault_keys::KeyClient;

/// What ends the program.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match walk().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn walk() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, credential, chapters @ ..] = arguments.as_slice() else {
        return Err("usage: walk URL CREDENTIAL CHAPTER...".into());
    };
    let client = KeyClient::new(url, sign_in(credential)?, None)?;
    for chapter in chapters {
        match chapter.as_str() {
            "backup" => material::back_up_and_restore(&client).await?,
            "cryptography" => cryptography::walk(&client).await?,
            "import" => material::import_each_type(&client).await?,
            "keys" => keys::walk(&client).await?,
            "random" => material::draw_random_bytes(&client).await?,
            "release" => release::attest_and_release(&client).await?,
            "rotation" => material::rotate(&client).await?,
            "signature" => cryptography::sign_in_and_sign(&client).await?,
            other => return Err(format!("there is no chapter {other}").into()),
        }
    }
    Ok(())
}

/// The crate finds the authority in `AZURE_AUTHORITY_HOST` and asks it for nothing but tokens.
fn sign_in(credential: &str) -> Outcome<Arc<dyn TokenCredential>> {
    Ok(match credential {
        "managed" => ManagedIdentityCredential::new(None)?,
        "secret" => {
            let secret = Secret::from(env::var("STRONGROOM_CLIENT_SECRET")?);
            let (tenant, client) = (env::var("STRONGROOM_TENANT_ID")?, env::var("STRONGROOM_CLIENT_ID")?);
            ClientSecretCredential::new(&tenant, client, secret, None)?
        }
        "workload" => WorkloadIdentityCredential::new(Some(azure_identity::WorkloadIdentityCredentialOptions {
            client_id: Some(env::var("WORKLOAD_CLIENT_ID")?),
            tenant_id: Some(env::var("STRONGROOM_TENANT_ID")?),
            token_file_path: Some(env::var("WORKLOAD_TOKEN_FILE")?.into()),
            ..Default::default()
        }))?,
        other => return Err(format!("there is no credential {other}").into()),
    })
}

/// Says that an operation did what it should.
fn passed(what: impl std::fmt::Display) {
    println!("ok {what}");
}

/// Ends the program unless it is so.
fn check(condition: bool, what: impl std::fmt::Display) -> Outcome {
    if condition { Ok(()) } else { Err(what.to_string().into()) }
}

/// Ends the program unless the service refused with this status.
fn refused<T>(result: azure_core::Result<T>, status: u16) -> Outcome {
    match result {
        Ok(_) => Err(format!("it was not refused with {status}").into()),
        Err(error) if error.http_status().is_some_and(|found| u16::from(found) == status) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
