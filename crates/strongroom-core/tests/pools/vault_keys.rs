//! The keys of vaults: who may use them, under both models, and what a purge leaves.

use strongroom_core::Error;
use strongroom_core::container::KeyContainer;
use strongroom_core::keys::{CreateKey, KeyAttributes, KeyReference, PageRequest, ReleaseTerms, Tags};
use strongroom_core::pools::{ResourceScope, VaultSpecification};
use strongroom_core::rbac::RoleDefinitionId;
use strongroom_core::request::Caller;
use strongroom_core::vault::{AccessPolicy, AuthorizationModel, VaultSku};
use strongroom_crypto::KeySpecification;
use strongroom_store::{Kv, MemoryStore};
use strongroom_testkit::{custodians, draw_uuid};
use strongroom_types::{Algorithm, CurveName, KeyPermission, Protection, Scope, SymmetricSize};
use uuid::{Uuid, uuid};

use crate::deployment::Deployment;
use crate::vaults::policy;

const CRYPTO_OFFICER: Uuid = uuid!("14b46e9e-c2b7-41b4-b07b-48a6ebf60603");
const CRYPTO_USER: Uuid = uuid!("12338af0-0e69-4776-bea7-57ae8d297424");
/// Managed HSM Crypto User and Crypto Officer.
const HSM_CRYPTO_ROLES: [Uuid; 2] =
    [uuid!("21dbd100-6940-42c2-9190-5d6cb909625b"), uuid!("515eb02d-2335-4d2d-92f2-b1cbdf9c3778")];
const DIGEST: [u8; 32] = [7; 32];

fn ec() -> CreateKey {
    CreateKey {
        specification: KeySpecification::Ec(CurveName::P256),
        protection: Protection::Software,
        operations: None,
        attributes: KeyAttributes::default(),
        tags: Tags::default(),
        release: ReleaseTerms::default(),
    }
}

async fn vault<'a>(deployment: &'a Deployment, name: &str) -> KeyContainer<'a> {
    deployment.test.core.vault(&name.parse().unwrap()).await.unwrap()
}

/// Makes a P-256 key.
async fn key(deployment: &Deployment, by: &Caller, name: &str) -> Result<KeyReference, Error> {
    let vault = vault(deployment, "vault-1").await;
    let made = vault.create_key(&deployment.request(by), &name.parse().unwrap(), ec()).await?;
    Ok(KeyReference { name: made.name, version: Some(made.version) })
}

async fn sign(deployment: &Deployment, by: &Caller, key: &KeyReference) -> Result<(), Error> {
    let vault = vault(deployment, "vault-1").await;
    vault.sign(&deployment.request(by), key, Algorithm::Es256, DIGEST.to_vec()).await.map(|_| ())
}

/// A deployment with a vault under Azure RBAC, and a crypto officer of it.
async fn under_rbac() -> (Deployment, Caller) {
    let deployment = Deployment::new().await;
    deployment.create_vault("vault-1", deployment.vault_specification()).await.unwrap();
    let officer = deployment.somebody();
    grant(&deployment, &officer, CRYPTO_OFFICER, &deployment.vault_id("vault-1").scope()).await;
    (deployment, officer)
}

async fn grant(deployment: &Deployment, to: &Caller, role: Uuid, scope: &ResourceScope) {
    deployment.assign(&deployment.administrator(), to.principal, role, scope).await.unwrap();
}

#[tokio::test]
async fn roles_decide_at_the_vault_above_it_and_at_single_keys() {
    let (deployment, officer) = under_rbac().await;
    let (one, two) =
        (key(&deployment, &officer, "one").await.unwrap(), key(&deployment, &officer, "two").await.unwrap());
    let owner = deployment.administrator();
    assert!(
        matches!(sign(&deployment, &owner, &one).await, Err(Error::ForbiddenByRbac { .. })),
        "Owner is no data role"
    );

    let scope = deployment.vault_id("vault-1").scope();
    let of_one = deployment.somebody();
    grant(&deployment, &of_one, CRYPTO_USER, &scope.child("keys", "ONE")).await;
    sign(&deployment, &of_one, &one).await.unwrap();
    let refused = sign(&deployment, &of_one, &two).await;
    let expected = format!("{scope}/keys/two");
    assert!(
        matches!(&refused, Err(Error::ForbiddenByRbac { action: "Microsoft.KeyVault/vaults/keys/sign/action", resource, .. })
            if *resource == expected),
        "{refused:?}"
    );

    let everywhere = deployment.somebody();
    grant(&deployment, &everywhere, CRYPTO_USER, &deployment.root()).await;
    sign(&deployment, &everywhere, &two).await.unwrap();
    let refused = key(&deployment, &everywhere, "three").await;
    assert!(matches!(refused, Err(Error::ForbiddenByRbac { .. })), "a crypto user makes no keys");
}

