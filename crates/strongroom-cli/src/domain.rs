//! `strongroom domain …`: the security domain of a managed HSM of a running server, through the data plane.
//!
//! What `az keyvault security-domain` does too is here for machines without it; rotation and status are ours alone. Private
//! keys of custodians never come here: they are used in the room ([`crate::ceremony`]).

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use reqwest::Method;
use serde_json::{Value, json};
use strongroom_security_domain::{Thumbprint, certificate_of_pem, certificate_to_pem};
use strongroom_types::HsmName;

use crate::ceremony::files::{read, write_new};
use crate::connection::{Connection, status_url, text, transfer_certificate};

/// What can be done with a security domain.
#[derive(Debug, Subcommand)]
pub enum Domain {
    /// Show epoch, custodians, policy, and how far a rotation is.
    #[command(after_help = STATUS_EXAMPLE)]
    Status(Status),
    /// Begin a recovery, or the proof of a quorum: write the transfer key's certificate, as `az … init-recovery` does.
    #[command(after_help = PROOF_EXAMPLE)]
    TransferKey(TransferKey),
    /// Send what the custodians have made for the transfer key, as `az … upload --restore-blob` does.
    #[command(after_help = PROOF_EXAMPLE)]
    Upload(Upload),
    /// Download the security domain: to activate, or again for other custodians if the policy allows it.
    #[command(after_help = DOWNLOAD_EXAMPLE)]
    Download(Download),
    /// Begin a new epoch: a new root, a new file, and every record sealed again. The answer to a lost or disloyal custodian.
    #[command(after_help = ROTATE_EXAMPLE)]
    Rotate(Rotate),
}

/// Which managed HSM, of which server.
#[derive(Debug, Args)]
struct Target {
    /// The managed HSM.
    #[arg(long, value_name = "NAME")]
    hsm_name: HsmName,
    /// The data folder of the running server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// `domain status`.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    target: Target,
}

/// `domain transfer-key`.
#[derive(Debug, Args)]
pub struct TransferKey {
    #[command(flatten)]
    target: Target,
    /// The certificate is written here (PEM); the file must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `domain upload`.
#[derive(Debug, Args)]
pub struct Upload {
    #[command(flatten)]
    target: Target,
    /// What `ceremony open` or `az … restore-blob` has written.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

/// `domain download`.
#[derive(Debug, Args)]
pub struct Download {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    file: NewFile,
}

/// `domain rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    file: NewFile,
    /// End as soon as the epoch has begun; the server goes on sealing.
    #[arg(long)]
    no_wait: bool,
}

/// Who a new file is for.
#[derive(Debug, Args)]
struct NewFile {
    /// A custodian's certificate (PEM); repeat it for each, 3 to 10.
    #[arg(long = "certificate", value_name = "FILE", required = true, num_args = 1..)]
    certificates: Vec<PathBuf>,
    /// How many of them open the file.
    #[arg(long)]
    quorum: u8,
    /// The file is written here; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Does one of them against the running server.
///
/// # Errors
/// If no server runs on the folder, or it refuses: the message is the server's.
pub async fn run(domain: Domain, default_data_dir: Option<PathBuf>) -> Result<()> {
    match domain {
        Domain::Status(status) => {
            let server = Server::open(&status.target, default_data_dir).await?;
            print(&status.target, &server.status().await?)
        }
        Domain::TransferKey(step) => {
            let server = Server::open(&step.target, default_data_dir).await?;
            print(&step.target, &server.transfer_key(&step.out).await?)
        }
        Domain::Upload(step) => {
            let server = Server::open(&step.target, default_data_dir).await?;
            print(&step.target, &server.upload(&step.file).await?)
        }
        Domain::Download(step) => {
            let server = Server::open(&step.target, default_data_dir).await?;
            print(&step.target, &server.new_file("download", &step.file).await?)
        }
        Domain::Rotate(step) => {
            let server = Server::open(&step.target, default_data_dir).await?;
            let told = server.new_file("rotate", &step.file).await?;
            let state = if step.no_wait { server.status().await? } else { server.sealed_again().await? };
            let rotation = state.get("rotation").cloned().unwrap_or_default();
            print(&step.target, &with(told, "rotation", rotation))
        }
    }
}

/// One managed HSM, with a token for it.
struct Server {
    connection: Connection,
    url: String,
    token: String,
}

impl Server {
    async fn open(target: &Target, default_data_dir: Option<PathBuf>) -> Result<Self> {
        let data_dir =
            target.data_dir.clone().or(default_data_dir).context("no data folder is set: use --data-dir DIR")?;
        let connection = Connection::open(&data_dir)?;
        let suffix = connection.environment.get("STRONGROOM_MHSM_SUFFIX")?.trim_start_matches('.').to_owned();
        let token = connection.token(&format!("https://{suffix}")).await?;
        let url = format!("https://{}.{suffix}/securitydomain", target.hsm_name.folded());
        Ok(Self { connection, url, token })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}?api-version={API_VERSION}", self.url)
    }

