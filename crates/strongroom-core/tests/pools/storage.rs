//! Storage accounts, and the tokens with which managed HSMs go there.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use strongroom_core::blobs::BlobCredential;
use strongroom_core::identity::record::PrincipalState;
use strongroom_core::managed_hsm::ManagedHsm;
use strongroom_core::pools::{
    Action, BlobAccess, Error, HsmSpecification, IdentityChange, IdentitySpecification, NameAvailability, Removed,
    ResourceScope, Result, StorageAccountId, StorageAccountSpecification, StorageAccountView, StorageCredentialError,
    StorageEndpoint, UserAssignedIdentity, Written,
};
use strongroom_types::PrincipalId;
use uuid::{Uuid, uuid};

use crate::deployment::Deployment;

const READER: Uuid = uuid!("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1");
const CONTRIBUTOR: Uuid = uuid!("ba92f5b4-2d11-453d-a403-e96b0029c9fe");
const CONTAINER: &str = "https://127.0.0.1:10000/acct1/backups";

/// A deployment whose configuration knows two blob stores.
async fn deployment() -> Deployment {
    let mut deployment = Deployment::new().await;
    let endpoint = |name: &str, url: &str| StorageEndpoint { name: name.parse().unwrap(), blob: url.parse().unwrap() };
    deployment.pools = deployment.pools.with_storage_endpoints(vec![
        endpoint("acct1", "https://127.0.0.1:10000/acct1"),
        endpoint("plain", "http://127.0.0.1:10000/plain"),
    ]);
    deployment
}

fn id(deployment: &Deployment, name: &str) -> StorageAccountId {
    let name = name.parse().unwrap();
    StorageAccountId { subscription: deployment.subscription.id, group: deployment.group("strongroom"), name }
}

fn located() -> StorageAccountSpecification {
    StorageAccountSpecification { location: Some("local".parse().unwrap()), ..StorageAccountSpecification::default() }
}

async fn put(
    deployment: &Deployment,
    name: &str,
    specification: StorageAccountSpecification,
) -> Result<Written<StorageAccountView>> {
    let (id, caller) = (id(deployment, name), deployment.administrator());
    let permit = deployment.permit(&caller, Action::StorageAccountWrite, &id.scope()).await?;
    deployment.pools.put_storage_account(&deployment.request(&caller), &permit, &id, specification).await
}

/// A user-assigned identity.
async fn identity(deployment: &Deployment, name: &str) -> UserAssignedIdentity {
    let (caller, subscription) = (deployment.administrator(), deployment.subscription.id);
    let (group, name) = (deployment.group("strongroom"), name.parse().unwrap());
    let scope = UserAssignedIdentity::scope_of(subscription, &group, &name);
    let permit = deployment.permit(&caller, Action::IdentityWrite, &scope).await.unwrap();
    let specification = IdentitySpecification { location: Some("local".parse().unwrap()), tags: None };
    let request = deployment.request(&caller);
    let made = deployment.pools.put_identity(&request, &permit, subscription, &group, &name, specification).await;
    made.unwrap().into_inner()
}

/// An HSM with these identities.
async fn hsm_with(deployment: &Deployment, identities: &[&UserAssignedIdentity]) -> ManagedHsm {
    let ids = identities.iter().map(|identity| identity.scope()).collect();
    let specification =
        HsmSpecification { identity: Some(IdentityChange::UserAssigned(ids)), ..deployment.specification() };
    deployment.create("hsm1", specification).await.unwrap().hsm
}

async fn assign(deployment: &Deployment, to: PrincipalId, role: Uuid, scope: &ResourceScope) {
    deployment.assign(&deployment.administrator(), to, role, scope).await.unwrap();
}

fn claims(credential: &BlobCredential) -> Value {
    let BlobCredential::Bearer(token) = credential else { panic!("{credential:?}") };
    let body = token.expose().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}

