//! `directory certificate …`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use reqwest::Method;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::programs::OneProgram;
use super::{Graph, OneCredential};
use crate::ceremony::files::read;
use crate::connection::text;

/// What can be done with certificates.
#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Let a service principal log in with the key of a certificate.
    Add(AddCertificate),
    /// List certificates by id.
    List(OneProgram),
    /// End a certificate at once.
    Remove(OneCredential),
}

/// `directory certificate add`.
#[derive(Debug, Args)]
pub struct AddCertificate {
    /// The service principal: its name, client id or object id.
    #[arg(value_name = "NAME")]
    name: String,
    /// The certificate (PEM). A private key in the file is not looked at and does not leave this machine.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn run(graph: &Graph, command: CertificateCommand) -> Result<()> {
    match command {
        CertificateCommand::Add(add) => {
            let (file, der) = (add.file.display(), certificate(&add.file)?);
            let program = graph.program(&add.name).await?;
            let mut credentials = known(&program);
            credentials.push(json!({"type": "AsymmetricX509Cert", "usage": "Verify", "key": STANDARD.encode(der)}));
            set(graph, &program, credentials).await?;
            graph.print(&json!({}), &format!("{} can log in with the key of {file}.", add.name))
        }
        CertificateCommand::List(list) => {
            let columns = [("ID", "/keyId"), ("THUMBPRINT (SHA-1)", "/customKeyIdentifier"), ("ENDS", "/endDateTime")];
            graph.print_list(&known(&graph.program(&list.name).await?), &columns)
        }
        CertificateCommand::Remove(remove) => {
            let program = graph.program(&remove.name).await?;
            let before = known(&program);
            let kept: Vec<_> = before.iter().filter(|known| known["keyId"] != remove.id.as_str()).cloned().collect();
            if kept.len() == before.len() {
                bail!("{} has no certificate {}", remove.name, remove.id);
            }
            set(graph, &program, kept).await?;
            graph.print(&json!({}), &format!("The certificate {} of {} has ended.", remove.id, remove.name))
        }
    }
}

/// The first certificate of a PEM file, whatever else is in it.
fn certificate(file: &Path) -> Result<CertificateDer<'static>> {
    let der = CertificateDer::from_pem_slice(read(file)?.text.expose().as_bytes());
    der.with_context(|| format!("{} holds no certificate", file.display()))
}

fn known(program: &Value) -> Vec<Value> {
    program.pointer("/keyCredentials").and_then(Value::as_array).cloned().unwrap_or_default()
}

async fn set(graph: &Graph, program: &Value, credentials: Vec<Value>) -> Result<()> {
    let path = format!("/applications/{}", text(program, "/id")?);
    graph.send(Method::PATCH, &path, Some(&json!({"keyCredentials": credentials}))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_behind_its_private_key_is_found_and_no_file_is_read_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("program.pem");
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let pem = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, format!("{key}{pem}")).unwrap();
        assert_eq!(certificate(&file).unwrap().as_ref(), [1, 2, 3]);
        std::fs::write(&file, key).unwrap();
        assert!(certificate(&file).unwrap_err().to_string().contains("holds no certificate"));
        std::fs::write(&file, format!("{pem}{}", "\n".repeat(2 * 1024 * 1024))).unwrap();
        assert!(certificate(&file).unwrap_err().to_string().contains("at most 1 MiB"));
    }
}
