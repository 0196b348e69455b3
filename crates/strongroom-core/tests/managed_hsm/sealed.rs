//! Root provider `quorum`: after a start nothing on the machine opens an HSM.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_core::Error;
use strongroom_core::activation::DownloadStatus;
use strongroom_core::keys::KeyReference;
use strongroom_core::recovery::UploadStatus;
use strongroom_testkit::MemoryRoot;
use strongroom_types::{Algorithm, DataAction, Scope};

use crate::recovery::blob;
use crate::support::{CRYPTO_OFFICER, CRYPTO_USER, World, ec, stranger};

/// An HSM with a key, sealed by a restart, and its file.
async fn sealed() -> (World, String) {
    let mut world = World::under(MemoryRoot::generate().unwrap().without_hsm_roots()).await;
    let file = world.activate().await;
    for role in [CRYPTO_USER, CRYPTO_OFFICER] {
        world.assign(world.administrator, role, "/").await;
    }
    world.create("k", ec()).await;
    sign(&world).await.unwrap();
    world.restart().await;
    (world, file)
}

async fn sign(world: &World) -> Result<(), Error> {
    let key = KeyReference { name: "k".parse().unwrap(), version: None };
    world.hsm().await.sign(&world.administration(), &key, Algorithm::Es256, vec![1; 32]).await.map(drop)
}

#[tokio::test]
async fn a_restart_seals_and_the_own_security_domain_opens() {
    let (mut world, file) = sealed().await;
    for _ in 0..2 {
        assert!(matches!(sign(&world).await, Err(Error::Sealed)));
        let hsm = world.hsm().await;
        let read = hsm.authorize(&world.administration(), DataAction::RoleAssignmentsRead, &Scope::Root).await;
        assert!(matches!(read, Err(Error::Sealed)));
        let download = hsm.download_security_domain(&world.administration(), world.custodians()).await;
        assert!(matches!(download, Err(Error::Sealed)));

        let key = hsm.transfer_key(&world.administration()).await.unwrap();
        assert_eq!(hsm.transfer_key(&world.administration()).await.unwrap(), key);
        assert_eq!(hsm.upload_status(&world.administration()).await.unwrap(), UploadStatus::InProgress);
        let blob = blob(&file, &key);
        let operation = hsm.upload_security_domain(&world.administration(), blob.clone()).await.unwrap();
        assert_eq!(hsm.upload_security_domain(&world.administration(), blob).await.unwrap(), operation);
        assert_eq!(hsm.upload_status_of(operation).await.unwrap(), UploadStatus::Success);
        sign(&world).await.unwrap();
        world.restart().await;
    }
}

#[tokio::test]
async fn only_initial_administrators_unseal() {
    let (world, _) = sealed().await;
    let refused = world.hsm().await.transfer_key(&world.request(stranger())).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })));
}

#[tokio::test]
async fn a_sealed_hsm_takes_no_other_domain() {
    let (mut world, _) = sealed().await;
    world.add_hsm("hsm2", |_| {}).await;
    world.name = "hsm2".parse().unwrap();
    let other = world.activate().await;
    world.name = "hsm1".parse().unwrap();
    let hsm = world.hsm().await;
    let key = hsm.transfer_key(&world.administration()).await.unwrap();
    let refused = hsm.upload_security_domain(&world.administration(), blob(&other, &key)).await;
    assert!(matches!(refused, Err(Error::OtherSecurityDomain { .. })), "{refused:?}");
    assert!(matches!(sign(&world).await, Err(Error::Sealed)));
}

#[tokio::test]
async fn a_download_whose_root_a_restart_has_lost_fails_and_activates_nothing() {
    let mut world = World::under(MemoryRoot::generate().unwrap().without_hsm_roots()).await;
    let request = world.administration();
    let download = world.hsm().await.download_security_domain(&request, world.custodians()).await.unwrap();
    world.restart().await;
    let hsm = world.hsm().await;
    let status = hsm.confirm_download(&world.administration(), download.operation).await.unwrap();
    assert_eq!(status, DownloadStatus::Failed);
    let state = world.test.core.guard(hsm.record().instance).await.unwrap().value.state;
    assert_eq!(state, strongroom_core::guard::HsmState::NotActivated);
}

/// Whoever holds the store and the platform root reads every record of the deployment, and finds no root of the HSM.
#[tokio::test]
async fn the_store_and_the_platform_root_hold_no_root_of_an_hsm() {
    let (world, file) = sealed().await;
    let page = world.store.range("", None, 1000, None).await.unwrap();
    let deployment = world.test.core.barrier().deployment();
    let mut opened = Vec::new();
    for entry in page.entries {
        opened.extend_from_slice(&entry.value);
        if let Ok(value) = deployment.open(&entry.key, &entry.value) {
            opened.extend_from_slice(value.plaintext.expose());
        }
    }
    let text = String::from_utf8_lossy(&opened);
    let record = text.find("\"custodians\":").expect("the domain record was opened");
    assert!(text[..record].contains("\"wrapped\":null"));
    assert!(!text.contains("\"wrapped\":\""));
    let roots = strongroom_security_domain::open_file(&file, &crate::recovery::quorum()).unwrap().domain.secrets;
    let root = roots.roots()[0].1.expose().to_vec();
    assert!(!opened.windows(root.len()).any(|window| window == root));
    let encoded = URL_SAFE_NO_PAD.encode(&root);
    assert!(!text.contains(&encoded));
}
