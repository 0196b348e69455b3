//! Another HSM's security domain comes into a new HSM.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_core::Error;
use strongroom_core::activation::DownloadStatus;
use strongroom_core::guard::HsmState;
use strongroom_core::keys::KeyReference;
use strongroom_core::recovery::UploadStatus;
use strongroom_crypto::SystemEntropy;
use strongroom_security_domain::{CustodianKey, EXCHANGE_KEY_SECONDS, SecurityDomainError, open_file, restore_blob};
use strongroom_types::{Algorithm, DataAction, Scope, Secret};

use crate::support::{CRYPTO_OFFICER, CRYPTO_USER, World, ec, stranger};

/// What a quorum makes of a file for a transfer key: the custodians of the vectors, two of three.
pub(crate) fn blob(file: &str, transfer_key: &str) -> String {
    let opened = open_file(file, &quorum()).unwrap();
    restore_blob(&opened.entries, &certificate(transfer_key), &SystemEntropy).unwrap()
}

/// An upload that does not decrypt.
pub(crate) fn spoiled(good: &str) -> String {
    let mut broken: serde_json::Value = serde_json::from_str(good).unwrap();
    let entry = broken["EncData"]["data"][0]["compact_jwe"].as_str().unwrap().to_owned();
    let (rest, tag) = entry.rsplit_once('.').unwrap();
    let other = if tag.starts_with('A') { "B" } else { "A" };
    broken["EncData"]["data"][0]["compact_jwe"] = format!("{rest}.{other}{}", &tag[1..]).into();
    broken.to_string()
}

/// Two of the three custodians.
pub(crate) fn quorum() -> Vec<CustodianKey> {
    vec![custodian(1), custodian(3)]
}

/// The certificate in a transfer key, DER.
fn certificate(transfer_key: &str) -> Vec<u8> {
    let jwk: serde_json::Value = serde_json::from_str(transfer_key).unwrap();
    STANDARD.decode(jwk["x5c"][0].as_str().unwrap()).unwrap()
}

fn custodian(number: usize) -> CustodianKey {
    let read = |extension: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/security-domain/keys");
        std::fs::read_to_string(format!("{folder}/wrap{number}.{extension}")).unwrap()
    };
    let password = (number == 2).then(|| Secret::new("test-password-2".to_owned()));
    CustodianKey::from_pem(&read("key"), &read("cer"), password.as_ref()).unwrap()
}

/// A world with an active `hsm1`, its file, and a new `hsm2` that is looked at from now on.
async fn second_hsm() -> (World, String) {
    let mut world = World::new().await;
    let file = world.activate().await;
    world.add_hsm("hsm2", |_| {}).await;
    world.name = "hsm2".parse().unwrap();
    (world, file)
}

async fn transfer_key(world: &World) -> String {
    world.hsm().await.transfer_key(&world.administration()).await.unwrap()
}

async fn upload(world: &World, blob: &str) -> Result<uuid::Uuid, Error> {
    world.hsm().await.upload_security_domain(&world.administration(), blob.to_owned()).await
}

async fn state(world: &World) -> HsmState {
    let instance = world.hsm().await.record().instance;
    world.test.core.guard(instance).await.unwrap().value.state
}

fn problem(result: Result<uuid::Uuid, Error>) -> SecurityDomainError {
    match result {
        Err(Error::SecurityDomain(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_new_hsm_becomes_active_with_the_domain_of_another_and_its_own_instance_and_administrators() {
    let (mut world, file) = second_hsm().await;
    let other = stranger();
    world.add_hsm("hsm3", |hsm| hsm.initial_administrators = vec![other]).await;
    world.name = "hsm3".parse().unwrap();
    let (hsm, administration) = (world.hsm().await, world.request(other));
    let key = hsm.transfer_key(&administration).await.unwrap();
    assert_eq!(state(&world).await, HsmState::Recovering);
    let operation = hsm.upload_security_domain(&administration, blob(&file, &key)).await.unwrap();
    assert_eq!(state(&world).await, HsmState::Active);
    assert_eq!(hsm.upload_status_of(operation).await.unwrap(), UploadStatus::Success);
    assert_eq!(hsm.upload_status(&world.request(other)).await.unwrap(), UploadStatus::Success);
    assert_eq!(hsm.download_status(&world.request(other)).await.unwrap(), DownloadStatus::Success);

    let guard = |name: &'static str| {
        let world = &world;
        async move {
            let hsm = world.test.core.hsm(&name.parse().unwrap()).await.unwrap();
            world.test.core.guard(hsm.record().instance).await.unwrap().value.clone()
        }
    };
    assert_eq!(
        (guard("hsm3").await.domain, guard("hsm3").await.epoch),
        (guard("hsm1").await.domain, guard("hsm1").await.epoch)
    );
    let refused = hsm.authorize(&world.administration(), DataAction::RoleAssignmentsRead, &Scope::Root).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })), "administrators of the other HSM have no right here");

    world.administrator = other;
    for role in [CRYPTO_USER, CRYPTO_OFFICER] {
        world.assign(other, role, "/").await;
    }
    world.ec_key("k").await;
    world.restart().await;
    let key = KeyReference { name: "k".parse().unwrap(), version: None };
    world.hsm().await.sign(&world.administration(), &key, Algorithm::Es256, vec![1; 32]).await.unwrap();
    let recovered = world.test.audit.events();
    assert!(recovered.iter().all(|event| !format!("{event:?}").contains("EncData")), "an upload is never recorded");
}

