//! Making, showing and removing private endpoints.

use uuid::Uuid;

use crate::barrier::Stored;
use crate::network::{ConnectionStatus, PrivateEndpointConnection};
use crate::pools::identities::list_scope;
use crate::pools::network::connections::checked_words;
use crate::pools::network::target::Linked;
use crate::pools::network::{
    LinkTarget, PrivateEndpoint, PrivateEndpointId, PrivateEndpointSpecification, PrivateEndpointView,
};
use crate::pools::{Action, Error, GroupName, Permit, Pools, Removed, ResourceScope, Result, Written, layout};
use crate::request::Request;

impl Pools {
    /// A private endpoint.
    ///
    /// # Errors
    /// [`Error::ResourceGroupNotFound`], [`Error::ResourceNotFound`].
    pub async fn private_endpoint(&self, permit: &Permit, id: &PrivateEndpointId) -> Result<PrivateEndpointView> {
        permit.demand(Action::PrivateEndpointRead, &id.scope())?;
        self.existing_group(id.subscription, &id.group).await?;
        let found = self.find_endpoint(id).await?;
        let stored = found.ok_or_else(|| Error::ResourceNotFound {
            resource_type: PrivateEndpoint::RESOURCE_TYPE,
            name: id.name.to_string(),
            group: id.group.to_string(),
        })?;
        self.view_of_endpoint(stored.value).await
    }

    /// The private endpoints of a subscription, or of one group of it, that the caller may read.
    pub async fn private_endpoints(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: Option<&GroupName>,
    ) -> Result<Vec<PrivateEndpointView>> {
        permit.demand_list(Action::PrivateEndpointRead, &list_scope(subscription, group))?;
        let mut views = Vec::new();
        for endpoint in self.readable_endpoints(permit, subscription, group).await? {
            views.push(self.view_of_endpoint(endpoint).await?);
        }
        Ok(views)
    }

    pub(in crate::pools) async fn readable_endpoints(
        &self,
        permit: &Permit,
        subscription: Uuid,
        group: Option<&GroupName>,
    ) -> Result<Vec<PrivateEndpoint>> {
        if let Some(group) = group {
            self.existing_group(subscription, group).await?;
        }
        let wanted = |endpoint: &PrivateEndpoint| {
            endpoint.subscription == subscription
                && group.is_none_or(|group| group.folded() == endpoint.resource_group.folded())
                && permit.allows(Action::PrivateEndpointRead, &endpoint.id().scope())
        };
        Ok(self.all_endpoints().await?.into_iter().filter(wanted).collect())
    }

    pub(in crate::pools) async fn all_endpoints(&self) -> Result<Vec<PrivateEndpoint>> {
        let barrier = self.barrier();
        let all = barrier.all::<PrivateEndpoint>(barrier.deployment(), layout::PRIVATE_ENDPOINTS).await?;
        Ok(all.into_iter().map(|stored| stored.value).collect())
    }

    /// Whether a private endpoint is there that the caller is about to write: a PUT that makes one is answered otherwise.
    pub async fn private_endpoint_is_there(&self, permit: &Permit, id: &PrivateEndpointId) -> Result<bool> {
        permit.demand(Action::PrivateEndpointWrite, &id.scope())?;
        Ok(self.find_endpoint(id).await?.is_some())
    }

    /// Makes a private endpoint, or changes the tags of an existing one. It is approved at once if its maker may approve
    /// connections of what it leads to, and did not ask for a decision; otherwise it waits.
    ///
    /// # Errors
    /// [`Error::AuthorizationFailed`] if the caller may not join the subnet; [`Error::ResourceNotFound`] if it would lead
    /// nowhere; [`Error::LimitReached`], [`Error::BadProperty`], [`Error::LocationRequired`], [`Error::LocationDiffers`].
    pub async fn put_private_endpoint(
        &self,
        request: &Request,
        permit: &Permit,
        id: &PrivateEndpointId,
        specification: PrivateEndpointSpecification,
    ) -> Result<Written<PrivateEndpointView>> {
        permit.demand(Action::PrivateEndpointWrite, &id.scope())?;
        match self.find_endpoint(id).await? {
            Some(existing) => self.change_endpoint(request, permit, &existing, specification).await,
            None => self.create_endpoint(request, permit, id, specification).await,
        }
    }

    async fn create_endpoint(
        &self,
        request: &Request,
        permit: &Permit,
        id: &PrivateEndpointId,
        specification: PrivateEndpointSpecification,
    ) -> Result<Written<PrivateEndpointView>> {
        let PrivateEndpointSpecification { location, tags, subnet_id, link_name, target, manual, request_message } =
            specification;
        let parent = self.existing_group(id.subscription, &id.group).await?;
        permit.require(Action::SubnetJoin, &subnet_id)?;
        let (network, subnet_id, subnet) = self.network_of_subnet(&subnet_id).await?;
        let request_message = request_message.map(|text| checked_words(REQUEST_MESSAGE, text)).transpose()?;
        let linked = self.linked(&target).await?;
        self.check_room(id.subscription, &linked).await?;
        let connection = format!("{}.{}", target.name(), self.draw_uuid()?);
        let approve = target.action([Action::HsmConnectionsApprove, Action::VaultConnectionsApprove]);
        let (status, description) = if !manual && permit.allows(approve, &target.scope()) {
            (ConnectionStatus::Approved, AUTO_APPROVED.to_owned())
        } else {
            (ConnectionStatus::Pending, request_message.clone().unwrap_or_default())
        };
        let endpoint = PrivateEndpoint {
            name: id.name.clone(),
            subscription: id.subscription,
            resource_group: parent.value.name.clone(),
            location: location.ok_or(Error::LocationRequired)?,
            tags: tags.unwrap_or_default(),
            subnet_id,
            subnet: subnet.clone(),
            target,
            link_name,
            manual,
            request_message,
            connection: connection.clone(),
            created: request.received,
            updated: request.received,
        };
        let scope = endpoint.id().scope();
        let mut connections = linked.connections().to_vec();
        connections.push(PrivateEndpointConnection {
            name: connection,
            endpoint: scope.to_string(),
            subnet,
            status,
            description: description.clone(),
        });
        let barrier = self.barrier();
        let what = format!("private endpoint {scope} to {} {}", endpoint.target.scope(), status.as_str());
        let mut transaction = barrier.transaction().detail(what);
        permit.bind(&mut transaction);
        // Nobody removes the subnet meanwhile.
        transaction.expect(&network);
        self.stage_member(&mut transaction, &parent)?;
        linked.stage(barrier, &mut transaction, connections, request.received)?;
        transaction.create(barrier.deployment(), id.store_key(), &endpoint)?;
        transaction.commit(request).await?;
        Ok(Written::Created(PrivateEndpointView { endpoint, status: Some((status, description)) }))
    }

