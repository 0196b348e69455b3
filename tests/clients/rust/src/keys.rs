//! Keys as such: create, read, update, list, delete, recover, purge.

use std::collections::{BTreeSet, HashMap};

use azure_core::http::RequestContent;
use azure_security_keyvault_keys::models::{
    CreateKeyParameters, CurveName, Key, KeyAttributes, KeyClientGetKeyOptions, KeyClientListKeyPropertiesOptions,
    KeyClientUpdateKeyPropertiesOptions, KeyOperation, KeyType, UpdateKeyPropertiesParameters,
};
use azure_security_keyvault_keys::{KeyClient, ResourceExt as _};
use futures::TryStreamExt as _;
use time::macros::datetime;

use crate::{Outcome, check, passed, refused};

/// A key of the walk: its name, and what its making needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa(i32),
    Ec(&'static str),
    Oct(i32),
}

/// One of each type; the chapter on cryptography uses them.
pub(crate) const ASYMMETRIC: [Made; 7] = [
    Made { name: "walk-rsa-2048", kind: Kind::Rsa(2048) },
    Made { name: "walk-rsa-3072", kind: Kind::Rsa(3072) },
    Made { name: "walk-rsa-4096", kind: Kind::Rsa(4096) },
    Made { name: "walk-ec-p-256", kind: Kind::Ec("P-256") },
    Made { name: "walk-ec-p-256k", kind: Kind::Ec("P-256K") },
    Made { name: "walk-ec-p-384", kind: Kind::Ec("P-384") },
    Made { name: "walk-ec-p-521", kind: Kind::Ec("P-521") },
];
pub(crate) const SYMMETRIC: [Made; 3] = [
    Made { name: "walk-oct-128", kind: Kind::Oct(128) },
    Made { name: "walk-oct-192", kind: Kind::Oct(192) },
    Made { name: "walk-oct-256", kind: Kind::Oct(256) },
];

pub(crate) const P_256: Kind = Kind::Ec("P-256");

/// The keys a service of this kind can hold.
pub(crate) fn of_each_type(client: &KeyClient) -> Vec<Made> {
    let symmetric = if is_vault(client) { &SYMMETRIC[..0] } else { &SYMMETRIC[..] };
    [&ASYMMETRIC[..], symmetric].concat()
}

pub(crate) fn is_vault(client: &KeyClient) -> bool {
    client.endpoint().as_str().contains(".vault.")
}

/// What a create request needs for a key of this kind here.
pub(crate) fn parameters(client: &KeyClient, kind: Kind) -> Outcome<CreateKeyParameters> {
    let mut parameters = CreateKeyParameters { kty: Some(key_type(client, kind)), ..Default::default() };
    match kind {
        Kind::Rsa(size) | Kind::Oct(size) => parameters.key_size = Some(size),
        Kind::Ec(curve) => parameters.curve = Some(curve.parse::<CurveName>()?),
    }
    Ok(parameters)
}

pub(crate) fn key_type(client: &KeyClient, kind: Kind) -> KeyType {
    match (kind, is_vault(client)) {
        (Kind::Rsa(_), true) => KeyType::Rsa,
        (Kind::Rsa(_), false) => KeyType::RsaHsm,
        (Kind::Ec(_), true) => KeyType::Ec,
        (Kind::Ec(_), false) => KeyType::EcHsm,
        (Kind::Oct(_), true) => KeyType::Oct,
        (Kind::Oct(_), false) => KeyType::OctHsm,
    }
}

pub(crate) async fn create(client: &KeyClient, name: &str, kind: Kind) -> Outcome<Key> {
    Ok(client.create_key(name, parameters(client, kind)?.try_into()?, None).await?.into_model()?)
}

/// The whole key id, with its version.
pub(crate) fn id(key: &Key) -> Outcome<String> {
    Ok(key.key.as_ref().and_then(|key| key.kid.clone()).ok_or("a key has an id")?)
}

/// The x coordinate or the modulus: what differs between keys.
pub(crate) fn public_part(key: &Key) -> Option<&Vec<u8>> {
    key.key.as_ref().and_then(|key| key.x.as_ref().or(key.n.as_ref()))
}

pub(crate) async fn get(client: &KeyClient, name: &str, version: Option<&str>) -> azure_core::Result<Key> {
    let options = KeyClientGetKeyOptions { key_version: version.map(str::to_owned), ..Default::default() };
    client.get_key(name, Some(options)).await?.into_model()
}

pub(crate) async fn walk(client: &KeyClient) -> Outcome {
    for Made { name, kind } in of_each_type(client) {
        let key = create(client, name, kind).await?;
        let found = key.key.as_ref().and_then(|key| key.kty.clone());
        check(found == Some(key_type(client, kind)), format!("{name} is {found:?}"))?;
        passed(format!("create {kind:?}"));
    }
    read_and_update(client).await?;
    list_pages(client).await?;
    delete_recover_purge(client).await
}

