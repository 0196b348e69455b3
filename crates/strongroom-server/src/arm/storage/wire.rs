//! The bodies of storage accounts.

use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::audit::rfc3339;
use strongroom_core::pools::{self, StorageAccountSpecification, StorageAccountView};

use crate::arm::error::ArmError;
use crate::arm::wire::{self, NameWords, TagsBody};

/// What comes. Members that mean something only in the blob store itself are read to be refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountBody {
    location: Option<String>,
    sku: Option<Sku>,
    kind: Option<String>,
    tags: Option<TagsBody>,
    properties: Option<Properties>,
}

#[derive(Deserialize)]
struct Sku {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    encryption: Option<Encryption>,
    network_acls: Option<NetworkAcls>,
    public_network_access: Option<String>,
    allow_shared_key_access: Option<bool>,
    is_hns_enabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Encryption {
    key_source: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NetworkAcls {
    default_action: Option<String>,
}

impl AccountBody {
    pub(super) fn into_specification(self) -> Result<StorageAccountSpecification, ArmError> {
        let Self { location, sku, kind, tags, properties } = self;
        if let Some(properties) = properties {
            properties.check()?;
        }
        Ok(StorageAccountSpecification {
            location: wire::location(location)?,
            sku: sku.and_then(|sku| sku.name),
            kind,
            tags: wire::tags(tags)?,
        })
    }
}

impl Properties {
    /// The blob store lies elsewhere: what would have to hold there cannot be promised here.
    fn check(&self) -> Result<(), pools::Error> {
        let differs =
            |said: &Option<String>, only: &str| said.as_ref().is_some_and(|it| !it.eq_ignore_ascii_case(only));
        let key_source = self.encryption.as_ref().and_then(|it| it.key_source.clone());
        let default_action = self.network_acls.as_ref().and_then(|acls| acls.default_action.clone());
        let refused = [
            ("properties.encryption.keySource", differs(&key_source, "Microsoft.Storage")),
            ("properties.networkAcls.defaultAction", differs(&default_action, "Allow")),
            ("properties.publicNetworkAccess", differs(&self.public_network_access, "Enabled")),
            ("properties.allowSharedKeyAccess", self.allow_shared_key_access == Some(false)),
            ("properties.isHnsEnabled", self.is_hns_enabled == Some(true)),
        ];
        match refused.into_iter().find(|(_, is_refused)| *is_refused) {
            None => Ok(()),
            Some((property, _)) => {
                let problem = "the blob store behind the account lies elsewhere: set it there, and leave it out here";
                Err(pools::Error::bad_property(property, problem))
            }
        }
    }
}

/// A storage account.
pub(super) fn account(view: &StorageAccountView) -> Value {
    let StorageAccountView { account, blob } = view;
    let endpoints = match blob {
        Some(blob) => json!({"blob": format!("{blob}/")}),
        None => json!({}),
    };
    let properties = json!({
        "provisioningState": "Succeeded",
        "creationTime": rfc3339(account.created),
        "primaryLocation": account.location,
        "primaryEndpoints": endpoints,
        "statusOfPrimary": if blob.is_some() { "available" } else { "unavailable" },
        "supportsHttpsTrafficOnly": blob.as_ref().is_none_or(pools::BlobEndpoint::is_https),
        "publicNetworkAccess": "Enabled",
        "networkAcls": {
            "bypass": "AzureServices", "defaultAction": "Allow", "ipRules": [], "virtualNetworkRules": [],
        },
        "encryption": {"keySource": "Microsoft.Storage", "services": {"blob": {"enabled": true}}},
    });
    wire::with_members(wire::storage_account_resource(view), json!({"properties": properties}))
}

/// The names of storage accounts.
pub(super) const NAME_WORDS: NameWords = NameWords {
    expected: "A name has 3 to 24 small letters and digits.",
    taken: "The name is in use by a storage account.",
};
