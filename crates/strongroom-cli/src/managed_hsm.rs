//! A managed HSM as its owner handles it, through the public API: made, activated, recovered, backed up, restored.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use strongroom_crypto::SystemEntropy;
use strongroom_security_domain::{CustodianKey, open_file, restore_blob};

use crate::connection::{Connection, status_url, text, transfer_certificate};
use crate::custodians::{Certificate, write_private};

/// One token for each plane.
pub(crate) struct Tokens {
    management: String,
    data: String,
}

impl Tokens {
    /// The one for data planes.
    pub(crate) fn data(&self) -> &str {
        &self.data
    }

    pub(crate) async fn get(connection: &Connection) -> Result<Self> {
        let management = connection.environment.get("STRONGROOM_MANAGEMENT_URL")?;
        let suffix = connection.environment.get("STRONGROOM_MHSM_SUFFIX")?;
        Ok(Self {
            management: connection.token(management).await?,
            data: connection.token(&format!("https://{}", suffix.trim_start_matches('.'))).await?,
        })
    }
}

/// The principal of `client.env`, who owns managed HSMs.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) tokens: &'a Tokens,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct ManagedHsm<'a> {
    owner: Owner<'a>,
    /// Its URL, without a slash at the end.
    pub(crate) url: String,
    resource: String,
}

impl<'a> Owner<'a> {
    /// The HSM of a name; makes it if it is not there.
    pub(crate) async fn managed_hsm(self, name: &str) -> Result<ManagedHsm<'a>> {
        let environment = &self.connection.environment;
        let resource = format!(
            "{}/subscriptions/{}/resourceGroups/{}/providers/Microsoft.KeyVault/managedHSMs/{name}?api-version={ARM_VERSION}",
            environment.get("STRONGROOM_MANAGEMENT_URL")?,
            environment.get("STRONGROOM_SUBSCRIPTION_ID")?,
            environment.get("STRONGROOM_RESOURCE_GROUP")?,
        );
        let suffix = environment.get("STRONGROOM_MHSM_SUFFIX")?.trim_start_matches('.');
        let hsm = ManagedHsm { owner: self, url: format!("https://{name}.{suffix}"), resource };
        if hsm.show().await.is_err() {
            let body = json!({
                "location": "local",
                "sku": {"family": "B", "name": "Standard_B1"},
                "properties": {
                    "tenantId": environment.get("STRONGROOM_TENANT_ID")?,
                    "initialAdminObjectIds": [environment.get("STRONGROOM_PRINCIPAL_ID")?],
                    "softDeleteRetentionInDays": 7,
                },
            });
            self.connection.call(Method::PUT, &hsm.resource, &self.tokens.management, Some(&body)).await?;
        }
        hsm.wait_until_made().await?;
        Ok(hsm)
    }
}

impl ManagedHsm<'_> {
    async fn show(&self) -> Result<Value> {
        let Owner { connection, tokens } = self.owner;
        connection.json(Method::GET, &self.resource, &tokens.management, None).await
    }

    async fn wait_until_made(&self) -> Result<()> {
        for _ in 0..POLLS_MAX {
            if text(&self.show().await?, "/properties/provisioningState")? == "Succeeded" {
                return Ok(());
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
        bail!("the managed HSM is still being made")
    }

    /// Whether it is in use.
    pub(crate) async fn is_active(&self) -> Result<bool> {
        Ok(text(&self.show().await?, "/properties/securityDomainProperties/activationStatus")? == "Active")
    }

    /// A call of the data plane; `path` begins with a slash.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let Owner { connection, tokens } = self.owner;
        connection.json(method, &self.versioned(path), &tokens.data, body).await
    }

    fn versioned(&self, path: &str) -> String {
        format!("{}{path}?api-version={DATA_VERSION}", self.url)
    }

    /// Downloads the security domain, writes the file, and only then asks for the status: the question is what activates.
    pub(crate) async fn activate(&self, certificates: &[Certificate], quorum: usize, file: &Path) -> Result<()> {
        let certificates: Vec<Value> = certificates.iter().map(Certificate::json_web_key).collect();
        let body = json!({"certificates": certificates, "required": quorum});
        let (status_url, answer) = self.begin(Method::POST, "/securitydomain/download", &body).await?;
        write_private(file, text(&answer, "/value")?.as_bytes())?;
        self.wait(&status_url, "/status_details").await?;
        Ok(())
    }

    /// Recovers the domain of another HSM into this new one: what `az keyvault security-domain init-recovery` and
    /// `upload` do. The custodians' keys are used here; the HSM gets what they open, encrypted to its transfer key.
    pub(crate) async fn recover(&self, file: &str, custodians: &[CustodianKey]) -> Result<()> {
        let answer = self.call(Method::GET, "/securitydomain/upload", None).await?;
        let transfer = transfer_certificate(&answer)?;
        let opened = open_file(file, custodians)?;
        let upload = restore_blob(&opened.entries, &transfer, &SystemEntropy)?;
        let (status_url, _) = self.begin(Method::POST, "/securitydomain/upload", &json!({"value": upload})).await?;
        self.wait(&status_url, "/status_details").await?;
        Ok(())
    }

    /// Backs it up into a container; answers the folder.
    pub(crate) async fn back_up(&self, container: &str) -> Result<String> {
        let (status_url, _) = self.begin(Method::POST, "/backup", &json!({"storageResourceUri": container})).await?;
        let ended = self.wait(&status_url, "/error/message").await?;
        let address = text(&ended, "/azureStorageBlobContainerUri")?;
        let folder = address.rsplit('/').next().context("the backup names no folder")?;
        Ok(folder.to_owned())
    }

    /// Restores it from a folder of a container.
    pub(crate) async fn restore(&self, container: &str, folder: &str) -> Result<()> {
        let body = json!({"sasTokenParameters": {"storageResourceUri": container}, "folderToRestore": folder});
        let (status_url, _) = self.begin(Method::PUT, "/restore", &body).await?;
        self.wait(&status_url, "/error/message").await?;
        Ok(())
    }

    /// Gives the principal of `client.env` the role Managed HSM Crypto User at `/`, unless it has it.
    pub(crate) async fn assign_crypto_user(&self) -> Result<()> {
        let Owner { connection, tokens } = self.owner;
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

    /// Begins what takes longer than a request: the URL of its status, and the answer.
    async fn begin(&self, method: Method, path: &str, body: &Value) -> Result<(String, Value)> {
        let Owner { connection, tokens } = self.owner;
        let response = connection.call(method, &self.versioned(path), &tokens.data, Some(body)).await?;
        Ok((status_url(&response)?, response.json().await?))
    }

    /// Waits for its end, and answers the last status.
    async fn wait(&self, status_url: &str, reason: &str) -> Result<Value> {
        let Owner { connection, tokens } = self.owner;
        for _ in 0..POLLS_MAX {
            let status = connection.json(Method::GET, status_url, &tokens.data, None).await?;
            match text(&status, "/status")?.as_str() {
                "Success" | "Succeeded" => return Ok(status),
                "InProgress" => tokio::time::sleep(POLL_PAUSE).await,
                word => bail!("it ended as {word}: {}", text(&status, reason).unwrap_or_default()),
            }
        }
        bail!("it is still under way")
    }
}

const ARM_VERSION: &str = "2024-11-01";
pub(crate) const DATA_VERSION: &str = "7.6";
const CRYPTO_USER: &str = "21dbd100-6940-42c2-9190-5d6cb909625b";
/// Ten minutes.
const POLLS_MAX: usize = 2400;
const POLL_PAUSE: Duration = Duration::from_millis(250);
