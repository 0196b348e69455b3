//! Vaults under the unmodified CLI: their life, their keys, and who may use them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::az::Az;
use crate::deployment::Deployment;
use crate::hsm::Hsm;
use crate::rest::Rest;

/// Mixed case on purpose: one SDK remembers the challenge by host with case.
const VAULT: &str = "ContosoVault";

/// A running deployment and a CLI signed in as its administrator.
fn scene() -> (Deployment, Az) {
    let deployment = Deployment::start_recorded();
    let az = Az::signed_in(&deployment);
    (deployment, az)
}

/// `az keyvault create --name … arguments` in the bootstrap resource group.
fn create(az: &Az, deployment: &Deployment, name: &str, arguments: &[&str]) -> Value {
    let rest = deployment.rest();
    let group = rest.variable("STRONGROOM_RESOURCE_GROUP");
    let what = ["keyvault", "create", "--name", name, "--resource-group", group, "--location", "local"];
    az.ok(&[&what[..], &["--retention-days", "7"], arguments].concat())
}

/// Gives the administrator a role on a resource.
fn grant(az: &Az, deployment: &Deployment, role: &str, scope: &str) {
    let rest = deployment.rest();
    let principal = rest.variable("STRONGROOM_PRINCIPAL_ID");
    let who = ["--assignee-object-id", principal, "--assignee-principal-type", "ServicePrincipal"];
    az.ok(&[&["role", "assignment", "create", "--role", role, "--scope", scope], &who[..]].concat());
}

/// `az keyvault key VERB --vault-name … arguments`.
fn key(az: &Az, verb: &str, arguments: &[&str]) -> Value {
    az.ok(&[&["keyvault", "key", verb, "--vault-name", VAULT], arguments].concat())
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|it| it["name"].as_str().expect("a name")).collect()
}

#[test]
fn a_vault_is_created_shown_updated_deleted_recovered_and_purged() {
    let (mut deployment, az) = scene();
    let made = create(&az, &deployment, VAULT, &["--sku", "premium", "--tags", "team=blue"]);
    let properties = &made["properties"];
    assert_eq!(
        (&properties["sku"]["name"], &properties["provisioningState"]),
        (&json!("premium"), &json!("Succeeded"))
    );
    let uri = format!("https://contosovault{}/", deployment.rest().variable("STRONGROOM_KEYVAULT_SUFFIX"));
    assert_eq!((&properties["vaultUri"], &made["tags"]["team"]), (&json!(uri), &json!("blue")));
    let show = ["keyvault", "show", "--name", VAULT];
    assert_eq!(az.ok(&show)["id"], made["id"]);
    assert_eq!(names(&az.ok(&["keyvault", "list", "--resource-type", "vault"])), [VAULT]);
    az.ok(&["keyvault", "update", "--name", VAULT, "--enabled-for-deployment", "true"]);
    assert_eq!(az.ok(&show)["properties"]["enabledForDeployment"], true);

    az.ok(&["keyvault", "delete", "--name", VAULT]);
    az.refused(&show, "not found");
    let deleted = az.ok(&["keyvault", "list-deleted", "--resource-type", "vault"]);
    assert_eq!(names(&deleted), [VAULT]);
    assert_eq!(az.ok(&["keyvault", "show-deleted", "--name", VAULT])["properties"]["vaultId"], made["id"]);
    az.ok(&["keyvault", "recover", "--name", VAULT]);
    assert_eq!(az.ok(&show)["properties"]["sku"]["name"], "premium");
    az.ok(&["keyvault", "delete", "--name", VAULT]);
    az.ok(&["keyvault", "purge", "--name", VAULT]);
    assert!(names(&az.ok(&["keyvault", "list-deleted", "--resource-type", "vault"])).is_empty());
    create(&az, &deployment, VAULT, &[]);
    deployment.stop();
}

