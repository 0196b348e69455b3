//! Keys from elsewhere.

use strongroom_core::Error;
use strongroom_core::keys::{
    CreateKey, ImportKey, ImportSource, Key, KeyAttributes, KeyReference, ReleaseTerms, Tags, UpdateKey,
};
use strongroom_crypto::{KeyMaterial, KeyParts, KeySpecification, PublicKey, RsaPublicKey, SystemEntropy, WrappedKind};
use strongroom_types::{
    Algorithm, DataAction, KeyOperation, KeyOperations, Protection, RsaSize, Scope, Secret, SymmetricSize,
};

use crate::support::{CRYPTO_USER, World, ec, stranger};

/// AES-256 in the clear.
fn parts() -> ImportSource {
    ImportSource::Parts(KeyParts::Oct { k: Secret::new(vec![7; 32]) })
}

/// What is asked of an AES key in the clear.
pub(crate) fn aes() -> ImportKey {
    of(parts())
}

fn of(source: ImportSource) -> ImportKey {
    ImportKey {
        protection: Protection::Hsm,
        source,
        operations: None,
        attributes: KeyAttributes::default(),
        tags: Tags::default(),
        release: ReleaseTerms::default(),
    }
}

fn only(operation: KeyOperation) -> Option<KeyOperations> {
    Some([operation].into_iter().collect())
}

/// What is asked of a key exchange key.
fn exchange_key() -> CreateKey {
    let specification = KeySpecification::Rsa(RsaSize::Bits2048);
    CreateKey { specification, operations: only(KeyOperation::Import), ..ec() }
}

async fn import(world: &World, name: &str, wanted: ImportKey) -> Result<Key, Error> {
    world.hsm().await.import_key(&world.administration(), &name.parse().unwrap(), wanted).await
}

/// Wraps an AES key as anybody can who sees the public half of the exchange key.
async fn wrapped(world: &World, exchange_key: &KeyReference, target: &[u8]) -> ImportSource {
    let shown = world.hsm().await.key(&world.administration(), exchange_key).await.unwrap();
    let PublicKey::Rsa { n, e } = shown.public_key else { panic!("the exchange key is RSA") };
    let one_time = [9; 32];
    let aes = KeySpecification::Oct(SymmetricSize::Bits256);
    let one_time_key = KeyMaterial::from_sealable(aes, &one_time).unwrap();
    let mut blob = RsaPublicKey::from_components(&n, &e).unwrap().encrypt(Algorithm::RsaOaep, &one_time).unwrap();
    blob.extend(one_time_key.wrap(Algorithm::CkmAesKeyWrapPad, target, &SystemEntropy).unwrap());
    ImportSource::Wrapped { exchange_key: exchange_key.clone(), kind: WrappedKind::Oct, wrapped: blob }
}

#[tokio::test]
async fn an_imported_key_is_the_one_that_was_given() {
    let world = World::active().await;
    let imported = import(&world, "k", of(parts())).await.unwrap();
    assert_eq!(imported.specification, KeySpecification::Oct(SymmetricSize::Bits256));
    assert!(imported.enabled && imported.operations.contains(KeyOperation::Sign));
    let key = KeyReference { name: imported.name, version: None };
    let hsm = world.hsm().await;
    let signed = hsm.sign(&world.administration(), &key, Algorithm::Hs256, b"text".to_vec()).await.unwrap();
    let outside = KeyMaterial::from_sealable(imported.specification, &[7; 32]).unwrap();
    assert_eq!(outside.verify(Algorithm::Hs256, b"text", &signed.value), Ok(true));
}

#[tokio::test]
async fn a_name_in_use_gets_a_new_version_and_a_deleted_one_is_refused() {
    let world = World::active().await;
    let first = world.ec_key("k").await;
    let second = import(&world, "k", of(parts())).await.unwrap();
    assert_ne!(first.version, Some(second.version));
    let hsm = world.hsm().await;
    let old = hsm.key(&world.administration(), &first).await.unwrap();
    assert_eq!(old.specification, ec().specification);
    hsm.delete_key(&world.administration(), &first.name).await.unwrap();
    assert!(matches!(import(&world, "k", of(parts())).await, Err(Error::KeyDeleted { .. })));
}

#[tokio::test]
async fn an_import_needs_the_right_to_the_name_and_to_the_exchange_key() {
    let world = World::active().await;
    let exchange_key = world.create("kek", exchange_key()).await;
    let importer = stranger();
    let hsm = world.hsm().await;
    let name = "mine".parse().unwrap();
    let refused = hsm.import_key(&world.request(importer), &name, of(parts())).await;
    assert!(matches!(refused, Err(Error::Forbidden { action: DataAction::KeysImport, .. })));
    world.assign(importer, CRYPTO_USER, "/keys/mine").await;
    hsm.import_key(&world.request(importer), &name, of(parts())).await.unwrap();
    let source = wrapped(&world, &exchange_key, &[1; 16]).await;
    let refused = hsm.import_key(&world.request(importer), &name, of(source)).await;
    let Err(Error::Forbidden { action: DataAction::KeysImport, scope }) = refused else { panic!("{refused:?}") };
    assert_eq!(scope, Scope::Key("kek".parse().unwrap()));
}

