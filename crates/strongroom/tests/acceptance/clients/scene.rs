//! An activated HSM or a vault, the programs that use it, and what the server says that they did.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::language::{Language, Program};
use crate::attestation_authority::{Authority, Environment};
use crate::az::said;
use crate::deployment::Deployment;
use crate::directory::{Program as DirectoryProgram, trusted, workload_token};
use crate::environment;
use crate::hsm::Hsm;
use crate::identity_endpoint::machine_principal;
use crate::issuer::Conduct;
use crate::rest::Rest;

/// A deployment with one HSM or one vault, in which the principal of `client.env` may do everything.
pub(super) struct Scene {
    deployment: Deployment,
    url: String,
    scratch: TempDir,
    variables: BTreeMap<&'static str, String>,
    /// Its pages are read when a key is released, and when it vouches for a workload.
    authority: Authority,
    /// Where the HSM is backed up to; it goes with the scene.
    _backups: Option<TempDir>,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::with("", activated)
    }

    /// With a directory that the HSM may be backed up to. Clients take the first segment of an address's path for the
    /// container, and the rest for the folder in it: so that segment is allowed here, and a folder below it is used.
    pub(super) fn with_backups() -> Self {
        let folder = tempfile::Builder::new().prefix("strongroom-backups-").tempdir().expect("a temporary folder");
        let path = folder.path().canonicalize().expect("it is there");
        let container = path.components().take(2).collect::<PathBuf>();
        let mut scene = Self::with(&format!("[backup]\ndirectories = [{container:?}]\n"), activated);
        scene.variables.insert("BACKUP_CONTAINER", format!("file://{}", path.display()));
        scene._backups = Some(folder);
        scene
    }

    /// With a Premium vault under Azure RBAC instead of an HSM.
    pub(super) fn of_vault() -> Self {
        Self::with("", |rest| {
            let mut vault = rest.vault_to_create();
            vault["properties"]["sku"]["name"] = json!("premium");
            rest.arm(&Method::PUT, &rest.vault_path(VAULT), Some(&vault)).expect(200);
            rest.grant_keys_of_vault(VAULT);
            rest.vault_url(VAULT)
        })
    }

    /// `make` makes what is walked and returns its URL.
    fn with(configuration: &str, make: fn(&Rest) -> String) -> Self {
        let authority = Authority::start(Conduct::Proper);
        let mut claims = Environment::start().claims();
        claims["x-ms-attestation-type"] = json!("sevsnpvm");
        let variables = BTreeMap::from([
            ("ATTESTATION_AUTHORITY", authority.issuer.url.clone()),
            ("ATTESTATION_TOKEN", authority.issuer.token(&claims)),
        ]);
        let configuration = format!("{}\n{configuration}", trusted(&authority.issuer));
        let deployment = Deployment::start_recorded_with(&[authority.ca_file()], &configuration);
        let url = make(&deployment.rest());
        let scratch = tempfile::tempdir().expect("a temporary folder");
        Self { deployment, url, scratch, variables, authority, _backups: None }
    }

    /// Lets the identity that the metadata service hands out use keys as well.
    pub(super) fn admit_machine(&self) {
        let rest = self.deployment.rest();
        Hsm::existing(&rest, HSM).grant_key_roles_to(&machine_principal(&rest));
    }

    /// The same on a vault.
    pub(super) fn admit_machine_to_vault(&self) {
        let rest = self.deployment.rest();
        rest.grant_keys_of_vault_to(VAULT, &machine_principal(&rest));
    }

    /// Lets the metadata service's identity use keys without reading them, by a role made for it, and names the keys
    /// to the program.
    pub(super) fn admit_machine_without_reading(&mut self) {
        let rest = self.deployment.rest();
        let hsm = Hsm::existing(&rest, HSM);
        let put = |kind: &str, body: &Value| {
            let path = format!("/providers/Microsoft.Authorization/{kind}/{}", uuid::Uuid::new_v4());
            hsm.send(&Method::PUT, &path, Some(body)).expect(201)
        };
        let actions = ["encrypt", "decrypt", "sign", "verify", "wrap", "unwrap"];
        let actions = actions.map(|action| format!("Microsoft.KeyVault/managedHsm/keys/{action}/action"));
        let role = json!({"properties": {
            "roleName": "Blind user", "permissions": [{"dataActions": actions}], "assignableScopes": ["/"],
        }});
        let role = put("roleDefinitions", &role);
        let assignment = json!({"properties": {
            "roleDefinitionId": role["id"], "principalId": machine_principal(&rest),
        }});
        put("roleAssignments", &assignment);
        let ids = hsm.list("/keys").into_iter().filter_map(|key| key["kid"].as_str().map(str::to_owned));
        let ids = ids.filter_map(|id| Some(format!("{}={id}", id.rsplit('/').next()?)));
        self.variables.insert("KEY_IDS", ids.collect::<Vec<_>>().join(","));
    }

    /// Tells clients of the metadata service as App Service does, and lets its identity use keys.
    pub(super) fn offer_app_service_endpoint(&mut self) {
        self.admit_machine();
        let variables = self.deployment.variables();
        let header = fs::read_to_string(self.deployment.data().join("identity-header")).expect("the header is kept");
        self.variables.insert("IDENTITY_ENDPOINT", format!("{}/msi/token", variables["STRONGROOM_IMDS_URL"]));
        self.variables.insert("IDENTITY_HEADER", header.trim().to_owned());
    }

    /// Makes a program that logs in with the key of a certificate, and lets it use keys.
    pub(super) fn admit_certified_program(&mut self) {
        let (program, file) = DirectoryProgram::certified(&self.deployment, "certified", self.scratch.path());
        let rest = self.deployment.rest();
        Hsm::existing(&rest, HSM).grant_key_roles_to(&program.object_id);
        self.variables.insert("CERTIFICATE_CLIENT_ID", program.client_id);
        self.variables.insert("CERTIFICATE_FILE", file.display().to_string());
    }

    /// Makes a managed identity that is federated with an outside issuer, lets it use keys, and writes a token of that
    /// issuer to a file.
    pub(super) fn admit_workload(&mut self) {
        let rest = self.deployment.rest();
        let program = DirectoryProgram::federated(&rest, "workload", &self.authority.issuer.url);
        Hsm::existing(&rest, HSM).grant_key_roles_to(&program.object_id);
        let file = self.file("workload.jwt");
        fs::write(&file, workload_token(&self.authority.issuer)).expect("the token is written");
        self.variables.insert("WORKLOAD_CLIENT_ID", program.client_id);
        self.variables.insert("WORKLOAD_TOKEN_FILE", file.display().to_string());
    }

    /// Lets a program sign in as on a cluster: `client.env` without the secret, and the variables of the token file.
    #[track_caller]
    pub(super) fn walk_as_workload(&self, language: Language, credential: &str, chapters: &[&str]) {
        let mut command = Command::new("bash");
        command.args(["-c", SOURCE_WORKLOAD_THEN, "bash"]).arg(self.deployment.client_env());
        self.walk_started_by(command, language, credential, chapters);
    }

    /// Makes the key that the examples of the README sign with.
    pub(super) fn make_the_key_of_the_readme(&self) {
        let rest = self.deployment.rest();
        let body = json!({"kty": "EC-HSM", "crv": "P-256"});
        Hsm::existing(&rest, HSM).post("/keys/sign-ec/create", &body).expect(200);
    }

    /// Runs the example of the README, which must end well.
    #[track_caller]
    pub(super) fn run_readme(&mut self, language: Language) {
        self.variables.insert("HSM_URL", self.url.clone());
        self.run(self.with_client_env(), language, Program::Readme, &[]);
    }

    /// Lets a language's program walk some chapters, which must end well.
    #[track_caller]
    pub(super) fn walk(&self, language: Language, credential: &str, chapters: &[&str]) {
        self.walk_started_by(self.with_client_env(), language, credential, chapters);
    }

    /// The same, with a command of its own to start the program.
    #[track_caller]
    pub(super) fn walk_started_by(&self, start: Command, language: Language, credential: &str, chapters: &[&str]) {
        let arguments = [&[self.url.as_str(), credential], chapters].concat();
        let output = self.run(start, language, Program::Walk, &arguments);
        let passed = String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("ok ")).count();
        assert!(passed >= chapters.len(), "{language:?} {credential}: {}", said(&output));
        println!("{language:?}, {credential}: {passed} operations passed in {}", chapters.join(", "));
    }

    #[track_caller]
    fn run(&self, start: Command, language: Language, program: Program, arguments: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.env_clear().env("PATH", environment::path()).env("HOME", self.scratch.path()).env("LANG", "C.UTF-8");
        command.env("CLIENT_ENV", self.deployment.client_env()).env("SERVER_LOG", self.deployment.log_path());
        command.envs(&self.variables).arg(WALK_SECONDS_MAX).arg(start.get_program()).args(start.get_args());
        command.args(language.command(program, self.scratch.path(), &self.deployment.ca_file()));
        let output = command.args(arguments).output().expect("timeout is installed");
        assert!(output.status.success(), "{language:?} {program:?}: {}", said(&output));
        output
    }

    /// A shell that sources `client.env` and becomes the program that follows.
    fn with_client_env(&self) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", SOURCE_THEN, "bash"]).arg(self.deployment.client_env());
        command
    }

    /// A command that serves this deployment again, on its ports but for what `arguments` say.
    pub(super) fn serve(&self, arguments: &[&str]) -> Command {
        let mut serve = self.deployment.command("serve");
        serve.arg("--config").arg(self.deployment.data().with_file_name("strongroom.toml"));
        serve.args(["--listen", &format!("127.0.0.1:{}", self.deployment.ports().https)]).args(arguments);
        serve
    }

    /// A file of this scene.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub(super) fn stop(&mut self) {
        self.deployment.stop();
    }

    /// Stops the server and compares what it did for a language's packages with what they must have asked for.
    #[track_caller]
    pub(super) fn expect_operations(mut self, language: Language, expected: &[&str]) {
        self.deployment.stop();
        self.expect_operations_of_stopped(language, expected);
    }

    #[track_caller]
    pub(super) fn expect_operations_of_stopped(self, language: Language, expected: &[&str]) {
        let done = operations(&self.deployment.data().join("audit"), language.user_agent());
        let missing: Vec<_> = expected.iter().filter(|name| !done.contains(**name)).collect();
        assert!(missing.is_empty(), "the server never did {missing:?} for {language:?}, only {done:?}");
    }
}

