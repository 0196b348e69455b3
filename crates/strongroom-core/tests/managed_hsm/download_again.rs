//! The security domain of an active HSM, downloaded for other custodians.

use strongroom_core::activation::{Download, DownloadStatus};
use strongroom_core::download_policy::{DownloadPolicy, QUORUM_PROOF_SECONDS};
use strongroom_core::rbac::ADMINISTRATOR;
use strongroom_core::recovery::UploadStatus;
use strongroom_core::{Error, Result};
use strongroom_security_domain::{CertificateJwk, Custodians, SecurityDomainError, open_file};
use strongroom_testkit::MemoryRoot;

use crate::recovery::{blob, quorum};
use crate::support::{World, stranger};

/// The same three people, all of whom are wanted now.
pub(crate) fn all_three() -> Custodians {
    #[derive(serde::Deserialize)]
    struct Request {
        certificates: Vec<CertificateJwk>,
    }
    let request = include_bytes!("../../../../vectors/security-domain/download-request.json");
    let Request { certificates } = serde_json::from_slice(request).unwrap();
    Custodians::parse(&certificates, 3).unwrap()
}

/// A quorum opens a file for the active HSM's transfer key.
pub(crate) async fn prove(world: &World, file: &str) -> Result<uuid::Uuid> {
    let hsm = world.hsm().await;
    let key = hsm.transfer_key(&world.administration()).await?;
    hsm.upload_security_domain(&world.administration(), blob(file, &key)).await
}

async fn download(world: &World, custodians: Custodians) -> Result<Download> {
    world.hsm().await.download_security_domain(&world.administration(), custodians).await
}

async fn confirm(world: &World, download: &Download) -> DownloadStatus {
    world.hsm().await.confirm_download(&world.administration(), download.operation).await.unwrap()
}

fn details(world: &World) -> Vec<String> {
    world.test.audit.events().into_iter().filter_map(|event| Some(event.properties.detail?.into_owned())).collect()
}

async fn active() -> (World, String) {
    let world = World::new().await;
    let file = world.activate().await;
    (world, file)
}

async fn under(policy: DownloadPolicy) -> (World, String) {
    let (mut world, file) = active().await;
    world.test = world.test.restarted_under(policy).await.unwrap();
    (world, file)
}

#[tokio::test]
async fn a_quorum_that_has_proved_itself_gets_one_file_for_other_custodians() {
    let (world, old) = active().await;
    assert!(matches!(download(&world, all_three()).await, Err(Error::QuorumNotProved)));
    let proved = prove(&world, &old).await.unwrap();
    let hsm = world.hsm().await;
    assert_eq!(hsm.upload_status_of(proved).await.unwrap(), UploadStatus::Proved);
    assert!(hsm.security_domain(&world.administration()).await.unwrap().proved_until.is_some());

    let lost = download(&world, all_three()).await.unwrap();
    assert!(
        matches!(download(&world, world.custodians()).await, Err(Error::QuorumNotProved)),
        "it stands for one file"
    );
    let rotation = hsm.rotate_security_domain(&world.administration(), all_three()).await;
    assert!(matches!(rotation, Err(Error::QuorumNotProved)), "and for no rotation");
    let new = download(&world, all_three()).await.unwrap();
    assert_eq!(confirm(&world, &lost).await, DownloadStatus::Failed);
    assert_eq!(hsm.security_domain(&world.administration()).await.unwrap().required, 2, "not before the first poll");
    for _ in 0..2 {
        assert_eq!(confirm(&world, &new).await, DownloadStatus::Replaced);
    }
    let state = hsm.security_domain(&world.administration()).await.unwrap();
    assert_eq!((state.required, state.custodians.len(), state.proved_until, state.unconfirmed), (3, 3, None, false));
    assert!(matches!(download(&world, all_three()).await, Err(Error::QuorumNotProved)));

    let opened = |file: &str| open_file(file, &quorum()).map(|opened| opened.domain.secrets.to_bytes().unwrap());
    assert!(matches!(opened(&new.file), Err(SecurityDomainError::TooFewKeys { required: 3, .. })));
    assert_eq!(open_file(&old, &quorum()).unwrap().domain.secrets.domain_id(), state.domain.unwrap());
    let said = details(&world);
    let about = said.iter().find(|detail| detail.starts_with("again, under policy quorum: quorum 3 of 3")).unwrap();
    assert!(about.ends_with("the custodians of earlier files can still open those"), "{about}");
    assert!(said.iter().any(|detail| detail.starts_with("a quorum has opened security domain")));
}

#[tokio::test]
async fn the_new_file_holds_the_same_domain() {
    let (world, old) = active().await;
    prove(&world, &old).await.unwrap();
    let new = download(&world, world.custodians()).await.unwrap();
    assert_ne!(new.file, old);
    let secrets = |file: &str| open_file(file, &quorum()).unwrap().domain.secrets;
    assert_eq!(secrets(&new.file).to_bytes().unwrap().expose(), secrets(&old).to_bytes().unwrap().expose());
    // Asked with a token it counts too: there is nothing to lose.
    let status = world.hsm().await.download_status(&world.administration()).await.unwrap();
    assert_eq!(status, DownloadStatus::Replaced);
    prove(&world, &new.file).await.unwrap();
}

#[tokio::test]
async fn a_proof_outlives_a_restart_and_lasts_an_hour() {
    let (mut world, file) = active().await;
    prove(&world, &file).await.unwrap();
    world.restart().await;
    world.test.clock.advance_seconds(QUORUM_PROOF_SECONDS - 1);
    download(&world, all_three()).await.unwrap();
    world.test.clock.advance_seconds(1);
    assert!(matches!(download(&world, all_three()).await, Err(Error::QuorumNotProved)));
}