    async fn change_endpoint(
        &self,
        request: &Request,
        permit: &Permit,
        existing: &Stored<PrivateEndpoint>,
        specification: PrivateEndpointSpecification,
    ) -> Result<Written<PrivateEndpointView>> {
        let PrivateEndpointSpecification { location, tags, subnet_id, target, .. } = specification;
        let mut endpoint = existing.value.clone();
        if let Some(asked) = location {
            asked.check_unchanged(endpoint.location.as_str(), &endpoint.name, &endpoint.resource_group)?;
        }
        let fixed = |property| Err(Error::bad_property(property, "it cannot be changed after creation"));
        if subnet_id != endpoint.subnet_id {
            return fixed("properties.subnet.id");
        }
        if target.scope() != endpoint.target.scope() {
            return fixed("properties.privateLinkServiceConnections");
        }
        endpoint.tags = tags.unwrap_or(endpoint.tags);
        endpoint.updated = request.received;
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("private endpoint {}", endpoint.id().scope()));
        permit.bind(&mut transaction);
        transaction.replace(barrier.deployment(), existing, &endpoint)?;
        transaction.commit(request).await?;
        Ok(Written::Updated(self.view_of_endpoint(endpoint).await?))
    }

    /// Removes a private endpoint, its connection, and the role assignments on it.
    pub async fn delete_private_endpoint(
        &self,
        request: &Request,
        permit: &Permit,
        id: &PrivateEndpointId,
    ) -> Result<Removed> {
        permit.demand(Action::PrivateEndpointDelete, &id.scope())?;
        let Some(existing) = self.find_endpoint(id).await? else { return Ok(Removed::WasAbsent) };
        let barrier = self.barrier();
        let mut transaction = barrier.transaction().detail(format!("private endpoint {}", id.scope()));
        let what = "role assignments on a removed private endpoint";
        permit.bind_and_remove_below(barrier, &mut transaction, &id.scope(), what)?;
        if let Some(linked) = self.linked_if_there(&existing.value.target).await? {
            let mut left = linked.connections().to_vec();
            left.retain(|connection| connection.name != existing.value.connection);
            if left.len() < linked.connections().len() {
                linked.stage(barrier, &mut transaction, left, request.received)?;
            }
        }
        transaction.delete(&existing);
        transaction.commit(request).await?;
        Ok(Removed::Gone)
    }

    async fn check_room(&self, subscription: Uuid, linked: &Linked) -> Result<()> {
        if linked.connections().len() >= CONNECTIONS_MAX {
            return Err(Error::LimitReached { what: "private endpoints of a resource", limit: CONNECTIONS_MAX });
        }
        let prefix = layout::private_endpoints(subscription);
        if self.barrier().keys(&prefix, ENDPOINTS_MAX).await?.len() >= ENDPOINTS_MAX {
            return Err(Error::LimitReached { what: "private endpoints", limit: ENDPOINTS_MAX });
        }
        Ok(())
    }

    async fn view_of_endpoint(&self, endpoint: PrivateEndpoint) -> Result<PrivateEndpointView> {
        let linked = self.linked_if_there(&endpoint.target).await?;
        let connections = linked.as_ref().map(Linked::connections).unwrap_or_default();
        let found = connections.iter().find(|connection| connection.name == endpoint.connection);
        let status = found.map(|connection| (connection.status, connection.description.clone()));
        Ok(PrivateEndpointView { endpoint, status })
    }

    async fn find_endpoint(&self, id: &PrivateEndpointId) -> Result<Option<Stored<PrivateEndpoint>>> {
        let barrier = self.barrier();
        Ok(barrier.read(barrier.deployment(), &id.store_key()).await?)
    }
}

impl LinkTarget {
    /// What `privateLinkServiceId` names.
    ///
    /// # Errors
    /// [`Error::BadProperty`] if no private endpoint can lead there.
    pub fn of_private_link_service(id: &str) -> Result<Self> {
        let scope: Option<ResourceScope> = id.parse().ok();
        scope.as_ref().and_then(Self::of_resource_id).ok_or_else(|| {
            let problem = "the resource id of a managed HSM or a vault is expected";
            Error::bad_property("properties.privateLinkServiceConnections.privateLinkServiceId", problem)
        })
    }
}

const REQUEST_MESSAGE: &str = "properties.manualPrivateLinkServiceConnections.requestMessage";
const AUTO_APPROVED: &str = "Auto-Approved";
/// Most private endpoints of an HSM or a vault (limits.md, "Networking").
const CONNECTIONS_MAX: usize = 64;
/// Most private endpoints of a subscription; Azure has that many in a region.
const ENDPOINTS_MAX: usize = 1000;
