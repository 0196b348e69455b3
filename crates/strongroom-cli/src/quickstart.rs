//! `strongroom quickstart`: the whole story on one machine, told through the public API.
//!
//! Make a managed HSM, make three custodian keys, activate with a quorum of two, create keys, sign, encrypt, wrap. Every
//! step is one a user could do with `az`, and each looks first whether it has been done: run again on the same folder it
//! shows what is there.

mod custodians;
mod keys;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::connection::{Connection, text};

/// What the story left behind, for the text at its end.
#[derive(Debug)]
pub struct Story {
    /// The HSM's name.
    pub hsm: &'static str,
    /// Its URL.
    pub url: String,
    /// Names of the keys in it.
    pub keys: Vec<String>,
}

/// Tells the story against the server of a data folder.
///
/// # Errors
/// The first step that fails, with the server's message.
pub async fn run(data_dir: &Path) -> Result<Story> {
    let connection = Connection::open(data_dir)?;
    let folder = data_dir.join("quickstart");
    let mut steps = Steps::default();

    let step = steps.begin("Sign in as the administrator");
    let tokens = Tokens::get(&connection).await?;
    step.done("");

    let step = steps.begin("Create the managed HSM");
    let hsm = Hsm::create_or_find(&connection, &tokens).await?;
    step.done(&hsm.url);

    let step = steps.begin("Make three custodian keys");
    let certificates = custodians::make_or_read(&folder)?;
    step.done(&folder.join("cert_{0,1,2}.{key,cer}").display().to_string());

    let step = steps.begin("Download the security domain, quorum 2 of 3: this activates the HSM");
    let file = folder.join(format!("{HSM}-SD.json"));
    if hsm.is_active(&connection, &tokens).await? {
        step.done("active already");
    } else {
        hsm.activate(&connection, &tokens, &certificates, &file).await?;
        step.done(&file.display().to_string());
    }

    let step = steps.begin("Give yourself the role Managed HSM Crypto User");
    hsm.assign_crypto_user(&connection, &tokens).await?;
    step.done("at /");

    let keys = keys::create_and_use(&connection, &tokens, &hsm, &mut steps).await?;
    Ok(Story { hsm: HSM, url: hsm.url, keys })
}

/// The HSM of the story.
pub(crate) struct Hsm {
    pub(crate) url: String,
    resource: String,
}

/// One token for each plane.
pub(crate) struct Tokens {
    management: String,
    pub(crate) data: String,
}

impl Tokens {
    async fn get(connection: &Connection) -> Result<Self> {
        let management = connection.environment.get("STRONGROOM_MANAGEMENT_URL")?;
        let suffix = connection.environment.get("STRONGROOM_MHSM_SUFFIX")?;
        Ok(Self {
            management: connection.token(management).await?,
            data: connection.token(&format!("https://{}", suffix.trim_start_matches('.'))).await?,
        })
    }
}

impl Hsm {
    async fn create_or_find(connection: &Connection, tokens: &Tokens) -> Result<Self> {
        let environment = &connection.environment;
        let resource = format!(
            "{}/subscriptions/{}/resourceGroups/{}/providers/Microsoft.KeyVault/managedHSMs/{HSM}?api-version={ARM_VERSION}",
            environment.get("STRONGROOM_MANAGEMENT_URL")?,
            environment.get("STRONGROOM_SUBSCRIPTION_ID")?,
            environment.get("STRONGROOM_RESOURCE_GROUP")?,
        );
        let suffix = environment.get("STRONGROOM_MHSM_SUFFIX")?.trim_start_matches('.');
        let hsm = Self { url: format!("https://{HSM}.{suffix}"), resource };
        if hsm.show(connection, tokens).await.is_err() {
            let body = json!({
                "location": "local",
                "sku": {"family": "B", "name": "Standard_B1"},
                "properties": {
                    "tenantId": environment.get("STRONGROOM_TENANT_ID")?,
                    "initialAdminObjectIds": [environment.get("STRONGROOM_PRINCIPAL_ID")?],
                    "softDeleteRetentionInDays": 7,
                },
            });
            connection.call(Method::PUT, &hsm.resource, &tokens.management, Some(&body)).await?;
        }
        hsm.wait_until_made(connection, tokens).await?;
        Ok(hsm)
    }

    async fn show(&self, connection: &Connection, tokens: &Tokens) -> Result<Value> {
        connection.json(Method::GET, &self.resource, &tokens.management, None).await
    }

