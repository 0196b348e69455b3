//! Making, showing, changing and removing storage accounts.

use uuid::Uuid;

use crate::barrier::Stored;
use crate::pools::identities::list_scope;
use crate::pools::storage::{
    BlobEndpoint, StorageAccount, StorageAccountId, StorageAccountSpecification, StorageAccountView,
};
use crate::pools::{
    Action, Error, GroupName, NameAvailability, Permit, Pools, Removed, ResourceScope, Result, StorageAccountName,
    Written, layout,
};
use crate::request::Request;

impl Pools {
    /// A storage account.
    ///
    /// # Errors
    /// [`Error::ResourceGroupNotFound`], [`Error::ResourceNotFound`].
    pub async fn storage_account(&self, permit: &Permit, id: &StorageAccountId) -> Result<StorageAccountView> {
        permit.demand(Action::StorageAccountRead, &id.scope())?;
        Ok(self.view_of_account(self.existing_account(id).await?.value))
    }

    /// A storage account whose shared key is about to be shown.
    ///
    /// # Errors
    /// As [`Pools::storage_account`].
    pub async fn storage_account_for_keys(&self, permit: &Permit, id: &StorageAccountId) -> Result<StorageAccountView> {
        permit.demand(Action::StorageAccountListKeys, &id.scope())?;
        Ok(self.view_of_account(self.existing_account(id).await?.value))
    }

    /// The storage accounts of a subscription, or of one group of it, that the caller may read, in the order of names.
    pub async fn storage_accounts(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: Option<&GroupName>,
    ) -> Result<Vec<StorageAccountView>> {
        permit.demand_list(Action::StorageAccountRead, &list_scope(subscription, group))?;
        self.readable_storage_accounts(permit, subscription, group).await
    }

    pub(in crate::pools) async fn readable_storage_accounts(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: Option<&GroupName>,
    ) -> Result<Vec<StorageAccountView>> {
        if let Some(group) = group {
            self.existing_group(subscription, group).await?;
        }
        let wanted = |account: &StorageAccount| {
            account.subscription == subscription
                && group.is_none_or(|group| group.folded() == account.resource_group.folded())
                && permit.allows(Action::StorageAccountRead, &account.id().scope())
        };
        let all = self.all_storage_accounts().await?;
        Ok(all.into_iter().filter(wanted).map(|account| self.view_of_account(account)).collect())
    }

    pub(in crate::pools) async fn all_storage_accounts(&self) -> Result<Vec<StorageAccount>> {
        let barrier = self.barrier();
        let all = barrier.all::<StorageAccount>(barrier.deployment(), layout::STORAGE_ACCOUNTS).await?;
        Ok(all.into_iter().map(|stored| stored.value).collect())
    }

    /// Whether a name can be given to a new storage account.
    pub async fn check_storage_account_name(
        &self,
        permit: &Permit,
        subscription: Uuid,
        name: &str,
    ) -> Result<NameAvailability> {
        permit.demand_list(Action::StorageNameCheck, &ResourceScope::subscription(subscription))?;
        let Ok(name) = name.parse::<StorageAccountName>() else { return Ok(NameAvailability::Invalid) };
        let taken = self.find_account(&name).await?.is_some();
        Ok(if taken { NameAvailability::Taken } else { NameAvailability::Available })
    }

