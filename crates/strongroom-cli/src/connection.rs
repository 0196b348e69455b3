//! A connection to a deployment, from the `client.env` in its data folder: names, trust, tokens, calls.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, Method, Response, StatusCode, redirect};
use serde_json::Value;

/// The variables of a `client.env` file (architecture: `export NAME='value'` lines).
#[derive(Debug, Clone)]
pub struct ClientEnvironment(HashMap<String, String>);

impl ClientEnvironment {
    /// Reads the file of a data folder.
    ///
    /// # Errors
    /// If it is missing (no server runs on the folder) or malformed.
    pub fn read(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("client.env");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("cannot read {}: is `strongroom serve` running on this folder?", path.display())
        })?;
        let variables = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).map(parse_line);
        Ok(Self(variables.collect::<Option<_>>().ok_or_else(|| anyhow!("{} is malformed", path.display()))?))
    }

    /// A variable.
    ///
    /// # Errors
    /// If the file lacks it.
    pub fn get(&self, name: &str) -> Result<&str> {
        self.0.get(name).map(String::as_str).ok_or_else(|| anyhow!("client.env has no {name}"))
    }
}

/// `export NAME='value'`, with `'\''` for a quote inside.
fn parse_line(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    Some((name.to_owned(), value.replace("'\\''", "'")))
}

/// A client of one deployment.
#[derive(Debug, Clone)]
pub struct Connection {
    /// What `client.env` says.
    pub environment: ClientEnvironment,
    http: Client,
}

impl Connection {
    /// A connection with the variables of a data folder. Trusts the deployment's own CA and nothing else. Names below
    /// `localhost` go to the loopback, whatever the system's resolver thinks of them.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let environment = ClientEnvironment::read(data_dir)?;
        let ca_file = environment.get("STRONGROOM_CA_FILE")?;
        let pem = std::fs::read(ca_file).with_context(|| format!("cannot read {ca_file}"))?;
        // Another part of the process may have installed it already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = Client::builder()
            .tls_certs_only(Certificate::from_pem_bundle(&pem)?)
            .dns_resolver(Arc::new(LocalhostResolver))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self { environment, http })
    }

    /// An access token for a resource, by the client secret of `client.env`.
    pub async fn token(&self, resource: &str) -> Result<String> {
        let url = format!(
            "{}/{}/oauth2/v2.0/token",
            self.environment.get("STRONGROOM_AUTHORITY_URL")?,
            self.environment.get("STRONGROOM_TENANT_ID")?
        );
        let scope = format!("{resource}/.default");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.environment.get("STRONGROOM_CLIENT_ID")?),
            ("client_secret", self.environment.get("STRONGROOM_CLIENT_SECRET")?),
            ("scope", &scope),
        ];
        let response = self.http.post(&url).form(&form).send().await?;
        let answer = checked(response).await?.json::<Value>().await?;
        text(&answer, "/access_token")
    }

    /// Sends a request with a token and an optional JSON body; an error answer becomes an error with its message.
    pub async fn call(&self, method: Method, url: &str, token: &str, body: Option<&Value>) -> Result<Response> {
        let mut request = self.http.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        checked(request.send().await.with_context(|| format!("cannot reach {url}"))?).await
    }

    /// The same, expecting a JSON answer.
    pub async fn json(&self, method: Method, url: &str, token: &str, body: Option<&Value>) -> Result<Value> {
        Ok(self.call(method, url, token, body).await?.json().await?)
    }
}

/// A member of an answer as text.
pub fn text(answer: &Value, pointer: &str) -> Result<String> {
    let member = answer.pointer(pointer).and_then(Value::as_str);
    member.map(str::to_owned).ok_or_else(|| anyhow!("the answer has no {pointer}"))
}

/// Where an answer says that the state of what it began is to be asked for.
pub(crate) fn status_url(response: &Response) -> Result<String> {
    let url = response.headers().get("azure-asyncoperation").and_then(|value| value.to_str().ok());
    url.map(str::to_owned).context("the answer names no status URL")
}

/// The certificate of a transfer key, DER, out of the answer that has the key as a JWK in a text.
pub(crate) fn transfer_certificate(answer: &Value) -> Result<Vec<u8>> {
    let jwk: Value = serde_json::from_str(&text(answer, "/transfer_key")?).context("the transfer key is no JWK")?;
    STANDARD.decode(text(&jwk, "/x5c/0")?).context("the transfer key holds no certificate")
}

async fn checked(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let url = response.url().clone();
    let body = response.text().await.unwrap_or_default();
    bail!("{} answered {status}: {}", url.host_str().unwrap_or_default(), message(status, &body))
}

/// The message of an error body in the shape of ARM, Key Vault or OAuth2.
fn message(status: StatusCode, body: &str) -> String {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    let known = ["/error/message", "/error_description"].iter().find_map(|member| answer.pointer(member)?.as_str());
    let line = known.and_then(|text| text.lines().next()).map(str::to_owned);
    line.unwrap_or_else(|| status.canonical_reason().unwrap_or("no message").to_owned())
}

/// Whether a name is `localhost` or below it: on this machine, whatever its resolver thinks (RFC 6761 §6.3).
pub(crate) fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Sends such names to the loopback; many systems do not.
struct LocalhostResolver;

impl Resolve for LocalhostResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            if is_loopback(host) {
                let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
                return Ok(Box::new(std::iter::once(loopback)) as Addrs);
            }
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

const TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{parse_line, transfer_certificate};

    #[test]
    fn a_transfer_key_has_its_certificate_in_a_jwk_that_is_text() {
        let answer = json!({"transfer_key": json!({"kty": "RSA", "x5c": ["AQID"]}).to_string()});
        assert_eq!(transfer_certificate(&answer).unwrap(), [1, 2, 3]);
        for wrong in [json!({}), json!({"transfer_key": "{"}), json!({"transfer_key": "{\"x5c\": [\"?\"]}"})] {
            assert!(transfer_certificate(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_quote_inside_a_value_survives() {
        assert_eq!(parse_line(r"export A='it'\''s'"), Some(("A".to_owned(), "it's".to_owned())));
        assert_eq!(parse_line("A=b"), None);
    }
}
