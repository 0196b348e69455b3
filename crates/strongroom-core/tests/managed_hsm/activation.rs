use strongroom_core::Error;
use strongroom_core::activation::DownloadStatus;
use strongroom_types::{DataAction, Scope};

use crate::support::{World, stranger};

#[tokio::test]
async fn before_activation_keys_are_refused_and_only_initial_administrators_download() {
    let world = World::new().await;
    let hsm = world.hsm().await;
    let refused = hsm.authorize(&world.administration(), DataAction::KeysRead, &Scope::Keys).await;
    assert!(matches!(refused, Err(Error::NotActivated)));
    let refused = hsm.download_security_domain(&world.request(stranger()), world.custodians()).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })));
}

#[tokio::test]
async fn the_first_poll_activates_and_a_repeated_one_says_so_again() {
    let world = World::new().await;
    let hsm = world.hsm().await;
    let download = hsm.download_security_domain(&world.administration(), world.custodians()).await.unwrap();
    let refused = hsm.authorize(&world.administration(), DataAction::RoleAssignmentsRead, &Scope::Root).await;
    assert!(matches!(refused, Err(Error::NotActivated)), "the download alone does not activate");
    for _ in 0..2 {
        let status = hsm.confirm_download(&world.administration(), download.operation).await.unwrap();
        assert_eq!(status, DownloadStatus::Success);
    }
    hsm.authorize(&world.administration(), DataAction::RoleAssignmentsRead, &Scope::Root).await.unwrap();
}

#[tokio::test]
async fn a_poll_for_a_superseded_download_fails_and_activates_nothing() {
    let world = World::new().await;
    let hsm = world.hsm().await;
    let first = hsm.download_security_domain(&world.administration(), world.custodians()).await.unwrap();
    let second = hsm.download_security_domain(&world.administration(), world.custodians()).await.unwrap();
    assert_ne!(first.file, second.file);
    let status = hsm.confirm_download(&world.administration(), first.operation).await.unwrap();
    assert_eq!(status, DownloadStatus::Failed);
    let refused = hsm.authorize(&world.administration(), DataAction::RoleAssignmentsRead, &Scope::Root).await;
    assert!(matches!(refused, Err(Error::NotActivated)));
    let status = hsm.confirm_download(&world.administration(), second.operation).await.unwrap();
    assert_eq!(status, DownloadStatus::Success);
}

#[tokio::test]
async fn an_active_hsm_gives_its_security_domain_to_no_administrator_alone() {
    let world = World::active().await;
    let refused = world.hsm().await.download_security_domain(&world.administration(), world.custodians()).await;
    assert!(matches!(refused, Err(Error::QuorumNotProved)));
}

#[tokio::test]
async fn the_status_asked_with_a_token_activates_the_newest_download() {
    let world = World::new().await;
    let hsm = world.hsm().await;
    let status = hsm.download_status(&world.administration()).await.unwrap();
    assert_eq!(status, DownloadStatus::Failed, "nothing was downloaded yet");
    hsm.download_security_domain(&world.administration(), world.custodians()).await.unwrap();
    assert!(matches!(hsm.download_status(&world.request(stranger())).await, Err(Error::Forbidden { .. })));
    assert_eq!(hsm.download_status(&world.administration()).await.unwrap(), DownloadStatus::Success);
}

#[tokio::test]
async fn activation_is_recorded() {
    let world = World::active().await;
    let events = world.test.audit.events();
    assert!(events.iter().any(|event| event.properties.detail.as_deref() == Some("the managed HSM is active")));
}