#[tokio::test]
async fn a_role_on_one_vault_is_none_on_another() {
    let (deployment, officer) = under_rbac().await;
    deployment.create_vault("vault-2", deployment.vault_specification()).await.unwrap();
    let other = vault(&deployment, "vault-2").await;
    let refused = other.create_key(&deployment.request(&officer), &"k".parse().unwrap(), ec()).await;
    assert!(matches!(refused, Err(Error::ForbiddenByRbac { .. })));
}

#[tokio::test]
async fn a_role_that_was_taken_away_is_gone_at_once() {
    let (deployment, officer) = under_rbac().await;
    let made = key(&deployment, &officer, "k").await.unwrap();
    let user = deployment.somebody();
    let scope = deployment.vault_id("vault-1").scope();
    let owner = deployment.administrator();
    let assignment = deployment.assign(&owner, user.principal, CRYPTO_USER, &scope).await.unwrap();
    sign(&deployment, &user, &made).await.unwrap();
    let action = strongroom_core::pools::Action::RoleAssignmentDelete;
    let permit = deployment.permit(&owner, action, &scope).await.unwrap();
    deployment.pools.remove_role_assignment(&deployment.request(&owner), &permit, assignment.name).await.unwrap();
    assert!(matches!(sign(&deployment, &user, &made).await, Err(Error::ForbiddenByRbac { .. })));
}

#[tokio::test]
async fn access_policies_decide_by_permission_and_program() {
    use KeyPermission::{Create, Get, Sign};
    let deployment = Deployment::new().await;
    let (maker, signer) = (deployment.somebody(), deployment.somebody());
    let mut through = deployment.somebody();
    let program = "11111111-1111-4111-8111-111111111111".to_owned();
    let bound = AccessPolicy { application: Some(program.clone()), ..policy(&deployment, through.principal, &[Sign]) };
    let policies = vec![
        policy(&deployment, maker.principal, &[Create]),
        policy(&deployment, signer.principal, &[Get, Sign]),
        bound,
    ];
    let specification = VaultSpecification {
        model: Some(AuthorizationModel::AccessPolicies),
        policies: Some(policies),
        ..deployment.vault_specification()
    };
    deployment.create_vault("vault-1", specification).await.unwrap();
    let made = key(&deployment, &maker, "k").await.unwrap();
    let refused = sign(&deployment, &maker, &made).await;
    assert!(matches!(refused, Err(Error::ForbiddenByPolicy { permission: Sign, .. })), "{refused:?}");
    sign(&deployment, &signer, &made).await.unwrap();

    let found = vault(&deployment, "vault-1").await;
    let page = || PageRequest::new(None, None, found.limits()).unwrap();
    found.key(&deployment.request(&signer), &made).await.unwrap();
    let refused = found.keys(&deployment.request(&signer), page()).await;
    assert!(matches!(refused, Err(Error::ForbiddenByPolicy { permission: KeyPermission::List, .. })));
    let refused = found.key_versions(&deployment.request(&signer), &made.name, page()).await;
    assert!(matches!(refused, Err(Error::ForbiddenByPolicy { permission: KeyPermission::List, .. })));

    assert!(sign(&deployment, &through, &made).await.is_err(), "without the program");
    through.application = Some(program.to_uppercase());
    sign(&deployment, &through, &made).await.unwrap();
}

#[tokio::test]
async fn roles_mean_nothing_under_access_policies_and_the_other_way_round() {
    let (deployment, officer) = under_rbac().await;
    let made = key(&deployment, &officer, "k").await.unwrap();
    let signer = deployment.somebody();
    let change = |model, policies| VaultSpecification { model: Some(model), policies, ..VaultSpecification::default() };
    let policies = vec![policy(&deployment, signer.principal, &[KeyPermission::All])];
    let owner = deployment.administrator();
    let to_policies = change(AuthorizationModel::AccessPolicies, Some(policies));
    deployment.update_vault(&owner, "vault-1", to_policies).await.unwrap();
    sign(&deployment, &signer, &made).await.unwrap();
    assert!(matches!(sign(&deployment, &officer, &made).await, Err(Error::ForbiddenByPolicy { .. })));
    let back = change(AuthorizationModel::AzureRbac, None);
    let view = deployment.update_vault(&owner, "vault-1", back).await.unwrap();
    assert_eq!(view.access.policies.len(), 1, "policies are kept");
    sign(&deployment, &officer, &made).await.unwrap();
    assert!(matches!(sign(&deployment, &signer, &made).await, Err(Error::ForbiddenByRbac { .. })));
}