#[tokio::test]
async fn a_wrapped_key_opens_and_an_altered_one_does_not() {
    let world = World::active().await;
    let exchange_key = world.create("kek", exchange_key()).await;
    let imported = import(&world, "k", of(wrapped(&world, &exchange_key, &[1; 24]).await)).await.unwrap();
    assert_eq!(imported.specification, KeySpecification::Oct(SymmetricSize::Bits192));
    for position in [0, 255, 256, 270] {
        let mut source = wrapped(&world, &exchange_key, &[1; 24]).await;
        let ImportSource::Wrapped { wrapped, .. } = &mut source else { panic!("it is wrapped") };
        wrapped[position] ^= 1;
        assert!(matches!(import(&world, "k", of(source)).await, Err(Error::WrappedKeyRejected)), "{position}");
    }
}

#[tokio::test]
async fn wrapped_keys_that_do_not_open_use_the_budget_of_failed_decryptions_up() {
    let world = World::active().await;
    let exchange_key = world.create("kek", exchange_key()).await;
    let garbage =
        || ImportSource::Wrapped { exchange_key: exchange_key.clone(), kind: WrappedKind::Rsa, wrapped: vec![1; 280] };
    for _ in 0..100 {
        assert!(matches!(import(&world, "k", of(garbage())).await, Err(Error::WrappedKeyRejected)));
    }
    assert!(matches!(import(&world, "k", of(garbage())).await, Err(Error::Throttled)));
    let honest = wrapped(&world, &exchange_key, &[1; 16]).await;
    assert!(matches!(import(&world, "k", of(honest)).await, Err(Error::Throttled)));
}

#[tokio::test]
async fn a_key_exchange_key_does_nothing_else_for_ever() {
    let world = World::active().await;
    let hsm = world.hsm().await;
    let request = || world.administration();
    let import_and_decrypt = [KeyOperation::Import, KeyOperation::Decrypt].into_iter().collect();
    for wanted in [
        CreateKey { operations: Some(import_and_decrypt), ..exchange_key() },
        CreateKey { operations: only(KeyOperation::Import), ..ec() },
    ] {
        let refused = hsm.create_key(&request(), &"kek".parse().unwrap(), wanted).await;
        assert!(matches!(refused, Err(Error::BadParameter { parameter: "key_ops", .. })));
    }
    let exchange_key = world.create("kek", exchange_key()).await;
    let ordinary = world.create("rsa", CreateKey { specification: KeySpecification::Rsa(RsaSize::Bits2048), ..ec() });
    let ordinary = ordinary.await;
    for (key, operation) in [
        (&exchange_key, KeyOperation::Decrypt),
        (&exchange_key, KeyOperation::UnwrapKey),
        (&ordinary, KeyOperation::Import),
    ] {
        let change = UpdateKey { operations: only(operation), ..UpdateKey::default() };
        let refused = hsm.update_key(&request(), key, &change).await;
        assert!(matches!(refused, Err(Error::BadParameter { parameter: "key_ops", .. })), "{operation}");
    }
    let unwrapped = hsm.unwrap_key(&request(), &exchange_key, Algorithm::RsaOaep, vec![1; 256]).await;
    assert!(matches!(unwrapped, Err(Error::OperationNotPermitted { .. })));
    let source = wrapped(&world, &ordinary, &[1; 16]).await;
    assert!(matches!(import(&world, "k", of(source)).await, Err(Error::OperationNotPermitted { .. })));
}

#[tokio::test]
async fn a_disabled_key_exchange_key_opens_nothing_and_an_expired_one_does() {
    let world = World::active().await;
    let exchange_key = world.create("kek", exchange_key()).await;
    let hsm = world.hsm().await;
    let change = |enabled| UpdateKey {
        attributes: KeyAttributes {
            enabled: Some(enabled),
            expires: Some(strongroom_testkit::START),
            ..Default::default()
        },
        ..UpdateKey::default()
    };
    hsm.update_key(&world.administration(), &exchange_key, &change(false)).await.unwrap();
    let source = wrapped(&world, &exchange_key, &[1; 16]).await;
    assert!(matches!(import(&world, "k", of(source)).await, Err(Error::KeyDisabled { .. })));
    hsm.update_key(&world.administration(), &exchange_key, &change(true)).await.unwrap();
    import(&world, "k", of(wrapped(&world, &exchange_key, &[1; 16]).await)).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_imported_is_refused_before_anything_is_made() {
    let world = World::active().await;
    let refused = import(&world, "k", ImportKey { operations: only(KeyOperation::Import), ..of(parts()) }).await;
    assert!(matches!(refused, Err(Error::BadParameter { parameter: "key_ops", .. })));
    let short = ImportSource::Parts(KeyParts::Oct { k: Secret::new(vec![7; 20]) });
    assert!(matches!(import(&world, "k", of(short)).await, Err(Error::Crypto(_))));
    let key = KeyReference { name: "k".parse().unwrap(), version: None };
    let found = world.hsm().await.key(&world.administration(), &key).await;
    assert!(matches!(found, Err(Error::KeyNotFound { .. })));
}
