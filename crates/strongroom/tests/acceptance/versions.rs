//! Every operation under every api-version that has it, over plain HTTP: what no single client covers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::attestation_authority::{Authority, Environment};
use crate::deployment::Deployment;
use crate::environment::now;
use crate::hsm::Hsm;
use crate::issuer::Conduct;
use crate::rest::{Answer, Rest};
use crate::wrapping_keys::WrappingKeys;

/// Spellings of api-versions that clients send, oldest first.
const VERSIONS: [&str; 14] = [
    "7.0",
    "7.1",
    "7.2-preview",
    "7.2",
    "7.3",
    "7.4",
    "7.5-preview.1",
    "7.5",
    "7.6-preview.2",
    "7.6",
    "2025-06-01-preview",
    "2025-07-01",
    "2026-01-01-preview",
    "2026-04-01",
];

#[test]
fn every_operation_answers_under_every_api_version_that_has_it() {
    let attested = Attested { authority: Authority::start(Conduct::Proper), environment: Environment::start() };
    let configuration = format!(
        "[tls]\nextra_ca_files = [{:?}]\n[security_domain]\ndownload_again = \"administrator\"\n\
         [backup]\nearliest_end_seconds = 0\n",
        attested.authority.ca_file()
    );
    let mut deployment = Deployment::start_with(|_| configuration);
    let container = format!("file://{}/backups/versions", deployment.data().display());
    let rest = deployment.rest();
    let custodians = WrappingKeys::make(3);
    for (number, version) in VERSIONS.into_iter().enumerate() {
        let walk = Walk { rest: &rest, name: format!("walk-{number}"), version };
        let domain = walk.activate(&custodians);
        walk.keys();
        walk.deleted_keys();
        walk.key_operations();
        walk.rotation();
        walk.release(&attested);
        walk.secure_wrapping(&attested);
        walk.roles();
        walk.settings();
        walk.backup(&container);
        walk.security_domain(&custodians);
        let recovered = Walk { name: format!("recovered-{number}"), ..walk };
        recovered.recover(&custodians, &domain);
    }
    deployment.stop();
}

/// An environment that may be sent keys, and who says so.
struct Attested {
    authority: Authority,
    environment: Environment,
}

impl Attested {
    /// The `target` of a release.
    fn target(&self) -> String {
        self.authority.issuer.token(&self.environment.claims())
    }

    /// The `release_policy` of a key.
    fn policy(&self) -> Value {
        json!({"data": URL_SAFE_NO_PAD.encode(self.authority.policy().to_string())})
    }
}

/// One api-version, on an HSM of its own.
struct Walk<'a> {
    rest: &'a Rest,
    name: String,
    version: &'static str,
}

