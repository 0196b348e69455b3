//! What makes, replaces and moves key material: import, rotation, backup and restore; random bytes.

use azure_security_keyvault_keys::KeyClient;
use azure_security_keyvault_keys::models::{
    CurveName, GetRandomBytesParameters, ImportKeyParameters, JsonWebKey, KeyRotationPolicy, KeyRotationPolicyAction,
    KeyRotationPolicyAttributes, KeyType, LifetimeAction, LifetimeActionTrigger, LifetimeActionType,
    RestoreKeyParameters,
};
use futures::TryStreamExt as _;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use rsa::RsaPrivateKey;
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};

use crate::cryptography::random;
use crate::keys::{Kind, P_256, create, get, id, is_vault, key_type, public_part};
use crate::{Outcome, check, passed, refused};

pub(crate) async fn draw_random_bytes(client: &KeyClient) -> Outcome {
    for count in [1_usize, 16, 128] {
        let order = GetRandomBytesParameters { count: Some(i32::try_from(count)?) };
        let drawn = client.get_random_bytes(order.try_into()?, None).await?.into_model()?;
        check(drawn.value.is_some_and(|bytes| bytes.len() == count), format!("{count} random bytes"))?;
    }
    passed("random bytes");
    Ok(())
}

pub(crate) async fn rotate(client: &KeyClient) -> Outcome {
    let name = "walk-rotated";
    let first = create(client, name, P_256).await?;
    let action = LifetimeAction {
        action: Some(LifetimeActionType { type_prop: Some(KeyRotationPolicyAction::Rotate) }),
        trigger: Some(LifetimeActionTrigger { time_after_create: Some("P30D".to_owned()), ..Default::default() }),
    };
    let policy = KeyRotationPolicy {
        attributes: Some(KeyRotationPolicyAttributes { expiry_time: Some("P90D".to_owned()), ..Default::default() }),
        lifetime_actions: Some(vec![action]),
        ..Default::default()
    };
    let set = client.update_key_rotation_policy(name, policy.try_into()?, None).await?.into_model()?;
    passed("update rotation policy");
    let read = client.get_key_rotation_policy(name, None).await?.into_model()?;
    for found in [set, read] {
        let expiry = found.attributes.and_then(|it| it.expiry_time);
        check(expiry.as_deref() == Some("P90D"), format!("expires after {expiry:?}"))?;
        let triggers = found.lifetime_actions.unwrap_or_default().into_iter().filter_map(|it| it.trigger);
        let after: Vec<_> = triggers.filter_map(|it| it.time_after_create).collect();
        check(after == ["P30D"], format!("rotates after {after:?}"))?;
    }
    passed("get rotation policy");
    let second = client.rotate_key(name, None).await?.into_model()?;
    check(id(&second)? != id(&first)? && public_part(&second) != public_part(&first), "a new version, a new key")?;
    check(id(&get(client, name, None).await?)? == id(&second)?, "it is the latest")?;
    check(second.attributes.is_some_and(|it| it.expires.is_some()), "and it expires")?;
    passed("rotate");
    Ok(())
}

pub(crate) async fn import_each_type(client: &KeyClient) -> Outcome {
    let vault = is_vault(client);
    let keys = [(Kind::Rsa(2048), rsa_jwk()?), (P_256, ec_jwk()?), (Kind::Oct(256), oct_jwk())];
    for (kind, jwk) in keys.into_iter().take(if vault { 2 } else { 3 }) {
        let name = format!("walk-imported-{}", key_type(client, kind).to_string().to_lowercase());
        let order = ImportKeyParameters { hsm: Some(!vault), key: Some(jwk.clone()), ..Default::default() };
        let key = client.import_key(&name, order.try_into()?, None).await?.into_model()?;
        let found = key.key.ok_or("an imported key is shown")?;
        check(found.kty == Some(key_type(client, kind)), format!("{name} is {:?}", found.kty))?;
        check(found.n == jwk.n && found.x == jwk.x, "the public part is the one imported")?;
        check(found.d.is_none() && found.k.is_none(), "and no other part is shown")?;
        passed(format!("import {kind:?}"));
    }
    Ok(())
}

fn rsa_jwk() -> Outcome<JsonWebKey> {
    let key = RsaPrivateKey::new(&mut rand::thread_rng(), 2048)?;
    let [p, q, ..] = key.primes() else { return Err("an RSA key has two primes".into()) };
    let part = |number: &rsa::BigUint| Some(number.to_bytes_be());
    Ok(JsonWebKey {
        kty: Some(KeyType::Rsa),
        key_ops: Some(operations(&["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"])),
        n: part(key.n()),
        e: part(key.e()),
        d: part(key.d()),
        p: part(p),
        q: part(q),
        dp: key.dp().and_then(part),
        dq: key.dq().and_then(part),
        qi: key.crt_coefficient().as_ref().and_then(part),
        ..Default::default()
    })
}

fn ec_jwk() -> Outcome<JsonWebKey> {
    let key = p256::SecretKey::random(&mut rand::thread_rng());
    let point = key.public_key().to_encoded_point(false);
    Ok(JsonWebKey {
        kty: Some(KeyType::Ec),
        crv: Some(CurveName::P256),
        key_ops: Some(operations(&["sign", "verify"])),
        d: Some(key.to_bytes().to_vec()),
        x: point.x().map(|x| x.to_vec()),
        y: point.y().map(|y| y.to_vec()),
        ..Default::default()
    })
}

fn oct_jwk() -> JsonWebKey {
    let key_ops = Some(operations(&["encrypt", "decrypt", "wrapKey", "unwrapKey"]));
    JsonWebKey { kty: Some(KeyType::Oct), key_ops, k: Some(random(32)), ..Default::default() }
}

fn operations(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

pub(crate) async fn back_up_and_restore(client: &KeyClient) -> Outcome {
    let name = "walk-backed-up";
    create(client, name, P_256).await?;
    let made = create(client, name, P_256).await?;
    let blob = client.backup_key(name, None).await?.into_model()?.value;
    passed("backup");
    let order = RestoreKeyParameters { key_backup: blob };
    refused(client.restore_key(order.clone().try_into()?, None).await, 409)?;
    passed("restore refused over a key that is there");
    client.delete_key(name, None).await?;
    client.purge_deleted_key(name, None).await?;
    let restored = client.restore_key(order.try_into()?, None).await?.into_model()?;
    check(id(&restored)? == id(&made)? && public_part(&restored) == public_part(&made), "the key comes back")?;
    let versions: Vec<_> = client.list_key_properties_versions(name, None)?.into_stream().try_collect().await?;
    check(versions.len() == 2, "all versions come back")?;
    passed("restore");
    Ok(())
}
