//! Both adapters under one contract, and each against what can go wrong around it.

mod directory;
mod faults;
mod store;

use std::sync::Arc;

use rustls::RootCertStore;
use strongroom_core::blobs::{BlobContainer, BlobCredential, BlobError, BlobStores};
use strongroom_core::pools::BlobEndpoint;
use strongroom_crypto::SystemEntropy;
use strongroom_types::Secret;

use crate::blob::tests::store::Store;
use crate::blob::{AllowedHost, BLOB_BYTES_MAX, BlobPlaces, BlobRules, LoopbackRule, Patience};
use crate::clock::SystemClock;

/// A SAS of good shape; the store in this process does not look at the signature.
const SAS: &str = "sv=2025-05-05&se=2199-01-01T00:00:00Z&sr=c&sp=racwdl&sig=c2VjcmV0";

fn places(rules: BlobRules, patience: Patience) -> BlobPlaces {
    BlobPlaces::new(rules, patience, &RootCertStore::empty(), Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap()
}

/// Places as in the local profile.
fn local() -> BlobPlaces {
    places(BlobRules { loopback: LoopbackRule::Allowed, ..BlobRules::default() }, Patience::default())
}

fn sas(text: &str) -> BlobCredential {
    BlobCredential::SharedAccessSignature(Secret::new(text.to_owned()))
}

fn bearer() -> BlobCredential {
    BlobCredential::Bearer(Secret::new("token".to_owned()))
}

/// What both adapters promise.
async fn contract(container: Arc<dyn BlobContainer>) {
    let (path, content) = ("mhsm-one-2026010112000000/part-000000", b"the content".to_vec());
    let absent = container.read(path, 100).await;
    assert!(matches!(absent, Err(BlobError::NotFound(_))), "{absent:?}");
    container.create(path, content.clone()).await.unwrap();
    assert_eq!(container.read(path, content.len()).await.unwrap(), content);
    let small = container.read(path, content.len() - 1).await;
    assert!(matches!(small, Err(BlobError::TooLarge { limit: 10, .. })), "{small:?}");
    let again = container.create(path, b"other".to_vec()).await;
    assert!(matches!(again, Err(BlobError::AlreadyExists(_))), "{again:?}");
    assert_eq!(container.read(path, 100).await.unwrap(), content, "nothing was replaced");
    container.create("mhsm-one-2026010112000000/empty", Vec::new()).await.unwrap();
    assert!(container.read("mhsm-one-2026010112000000/empty", 0).await.unwrap().is_empty());
    let largest = vec![7; BLOB_BYTES_MAX];
    container.create("largest", largest.clone()).await.unwrap();
    assert_eq!(container.read("largest", BLOB_BYTES_MAX).await.unwrap(), largest);
    let larger = container.create("larger", vec![7; BLOB_BYTES_MAX + 1]).await;
    assert!(matches!(larger, Err(BlobError::TooLarge { .. })), "{larger:?}");
    for path in ["", "/x", "x/", "a//b", "..", "a/../b", "a/.b", "a\\b", "a?b", "a%2fb", "a b", "ä", &"x".repeat(129)]
    {
        let (made, read) = (container.create(path, Vec::new()).await, container.read(path, 1).await);
        assert!(matches!(made, Err(BlobError::Malformed(_))), "{path}");
        assert!(matches!(read, Err(BlobError::Malformed(_))), "{path}");
    }
}

#[tokio::test]
async fn a_directory_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let places = directory::places(folder.path());
    let address = format!("file://{}/hsm1", folder.path().display());
    contract(places.open(&address, BlobCredential::None).await.unwrap()).await;
}

#[tokio::test]
async fn a_container_of_blobs_keeps_the_contract() {
    let store = Store::start().await;
    contract(local().open(&store.container(), sas(SAS)).await.unwrap()).await;
    let asked = store.requests();
    assert!(asked.iter().all(|request| request.version == "2023-11-03"), "a version that Azurite knows");
    let puts = asked.iter().filter(|request| request.method == "PUT");
    assert!(puts.clone().count() > 2 && puts.clone().all(|put| put.if_none_match == "*"));
}

