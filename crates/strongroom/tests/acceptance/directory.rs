//! Programs of the built-in directory, made with `strongroom directory`, and the credentials they log in with.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use reqwest::Method;
use serde_json::{Value, json};

use crate::az::said;
use crate::deployment::Deployment;
use crate::issuer::{Issuer, seconds_now};
use crate::rest::Rest;

/// How a program is called.
pub(crate) struct Program {
    pub(crate) client_id: String,
    pub(crate) object_id: String,
}

/// Runs a command of the directory that must succeed, and returns what it prints.
#[track_caller]
pub(crate) fn directory(deployment: &Deployment, words: &str, arguments: &[&str]) -> Value {
    let mut command = deployment.command(&format!("directory {words}"));
    let output = command.args(arguments).arg("--json").output().expect("the program starts");
    assert!(output.status.success(), "{words} {arguments:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words}: {error} in {}", said(&output)))
}

impl Program {
    /// Adds a service principal without credentials.
    pub(crate) fn add(deployment: &Deployment, name: &str) -> Self {
        let made = directory(deployment, "service-principal add", &[name]);
        let text = |member: &str| made[member].as_str().expect("text").to_owned();
        Self { client_id: text("appId"), object_id: text("id") }
    }

    /// Adds one, with a certificate whose key and itself are written to a file.
    pub(crate) fn certified(deployment: &Deployment, name: &str, folder: &Path) -> (Self, PathBuf) {
        let program = Self::add(deployment, name);
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let certificate = CertificateParams::new(vec![name.to_owned()]).expect("a name").self_signed(&key);
        let file = folder.join(format!("{name}.pem"));
        let pem = format!("{}{}", key.serialize_pem(), certificate.expect("a certificate").pem());
        fs::write(&file, pem).expect("the file is written");
        directory(deployment, "certificate add", &[name, "--file", &file.display().to_string()]);
        (program, file)
    }

    /// Makes a managed identity as which a service account of an outside issuer may act.
    pub(crate) fn federated(rest: &Rest, name: &str, issuer: &str) -> Self {
        let group = rest.variable("STRONGROOM_RESOURCE_GROUP");
        let path = format!("/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
        let version = "?api-version=2023-01-31";
        let body = json!({"location": "local"});
        let made = rest.arm(&Method::PUT, &format!("{path}{version}"), Some(&body)).expect(201);
        let credential = json!({"properties": {"issuer": issuer, "subject": SUBJECT, "audiences": [EXCHANGE]}});
        let credentials = format!("{path}/federatedIdentityCredentials/cluster{version}");
        rest.arm(&Method::PUT, &credentials, Some(&credential)).expect(201);
        let text = |member: &str| made["properties"][member].as_str().expect("text").to_owned();
        Self { client_id: text("clientId"), object_id: text("principalId") }
    }
}

/// A token of an outside issuer for the service account that federated credentials here name.
pub(crate) fn workload_token(issuer: &Issuer) -> String {
    let now = seconds_now();
    issuer.token(&json!({"sub": SUBJECT, "aud": [EXCHANGE], "iat": now, "nbf": now - 60, "exp": now + 600}))
}

/// `[[issuer]]` of a configuration: an issuer that speaks for a tenant of its own.
pub(crate) fn trusted(issuer: &Issuer) -> String {
    let (url, tenant) = (&issuer.url, "7a1c2d3e-0000-4000-8000-00000000000c");
    format!("[[issuer]]\nurl = \"{url}\"\ntenant = \"{tenant}\"\naudience = \"api://outside\"\n")
}

/// The outside service account.
pub(crate) const SUBJECT: &str = "system:serviceaccount:bank:signer";
/// What tokens are for that are exchanged.
pub(crate) const EXCHANGE: &str = "api://AzureADTokenExchange";
