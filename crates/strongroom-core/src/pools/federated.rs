//! Federated credentials of user-assigned identities (`…/userAssignedIdentities/{name}/federatedIdentityCredentials`).
//!
//! They are kept with the identity's principal in the directory, where the token endpoint reads them: so they end with it.

use uuid::Uuid;

use crate::identity::record::FederatedCredential;
use crate::identity::{FederatedSpecification, IdentityError, WrittenFederated};
use crate::pools::{
    Action, Error, GroupName, IdentityName, Permit, Pools, Removed, ResourceScope, Result, UserAssignedIdentity,
};
use crate::request::Request;

/// Which user-assigned identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityId {
    /// The subscription.
    pub subscription: Uuid,
    /// The resource group.
    pub group: GroupName,
    /// Its name.
    pub name: IdentityName,
}

impl IdentityId {
    /// `{namespace}/{type}` of federated credentials.
    pub const CREDENTIAL_TYPE: &'static str =
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials";

    /// The identity's scope.
    pub fn scope(&self) -> ResourceScope {
        UserAssignedIdentity::scope_of(self.subscription, &self.group, &self.name)
    }

    /// The scope of one of its federated credentials, whether it exists or not.
    pub fn credential_scope(&self, credential: &str) -> ResourceScope {
        self.scope().child("federatedIdentityCredentials", credential)
    }
}

impl Pools {
    /// The federated credentials of an identity, in the order in which they were made.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`] if there is no such identity.
    pub async fn federated_credentials(&self, permit: &Permit, id: &IdentityId) -> Result<Vec<FederatedCredential>> {
        permit.demand(Action::FederatedCredentialRead, &id.scope())?;
        self.federated_of(id).await
    }

    /// A federated credential of an identity.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`].
    pub async fn federated_credential(
        &self,
        permit: &Permit,
        id: &IdentityId,
        name: &str,
    ) -> Result<FederatedCredential> {
        permit.demand(Action::FederatedCredentialRead, &id.credential_scope(name))?;
        let found = self.federated_of(id).await?.into_iter().find(|known| known.is_named(name));
        found.ok_or_else(|| Error::ResourceNotFound {
            resource_type: IdentityId::CREDENTIAL_TYPE,
            name: format!("{}/{name}", id.name),
            group: id.group.to_string(),
        })
    }

    /// Whether a federated credential is there that the caller is about to write: a PUT that makes one is answered
    /// otherwise.
    pub async fn federated_credential_is_there(&self, permit: &Permit, id: &IdentityId, name: &str) -> Result<bool> {
        permit.demand(Action::FederatedCredentialWrite, &id.credential_scope(name))?;
        Ok(self.federated_of(id).await?.iter().any(|known| known.is_named(name)))
    }

    /// Makes a federated credential of an identity, or changes the one of that name.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`] if there is no such identity, [`Error::Directory`] for a limit or a pair of issuer and
    /// subject that another credential has.
    pub async fn put_federated_credential(
        &self,
        request: &Request,
        permit: &Permit,
        id: &IdentityId,
        specification: &FederatedSpecification,
    ) -> Result<WrittenFederated> {
        let scope = id.credential_scope(specification.name());
        permit.demand(Action::FederatedCredentialWrite, &scope)?;
        let identity = self.existing_identity(id.subscription, &id.group, &id.name).await?;
        let mut transaction = self.barrier().transaction().detail(format!("federated credential {scope}"));
        let written = self.directory.stage_federated(&mut transaction, identity.value.principal, specification).await?;
        permit.bind(&mut transaction);
        transaction.commit(request).await?;
        Ok(written)
    }

    /// Ends a federated credential of an identity. An identity that is not there has none.
    pub async fn delete_federated_credential(
        &self,
        request: &Request,
        permit: &Permit,
        id: &IdentityId,
        name: &str,
    ) -> Result<Removed> {
        let scope = id.credential_scope(name);
        permit.demand(Action::FederatedCredentialDelete, &scope)?;
        let Some(identity) = self.find_identity(id.subscription, &id.group, &id.name).await? else {
            return Ok(Removed::WasAbsent);
        };
        let principal = identity.value.principal;
        let mut transaction = self.barrier().transaction().detail(format!("federated credential {scope}"));
        if !self.directory.stage_federated_removal(&mut transaction, principal, name).await? {
            return Ok(Removed::WasAbsent);
        }
        permit.bind(&mut transaction);
        transaction.commit(request).await?;
        Ok(Removed::Gone)
    }

    async fn federated_of(&self, id: &IdentityId) -> Result<Vec<FederatedCredential>> {
        let principal = self.existing_identity(id.subscription, &id.group, &id.name).await?.value.principal;
        let found = self.directory.principal(principal).await?.ok_or(IdentityError::PrincipalNotFound)?;
        Ok(found.value.federated().to_vec())
    }
}
