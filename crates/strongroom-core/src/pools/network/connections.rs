//! Private endpoint connections from the side of the managed HSM or vault: shown, approved, rejected, removed.

use crate::network::{ConnectionStatus, PrivateEndpointConnection};
use crate::pools::network::LinkTarget;
use crate::pools::{Action, Error, Permit, Pools, Removed, Result};
use crate::request::Request;

/// What who manages an HSM or a vault says about a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionDecision {
    /// Approved or rejected.
    pub status: ConnectionStatus,
    /// Why; what was said before stays if nothing is said.
    pub description: Option<String>,
}

impl Pools {
    /// The private endpoint connections of an HSM or a vault.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`].
    pub async fn connections(&self, permit: &Permit, target: &LinkTarget) -> Result<Vec<PrivateEndpointConnection>> {
        permit.demand(target.action(READ), &target.scope())?;
        Ok(self.linked(target).await?.connections().to_vec())
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`].
    pub async fn connection(
        &self,
        permit: &Permit,
        target: &LinkTarget,
        name: &str,
    ) -> Result<PrivateEndpointConnection> {
        let all = self.connections(permit, target).await?;
        all.into_iter().find(|connection| is(connection, name)).ok_or_else(|| not_found(target, name))
    }

    /// Approves or rejects a connection. It counts for the next request, on connections that are open too.
    ///
    /// # Errors
    /// [`Error::ResourceNotFound`]; [`Error::BadProperty`] for a description that is too long, or to make it wait again.
    pub async fn decide_connection(
        &self,
        request: &Request,
        permit: &Permit,
        target: &LinkTarget,
        name: &str,
        decision: ConnectionDecision,
    ) -> Result<PrivateEndpointConnection> {
        permit.demand(target.action(WRITE), &target.scope())?;
        let ConnectionDecision { status, description } = decision;
        if status == ConnectionStatus::Pending {
            return Err(Error::bad_property(STATUS, "Approved or Rejected is expected"));
        }
        let description = description.map(|text| checked_words(DESCRIPTION, text)).transpose()?;
        let linked = self.linked(target).await?;
        let mut connections = linked.connections().to_vec();
        let found = connections.iter_mut().find(|connection| is(connection, name));
        let connection = found.ok_or_else(|| not_found(target, name))?;
        connection.status = status;
        connection.description = description.unwrap_or_else(|| connection.description.clone());
        let decided = connection.clone();
        let barrier = self.barrier();
        let what = format!("private endpoint {} {}", decided.endpoint, status.as_str());
        let mut transaction = barrier.transaction().detail(what);
        permit.bind(&mut transaction);
        linked.stage(barrier, &mut transaction, connections, request.received)?;
        transaction.commit(request).await?;
        Ok(decided)
    }

    /// Removes a connection. The private endpoint stays, and leads nowhere.
    pub async fn remove_connection(
        &self,
        request: &Request,
        permit: &Permit,
        target: &LinkTarget,
        name: &str,
    ) -> Result<Removed> {
        permit.demand(target.action(DELETE), &target.scope())?;
        let linked = self.linked(target).await?;
        let (removed, left): (Vec<_>, Vec<_>) =
            linked.connections().iter().cloned().partition(|connection| is(connection, name));
        let Some(removed) = removed.first() else { return Ok(Removed::WasAbsent) };
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("private endpoint {} removed", removed.endpoint));
        permit.bind(&mut transaction);
        linked.stage(barrier, &mut transaction, left, request.received)?;
        transaction.commit(request).await?;
        Ok(Removed::Gone)
    }
}

fn is(connection: &PrivateEndpointConnection, name: &str) -> bool {
    connection.name.eq_ignore_ascii_case(name)
}

fn not_found(target: &LinkTarget, name: &str) -> Error {
    let (resource_type, scope) = match target {
        LinkTarget::ManagedHsm(id) => ("Microsoft.KeyVault/managedHSMs/privateEndpointConnections", &id.group),
        LinkTarget::Vault(id) => ("Microsoft.KeyVault/vaults/privateEndpointConnections", &id.group),
    };
    Error::ResourceNotFound { resource_type, name: format!("{}/{name}", target.name()), group: scope.to_string() }
}

/// Words that people write for each other.
pub(super) fn checked_words(property: &'static str, text: String) -> Result<String> {
    if text.chars().count() > WORDS_MAX || text.chars().any(char::is_control) {
        return Err(Error::bad_property(property, "at most 140 characters without control characters are expected"));
    }
    Ok(text)
}

const READ: [Action; 2] = [Action::HsmPrivateEndpointConnectionsRead, Action::VaultPrivateEndpointConnectionsRead];
const WRITE: [Action; 2] = [Action::HsmPrivateEndpointConnectionsWrite, Action::VaultPrivateEndpointConnectionsWrite];
const DELETE: [Action; 2] =
    [Action::HsmPrivateEndpointConnectionsDelete, Action::VaultPrivateEndpointConnectionsDelete];
const STATUS: &str = "properties.privateLinkServiceConnectionState.status";
const DESCRIPTION: &str = "properties.privateLinkServiceConnectionState.description";
/// Characters of a description; Azure's limit for a request message.
const WORDS_MAX: usize = 140;