#[tokio::test]
async fn a_recovery_is_recorded_with_the_transfer_key_and_the_custodians() {
    let (world, file) = second_hsm().await;
    let key = transfer_key(&world).await;
    upload(&world, &blob(&file, &key)).await.unwrap();
    let jwk: serde_json::Value = serde_json::from_str(&key).unwrap();
    let details: Vec<String> =
        world.test.audit.events().into_iter().filter_map(|event| Some(event.properties.detail?.into_owned())).collect();
    let thumbprint = jwk["x5t#S256"].as_str().unwrap();
    assert!(details.contains(&format!("transfer key x5t#S256 {thumbprint}")), "{details:?}");
    let recovered = details.iter().find(|detail| detail.starts_with("recovered security domain")).unwrap();
    assert!(recovered.contains("quorum 2 of 3") && recovered.contains(&custodian(1).thumbprint().to_string()));
}

#[tokio::test]
async fn the_same_upload_again_gets_the_same_answer_and_another_one_a_conflict() {
    let (mut world, file) = second_hsm().await;
    let key = transfer_key(&world).await;
    let (first, second) = (blob(&file, &key), blob(&file, &key));
    let operation = upload(&world, &first).await.unwrap();
    assert_eq!(upload(&world, &first).await.unwrap(), operation);
    assert!(matches!(upload(&world, &second).await, Err(Error::AlreadyActivated)));
    world.restart().await;
    assert_eq!(upload(&world, &first).await.unwrap(), operation);
}

#[tokio::test]
async fn two_uploads_at_once_recover_once() {
    let (world, file) = second_hsm().await;
    let key = transfer_key(&world).await;
    let (one, two) = (blob(&file, &key), blob(&file, &key));
    let (one, two) = tokio::join!(upload(&world, &one), upload(&world, &two));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
}

#[tokio::test]
async fn the_transfer_key_stays_until_it_expires_or_the_server_restarts() {
    let (mut world, file) = second_hsm().await;
    let key = transfer_key(&world).await;
    assert_eq!(transfer_key(&world).await, key);
    world.test.clock.advance_seconds(EXCHANGE_KEY_SECONDS - 1);
    assert_eq!(transfer_key(&world).await, key);
    world.test.clock.advance_seconds(1);
    assert!(matches!(upload(&world, &blob(&file, &key)).await, Err(Error::NoTransferKey)));
    let next = transfer_key(&world).await;
    assert_ne!(next, key);
    world.restart().await;
    assert!(matches!(upload(&world, &blob(&file, &next)).await, Err(Error::NoTransferKey)));
    let hsm = world.hsm().await;
    assert_eq!(hsm.upload_status(&world.administration()).await.unwrap(), UploadStatus::Failed);
    let last = transfer_key(&world).await;
    assert_eq!(hsm.upload_status(&world.administration()).await.unwrap(), UploadStatus::InProgress);
    assert_eq!(problem(upload(&world, &blob(&file, &next)).await), SecurityDomainError::WrongExchangeKey);
    upload(&world, &blob(&file, &last)).await.unwrap();
}

#[tokio::test]
async fn five_uploads_that_do_not_decrypt_destroy_the_transfer_key() {
    let (world, file) = second_hsm().await;
    let key = transfer_key(&world).await;
    let good = blob(&file, &key);
    let broken = spoiled(&good);
    for _ in 0..5 {
        assert_eq!(problem(upload(&world, &broken).await), SecurityDomainError::Rejected);
    }
    assert!(matches!(upload(&world, &good).await, Err(Error::NoTransferKey)));
    assert_ne!(transfer_key(&world).await, key);
}