async fn read_and_update(client: &KeyClient) -> Outcome {
    let name = "walk-versions";
    let mut first = parameters(client, P_256)?;
    first.tags = Some(HashMap::from([("step".to_owned(), "1".to_owned())]));
    let first = client.create_key(name, first.try_into()?, None).await?.into_model()?;
    let second = create(client, name, P_256).await?;
    check(id(&get(client, name, None).await?)? == id(&second)?, "the latest version is read")?;
    let version = first.resource_id()?.version.ok_or("a key has a version")?;
    let old = get(client, name, Some(&version)).await?;
    check(old.tags == first.tags && public_part(&old) == public_part(&first), "an old version stays as it was")?;
    passed("get");
    let attributes = KeyAttributes {
        enabled: Some(false),
        not_before: Some(datetime!(2035-01-01 03:04:05 UTC)),
        expires: Some(datetime!(2035-01-02 03:04:05 UTC)),
        ..Default::default()
    };
    let change = UpdateKeyPropertiesParameters {
        key_attributes: Some(attributes),
        key_ops: Some(vec![KeyOperation::Verify]),
        tags: Some(HashMap::from([("step".to_owned(), "2".to_owned())])),
        ..Default::default()
    };
    let options = KeyClientUpdateKeyPropertiesOptions { key_version: Some(version.clone()), ..Default::default() };
    client.update_key_properties(name, change.clone().try_into()?, Some(options)).await?;
    let read = get(client, name, Some(&version)).await?;
    let found = read.attributes.ok_or("a key has attributes")?;
    let wanted = change.key_attributes.ok_or("they were given")?;
    check(found.enabled == wanted.enabled && read.tags == change.tags, "enabled and tags were changed")?;
    check(found.expires == wanted.expires && found.not_before == wanted.not_before, "and the dates")?;
    let operations = read.key.and_then(|key| key.key_ops).unwrap_or_default();
    check(operations == ["verify"], format!("the operations are {operations:?}"))?;
    passed("update");
    let versions: Vec<_> = client.list_key_properties_versions(name, None)?.into_stream().try_collect().await?;
    let versions: BTreeSet<_> = versions.into_iter().filter_map(|it| it.kid).collect();
    check(versions == BTreeSet::from([id(&first)?, id(&second)?]), format!("the versions are {versions:?}"))?;
    passed("list versions");
    Ok(())
}

async fn list_pages(client: &KeyClient) -> Outcome {
    let names: BTreeSet<String> = (0..=PAGE).map(|number| format!("walk-page-{number}")).collect();
    for name in &names {
        create(client, name, P_256).await?;
    }
    let pages: Vec<_> = client.list_key_properties(None)?.into_pages().try_collect().await?;
    let pages = pages.into_iter().map(|page| page.into_model()).collect::<Result<Vec<_>, _>>()?;
    check(pages.len() > 1 && pages.iter().all(|page| page.value.len() <= PAGE), "there are pages of 25")?;
    let found: Vec<_> =
        pages.iter().flat_map(|page| &page.value).map(|it| it.resource_id()).collect::<Result<_, _>>()?;
    let different: BTreeSet<_> = found.iter().map(|it| it.name.clone()).collect();
    check(different.len() == found.len() && names.is_subset(&different), "each key is listed once")?;
    let options = KeyClientListKeyPropertiesOptions { maxresults: Some(2), ..Default::default() };
    let small = client.list_key_properties(Some(options))?.into_pages().try_next().await?.ok_or("a page")?;
    check(small.into_model()?.value.len() == 2, "the page is as small as asked for")?;
    passed(format!("list {} pages", pages.len()));
    for name in &names {
        client.delete_key(name, None).await?;
    }
    let pages: Vec<_> = client.list_deleted_key_properties(None)?.into_pages().try_collect().await?;
    let pages = pages.into_iter().map(|page| page.into_model()).collect::<Result<Vec<_>, _>>()?;
    let deleted = pages.iter().flat_map(|page| &page.value).map(|it| it.resource_id());
    let deleted: BTreeSet<_> = deleted.map(|it| it.map(|it| it.name)).collect::<Result<_, _>>()?;
    check(pages.len() > 1 && names.is_subset(&deleted), "all are in the deleted list")?;
    passed(format!("list deleted {} pages", pages.len()));
    for name in &names {
        client.purge_deleted_key(name, None).await?;
    }
    Ok(())
}

async fn delete_recover_purge(client: &KeyClient) -> Outcome {
    let name = "walk-deleted";
    let made = create(client, name, P_256).await?;
    let deleted = client.delete_key(name, None).await?.into_model()?;
    check(deleted.recovery_id.is_some(), "a deleted key can be recovered")?;
    check(deleted.scheduled_purge_date > deleted.deleted_date, "and is purged later")?;
    passed("delete");
    let shown = client.get_deleted_key(name, None).await?.into_model()?;
    check(shown.key.and_then(|key| key.kid) == Some(id(&made)?), "the deleted key is shown")?;
    passed("get deleted");
    let again: RequestContent<_> = parameters(client, P_256)?.try_into()?;
    refused(client.create_key(name, again, None).await, 409)?;
    passed("create refused while deleted");
    let recovered = client.recover_deleted_key(name, None).await?.into_model()?;
    check(id(&recovered)? == id(&made)?, "the same key comes back")?;
    check(id(&get(client, name, None).await?)? == id(&made)?, "the recovered key is read")?;
    passed("recover");
    client.delete_key(name, None).await?;
    client.purge_deleted_key(name, None).await?;
    refused(get(client, name, None).await, 404)?;
    refused(client.get_deleted_key(name, None).await, 404)?;
    passed("purge");
    Ok(())
}

const PAGE: usize = 25;