#[tokio::test]
async fn a_signature_travels_as_it_is_and_stands_in_no_text() {
    let store = Store::start().await;
    let token = SAS.replace("c2VjcmV0", "a%2Bb%2Fc%3D");
    let container = local().open(&store.container(), sas(&token)).await.unwrap();
    container.create("blob", Vec::new()).await.unwrap();
    assert!(store.requests()[0].query.contains("sig=a%2Bb%2Fc%3D"), "{:?}", store.requests()[0].query);
}

#[tokio::test]
async fn a_place_that_no_rule_names_is_not_gone_to() {
    let store = Store::start().await;
    let address = store.container();
    let refused = |outcome: Result<Arc<dyn BlobContainer>, BlobError>| match outcome {
        Err(BlobError::NotAllowed(problem)) => problem,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was opened"),
    };
    let strict = places(BlobRules::default(), Patience::default());
    let problem = refused(strict.open(&address, sas(SAS)).await);
    assert!(problem.contains("127.0.0.1") && problem.contains("[backup] allowed_hosts"), "{problem}");
    refused(local().open("https://blob.example/backups", sas(SAS)).await);
    refused(local().open(&address, bearer()).await);

    // A pattern means public addresses only, a name by itself whatever it is.
    let allowed = |host: AllowedHost| {
        let allowed_hosts = vec![host];
        places(BlobRules { allowed_hosts, ..BlobRules::default() }, Patience::default())
    };
    let exact = allowed("127.0.0.1".parse().unwrap());
    exact.open(&address, sas(SAS)).await.unwrap().create("blob", Vec::new()).await.unwrap();
    assert!(
        allowed("*.blob.example".parse().unwrap()).open("https://acct.blob.example/backups", sas(SAS)).await.is_ok()
    );
    // No pattern is read that ends like an address; it would reach none either.
    refused(allowed(AllowedHost::Below("0.0.1".to_owned())).open(&address, sas(SAS)).await);
    assert_eq!(store.requests().len(), 1);
}

#[tokio::test]
async fn the_token_of_an_identity_goes_to_configured_accounts_over_tls_only() {
    let endpoint = |text: &str| text.parse::<BlobEndpoint>().unwrap();
    let endpoints = vec![endpoint("https://127.0.0.1:1/acct"), endpoint("http://127.0.0.1:1/plain")];
    let rules = BlobRules { endpoints, loopback: LoopbackRule::Allowed, ..BlobRules::default() };
    let places = places(rules, Patience::default());
    assert!(places.open("https://127.0.0.1:1/acct/backups", bearer()).await.is_ok());
    let elsewhere = [
        "http://127.0.0.1:1/plain/backups",
        "https://127.0.0.1:2/acct/backups",
        "https://127.0.0.1:1/other/backups",
        "https://127.0.0.1:1/acct/more/backups",
    ];
    for address in elsewhere {
        let refused = places.open(address, bearer()).await.err();
        assert!(matches!(refused, Some(BlobError::NotAllowed(_))), "{address} {refused:?}");
    }
}

#[tokio::test]
async fn what_is_no_address_or_no_credential_is_said_before_anything_is_asked() {
    let store = Store::start().await;
    let places = local();
    let malformed = async |address: &str, credential| match places.open(address, credential).await {
        Err(BlobError::Malformed(problem)) => problem,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("{address} was opened"),
    };
    malformed("backups", sas(SAS)).await;
    malformed("http://blob.example/backups", sas(SAS)).await;
    malformed(&format!("{}?{SAS}", store.container()), sas(SAS)).await;
    malformed(&store.container(), BlobCredential::None).await;
    assert!(malformed(&store.container(), sas("se=2199-01-01")).await.contains("no sv"));
    assert!(malformed(&store.container(), sas(&format!("{SAS}&spr=https"))).await.contains("https"));
    let reader = places.open(&store.container(), sas(&SAS.replace("racwdl", "rl"))).await.unwrap();
    let refused = reader.create("blob", Vec::new()).await;
    assert!(matches!(refused, Err(BlobError::Malformed(problem)) if problem.contains("c (create)")));
    assert!(store.requests().is_empty());
}