#[tokio::test]
async fn a_caller_of_another_tenant_is_as_good_as_none() {
    let (deployment, officer) = under_rbac().await;
    let made = key(&deployment, &officer, "k").await.unwrap();
    let tenant = strongroom_types::TenantId::from_uuid(draw_uuid().unwrap());
    let foreigner = Caller { tenant, ..officer };
    assert!(matches!(sign(&deployment, &foreigner, &made).await, Err(Error::ForeignTenant)));
}

#[tokio::test]
async fn a_standard_vault_takes_software_types_and_a_premium_one_both() {
    let (deployment, officer) = under_rbac().await;
    let create = async |wanted: CreateKey| {
        let vault = vault(&deployment, "vault-1").await;
        vault.create_key(&deployment.request(&officer), &"k".parse().unwrap(), wanted).await
    };
    assert_eq!(create(ec()).await.unwrap().kty(), "EC");
    let hsm = || CreateKey { protection: Protection::Hsm, ..ec() };
    assert!(matches!(create(hsm()).await, Err(Error::BadParameter { parameter: "kty", .. })));
    let premium = VaultSpecification { sku: Some(VaultSku::Premium), ..VaultSpecification::default() };
    deployment.update_vault(&deployment.administrator(), "vault-1", premium).await.unwrap();
    assert_eq!(create(hsm()).await.unwrap().kty(), "EC-HSM");
    assert_eq!(create(ec()).await.unwrap().kty(), "EC");
    let oct = CreateKey { specification: KeySpecification::Oct(SymmetricSize::Bits256), ..hsm() };
    assert!(matches!(create(oct).await, Err(Error::BadParameter { parameter: "kty", .. })));
}

#[tokio::test]
async fn rights_on_a_purged_key_go_with_it() {
    let (deployment, officer) = under_rbac().await;
    key(&deployment, &officer, "k").await.unwrap();
    let user = deployment.somebody();
    let scope = deployment.vault_id("vault-1").scope().child("keys", "k");
    grant(&deployment, &user, CRYPTO_USER, &scope).await;
    let vault = vault(&deployment, "vault-1").await;
    let name = "k".parse().unwrap();
    vault.delete_key(&deployment.request(&officer), &name).await.unwrap();
    vault.purge_key(&deployment.request(&officer), &name).await.unwrap();
    let next = key(&deployment, &officer, "k").await.unwrap();
    assert!(matches!(sign(&deployment, &user, &next).await, Err(Error::ForbiddenByRbac { .. })));
}

#[tokio::test]
async fn a_backup_opens_in_another_vault_that_takes_the_type_of_key() {
    let (deployment, officer) = under_rbac().await;
    let request = || deployment.request(&officer);
    let premium = VaultSpecification { sku: Some(VaultSku::Premium), ..deployment.vault_specification() };
    deployment.create_vault("vault-2", premium).await.unwrap();
    grant(&deployment, &officer, CRYPTO_OFFICER, &deployment.root()).await;
    let (standard, premium) = (vault(&deployment, "vault-1").await, vault(&deployment, "vault-2").await);
    key(&deployment, &officer, "soft").await.unwrap();
    let blob = standard.back_up_key(&request(), &"soft".parse().unwrap()).await.unwrap();
    assert_eq!(premium.restore_key(&request(), &blob).await.unwrap().kty(), "EC");
    let hard = CreateKey { protection: Protection::Hsm, ..ec() };
    premium.create_key(&request(), &"hard".parse().unwrap(), hard).await.unwrap();
    let blob = premium.back_up_key(&request(), &"hard".parse().unwrap()).await.unwrap();
    let refused = standard.restore_key(&request(), &blob).await;
    assert!(matches!(refused, Err(Error::BadParameter { parameter: "kty", .. })), "{refused:?}");
}

