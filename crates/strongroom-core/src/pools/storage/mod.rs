//! Storage accounts (`Microsoft.Storage/storageAccounts`): names under which backups find a blob store.
//!
//! An account holds nothing here. Its blobs lie in a real blob store, Azure's or one that speaks as it does, which the
//! operator's configuration binds to the account's name: [`StorageEndpoint`]. Where that is belongs to the configuration
//! alone and is no part of the record, so that a token for an account never goes anywhere else.
//!
//! Read first: [`StorageAccount`], [`Pools::storage_credential`].

mod accounts;
mod credential;
mod endpoint;

use serde::{Deserialize, Serialize};
use strongroom_types::Timestamp;
use uuid::Uuid;

use crate::barrier::Record;
use crate::pools::{GroupName, Location, ResourceScope, StorageAccountName, Tags, layout};

pub use credential::{BlobAccess, StorageCredentialError};
pub use endpoint::{BlobEndpoint, ContainerName, EndpointError};

#[cfg(doc)]
use crate::pools::Pools;

/// A storage account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageAccount {
    /// Its name; one of the configured ones.
    pub name: StorageAccountName,
    /// The subscription it belongs to.
    pub subscription: Uuid,
    /// The resource group.
    pub resource_group: GroupName,
    /// The region's name; means nothing here and never changes.
    pub location: Location,
    /// The name of the SKU, such as `Standard_LRS`; kept, without effect.
    pub sku: String,
    /// The kind, such as `StorageV2`; kept, without effect, never changes.
    pub kind: String,
    /// Tags.
    pub tags: Tags,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl Record for StorageAccount {
    const FORMAT: u16 = 1;
}

/// What the configuration says about a storage account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageEndpoint {
    /// The name that an account takes it by.
    pub name: StorageAccountName,
    /// Where its blobs lie.
    pub blob: BlobEndpoint,
}

/// A storage account as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageAccountView {
    /// The record.
    pub account: StorageAccount,
    /// Where its blobs lie; `None` if the configuration does not name it any more.
    pub blob: Option<BlobEndpoint>,
}

/// Names a storage account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageAccountId {
    /// The subscription.
    pub subscription: Uuid,
    /// The resource group.
    pub group: GroupName,
    /// The name.
    pub name: StorageAccountName,
}

/// What a user says about a storage account. What is absent takes its default in a new one, and stays as it is in an
/// existing one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageAccountSpecification {
    /// Needed to make one; cannot be changed.
    pub location: Option<Location>,
    /// `sku.name`.
    pub sku: Option<String>,
    /// `kind`; cannot be changed.
    pub kind: Option<String>,
    /// Replaces all tags.
    pub tags: Option<Tags>,
}

impl StorageAccount {
    /// `{namespace}/{type}` of these resources.
    pub const RESOURCE_TYPE: &'static str = "Microsoft.Storage/storageAccounts";

    /// Its id.
    pub fn id(&self) -> StorageAccountId {
        let Self { subscription, resource_group, name, .. } = self;
        StorageAccountId { subscription: *subscription, group: resource_group.clone(), name: name.clone() }
    }

    fn store_key(&self) -> String {
        layout::storage_account(self.name.as_str())
    }
}

impl StorageAccountId {
    /// Its scope; its text is the resource id.
    pub fn scope(&self) -> ResourceScope {
        let group = ResourceScope::group(self.subscription, &self.group);
        group.resource("Microsoft.Storage", "storageAccounts", self.name.as_str())
    }

    /// The scope of a container in it.
    pub fn container_scope(&self, container: &ContainerName) -> ResourceScope {
        self.scope().child("blobServices", "default").child("containers", container.as_str())
    }

    fn is(&self, account: &StorageAccount) -> bool {
        self.subscription == account.subscription && self.group.folded() == account.resource_group.folded()
    }
}