/// Makes the HSM that most scenes are about.
fn activated(rest: &Rest) -> String {
    Hsm::activated(rest, HSM);
    rest.hsm_url(HSM)
}

/// Lets a language's program walk the keys of a vault. The server must have done what needs the private key or the vault,
/// and what this package does not do by itself with the public key.
#[track_caller]
pub(super) fn walk_vault(language: Language, left_to_service: &[&str]) {
    let scene = Scene::of_vault();
    scene.walk(language, "secret", CHAPTERS_OF_A_VAULT);
    let on_a_vault = WALKED.iter().copied().filter(|name| !ONLY_ON_AN_HSM.contains(name));
    let expected: Vec<_> = on_a_vault.chain(left_to_service.iter().copied()).collect();
    scene.expect_operations(language, &expected);
}

/// Lets a language's program walk the keys that a Premium vault takes besides, those whose types end in `-HSM`.
#[track_caller]
pub(super) fn walk_hsm_keys_of_vault(language: Language) {
    let mut scene = Scene::of_vault();
    scene.variables.insert("KEY_TYPES", "HSM".to_owned());
    scene.walk(language, "secret", CHAPTERS_OF_A_VAULT);
    let expected: Vec<_> = WALKED.iter().copied().filter(|name| !ONLY_ON_AN_HSM.contains(name)).collect();
    scene.expect_operations(language, &expected);
}