    async fn status(&self) -> Result<Value> {
        self.connection.json(Method::GET, &self.at(""), &self.token, None).await
    }

    async fn transfer_key(&self, out: &Path) -> Result<Value> {
        must_not_exist(out)?;
        let answer = self.connection.json(Method::GET, &self.at("/upload"), &self.token, None).await?;
        let certificate = transfer_certificate(&answer)?;
        write_new(out, certificate_to_pem(&certificate).as_bytes())?;
        let thumbprint = Thumbprint::of(&certificate).to_string();
        Ok(json!({
            "written": out.display().to_string(),
            "x5t#S256": thumbprint,
            "notice": "tell the custodians the thumbprint over another channel: ceremony open --expect-thumbprint",
        }))
    }

    async fn upload(&self, file: &Path) -> Result<Value> {
        let blob = read(file)?;
        let body = json!({"value": blob.text.expose()});
        let response = self.connection.call(Method::POST, &self.at("/upload"), &self.token, Some(&body)).await?;
        self.ended(&status_url(&response)?).await
    }

    /// The file is written, durably, before the status is asked for: the question is what makes it count.
    async fn new_file(&self, what: &str, file: &NewFile) -> Result<Value> {
        must_not_exist(&file.out)?;
        let certificates = file.certificates.iter().map(|path| json_web_key(path)).collect::<Result<Vec<_>>>()?;
        let body = json!({"certificates": certificates, "required": file.quorum});
        let path = format!("/{what}");
        let response = self.connection.call(Method::POST, &self.at(&path), &self.token, Some(&body)).await?;
        let status_url = status_url(&response)?;
        let answer: Value = response.json().await?;
        write_new(&file.out, text(&answer, "/value")?.as_bytes())?;
        let told = self.ended(&status_url).await?;
        Ok(with(told, "written", file.out.display().to_string().into()))
    }

    async fn ended(&self, status_url: &str) -> Result<Value> {
        for _ in 0..POLLS_MAX {
            let status = self.connection.json(Method::GET, status_url, &self.token, None).await?;
            match text(&status, "/status")?.as_str() {
                "Success" => return Ok(status),
                "Failed" => bail!("{}", text(&status, "/status_details")?),
                _ => tokio::time::sleep(POLL_PAUSE).await,
            }
        }
        bail!("the server is still at work on it; `strongroom domain status` shows how far it is")
    }

