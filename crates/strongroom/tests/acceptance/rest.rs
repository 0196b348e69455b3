//! A plain client of the wire: what the official clients send, without their comfort.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::exchanges::{Exchange, Exchanges};

/// A client of one deployment, acting as the principal of its `client.env`.
pub(crate) struct Rest {
    runtime: Runtime,
    client: Client,
    variables: BTreeMap<String, String>,
    exchanges: Exchanges,
}

impl Rest {
    pub(crate) fn new(variables: BTreeMap<String, String>) -> Self {
        Self::at(variables, Ipv4Addr::LOCALHOST)
    }

    /// A client of the node at that address.
    pub(crate) fn at(variables: BTreeMap<String, String>, node: Ipv4Addr) -> Self {
        Self::with(variables, node, ANSWER_MAX, Exchanges::of_this_test())
    }

    /// A client of the node at that address that waits only so long; what it says is not kept.
    pub(crate) fn reaching(variables: BTreeMap<String, String>, node: Ipv4Addr, patience: Duration) -> Self {
        Self::with(variables, node, patience, Exchanges::unkept())
    }

    fn with(variables: BTreeMap<String, String>, node: Ipv4Addr, patience: Duration, exchanges: Exchanges) -> Self {
        // Only the first one in the process is taken; all are the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let authority = fs::read(&variables["STRONGROOM_CA_FILE"]).expect("the CA file is there");
        let client = Client::builder()
            .tls_certs_only(Certificate::from_pem_bundle(&authority).expect("the CA file holds certificates"))
            .dns_resolver(Loopback(node))
            .user_agent(USER_AGENT)
            .timeout(patience)
            .no_proxy()
            .build()
            .expect("a client");
        Self { runtime, client, variables, exchanges }
    }

    /// A variable of `client.env`.
    pub(crate) fn variable(&self, name: &str) -> &str {
        self.variables.get(name).unwrap_or_else(|| panic!("client.env has no {name}"))
    }

    pub(crate) fn is_healthy(&self) -> bool {
        let url = format!("{}/health", self.variable("STRONGROOM_MANAGEMENT_URL"));
        self.try_send(&Method::GET, &url, None, None).is_ok_and(|answer| answer.status == 200)
    }

    /// Whether a load balancer would send requests there.
    pub(crate) fn is_ready(&self) -> bool {
        let url = format!("{}/health/ready", self.variable("STRONGROOM_MANAGEMENT_URL"));
        self.try_send(&Method::GET, &url, None, None).is_ok_and(|answer| answer.status == 200)
    }

    /// One request; the connection must hold.
    pub(crate) fn send(&self, method: &Method, url: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        self.try_send(method, url, token, body).unwrap_or_else(|error| panic!("{method} {url}: {error:?}"))
    }

    /// One request; an error is one of the connection.
    pub(crate) fn try_send(
        &self,
        method: &Method,
        url: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.client.request(method.clone(), url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.finish(request)
    }

    /// Sends a form, as a browser or a token request does.
    pub(crate) fn post_form(&self, url: &str, fields: &[(String, String)]) -> Answer {
        let request = self.client.post(url).form(fields);
        self.finish(request).unwrap_or_else(|error| panic!("POST {url}: {error:?}"))
    }

    /// A request that is made by hand.
    pub(crate) fn request(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        self.client.request(method, url)
    }

    pub(crate) fn finish(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let request = request.build()?;
        let (method, url) = (request.method().clone(), request.url().to_string());
        let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default().to_vec();
        let answer = self.runtime.block_on(async {
            let response = self.client.execute(request).await?;
            let status = response.status().as_u16();
            let headers = response.headers().clone();
            Ok::<_, reqwest::Error>(Answer { status, headers, text: response.text().await? })
        })?;
        let content_type = answer.headers.get("content-type").and_then(|value| value.to_str().ok());
        self.exchanges.keep(&Exchange {
            method: method.as_str(),
            url: &url,
            user_agent: USER_AGENT,
            request: &body,
            status: answer.status,
            content_type: content_type.unwrap_or_default(),
            answer: answer.text.as_bytes(),
        });
        Ok(answer)
    }

    /// A token of the bootstrap principal for a resource.
    pub(crate) fn token(&self, resource: &str) -> String {
        let answer = self.token_answer(&[
            ("grant_type", "client_credentials"),
            ("client_id", self.variable("STRONGROOM_CLIENT_ID")),
            ("client_secret", self.variable("STRONGROOM_CLIENT_SECRET")),
            ("scope", &format!("{resource}/.default")),
        ]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// What the token endpoint of the tenant says.
    pub(crate) fn token_answer(&self, fields: &[(&str, &str)]) -> Answer {
        let authority = self.variable("STRONGROOM_AUTHORITY_URL");
        let url = format!("{authority}/{}/oauth2/v2.0/token", self.variable("STRONGROOM_TENANT_ID"));
        let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.post_form(&url, &fields)
    }

    /// A call of the management plane below the subscription; `path` begins after its id.
    pub(crate) fn arm(&self, method: &Method, path: &str, body: Option<&Value>) -> Answer {
        let management = self.variable("STRONGROOM_MANAGEMENT_URL");
        let token = self.token(management);
        let subscription = self.variable("STRONGROOM_SUBSCRIPTION_ID");
        let url = format!("{management}/subscriptions/{subscription}{path}");
        self.send(method, &url, Some(&token), body)
    }

    /// The body of a request that creates an HSM of this tenant, administered by the bootstrap principal.
    pub(crate) fn hsm_to_create(&self) -> Value {
        json!({
            "location": "local",
            "sku": {"family": "B", "name": "Standard_B1"},
            "properties": {
                "tenantId": self.variable("STRONGROOM_TENANT_ID"),
                "initialAdminObjectIds": [self.variable("STRONGROOM_PRINCIPAL_ID")],
                "softDeleteRetentionInDays": 7,
            },
        })
    }

    /// The path of an HSM in the bootstrap resource group, for [`Rest::arm`].
    pub(crate) fn hsm_path(&self, name: &str) -> String {
        let group = self.variable("STRONGROOM_RESOURCE_GROUP");
        format!("/resourceGroups/{group}/providers/Microsoft.KeyVault/managedHSMs/{name}?api-version={ARM_VERSION}")
    }

    /// The audience of data-plane tokens, which the challenge names.
    pub(crate) fn hsm_resource(&self) -> String {
        format!("https://{}", self.hsm_suffix())
    }

    /// The base URL of an HSM.
    pub(crate) fn hsm_url(&self, name: &str) -> String {
        format!("https://{name}.{}", self.hsm_suffix())
    }

    fn hsm_suffix(&self) -> &str {
        self.variable("STRONGROOM_MHSM_SUFFIX").trim_start_matches('.')
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The answer's JSON, if it has that status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts an error of the form both planes use.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.json()["error"]["code"], code, "{self:?}");
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.to_str().expect("headers are text")
    }
}

/// Finds every name at one address: these tests need no name service.
pub(crate) struct Loopback(pub(crate) Ipv4Addr);

impl Resolve for Loopback {
    fn resolve(&self, _: Name) -> Resolving {
        let address = SocketAddr::new(IpAddr::V4(self.0), 0);
        let addresses: Addrs = Box::new(std::iter::once(address));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// What the Azure CLI asks for.
pub(crate) const ARM_VERSION: &str = "2026-02-01";

/// Who we are, in audit logs and in the kept exchanges.
const USER_AGENT: &str = "strongroom-acceptance-tests";

const ANSWER_MAX: Duration = Duration::from_secs(30);