    async fn wait_until_made(&self, connection: &Connection, tokens: &Tokens) -> Result<()> {
        for _ in 0..POLLS_MAX {
            let shown = self.show(connection, tokens).await?;
            if text(&shown, "/properties/provisioningState")? == "Succeeded" {
                return Ok(());
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
        bail!("the managed HSM is still being made")
    }

    async fn is_active(&self, connection: &Connection, tokens: &Tokens) -> Result<bool> {
        let shown = self.show(connection, tokens).await?;
        Ok(text(&shown, "/properties/securityDomainProperties/activationStatus")? == "Active")
    }

    /// Downloads, writes the file, and only then asks for the status: the question is what activates.
    async fn activate(
        &self,
        connection: &Connection,
        tokens: &Tokens,
        certificates: &[custodians::Certificate],
        file: &Path,
    ) -> Result<()> {
        let certificates: Vec<Value> = certificates.iter().map(custodians::Certificate::json_web_key).collect();
        let body = json!({"certificates": certificates, "required": QUORUM});
        let url = format!("{}/securitydomain/download?api-version={DATA_VERSION}", self.url);
        let response = connection.call(Method::POST, &url, &tokens.data, Some(&body)).await?;
        let status_url = response.headers().get("azure-asyncoperation").and_then(|value| value.to_str().ok());
        let status_url = status_url.context("the answer names no status URL")?.to_owned();
        let answer: Value = response.json().await?;
        custodians::write_private(file, text(&answer, "/value")?.as_bytes())?;
        for _ in 0..POLLS_MAX {
            let status = connection.json(Method::GET, &status_url, &tokens.data, None).await?;
            match text(&status, "/status")?.as_str() {
                "Success" => return Ok(()),
                "Failed" => bail!("the download failed: {}", text(&status, "/status_details")?),
                _ => tokio::time::sleep(POLL_PAUSE).await,
            }
        }
        bail!("the managed HSM is still being activated")
    }

    async fn assign_crypto_user(&self, connection: &Connection, tokens: &Tokens) -> Result<()> {
        let base = format!("{}/providers/Microsoft.Authorization/roleAssignments", self.url);
        let principal = connection.environment.get("STRONGROOM_PRINCIPAL_ID")?;
        let filter = format!("{base}?api-version={DATA_VERSION}&$filter=principalId%20eq%20'{principal}'");
        let held = connection.json(Method::GET, &filter, &tokens.data, None).await?;
        let held = held.pointer("/value").and_then(Value::as_array).cloned().unwrap_or_default();
        let role = format!("Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/{CRYPTO_USER}");
        if held.iter().any(|one| one.pointer("/properties/roleDefinitionId").and_then(Value::as_str) == Some(&role)) {
            return Ok(());
        }
        let url = format!("{base}/{}?api-version={DATA_VERSION}", uuid::Uuid::new_v4());
        let body = json!({"properties": {"roleDefinitionId": role, "principalId": principal}});
        let response = connection.call(Method::PUT, &url, &tokens.data, Some(&body)).await?;
        if response.status() != StatusCode::CREATED {
            bail!("the role assignment answered {}", response.status());
        }
        Ok(())
    }
}

/// The steps as a person sees them: a spinner on a terminal, a line elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    count: usize,
}

pub(crate) struct Step {
    title: String,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Steps {
    #[expect(clippy::disallowed_methods, reason = "the duration shown to a person decides nothing")]
    pub(crate) fn begin(&mut self, title: &str) -> Step {
        self.count += 1;
        let title = format!("{:>2}. {title}", self.count);
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(title.clone());
            bar.set_style(ProgressStyle::with_template("{spinner} {msg}").unwrap_or(ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Step { title, started: Instant::now(), bar }
    }
}

impl Step {
    pub(crate) fn done(self, result: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let result = if result.is_empty() { String::new() } else { format!("\n      {result}") };
        // A closed pipe ends the showing, not the story.
        let _ = writeln!(std::io::stdout(), "{} ({seconds:.1} s){result}", self.title);
    }
}

const HSM: &str = "quickstart";
const QUORUM: usize = 2;
const ARM_VERSION: &str = "2024-11-01";
pub(crate) const DATA_VERSION: &str = "7.6";
const CRYPTO_USER: &str = "21dbd100-6940-42c2-9190-5d6cb909625b";
const POLLS_MAX: usize = 120;
const POLL_PAUSE: Duration = Duration::from_millis(250);