    /// Makes a storage account over the blob store that the configuration names, or changes an existing one.
    ///
    /// # Errors
    /// [`Error::StorageAccountNotConfigured`], [`Error::StorageAccountNameTaken`], [`Error::LocationRequired`],
    /// [`Error::LocationDiffers`], [`Error::BadProperty`], [`Error::ResourceGroupNotFound`].
    pub async fn put_storage_account(
        &self,
        request: &Request,
        permit: &Permit,
        id: &StorageAccountId,
        specification: StorageAccountSpecification,
    ) -> Result<Written<StorageAccountView>> {
        permit.demand(Action::StorageAccountWrite, &id.scope())?;
        let parent = self.existing_group(id.subscription, &id.group).await?;
        if let Some(existing) = self.find_account(&id.name).await? {
            if !id.is(&existing.value) {
                return Err(Error::StorageAccountNameTaken(id.name.to_string()));
            }
            return self.change_account(request, permit, &existing, specification).await.map(Written::Updated);
        }
        if self.blob_endpoint(&id.name).is_none() {
            return Err(Error::StorageAccountNotConfigured(id.name.to_string()));
        }
        let StorageAccountSpecification { location, sku, kind, tags } = specification;
        let account = StorageAccount {
            name: id.name.clone(),
            subscription: id.subscription,
            resource_group: parent.value.name.clone(),
            location: location.ok_or(Error::LocationRequired)?,
            sku: word("sku.name", sku.unwrap_or_else(|| SKU.to_owned()))?,
            kind: word("kind", kind.unwrap_or_else(|| KIND.to_owned()))?,
            tags: tags.unwrap_or_default(),
            created: request.received,
            updated: request.received,
        };
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("storage account {}", account.name));
        permit.bind(&mut transaction);
        self.stage_member(&mut transaction, &parent)?;
        transaction.create(barrier.deployment(), account.store_key(), &account)?;
        transaction.commit(request).await?;
        Ok(Written::Created(self.view_of_account(account)))
    }

    /// Changes a storage account that is there.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`], and as [`Pools::put_storage_account`].
    pub async fn patch_storage_account(
        &self,
        request: &Request,
        permit: &Permit,
        id: &StorageAccountId,
        specification: StorageAccountSpecification,
    ) -> Result<StorageAccountView> {
        permit.demand(Action::StorageAccountWrite, &id.scope())?;
        let existing = self.existing_account(id).await?;
        self.change_account(request, permit, &existing, specification).await
    }

    async fn change_account(
        &self,
        request: &Request,
        permit: &Permit,
        existing: &Stored<StorageAccount>,
        specification: StorageAccountSpecification,
    ) -> Result<StorageAccountView> {
        let StorageAccountSpecification { location, sku, kind, tags } = specification;
        let mut account = existing.value.clone();
        if let Some(asked) = location {
            asked.check_unchanged(account.location.as_str(), &account.name, &account.resource_group)?;
        }
        if kind.is_some_and(|asked| !asked.eq_ignore_ascii_case(&account.kind)) {
            return Err(Error::bad_property("kind", "it cannot be changed after creation"));
        }
        account.sku = sku.map(|sku| word("sku.name", sku)).transpose()?.unwrap_or(account.sku);
        account.tags = tags.unwrap_or(account.tags);
        account.updated = request.received;
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("storage account {}", account.name));
        permit.bind(&mut transaction);
        transaction.replace(barrier.deployment(), existing, &account)?;
        transaction.commit(request).await?;
        Ok(self.view_of_account(account))
    }

    /// Removes a storage account and the role assignments on it. The blob store behind it, and what it holds, stay.
    pub async fn delete_storage_account(
        &self,
        request: &Request,
        permit: &Permit,
        id: &StorageAccountId,
    ) -> Result<Removed> {
        permit.demand(Action::StorageAccountDelete, &id.scope())?;
        let found = self.find_account(&id.name).await?;
        let Some(existing) = found.filter(|stored| id.is(&stored.value)) else { return Ok(Removed::WasAbsent) };
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("storage account {}", id.name));
        let what = "role assignments on a removed storage account";
        permit.bind_and_remove_below(barrier, &mut transaction, &id.scope(), what)?;
        transaction.delete(&existing);
        transaction.commit(request).await?;
        Ok(Removed::Gone)
    }

    /// Where the configuration says that the blobs of an account lie.
    pub(super) fn blob_endpoint(&self, name: &StorageAccountName) -> Option<&BlobEndpoint> {
        self.storage_endpoints.iter().find(|endpoint| endpoint.name == *name).map(|endpoint| &endpoint.blob)
    }

    pub(super) async fn find_account(&self, name: &StorageAccountName) -> Result<Option<Stored<StorageAccount>>> {
        let barrier = self.barrier();
        Ok(barrier.read(barrier.deployment(), &layout::storage_account(name.as_str())).await?)
    }

    async fn existing_account(&self, id: &StorageAccountId) -> Result<Stored<StorageAccount>> {
        self.existing_group(id.subscription, &id.group).await?;
        let found = self.find_account(&id.name).await?;
        found.filter(|stored| id.is(&stored.value)).ok_or_else(|| Error::ResourceNotFound {
            resource_type: StorageAccount::RESOURCE_TYPE,
            name: id.name.to_string(),
            group: id.group.to_string(),
        })
    }

    fn view_of_account(&self, account: StorageAccount) -> StorageAccountView {
        let blob = self.blob_endpoint(&account.name).cloned();
        StorageAccountView { account, blob }
    }
}

/// A word that is kept and means nothing here.
fn word(property: &'static str, text: String) -> Result<String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !(1..=WORD_MAX).contains(&text.len()) || !plain {
        return Err(Error::bad_property(property, "1 to 64 letters, digits and underscores are expected"));
    }
    Ok(text)
}

const SKU: &str = "Standard_LRS";
const KIND: &str = "StorageV2";
const WORD_MAX: usize = 64;