#[test]
fn access_policies_open_and_close_the_keys_of_a_vault() {
    let (mut deployment, az) = scene();
    let made = create(&az, &deployment, VAULT, &["--enable-rbac-authorization", "false"]);
    let rest = deployment.rest();
    let principal = rest.variable("STRONGROOM_PRINCIPAL_ID");
    // The CLI gives whoever creates a vault everything in it.
    let policies = made["properties"]["accessPolicies"].as_array().expect("policies");
    assert_eq!(policies.iter().map(|policy| &policy["objectId"]).collect::<Vec<_>>(), [principal]);
    key(&az, "create", &["--name", "orders", "--kty", "EC", "--curve", "P-256"]);

    az.ok(&["keyvault", "delete-policy", "--name", VAULT, "--object-id", principal]);
    az.refused(&["keyvault", "key", "show", "--vault-name", VAULT, "--name", "orders"], "ForbiddenByPolicy");
    az.ok(&["keyvault", "set-policy", "--name", VAULT, "--object-id", principal, "--key-permissions", "get", "sign"]);
    key(&az, "show", &["--name", "orders"]);
    let digest = STANDARD.encode([7; 32]);
    key(&az, "sign", &["--name", "orders", "--algorithm", "ES256", "--digest", &digest]);
    az.refused(&["keyvault", "key", "list", "--vault-name", VAULT], "ForbiddenByPolicy");
    deployment.stop();
}

#[test]
fn the_keys_of_a_vault_live_as_those_of_an_hsm_do() {
    let (mut deployment, az) = scene();
    let made = create(&az, &deployment, VAULT, &["--enable-rbac-authorization", "true"]);
    az.refused(&["keyvault", "key", "list", "--vault-name", VAULT], "ForbiddenByRbac");
    grant(&az, &deployment, "Key Vault Crypto Officer", made["id"].as_str().expect("an id"));

    let rsa = key(&az, "create", &["--name", "rsa", "--kty", "RSA", "--size", "2048", "--tags", "a=b"]);
    assert_eq!((&rsa["key"]["kty"], &rsa["attributes"]["hsmPlatform"]), (&json!("RSA"), &json!("0")));
    let hsm_type = ["keyvault", "key", "create", "--vault-name", VAULT, "--name", "no", "--kty", "RSA-HSM"];
    az.refused(&hsm_type, "BadParameter");
    let ec = key(&az, "create", &["--name", "ec", "--kty", "EC"]);
    let listed = key(&az, "list", &[]);
    assert_eq!(names(&listed), ["ec", "rsa"]);
    assert_eq!(key(&az, "show", &["--name", "ec"])["key"]["kid"], ec["key"]["kid"]);

    let digest = STANDARD.encode([9; 32]);
    let what = ["--name", "ec", "--algorithm", "ES256", "--digest", &digest];
    let signed = key(&az, "sign", &what);
    let signature = signed["signature"].as_str().expect("a signature");
    assert_eq!(key(&az, "verify", &[&what[..], &["--signature", signature]].concat())["isValid"], true);
    let rsa = ["--name", "rsa", "--algorithm", "RSA-OAEP-256", "--data-type", "plaintext"];
    let encrypted = key(&az, "encrypt", &[&rsa[..], &["--value", "the quick brown fox"]].concat());
    let value = encrypted["result"].as_str().expect("a ciphertext");
    assert_eq!(key(&az, "decrypt", &[&rsa[..], &["--value", value]].concat())["result"], "the quick brown fox");

    key(&az, "delete", &["--name", "ec"]);
    assert_eq!(names(&key(&az, "list-deleted", &[])), ["ec"]);
    key(&az, "recover", &["--name", "ec"]);
    assert_eq!(key(&az, "show", &["--name", "ec"])["key"]["kid"], ec["key"]["kid"]);
    key(&az, "delete", &["--name", "ec"]);
    key(&az, "purge", &["--name", "ec"]);
    az.refused(&["keyvault", "key", "show", "--vault-name", VAULT, "--name", "ec"], "KeyNotFound");
    deployment.stop();
}

#[test]
fn tokens_and_rights_of_one_container_are_none_in_another() {
    let mut deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    Hsm::activated(&rest, "some-hsm");
    for name in ["vault-one", "vault-two"] {
        rest.arm(&Method::PUT, &rest.vault_path(name), Some(&rest.vault_to_create())).expect(200);
    }
    let (of_hsm, of_vault) = (rest.token(&rest.hsm_resource()), rest.token(&rest.vault_resource()));
    let list = |url: &str, token: &str| rest.send(&Method::GET, &keys(url), Some(token), None);
    list(&rest.hsm_url("some-hsm"), &of_hsm).expect(200);
    assert_eq!(list(&rest.hsm_url("some-hsm"), &of_vault).status, 401);
    assert_eq!(list(&rest.vault_url("vault-one"), &of_hsm).status, 401);

    rest.grant_keys_of_vault("vault-one");
    let page = list(&rest.vault_url("vault-one"), &of_vault).expect(200);
    assert_eq!(page, json!({"value": [], "nextLink": null}));
    let refused = list(&rest.vault_url("vault-two"), &of_vault);
    refused.expect_error(403, "Forbidden");
    assert_eq!(refused.json()["error"]["innererror"]["code"], "ForbiddenByRbac");

    let random = format!("{}/rng?api-version=2025-07-01", rest.vault_url("vault-one"));
    let refused = rest.send(&Method::POST, &random, Some(&of_vault), Some(&json!({"count": 8})));
    refused.expect_error(404, "NotFound");
    deployment.stop();
}