#[tokio::test]
async fn the_policy_decides_and_a_role_is_needed_besides() {
    let (world, _) = under(DownloadPolicy::Disabled).await;
    assert!(matches!(download(&world, all_three()).await, Err(Error::DownloadDisabled)));
    let hsm = world.hsm().await;
    let rotation = hsm.rotate_security_domain(&world.administration(), all_three()).await;
    assert!(matches!(rotation, Err(Error::DownloadDisabled)));
    assert!(matches!(hsm.transfer_key(&world.administration()).await, Err(Error::AlreadyActivated)));

    let (world, _) = under(DownloadPolicy::Administrator).await;
    let hsm = world.hsm().await;
    let nobody = world.request(stranger());
    let refused = hsm.download_security_domain(&nobody, all_three()).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })));
    assert!(matches!(hsm.rotate_security_domain(&nobody, all_three()).await, Err(Error::Forbidden { .. })));
    assert!(matches!(hsm.security_domain(&nobody).await, Err(Error::Forbidden { .. })));
    assert!(matches!(hsm.transfer_key(&world.administration()).await, Err(Error::AlreadyActivated)));
    let new = download(&world, all_three()).await.unwrap();
    assert_eq!(confirm(&world, &new).await, DownloadStatus::Replaced);
}

/// Another administrator must not use what a quorum has agreed to with the first.
#[tokio::test]
async fn a_proof_counts_for_the_administrator_who_brought_it() {
    let (world, file) = active().await;
    let other = stranger();
    world.assign(other, ADMINISTRATOR, "/").await;
    prove(&world, &file).await.unwrap();
    let hsm = world.hsm().await;
    let refused = hsm.download_security_domain(&world.request(other), all_three()).await;
    assert!(matches!(refused, Err(Error::QuorumNotProved)));
    assert!(matches!(
        hsm.rotate_security_domain(&world.request(other), all_three()).await,
        Err(Error::QuorumNotProved)
    ));
    download(&world, all_three()).await.unwrap();
}

/// What a policy allowed is not left over for another one.
#[tokio::test]
async fn a_stricter_policy_counts_from_its_start() {
    let (mut world, file) = active().await;
    prove(&world, &file).await.unwrap();
    world.test = world.test.restarted_under(DownloadPolicy::Disabled).await.unwrap();
    assert!(matches!(download(&world, all_three()).await, Err(Error::DownloadDisabled)));
}

#[tokio::test]
async fn another_domain_proves_nothing() {
    let (mut world, own) = active().await;
    world.add_hsm("hsm2", |_| {}).await;
    world.name = "hsm2".parse().unwrap();
    let other = world.activate().await;
    world.name = "hsm1".parse().unwrap();
    assert!(matches!(prove(&world, &other).await, Err(Error::OtherSecurityDomain { .. })));
    assert!(matches!(download(&world, all_three()).await, Err(Error::QuorumNotProved)));
    prove(&world, &own).await.unwrap();
}

#[tokio::test]
async fn a_proof_changes_nothing_else_and_is_refused_without_its_transfer_key() {
    let (world, file) = active().await;
    let hsm = world.hsm().await;
    let key = hsm.transfer_key(&world.administration()).await.unwrap();
    let before = world.test.core.guard(hsm.record().instance).await.unwrap();
    let upload = blob(&file, &key);
    let operation = hsm.upload_security_domain(&world.administration(), upload.clone()).await.unwrap();
    assert_eq!(hsm.upload_security_domain(&world.administration(), upload).await.unwrap(), operation, "repeated");
    let other = hsm.upload_security_domain(&world.administration(), blob(&file, &key)).await;
    assert!(matches!(other, Err(Error::AlreadyActivated)), "its transfer key is gone");
    let after = world.test.core.guard(hsm.record().instance).await.unwrap();
    assert_eq!((&before.value, before.revision), (&after.value, after.revision));
}

#[tokio::test]
async fn under_provider_quorum_a_file_is_downloaded_again_as_well() {
    let mut world = World::under(MemoryRoot::generate().unwrap().without_hsm_roots()).await;
    let old = world.activate().await;
    prove(&world, &old).await.unwrap();
    let new = download(&world, world.custodians()).await.unwrap();
    assert_eq!(confirm(&world, &new).await, DownloadStatus::Replaced);
    for file in [&old, &new.file] {
        world.restart().await;
        assert!(matches!(download(&world, all_three()).await, Err(Error::Sealed)));
        prove(&world, file).await.unwrap();
        assert!(matches!(download(&world, all_three()).await, Err(Error::QuorumNotProved)), "unsealing proves nothing");
    }
}

/// The secrets are the same ones, and so is the upload that brought them.
#[tokio::test]
async fn under_provider_quorum_the_upload_that_unsealed_is_known_after_a_download_too() {
    let mut world = World::under(MemoryRoot::generate().unwrap().without_hsm_roots()).await;
    let file = world.activate().await;
    world.restart().await;
    let unsealed = prove(&world, &file).await.unwrap();
    prove(&world, &file).await.unwrap();
    let new = download(&world, world.custodians()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(world.hsm().await.upload_status_of(unsealed).await.unwrap(), UploadStatus::Success);
        assert_eq!(confirm(&world, &new).await, DownloadStatus::Replaced);
    }
}
