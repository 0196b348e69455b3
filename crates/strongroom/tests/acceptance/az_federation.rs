//! Workload identity with the Azure CLI: federated credentials of applications and of managed identities, and logins by
//! the token of an outside issuer.

use serde_json::{Value, json};

use crate::az::Az;
use crate::deployment::Deployment;
use crate::directory::{EXCHANGE, Program, SUBJECT, trusted, workload_token};
use crate::issuer::Issuer;

/// A deployment that trusts an issuer, and a CLI signed in as its administrator.
struct Scene {
    deployment: Deployment,
    az: Az,
    issuer: Issuer,
    _files: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let (issuer, files) = (Issuer::start(), tempfile::tempdir().expect("a temporary folder"));
        let ca = files.path().join("ca.pem");
        std::fs::write(&ca, &issuer.authority).expect("written");
        let configuration = format!("[tls]\nextra_ca_files = [{ca:?}]\n\n{}", trusted(&issuer));
        let deployment = Deployment::start_with(|_| configuration);
        Self { az: Az::signed_in(&deployment), deployment, issuer, _files: files }
    }

    fn login<'a>(&self, client: &'a str, token: &'a str) -> Vec<String> {
        let tenant = self.deployment.variables()["STRONGROOM_TENANT_ID"].clone();
        let words = [
            "login",
            "--service-principal",
            "--username",
            client,
            "--federated-token",
            token,
            "--allow-no-subscriptions",
            "--tenant",
            &tenant,
        ];
        words.map(str::to_owned).to_vec()
    }

    #[track_caller]
    fn log_in(&self, client: &str) {
        let words = self.login(client, &workload_token(&self.issuer));
        self.az.ok(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[track_caller]
    fn is_refused(&self, client: &str, reason: &str) {
        let words = self.login(client, &workload_token(&self.issuer));
        // Another home: where a login went well, the CLI keeps its token.
        Az::set_up(&self.deployment).refused(&words.iter().map(String::as_str).collect::<Vec<_>>(), reason);
    }
}

#[test]
fn a_managed_identity_is_federated_shown_changed_and_freed() {
    let mut scene = Scene::new();
    let az = &scene.az;
    let group = scene.deployment.variables()["STRONGROOM_RESOURCE_GROUP"].clone();
    let identity =
        az.ok(&["identity", "create", "--name", "signer", "--resource-group", &group, "--location", "local"]);
    let client = identity["clientId"].as_str().expect("text");
    let place = ["--identity-name", "signer", "--resource-group", &group];
    let command = |words: &[&str], more: &[&str]| {
        let all = ["identity", "federated-credential"];
        az.ok(&[&all[..], words, &place, more].concat())
    };
    scene.is_refused(client, "AADSTS70021");
    let parts = ["--issuer", &scene.issuer.url, "--subject", SUBJECT, "--audiences", EXCHANGE];
    let made = command(&["create", "--name", "cluster"], &parts);
    assert_eq!((&made["subject"], &made["audiences"]), (&json!(SUBJECT), &json!([EXCHANGE])), "{made}");
    assert_eq!(command(&["show", "--name", "cluster"], &[])["issuer"], scene.issuer.url.as_str());
    assert_eq!(command(&["list"], &[]).as_array().map(Vec::len), Some(1));
    scene.log_in(client);
    assert_eq!(az.ok(&["account", "show"])["user"]["name"], client);

    az.script("strongroom_az_login");
    let other =
        ["--issuer", &scene.issuer.url, "--subject", "system:serviceaccount:bank:other", "--audiences", EXCHANGE];
    assert_eq!(command(&["update", "--name", "cluster"], &other)["subject"], "system:serviceaccount:bank:other");
    scene.is_refused(client, "AADSTS70021");
    command(&["update", "--name", "cluster"], &parts);
    scene.log_in(client);
    az.script("strongroom_az_login");
    command(&["delete", "--yes", "--name", "cluster"], &[]);
    assert_eq!(command(&["list"], &[]), json!([]));
    scene.is_refused(client, "AADSTS70021");
    scene.deployment.stop();
}

#[test]
fn an_application_is_federated_shown_changed_and_freed() {
    let mut scene = Scene::new();
    let az = &scene.az;
    let program = Program::add(&scene.deployment, "payments");
    let command = |words: &[&str]| {
        let all = ["ad", "app", "federated-credential"];
        az.ok(&[&all[..], words, &["--id", &program.client_id]].concat())
    };
    let parameters = |subject: &str| -> Value {
        json!({"name": "cluster", "issuer": scene.issuer.url, "subject": subject, "audiences": [EXCHANGE]})
    };
    let made = command(&["create", "--parameters", &parameters(SUBJECT).to_string()]);
    assert_eq!(command(&["show", "--federated-credential-id", "cluster"])["id"], made["id"]);
    assert_eq!(command(&["list"]).as_array().map(Vec::len), Some(1));
    scene.log_in(&program.client_id);
    az.script("strongroom_az_login");
    let other = parameters("system:serviceaccount:bank:other").to_string();
    command(&["update", "--federated-credential-id", "cluster", "--parameters", &other]);
    scene.is_refused(&program.client_id, "AADSTS70021");
    command(&["delete", "--federated-credential-id", "cluster"]);
    assert_eq!(command(&["list"]), json!([]));
    scene.deployment.stop();
}