impl Walk<'_> {
    /// Asks under the walk's version. An operation that came later must be refused, and answers nothing.
    #[track_caller]
    fn ask(&self, since: &str, method: &Method, path: &str, body: Option<&Value>, status: u16) -> Option<Answer> {
        let glue = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{glue}api-version={}", self.rest.hsm_url(&self.name), self.version);
        let token = self.rest.token(&self.rest.hsm_resource());
        let answer = self.rest.send(method, &url, Some(&token), body);
        if !self.has(since) {
            assert_eq!(answer.status, 400, "{method} {path} came with {since}, this is {}: {answer:?}", self.version);
            return None;
        }
        assert_eq!(answer.status, status, "{method} {path} under {}: {answer:?}", self.version);
        Some(answer)
    }

    /// Whether the walk's version has what came with another one.
    fn has(&self, since: &str) -> bool {
        let place = |wanted: &str| VERSIONS.iter().position(|version| *version == wanted);
        place(self.version) >= place(since)
    }

    /// Makes an HSM that is ready for keys; answers with its security domain.
    fn activate(&self, custodians: &WrappingKeys) -> String {
        let hsm = Hsm::created(self.rest, &self.name);
        let body = json!({"certificates": custodians.jwks(), "required": 2});
        let downloaded = self.ask(LOCAL_RBAC, &Method::POST, "/securitydomain/download", Some(&body), 202);
        self.ask(LOCAL_RBAC, &Method::GET, "/securitydomain/download/pending", None, 200);
        let domain = match downloaded {
            Some(answer) => answer.json()["value"].as_str().expect("the security domain is text").to_owned(),
            None => hsm.activate(custodians),
        };
        hsm.grant_key_roles();
        domain
    }

    /// Brings a security domain into another HSM.
    fn recover(&self, custodians: &WrappingKeys, domain: &str) {
        Hsm::created(self.rest, &self.name);
        let Some(key) = self.ask(LOCAL_RBAC, &Method::GET, "/securitydomain/upload", None, 200) else { return };
        let upload = json!({"value": custodians.open(domain, &key.json())});
        self.ask(LOCAL_RBAC, &Method::POST, "/securitydomain/upload", Some(&upload), 202);
        let status = self.ask(LOCAL_RBAC, &Method::GET, "/securitydomain/upload/pending", None, 200);
        assert_eq!(status.expect("it has a status").json()["status"], "Success");
    }

    fn keys(&self) {
        let body = json!({"kty": "EC-HSM", "crv": "P-256", "tags": {"purpose": "walk"}});
        let created = self.ask(FIRST, &Method::POST, "/keys/walked/create", Some(&body), 200);
        let bundle = created.expect("keys are as old as versions").json();
        let kid = bundle["key"]["kid"].as_str().expect("a key has an identifier");
        let version = kid.rsplit('/').next().expect("it ends with the version");
        self.ask(FIRST, &Method::GET, "/keys/walked", None, 200);
        self.ask(FIRST, &Method::GET, &format!("/keys/walked/{version}"), None, 200);
        self.ask(FIRST, &Method::GET, "/keys?maxresults=1", None, 200);
        self.ask(FIRST, &Method::GET, "/keys/walked/versions", None, 200);
        self.ask(ATTESTATION, &Method::GET, "/keys/walked/attestation", None, 200);
        let body = json!({"key": {"kty": "oct-HSM", "k": "A".repeat(22)}});
        self.ask(FIRST, &Method::PUT, "/keys/imported", Some(&body), 200);
        let body = json!({"attributes": {"enabled": true}, "tags": {"purpose": "walked"}});
        self.ask(FIRST, &Method::PATCH, &format!("/keys/walked/{version}"), Some(&body), 200);
    }

    fn deleted_keys(&self) {
        let body = json!({"kty": "EC-HSM"});
        self.ask(FIRST, &Method::POST, "/keys/leaving/create", Some(&body), 200);
        let backup = self.ask(FIRST, &Method::POST, "/keys/leaving/backup", None, 200);
        self.ask(FIRST, &Method::DELETE, "/keys/leaving", None, 200);
        self.ask(FIRST, &Method::GET, "/deletedkeys", None, 200);
        self.ask(FIRST, &Method::GET, "/deletedkeys/leaving", None, 200);
        self.ask(FIRST, &Method::POST, "/deletedkeys/leaving/recover", None, 200);
        self.ask(FIRST, &Method::DELETE, "/keys/leaving", None, 200);
        self.ask(FIRST, &Method::DELETE, "/deletedkeys/leaving", None, 204);
        let backup = backup.expect("it is as old as versions").json();
        self.ask(FIRST, &Method::POST, "/keys/restore", Some(&backup), 200);
    }

    fn rotation(&self) {
        let body = json!({
            "lifetimeActions": [{"trigger": {"timeAfterCreate": "P30D"}, "action": {"type": "Rotate"}}],
            "attributes": {"expiryTime": "P90D"},
        });
        self.ask(ROTATION, &Method::PUT, "/keys/walked/rotationpolicy", Some(&body), 200);
        self.ask(ROTATION, &Method::GET, "/keys/walked/rotationpolicy", None, 200);
        self.ask(ROTATION, &Method::POST, "/keys/walked/rotate", None, 200);
    }

    fn key_operations(&self) {
        let value = |answer: Option<Answer>| answer.expect("it is as old as versions").json()["value"].clone();
        let digest = "A".repeat(43);
        let body = json!({"alg": "ES256", "value": digest});
        let signature = value(self.ask(FIRST, &Method::POST, "/keys/walked/sign", Some(&body), 200));
        let body = json!({"alg": "ES256", "digest": digest, "value": signature});
        assert_eq!(value(self.ask(FIRST, &Method::POST, "/keys/walked/verify", Some(&body), 200)), true);

        let body = json!({"kty": "oct-HSM", "key_size": 256});
        self.ask(FIRST, &Method::POST, "/keys/wrapping/create", Some(&body), 200);
        let body = json!({"alg": "A256KW", "value": digest});
        let wrapped = value(self.ask(FIRST, &Method::POST, "/keys/wrapping/wrapkey", Some(&body), 200));
        let body = json!({"alg": "A256KW", "value": wrapped});
        assert_eq!(value(self.ask(FIRST, &Method::POST, "/keys/wrapping/unwrapkey", Some(&body), 200)), digest);
        let body = json!({"alg": "A256GCM", "value": "AAEC"});
        let encrypted = self.ask(FIRST, &Method::POST, "/keys/wrapping/encrypt", Some(&body), 200);
        let mut body = encrypted.expect("it is as old as versions").json();
        body["alg"] = json!("A256GCM");
        assert_eq!(value(self.ask(FIRST, &Method::POST, "/keys/wrapping/decrypt", Some(&body), 200)), "AAEC");
        self.ask(RANDOM, &Method::POST, "/rng", Some(&json!({"count": 32})), 200);
    }

    fn release(&self, attested: &Attested) {
        let body = json!({"kty": "EC-HSM", "attributes": {"exportable": true}, "release_policy": attested.policy()});
        Hsm::existing(self.rest, &self.name).post("/keys/released/create", &body).expect(200);
        let body = json!({"target": attested.target()});
        self.ask(RELEASE, &Method::POST, "/keys/released/release", Some(&body), 200);
    }

    fn secure_wrapping(&self, attested: &Attested) {
        let operations = ["secureWrapKey", "secureUnwrapKey"];
        let body = json!({"kty": "oct-HSM", "key_ops": operations, "release_policy": attested.policy()});
        Hsm::existing(self.rest, &self.name).post("/keys/secure/create", &body).expect(200);
        let body = json!({"alg": "A256KW"});
        let wrapped = self.ask(SECURE_WRAPPING, &Method::POST, "/keys/secure/securewrapkey", Some(&body), 200);
        let value = wrapped.map_or(json!("AAAA"), |answer| answer.json()["value"].clone());
        let body = json!({"alg": "A256KW", "value": value, "target": attested.target()});
        self.ask(SECURE_WRAPPING, &Method::POST, "/keys/secure/secureunwrapkey", Some(&body), 200);
    }

    fn roles(&self) {
        let ask = |method: Method, path: &str, body: Option<&Value>, status| {
            let path = format!("/providers/Microsoft.Authorization/{path}");
            self.ask(LOCAL_RBAC, &method, &path, body, status)
        };
        let Some(definitions) = ask(Method::GET, "roleDefinitions", None, 200) else { return };
        let definition = definitions.json()["value"][0].clone();
        let name = definition["name"].as_str().expect("a definition has a name");
        ask(Method::GET, &format!("roleDefinitions/{name}"), None, 200);
        ask(Method::GET, "roleAssignments", None, 200);
        let assignment = format!("roleAssignments/{}", uuid::Uuid::new_v4());
        let principal = uuid::Uuid::new_v4().to_string();
        let body = json!({"properties": {"principalId": principal, "roleDefinitionId": definition["id"]}});
        ask(Method::PUT, &assignment, Some(&body), 201);
        ask(Method::GET, &assignment, None, 200);
        ask(Method::DELETE, &assignment, None, 200);
        let of_a_key = format!("/keys/walked/providers/Microsoft.Authorization/{assignment}");
        self.ask(LOCAL_RBAC, &Method::PUT, &of_a_key, Some(&body), 201);
        let definition = format!("roleDefinitions/{}", uuid::Uuid::new_v4());
        let permission = json!({"dataActions": ["Microsoft.KeyVault/managedHsm/keys/read/action"]});
        let body =
            json!({"properties": {"roleName": "walker", "permissions": [permission], "assignableScopes": ["/"]}});
        ask(Method::PUT, &definition, Some(&body), 201);
        ask(Method::DELETE, &definition, None, 200);
    }

    fn security_domain(&self, custodians: &WrappingKeys) {
        self.ask(LOCAL_RBAC, &Method::GET, "/securitydomain", None, 200);
        let body = json!({"certificates": custodians.jwks(), "required": 2});
        let rotated = self.ask(LOCAL_RBAC, &Method::POST, "/securitydomain/rotate", Some(&body), 202);
        let Some(rotated) = rotated else { return };
        let status = self.rest.send(&Method::GET, rotated.header("azure-asyncoperation"), None, None).expect(200);
        assert_eq!(status["status"], "Success", "{status}");
    }

    fn settings(&self) {
        self.ask(SETTINGS, &Method::GET, "/settings", None, 200);
        let path = "/settings/AllowKeyManagementOperationsThroughARM";
        self.ask(SETTINGS, &Method::GET, path, None, 200);
        self.ask(SETTINGS, &Method::PATCH, path, Some(&json!({"value": "true"})), 200);
    }
}