/// The operations that requests of a client completed, as the audit log names them.
fn operations(audit_log: &Path, user_agent: &str) -> BTreeSet<String> {
    let mut done = BTreeSet::new();
    for entry in fs::read_dir(audit_log).expect("the audit log is there") {
        let text = fs::read_to_string(entry.expect("readable").path()).expect("the audit log is text");
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is an object"));
        let completed = events.filter(|event| {
            let client = event["properties"]["clientInfo"].as_str();
            event["resultType"] == "Success" && client.is_some_and(|client| client.contains(user_agent))
        });
        done.extend(completed.filter_map(|event| event["operationName"].as_str().map(str::to_owned)));
    }
    done
}

/// The chapters of the walk that every program has.
pub(super) const EVERYTHING: &[&str] = &["keys", "random", "cryptography", "import", "rotation", "backup", "release"];

/// The operations of these chapters that no client can do by itself.
pub(super) const WALKED: &[&str] = &[
    "KeyBackup",
    "KeyCreate",
    "KeyDecrypt",
    "KeyDelete",
    "KeyEncrypt",
    "KeyGet",
    "KeyGetAttestation",
    "KeyGetDeleted",
    "KeyImport",
    "KeyList",
    "KeyListDeleted",
    "KeyListVersions",
    "KeyPurge",
    "KeyRecover",
    "KeyRelease",
    "KeyRestore",
    "KeyRotate",
    "KeyRotationPolicyGet",
    "KeyRotationPolicySet",
    "KeySign",
    "KeyUnwrap",
    "KeyUpdate",
    "RandomBytesGet",
];

/// The chapters whose operations a vault has.
const CHAPTERS_OF_A_VAULT: &[&str] = &["keys", "cryptography", "import", "rotation", "backup"];

/// What a vault cannot do; and encryption, for which a client needs the service with symmetric keys only.
const ONLY_ON_AN_HSM: &[&str] = &["KeyEncrypt", "KeyGetAttestation", "KeyRelease", "RandomBytesGet"];

/// What a client may do by itself with the public key, and some packages leave to the service.
pub(super) const REMOTE_CRYPTOGRAPHY: &[&str] = &["KeyVerify", "KeyWrap"];

/// The operations of the chapter `signature`.
pub(super) const SIGNATURE: &[&str] = &["KeyCreate", "KeySign"];

const HSM: &str = "walked-hsm";

const VAULT: &str = "walked-vault";

const SOURCE_WORKLOAD_THEN: &str = ". \"$1\" && shift && unset AZURE_CLIENT_SECRET && \
     export AZURE_CLIENT_ID=$WORKLOAD_CLIENT_ID AZURE_FEDERATED_TOKEN_FILE=$WORKLOAD_TOKEN_FILE && exec \"$@\"";

const SOURCE_THEN: &str = ". \"$1\" && shift && exec \"$@\"";

/// A program that takes longer hangs.
const WALK_SECONDS_MAX: &str = "240";
