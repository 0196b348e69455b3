//! Authorization: the one place that decides, and what it hands out.

use std::sync::Arc;

use strongroom_types::PrincipalId;
use uuid::Uuid;

use crate::barrier::{Barrier, Transaction};
use crate::pools::groups::REMOVALS_MAX;
use crate::pools::rbac::guard::Guarded;
use crate::pools::rbac::rights::Rights;
use crate::pools::{Action, Error, Pools, ResourceScope, Result, layout};
use crate::request::{Caller, Request};

/// What was asked for and allowed: the only way into the functions of [`Pools`].
///
/// It remembers the management guard as of the decision. A write carries that guard as a precondition, so a role that
/// is taken away in between makes the write a conflict, and the request is authorized again from the start.
#[derive(Debug, Clone)]
pub struct Permit {
    caller: Arc<Caller>,
    action: Action,
    scope: ResourceScope,
    reach: Reach,
    guarded: Guarded,
}

/// Where the action must be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// On the scope itself.
    Scope,
    /// On the scope, or on anything below it: for lists, which then show only what the caller may read.
    ScopeOrBelow,
}

impl Permit {
    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What the decision was about.
    pub fn scope(&self) -> &ResourceScope {
        &self.scope
    }

    /// Whether the same caller may do something else, as of the same moment.
    pub fn allows(&self, action: Action, scope: &ResourceScope) -> bool {
        self.rights().allows(&self.caller, action, scope)
    }

    /// All roles and assignments, as of the same moment.
    pub fn rights(&self) -> &Rights {
        &self.guarded.rights
    }

    /// Demands something else of the same caller, as of the same moment.
    ///
    /// # Errors
    /// [`Error::AuthorizationFailed`].
    pub fn require(&self, action: Action, scope: &ResourceScope) -> Result<()> {
        if self.allows(action, scope) { Ok(()) } else { Err(refusal(self.caller.principal, action, scope)) }
    }

    /// Demands that the role may be assigned, or taken away, by the caller.
    pub(in crate::pools) fn require_delegation(&self, action: Action, scope: &ResourceScope, role: Uuid) -> Result<()> {
        if self.rights().may_delegate(&self.caller, action, scope, role) {
            return Ok(());
        }
        Err(refusal(self.caller.principal, action, scope))
    }

    /// Checks that this permit is the one for what is about to happen: a mistake in the table of operations must not
    /// become a hole.
    pub(in crate::pools) fn demand(&self, action: Action, scope: &ResourceScope) -> Result<()> {
        if self.action == action && self.reach == Reach::Scope && self.scope == *scope {
            return Ok(());
        }
        Err(crate::Error::Internal("a permit was used for something else").into())
    }

    /// Checks that this permit is the one for a list.
    pub(in crate::pools) fn demand_list(&self, action: Action, scope: &ResourceScope) -> Result<()> {
        if self.action == action && self.scope == *scope {
            return Ok(());
        }
        Err(crate::Error::Internal("a permit was used for something else").into())
    }

    /// Makes a commit depend on the rights being as they were.
    pub(crate) fn bind(&self, transaction: &mut Transaction<'_>) {
        self.guarded.bind(transaction);
    }

    /// Binds a commit that removes a resource, and adds the removal of the role assignments at its scope and below: whoever
    /// gets the name next must not inherit them. `what` names them in the error.
    ///
    /// # Errors
    /// [`Error::LimitReached`] if they are too many for one commit.
    pub(in crate::pools) fn bind_and_remove_below(
        &self,
        barrier: &Barrier,
        transaction: &mut Transaction<'_>,
        scope: &ResourceScope,
        what: &'static str,
    ) -> Result<()> {
        let removed = self.guarded.assignments_below(scope);
        if removed.len() > REMOVALS_MAX {
            return Err(Error::LimitReached { what, limit: REMOVALS_MAX });
        }
        Ok(self.guarded.bind_or_remove(barrier, transaction, &removed)?)
    }

    pub(in crate::pools) fn guarded(&self) -> &Guarded {
        &self.guarded
    }
}

impl Pools {
    /// Decides whether the caller may do this there. Nothing has been looked up before.
    ///
    /// # Errors
    /// [`Error::AuthorizationFailed`]; [`Error::SubscriptionNotFound`] if it could not be allowed to anybody.
    pub async fn authorize(
        &self,
        request: &Request,
        action: Action,
        scope: &ResourceScope,
        reach: Reach,
    ) -> Result<Permit> {
        let guarded = self.core.azure_rights().current(self.barrier()).await?;
        let allowed = match reach {
            Reach::Scope => guarded.rights.allows(&request.caller, action, scope),
            Reach::ScopeOrBelow => guarded.rights.reaches(&request.caller, action, scope),
        };
        if allowed {
            return Ok(Permit { caller: Arc::clone(&request.caller), action, scope: scope.clone(), reach, guarded });
        }
        if let Some(id) = scope.subscription_id()
            && !self.subscription_exists(id).await?
        {
            return Err(Error::SubscriptionNotFound(id));
        }
        Err(refusal(request.caller.principal, action, scope))
    }

    async fn subscription_exists(&self, id: Uuid) -> Result<bool> {
        Ok(!self.barrier().keys(&layout::subscription(id), 1).await?.is_empty())
    }
}

fn refusal(principal: PrincipalId, action: Action, scope: &ResourceScope) -> Error {
    Error::AuthorizationFailed { principal, action, scope: Box::new(scope.clone()) }
}