#[tokio::test]
async fn an_account_is_made_over_a_configured_blob_store_and_no_other() {
    let deployment = deployment().await;
    let refused = put(&deployment, "elsewhere", located()).await;
    assert!(matches!(refused, Err(Error::StorageAccountNotConfigured(name)) if name == "elsewhere"));
    assert!(matches!(
        put(&deployment, "acct1", StorageAccountSpecification::default()).await,
        Err(Error::LocationRequired)
    ));
    let Written::Created(made) = put(&deployment, "acct1", located()).await.unwrap() else { panic!() };
    assert_eq!((made.account.sku.as_str(), made.account.kind.as_str()), ("Standard_LRS", "StorageV2"));
    assert_eq!(made.blob.unwrap().as_str(), "https://127.0.0.1:10000/acct1");
    let premium = StorageAccountSpecification { sku: Some("Premium_LRS".to_owned()), ..located() };
    let Written::Updated(changed) = put(&deployment, "acct1", premium).await.unwrap() else { panic!() };
    assert_eq!(changed.account.sku, "Premium_LRS");
    let other_kind = StorageAccountSpecification { kind: Some("BlobStorage".to_owned()), ..located() };
    assert!(matches!(put(&deployment, "acct1", other_kind).await, Err(Error::BadProperty { property: "kind", .. })));
    let odd = StorageAccountSpecification { sku: Some("x/y".to_owned()), ..located() };
    assert!(matches!(put(&deployment, "acct1", odd).await, Err(Error::BadProperty { property: "sku.name", .. })));
}

#[tokio::test]
async fn names_are_checked_and_an_account_keeps_its_group() {
    let deployment = deployment().await;
    let caller = deployment.administrator();
    let permit = deployment.list_permit(&caller, Action::StorageNameCheck, &deployment.root()).await.unwrap();
    let check = async |name| {
        let subscription = deployment.subscription.id;
        deployment.pools.check_storage_account_name(&permit, subscription, name).await.unwrap()
    };
    assert_eq!(check("acct1").await, NameAvailability::Available);
    put(&deployment, "acct1", located()).await.unwrap();
    assert_eq!(check("acct1").await, NameAvailability::Taken);
    assert_eq!(check("No").await, NameAvailability::Invalid);

    let scope = ResourceScope::group(deployment.subscription.id, &deployment.group("strongroom"));
    let permit = deployment.permit(&caller, Action::GroupDelete, &scope).await.unwrap();
    let group = deployment.group("strongroom");
    let refused =
        deployment.pools.delete_group(&deployment.request(&caller), &permit, deployment.subscription.id, &group).await;
    assert!(matches!(refused, Err(Error::ResourceGroupNotEmpty(_))));
}