#[test]
fn a_vault_challenges_for_its_own_audience_and_says_why() {
    let mut deployment = Deployment::start_recorded();
    let rest = deployment.rest();
    rest.arm(&Method::PUT, &rest.vault_path("vault-one"), Some(&rest.vault_to_create())).expect(200);
    let answer = rest.send(&Method::GET, &keys(&rest.vault_url("vault-one")), None, None);
    answer.expect_error(401, "Unauthorized");
    assert!(answer.json()["error"]["message"].as_str().is_some_and(|text| text.starts_with("AKV10000:")), "{answer:?}");
    let challenge = answer.header("www-authenticate");
    assert!(challenge.contains(&format!("resource=\"{}\"", rest.vault_resource())), "{challenge}");
    assert_eq!((answer.header("pragma"), answer.header("expires")), ("no-cache", "-1"));
    deployment.stop();
}

fn keys(url: &str) -> String {
    format!("{url}/keys?api-version=2025-07-01")
}

const CRYPTO_OFFICER: &str = "14b46e9e-c2b7-41b4-b07b-48a6ebf60603";

/// Vaults.
impl Rest {
    /// The body of a request that creates a Standard vault under Azure RBAC.
    pub(crate) fn vault_to_create(&self) -> Value {
        json!({
            "location": "local",
            "properties": {
                "tenantId": self.variable("STRONGROOM_TENANT_ID"),
                "sku": {"family": "A", "name": "standard"},
                "enableRbacAuthorization": true,
                "accessPolicies": [],
                "softDeleteRetentionInDays": 7,
            },
        })
    }

    /// Gives the bootstrap principal Key Vault Crypto Officer on a vault under Azure RBAC.
    pub(crate) fn grant_keys_of_vault(&self, name: &str) {
        self.grant_keys_of_vault_to(name, self.variable("STRONGROOM_PRINCIPAL_ID"));
    }

    /// Gives it to any principal.
    pub(crate) fn grant_keys_of_vault_to(&self, name: &str, principal: &str) {
        let role = format!("{}/providers/Microsoft.Authorization/roleDefinitions/{CRYPTO_OFFICER}", self.root());
        let properties = json!({"roleDefinitionId": role, "principalId": principal});
        let vault = self.vault_id(name);
        let path = format!("{vault}/providers/Microsoft.Authorization/roleAssignments/{}", uuid::Uuid::new_v4());
        let assignment = format!("{}?api-version=2022-04-01", path.trim_start_matches(&self.root()));
        self.arm(&Method::PUT, &assignment, Some(&json!({"properties": properties}))).expect(201);
    }

    /// The resource id of the subscription.
    pub(crate) fn root(&self) -> String {
        format!("/subscriptions/{}", self.variable("STRONGROOM_SUBSCRIPTION_ID"))
    }

    /// The resource id of a vault in the bootstrap resource group.
    pub(crate) fn vault_id(&self, name: &str) -> String {
        let group = self.variable("STRONGROOM_RESOURCE_GROUP");
        format!("{}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{name}", self.root())
    }

    /// The path of a vault, for [`Rest::arm`].
    pub(crate) fn vault_path(&self, name: &str) -> String {
        format!("{}?api-version={}", self.vault_id(name).trim_start_matches(&self.root()), crate::rest::ARM_VERSION)
    }

    /// The audience of tokens for vaults.
    pub(crate) fn vault_resource(&self) -> String {
        format!("https://{}", self.vault_suffix())
    }

    /// The base URL of a vault.
    pub(crate) fn vault_url(&self, name: &str) -> String {
        format!("https://{name}.{}", self.vault_suffix())
    }

    fn vault_suffix(&self) -> &str {
        self.variable("STRONGROOM_KEYVAULT_SUFFIX").trim_start_matches('.')
    }
}