    /// Waits until every record is sealed under the new epoch, and shows how many are.
    async fn sealed_again(&self) -> Result<Value> {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        loop {
            let state = self.status().await?;
            let rotation = state.get("rotation").context("the answer names no rotation")?;
            if text(rotation, "/status")? != "InProgress" {
                if let Some(bar) = &bar {
                    bar.finish_and_clear();
                }
                return Ok(state);
            }
            if let Some(bar) = &bar {
                let number = |name| rotation.get(name).and_then(Value::as_u64).unwrap_or_default();
                bar.set_message(format!("{} records sealed under epoch {}", number("records"), number("epoch")));
                bar.tick();
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
    }
}

/// An answer with one member more.
fn with(mut answer: Value, name: &str, value: Value) -> Value {
    if let Value::Object(members) = &mut answer {
        members.insert(name.to_owned(), value);
    }
    answer
}

/// Whoever named a wrong place learns it before anything is made.
fn must_not_exist(path: &Path) -> Result<()> {
    if path.exists() {
        bail!("{} exists already, and is not overwritten", path.display());
    }
    Ok(())
}

/// A certificate as the download request has it; the server reads the key out of `x5c`.
fn json_web_key(path: &Path) -> Result<Value> {
    let input = read(path)?;
    let certificate = certificate_of_pem(input.text.expose());
    let certificate = certificate.with_context(|| format!("{} holds no certificate in PEM", path.display()))?;
    Ok(json!({"kty": "RSA", "x5c": [STANDARD.encode(certificate)]}))
}

/// An answer for people (rows of name and value) or as it is.
fn print(target: &Target, answer: &Value) -> Result<()> {
    let mut out = std::io::stdout();
    if target.json {
        return Ok(writeln!(out, "{answer:#}")?);
    }
    rows("", answer).into_iter().try_for_each(|row| writeln!(out, "{row}"))?;
    Ok(())
}

fn rows(prefix: &str, value: &Value) -> Vec<String> {
    let named = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    match value {
        Value::Object(members) => members.iter().flat_map(|(name, value)| rows(&named(name), value)).collect(),
        Value::Array(items) => items.iter().flat_map(|item| rows(prefix, item)).collect(),
        Value::String(text) => vec![format!("{prefix:<28} {text}")],
        Value::Null => Vec::new(),
        other => vec![format!("{prefix:<28} {other}")],
    }
}

const API_VERSION: &str = "2025-07-01";
const POLLS_MAX: usize = 240;
const POLL_PAUSE: Duration = Duration::from_millis(250);

const STATUS_EXAMPLE: &str = "\
Example:
  strongroom domain status --hsm-name ContosoMHSM --json";
const PROOF_EXAMPLE: &str = "\
Example: a quorum proves itself, so that the domain of an active managed HSM may be downloaded or rotated once.
  strongroom domain transfer-key --hsm-name ContosoMHSM --out exchange.cer
  strongroom ceremony open --file ContosoMHSM-SD.json --key alice.key bob.key --transfer-key exchange.cer --out upload.json
  strongroom domain upload --hsm-name ContosoMHSM --file upload.json

The middle line is for the room, without a network. A new managed HSM is recovered in the same way.";
const DOWNLOAD_EXAMPLE: &str = "\
Example:
  strongroom domain download --hsm-name ContosoMHSM --certificate carol.cer dave.cer erin.cer --quorum 2 --out SD-2.json

The custodians of earlier files can still open those; `strongroom domain rotate` is the answer to that.";
const ROTATE_EXAMPLE: &str = "\
Example:
  strongroom domain rotate --hsm-name ContosoMHSM --certificate carol.cer dave.cer erin.cer --quorum 2 --out SD-2.json

Make a new backup afterwards: earlier files still open the backups that were made before, and copies of the store.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_for_people_name_what_is_nested() {
        let answer = json!({"epoch": 2, "custodians": {"required": 2, "x5t#S256": ["one", "two"]}, "rotation": null});
        let rows = rows("", &answer);
        let has = |name: &str, value: &str| rows.iter().any(|row| row.starts_with(name) && row.ends_with(value));
        assert!(
            has("epoch ", " 2") && has("custodians.required ", " 2") && has("custodians.x5t#S256 ", " two"),
            "{rows:?}"
        );
        assert_eq!(rows.len(), 4);
    }
}
