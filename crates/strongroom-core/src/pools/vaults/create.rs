//! Making a vault.

use strongroom_types::InstanceId;

use crate::pools::vaults::specification::check_policies;
use crate::pools::{Action, Error, Permit, Pools, Result, RetentionDays, VaultId, VaultSpecification, VaultView};
use crate::request::Request;
use crate::vault::{AccessControl, AuthorizationModel, Vault, VaultNetworkAccess};

impl Pools {
    /// Makes a vault where [`Pools::plan_vault`] found the name free. It is there when this returns.
    ///
    /// `default_model` is taken if nothing is said about `enableRbacAuthorization`: it depends on the api-version.
    ///
    /// # Errors
    /// [`Error::LocationRequired`], [`Error::SkuNotSupported`], [`Error::BadProperty`], [`Error::LimitReached`];
    /// [`crate::Error::Conflict`] if somebody else took the name in between.
    pub async fn create_vault(
        &self,
        request: &Request,
        permit: &Permit,
        id: &VaultId,
        mut specification: VaultSpecification,
        default_model: AuthorizationModel,
    ) -> Result<VaultView> {
        permit.demand(Action::VaultWrite, &id.scope())?;
        let group = self.existing_group(id.subscription, &id.group).await?;
        let access = AccessControl {
            model: specification.model.unwrap_or(default_model),
            policies: specification.policies.take().unwrap_or_default(),
        };
        let vault = self.new_vault(request, id, specification).await?;
        check_policies(&access.policies, vault.tenant)?;
        let barrier = self.barrier();
        if barrier.keys(crate::layout::VAULTS, VAULTS_MAX).await?.len() >= VAULTS_MAX {
            return Err(Error::LimitReached { what: "vaults", limit: VAULTS_MAX });
        }
        let mut transaction = barrier.transaction().detail(format!("instance {}", vault.instance));
        permit.bind(&mut transaction);
        self.stage_member(&mut transaction, &group)?;
        transaction.create(barrier.deployment(), crate::layout::vault(id.name.folded()), &vault)?;
        self.core.stage_vault(&mut transaction, vault.instance, &access)?;
        transaction.commit(request).await?;
        Ok(VaultView { vault, access })
    }

    async fn new_vault(&self, request: &Request, id: &VaultId, specification: VaultSpecification) -> Result<Vault> {
        let tenant = self.tenant_for(id.subscription, specification.tenant).await?;
        if specification.soft_delete == Some(false) {
            return Err(Error::bad_property("properties.enableSoftDelete", "soft delete cannot be switched off"));
        }
        Ok(Vault {
            name: id.name.clone(),
            subscription: id.subscription,
            resource_group: id.group.to_string(),
            location: specification.location.ok_or(Error::LocationRequired)?.to_string(),
            sku: specification.sku.ok_or(Error::SkuNotSupported { problem: "a SKU is required" })?,
            tags: specification.tags.unwrap_or_default().into_map(),
            tenant,
            retention_days: specification.retention.unwrap_or(RetentionDays::DEFAULT).days(),
            purge_protection: specification.purge_protection.unwrap_or(false),
            enabled_for_deployment: specification.enabled_for_deployment.unwrap_or(false),
            enabled_for_disk_encryption: specification.enabled_for_disk_encryption.unwrap_or(false),
            enabled_for_template_deployment: specification.enabled_for_template_deployment.unwrap_or(false),
            public_network_access: specification.public_network_access.unwrap_or(VaultNetworkAccess::Enabled),
            network_acls: specification.network_acls,
            private_endpoint_connections: Vec::new(),
            instance: InstanceId::from_uuid(self.draw_uuid()?),
            created: request.received,
            updated: request.received,
            deletion: None,
        })
    }
}

/// Most vaults of a deployment, deleted ones included. Azure has no such limit, here each is read by lists.
pub(super) const VAULTS_MAX: usize = 1000;