#[tokio::test]
async fn a_removed_account_takes_its_role_assignments_with_it() {
    let deployment = deployment().await;
    put(&deployment, "acct1", located()).await.unwrap();
    let backup = identity(&deployment, "backup").await;
    let hsm = hsm_with(&deployment, &[&backup]).await;
    let account = id(&deployment, "acct1");
    assign(&deployment, backup.principal, CONTRIBUTOR, &account.scope()).await;
    let caller = deployment.administrator();
    let permit = deployment.permit(&caller, Action::StorageAccountDelete, &account.scope()).await.unwrap();
    let delete =
        async || deployment.pools.delete_storage_account(&deployment.request(&caller), &permit, &account).await;
    assert_eq!(delete().await.unwrap(), Removed::Gone);
    let refused = deployment.pools.storage_credential(&hsm, CONTAINER, BlobAccess::Write).await;
    assert!(matches!(refused, Err(StorageCredentialError::NoAccount { .. })));
    // Whoever makes the account again does not find the old role on it.
    put(&deployment, "acct1", located()).await.unwrap();
    let refused = deployment.pools.storage_credential(&hsm, CONTAINER, BlobAccess::Write).await;
    assert!(matches!(refused, Err(StorageCredentialError::RoleMissing { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_token_is_issued_to_the_identity_that_holds_the_role() {
    let deployment = deployment().await;
    put(&deployment, "acct1", located()).await.unwrap();
    let (idle, backup) = (identity(&deployment, "idle").await, identity(&deployment, "backup").await);
    let hsm = hsm_with(&deployment, &[&idle, &backup]).await;
    let container = id(&deployment, "acct1").container_scope(&"backups".parse().unwrap());
    assign(&deployment, backup.principal, CONTRIBUTOR, &container).await;
    let credential = deployment.pools.storage_credential(&hsm, CONTAINER, BlobAccess::Write).await.unwrap();
    let claims = claims(&credential);
    assert_eq!(claims["oid"], backup.principal.to_string());
    assert_eq!(claims["aud"], "https://storage.azure.com");
    assert_eq!(claims["iss"], format!("https://sts.windows.net/{}/", deployment.foundation.tenant));
    assert!(!format!("{credential:?}").contains("ey"), "{credential:?}");
    // The role holds in that container only.
    let other =
        deployment.pools.storage_credential(&hsm, "https://127.0.0.1:10000/acct1/other", BlobAccess::Write).await;
    assert!(matches!(other, Err(StorageCredentialError::RoleMissing { .. })));
}

#[tokio::test]
async fn a_reader_reads_and_does_not_write() {
    let deployment = deployment().await;
    put(&deployment, "acct1", located()).await.unwrap();
    let backup = identity(&deployment, "backup").await;
    let hsm = hsm_with(&deployment, &[&backup]).await;
    let account = id(&deployment, "acct1").scope();
    assign(&deployment, backup.principal, READER, &account).await;
    deployment.pools.storage_credential(&hsm, CONTAINER, BlobAccess::Read).await.unwrap();
    let refused =
        deployment.pools.storage_credential(&hsm, CONTAINER, BlobAccess::Write).await.unwrap_err().to_string();
    let helps = format!(
        "az role assignment create --assignee-object-id {} --assignee-principal-type ServicePrincipal --role \
         \"Storage Blob Data Contributor\" --scope {account}",
        backup.principal
    );
    assert!(
        refused.contains("the managed identity backup does not have the role") && refused.contains(&helps),
        "{refused}"
    );
}

#[tokio::test]
async fn being_owner_of_the_account_gives_no_right_on_its_blobs() {
    let deployment = deployment().await;
    put(&deployment, "acct1", located()).await.unwrap();
    let backup = identity(&deployment, "backup").await;
    let hsm = hsm_with(&deployment, &[&backup]).await;
    assign(&deployment, backup.principal, strongroom_core::pools::OWNER, &id(&deployment, "acct1").scope()).await;
    let refused = deployment.pools.storage_credential(&hsm, CONTAINER, BlobAccess::Read).await;
    assert!(matches!(refused, Err(StorageCredentialError::RoleMissing { .. })));
}

#[tokio::test]
async fn a_disabled_identity_gets_no_token() {
    let deployment = deployment().await;
    put(&deployment, "acct1", located()).await.unwrap();
    let backup = identity(&deployment, "backup").await;
    let hsm = hsm_with(&deployment, &[&backup]).await;
    assign(&deployment, backup.principal, CONTRIBUTOR, &id(&deployment, "acct1").scope()).await;
    let request = deployment.request(&deployment.administrator());
    deployment.directory.set_state(&request, backup.principal, PrincipalState::Disabled).await.unwrap();
    let refused = deployment.pools.storage_credential(&hsm, CONTAINER, BlobAccess::Write).await.unwrap_err();
    assert!(refused.to_string().contains("all of them are disabled"), "{refused}");
}

#[tokio::test]
async fn a_token_goes_to_configured_accounts_over_tls_only() {
    let deployment = deployment().await;
    let backup = identity(&deployment, "backup").await;
    let hsm = hsm_with(&deployment, &[&backup]).await;
    let ask =
        async |address: &str| deployment.pools.storage_credential(&hsm, address, BlobAccess::Read).await.unwrap_err();
    // Configured, but no account was made over it.
    assert!(matches!(ask(CONTAINER).await, StorageCredentialError::NoAccount { .. }));
    put(&deployment, "acct1", located()).await.unwrap();
    put(&deployment, "plain", located()).await.unwrap();
    for elsewhere in ["https://127.0.0.1:10001/acct1/backups", "https://blob.example/backups"] {
        assert!(matches!(ask(elsewhere).await, StorageCredentialError::NoAccount { .. }), "{elsewhere}");
    }
    let plain = ask("http://127.0.0.1:10000/plain/backups").await;
    assert!(matches!(plain, StorageCredentialError::NotHttps { .. }));
    let signed = ask("https://127.0.0.1:10000/acct1/backups?sv=1&sig=SECRET").await;
    assert!(!signed.to_string().contains("SECRET"), "{signed}");
    assert!(matches!(ask("backups").await, StorageCredentialError::AddressNotValid { .. }));
    let bare = hsm_without_identity(&deployment).await;
    let refused = deployment.pools.storage_credential(&bare, CONTAINER, BlobAccess::Read).await.unwrap_err();
    assert!(refused.to_string().contains("az keyvault update-hsm --hsm-name bare --mi-user-assigned"), "{refused}");
}

async fn hsm_without_identity(deployment: &Deployment) -> ManagedHsm {
    deployment.create("bare", deployment.specification()).await.unwrap().hsm
}