#[tokio::test]
async fn dropped_added_and_exchanged_entries_are_refused_and_the_good_upload_still_counts() {
    let (world, file) = second_hsm().await;
    let key = transfer_key(&world).await;
    let (good, other) = (blob(&file, &key), blob(&file, &key));
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let entries = |value: &mut serde_json::Value| value["EncData"]["data"].as_array_mut().unwrap().clone();
    let with = |change: &dyn Fn(Vec<serde_json::Value>) -> Vec<serde_json::Value>| {
        let mut value = parse(&good);
        let changed = change(entries(&mut value));
        value["EncData"]["data"] = changed.into();
        value.to_string()
    };
    let altered = |problem: SecurityDomainError| matches!(problem, SecurityDomainError::Altered(_));
    for place in 0..2 {
        let dropped = with(&|mut entries| {
            entries.remove(place);
            entries
        });
        assert!(altered(problem(upload(&world, &dropped).await)));
        let twice = with(&|mut entries| {
            entries.push(entries[place].clone());
            entries
        });
        assert!(altered(problem(upload(&world, &twice).await)));
    }
    let foreign_entry = with(&|mut entries| {
        let mut entry = entries[0].clone();
        entry["tag"] = "hsm_backup".into();
        entries.push(entry);
        entries
    });
    assert!(altered(problem(upload(&world, &foreign_entry).await)));
    let of_another_upload = with(&|mut entries| {
        entries[0] = parse(&other)["EncData"]["data"][0].clone();
        entries
    });
    assert_eq!(problem(upload(&world, &of_another_upload).await), SecurityDomainError::Rejected);
    upload(&world, &good).await.unwrap();
}

#[tokio::test]
async fn download_and_recovery_exclude_each_other() {
    let (world, file) = second_hsm().await;
    let hsm = world.hsm().await;
    let download = hsm.download_security_domain(&world.administration(), world.custodians()).await.unwrap();
    let key = transfer_key(&world).await;
    let status = hsm.confirm_download(&world.administration(), download.operation).await.unwrap();
    assert_eq!(status, DownloadStatus::Failed, "the recovery took its place");
    let refused = hsm.download_security_domain(&world.administration(), world.custodians()).await;
    assert!(matches!(refused, Err(Error::RecoveryInProgress)));

    world.test.clock.advance_seconds(EXCHANGE_KEY_SECONDS);
    let download = hsm.download_security_domain(&world.administration(), world.custodians()).await.unwrap();
    assert_eq!(state(&world).await, HsmState::NotActivated);
    assert!(matches!(upload(&world, &blob(&file, &key)).await, Err(Error::NoTransferKey)));
    let status = hsm.confirm_download(&world.administration(), download.operation).await.unwrap();
    assert_eq!(status, DownloadStatus::Success);
}

#[tokio::test]
async fn nobody_but_the_initial_administrators_recovers_and_nothing_else_answers_meanwhile() {
    let (world, file) = second_hsm().await;
    let hsm = world.hsm().await;
    let request = world.request(stranger());
    assert!(matches!(hsm.transfer_key(&request).await, Err(Error::Forbidden { .. })));
    let key = transfer_key(&world).await;
    let refused = hsm.upload_security_domain(&request, blob(&file, &key)).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })));
    assert!(matches!(hsm.upload_status(&request).await, Err(Error::Forbidden { .. })));
    let name = "k".parse().unwrap();
    assert!(matches!(hsm.create_key(&world.administration(), &name, ec()).await, Err(Error::NotActivated)));
    let unknown = hsm.upload_status_of(uuid::Uuid::nil()).await.unwrap();
    assert_eq!(unknown, UploadStatus::Failed);
}

#[tokio::test]
async fn an_upload_without_a_transfer_key_is_refused() {
    let (world, file) = second_hsm().await;
    let key = transfer_key(&world).await;
    let blob = blob(&file, &key);
    world.add_hsm("hsm4", |_| {}).await;
    let hsm = world.test.core.hsm(&"hsm4".parse().unwrap()).await.unwrap();
    let refused = hsm.upload_security_domain(&world.administration(), blob.clone()).await;
    assert!(matches!(refused, Err(Error::NoTransferKey)));
    hsm.transfer_key(&world.administration()).await.unwrap();
    let refused = hsm.upload_security_domain(&world.administration(), blob).await;
    assert_eq!(problem(refused), SecurityDomainError::WrongExchangeKey);
}
