//! An activated HSM, made over the wire, for tests that are about something else.

use reqwest::Method;
use serde_json::{Value, json};

use crate::environment::now;
use crate::rest::{Answer, Rest};
use crate::wrapping_keys::WrappingKeys;

/// The data plane of one HSM with a token for it.
pub(crate) struct Hsm<'a> {
    rest: &'a Rest,
    url: String,
    token: String,
}

impl<'a> Hsm<'a> {
    /// Creates an HSM, activates it with three wrapping keys and a quorum of two, and lets its administrator use keys.
    pub(crate) fn activated(rest: &'a Rest, name: &str) -> Self {
        let hsm = Self::created(rest, name);
        hsm.activate(&WrappingKeys::make(3));
        hsm.grant_key_roles();
        hsm
    }

    /// Gives the bootstrap principal Crypto User and Crypto Officer: an administrator holds no right on keys.
    pub(crate) fn grant_key_roles(&self) {
        self.grant_key_roles_to(self.rest.variable("STRONGROOM_PRINCIPAL_ID"));
    }

    /// Gives any principal Crypto User and Crypto Officer.
    pub(crate) fn grant_key_roles_to(&self, principal: &str) {
        for role in [CRYPTO_USER, CRYPTO_OFFICER] {
            let path = format!("/providers/Microsoft.Authorization/roleAssignments/{}", uuid::Uuid::new_v4());
            let definition = format!("Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/{role}");
            let body = json!({"properties": {"principalId": principal, "roleDefinitionId": definition}});
            self.send(&Method::PUT, &path, Some(&body)).expect(201);
        }
    }

    /// Creates an HSM that waits for its activation.
    pub(crate) fn created(rest: &'a Rest, name: &str) -> Self {
        create(rest, name, &rest.hsm_to_create());
        Self::existing(rest, name)
    }

    /// An HSM that is there, used by the bootstrap principal.
    pub(crate) fn existing(rest: &'a Rest, name: &str) -> Self {
        Self::with_token(rest, name, rest.token(&rest.hsm_resource()))
    }

    /// An HSM that is there, used with any token.
    pub(crate) fn with_token(rest: &'a Rest, name: &str, token: String) -> Self {
        Self { rest, url: rest.hsm_url(name), token }
    }

    /// Downloads the security domain with a quorum of two and waits until the HSM is active.
    pub(crate) fn activate(&self, keys: &WrappingKeys) -> String {
        let answer = self.download(&keys.jwks(), 2);
        let file = answer.expect(202)["value"].as_str().expect("the security domain is text").to_owned();
        let status_url = answer.header("azure-asyncoperation").to_owned();
        let give_up = now() + std::time::Duration::from_secs(20);
        loop {
            let status = self.rest.send(&Method::GET, &status_url, Some(&self.token), None).expect(200);
            if status["status"] == "Success" {
                return file;
            }
            assert_eq!(status["status"], "InProgress", "{status}");
            assert!(now() < give_up, "the HSM is not active: {status}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    pub(crate) fn download(&self, certificates: &[Value], required: u32) -> Answer {
        self.post("/securitydomain/download", &json!({"certificates": certificates, "required": required}))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&Method::GET, path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(&Method::POST, path, Some(body))
    }

    /// A call that only the newest api-version has.
    pub(crate) fn post_newest(&self, path: &str, body: &Value) -> Answer {
        let url = format!("{}{path}?api-version=2026-04-01", self.url);
        self.rest.send(&Method::POST, &url, Some(&self.token), Some(body))
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(&Method::PATCH, path, Some(body))
    }

    pub(crate) fn send(&self, method: &Method, path: &str, body: Option<&Value>) -> Answer {
        self.try_send(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// One request; an error is one of the connection.
    pub(crate) fn try_send(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer, reqwest::Error> {
        self.rest.try_send(method, &self.address(path), Some(&self.token), body)
    }

    /// The whole URL of a path, with the api-version the newest stable SDK asks for.
    pub(crate) fn address(&self, path: &str) -> String {
        let glue = if path.contains('?') { '&' } else { '?' };
        format!("{}{path}{glue}api-version=2025-07-01", self.url)
    }

    /// The last status of a backup or restore, once it has ended: well or not.
    pub(crate) fn job_ended(&self, kind: &str, job: &str) -> Value {
        let give_up = now() + std::time::Duration::from_secs(120);
        loop {
            let status = self.get(&format!("/{kind}/{job}/pending")).expect(200);
            if status["status"] != "InProgress" {
                return status;
            }
            assert!(now() < give_up, "the job does not end: {status}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// All items of a list, page after page.
    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        let mut url = self.address(path);
        let mut items = Vec::new();
        loop {
            let page = self.rest.send(&Method::GET, &url, Some(&self.token), None).expect(200);
            items.extend(page["value"].as_array().expect("a page has values").clone());
            match page["nextLink"].as_str() {
                Some(next) if !next.is_empty() => url = next.to_owned(),
                _ => return items,
            }
        }
    }
}

/// Creates an HSM with the given body and waits until it is provisioned.
pub(crate) fn create(rest: &Rest, name: &str, body: &Value) {
    let path = rest.hsm_path(name);
    let answer = rest.arm(&Method::PUT, &path, Some(body));
    assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    let give_up = now() + std::time::Duration::from_secs(30);
    loop {
        let resource = rest.arm(&Method::GET, &path, None).expect(200);
        let state = resource["properties"]["provisioningState"].clone();
        if state == "Succeeded" {
            return;
        }
        assert!(state == "Provisioning" && now() < give_up, "{resource}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

const CRYPTO_USER: &str = "21dbd100-6940-42c2-9190-5d6cb909625b";
const CRYPTO_OFFICER: &str = "515eb02d-2335-4d2d-92f2-b1cbdf9c3778";