#[tokio::test]
async fn a_backup_goes_neither_from_a_vault_into_an_hsm_nor_back() {
    let (deployment, officer) = under_rbac().await;
    let premium = VaultSpecification { sku: Some(VaultSku::Premium), ..VaultSpecification::default() };
    deployment.update_vault(&deployment.administrator(), "vault-1", premium).await.unwrap();
    deployment.hsm("hsm-1").await;
    let administrator = deployment.administrator();
    let hsm = deployment.test.core.hsm(&"hsm-1".parse().unwrap()).await.unwrap();
    let request = || deployment.request(&administrator);
    let download = hsm.download_security_domain(&request(), custodians().unwrap()).await.unwrap();
    hsm.confirm_download(&request(), download.operation).await.unwrap();
    for role in HSM_CRYPTO_ROLES {
        let (name, role) = (draw_uuid().unwrap(), RoleDefinitionId(role));
        hsm.create_role_assignment(&request(), &Scope::Root, name, role, administrator.principal).await.unwrap();
    }
    let vault = vault(&deployment, "vault-1").await;
    let hard = || CreateKey { protection: Protection::Hsm, ..ec() };
    let (of_vault, of_hsm) = ("of-vault".parse().unwrap(), "of-hsm".parse().unwrap());
    vault.create_key(&deployment.request(&officer), &of_vault, hard()).await.unwrap();
    hsm.create_key(&request(), &of_hsm, hard()).await.unwrap();

    let blob = vault.back_up_key(&deployment.request(&officer), &of_vault).await.unwrap();
    assert!(matches!(hsm.restore_key(&request(), &blob).await, Err(Error::BackupRefused)));
    let blob = hsm.back_up_key(&request(), &of_hsm).await.unwrap();
    assert!(matches!(vault.restore_key(&deployment.request(&officer), &blob).await, Err(Error::BackupRefused)));
}

#[tokio::test]
async fn nothing_is_left_of_the_keys_of_a_purged_vault() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let kv: std::sync::Arc<dyn Kv> = std::sync::Arc::<MemoryStore>::clone(&store);
    let deployment = Deployment::on(kv).await;
    let view = deployment.create_vault("vault-1", deployment.vault_specification()).await.unwrap();
    let officer = deployment.somebody();
    grant(&deployment, &officer, CRYPTO_OFFICER, &deployment.root()).await;
    for number in 0..40 {
        key(&deployment, &officer, &format!("k{number}")).await.unwrap();
    }
    let prefix = format!("hsm/{}/", view.vault.instance);
    assert!(!store.range(&prefix, None, 10, None).await.unwrap().entries.is_empty());
    deployment.delete_vault("vault-1").await;
    deployment.purge_vault("vault-1").await.unwrap();
    deployment.pools.sweep_purged_vaults().await.unwrap();
    assert!(store.range(&prefix, None, 10, None).await.unwrap().entries.is_empty());
    assert!(store.range("d/purged-vault/", None, 10, None).await.unwrap().entries.is_empty());
}

#[tokio::test]
async fn random_bytes_and_whatever_else_only_hsms_do_is_refused() {
    use strongroom_types::DataAction;
    let (deployment, officer) = under_rbac().await;
    let vault = vault(&deployment, "vault-1").await;
    for action in [DataAction::Rng, DataAction::SecurityDomainDownload, DataAction::RoleAssignmentsWrite] {
        let refused = vault.authorize(&deployment.request(&officer), action, &Scope::Root).await;
        assert!(matches!(refused, Err(Error::Forbidden { .. })), "{action}");
    }
}

#[tokio::test]
async fn a_put_back_access_policy_is_noticed() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let kv: std::sync::Arc<dyn Kv> = std::sync::Arc::<MemoryStore>::clone(&store);
    let deployment = Deployment::on(kv).await;
    let signer = deployment.somebody();
    let policies = |keys: &[KeyPermission]| VaultSpecification {
        policies: Some(vec![policy(&deployment, signer.principal, keys)]),
        ..VaultSpecification::default()
    };
    let specification = VaultSpecification {
        model: Some(AuthorizationModel::AccessPolicies),
        ..VaultSpecification { policies: policies(&[KeyPermission::All]).policies, ..deployment.vault_specification() }
    };
    let view = deployment.create_vault("vault-1", specification).await.unwrap();
    let access = format!("hsm/{}/access", view.vault.instance);
    let old = store.get(&access).await.unwrap().unwrap().value;
    let fewer = policies(&[KeyPermission::Get]);
    deployment.update_vault(&deployment.administrator(), "vault-1", fewer).await.unwrap();
    let commit =
        strongroom_store::Commit { preconditions: Vec::new(), writes: vec![strongroom_store::Write::Put(access, old)] };
    store.commit(commit).await.unwrap();
    assert!(matches!(key(&deployment, &signer, "k").await, Err(Error::Tampered { .. })));
}