impl Walk<'_> {
    /// A backup, the restore of one key and of all, and the checks before them.
    fn backup(&self, container: &str) {
        let target = json!({"storageResourceUri": container});
        let folder = self.job(BACKUP, &Method::POST, "/backup", &target);
        let folder = folder.as_deref().unwrap_or("none");
        let whole = json!({"sasTokenParameters": target, "folderToRestore": folder});
        let of_a_key = json!({"sasTokenParameters": target, "folder": folder});
        self.job(BACKUP_CHECKS, &Method::POST, "/prebackup", &target);
        self.job(BACKUP_CHECKS, &Method::PUT, "/prerestore", &whole);
        self.job(BACKUP, &Method::PUT, "/keys/walked/restore", &of_a_key);
        self.job(BACKUP, &Method::PUT, "/restore", &whole);
    }

    /// Starts a job and waits for its end; answers the folder that a backup wrote.
    #[track_caller]
    fn job(&self, since: &str, method: &Method, path: &str, body: &Value) -> Option<String> {
        let kind = if path.ends_with("backup") { "backup" } else { "restore" };
        let Some(started) = self.ask(since, method, path, Some(body), 202) else {
            let nothing = "0".repeat(32);
            self.ask(BACKUP, &Method::GET, &format!("/{kind}/{nothing}/pending"), None, 404);
            return None;
        };
        let started = started.json();
        let status = format!("/{kind}/{}/pending", started["jobId"].as_str().expect("a job has an id"));
        let give_up = now() + Duration::from_secs(60);
        loop {
            let polled = self.ask(BACKUP, &Method::GET, &status, None, 200).expect("it is as old as jobs").json();
            if polled["status"] == "Succeeded" {
                let uri = polled["azureStorageBlobContainerUri"].as_str()?;
                return uri.rsplit('/').next().map(str::to_owned);
            }
            assert_eq!(polled["status"], "InProgress", "{path} under {}: {polled}", self.version);
            assert!(now() < give_up, "{path} does not end: {polled}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

const FIRST: &str = "7.0";
const BACKUP: &str = "7.2-preview";
const BACKUP_CHECKS: &str = "7.6-preview.2";
const LOCAL_RBAC: &str = "7.2-preview";
const RANDOM: &str = "7.3";
const ROTATION: &str = "7.3";
const SETTINGS: &str = "7.4";
const RELEASE: &str = "7.3";
const SECURE_WRAPPING: &str = "2026-01-01-preview";
const ATTESTATION: &str = "7.6-preview.2";
