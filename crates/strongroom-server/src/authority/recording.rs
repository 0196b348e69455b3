//! One audit event for each request of the authority, the directory and the metadata service.

use std::sync::Arc;

use strongroom_core::Core;
use strongroom_core::audit::{Event, Result as EventResult};
use strongroom_core::identity::Directory;
use strongroom_core::identity::record::Principal;
use strongroom_core::request::{Caller, CallerKind, Context, Request};

use crate::authority::refusal::correlation_id;
use crate::http::exchange::Inbound;

/// A request whose caller is known.
pub(super) fn request(inbound: &Inbound, operation: &'static str, caller: impl Into<Arc<Caller>>) -> Request {
    let context = inbound.context(operation, String::new(), 200);
    let context = Context { correlation_id: correlation_id(inbound), ..context };
    Request::new(inbound.id, caller, inbound.received, context)
}

/// The caller that a principal is once its credentials have been checked.
pub(super) fn caller_of(directory: &Directory, principal: &Principal, application: Option<String>) -> Option<Caller> {
    let user = principal.user();
    Some(Caller {
        tenant: directory.tenant().ok()?.id,
        principal: principal.object_id,
        groups: principal.groups.clone(),
        application,
        kind: if user.is_some() { CallerKind::User } else { CallerKind::Application },
        issuer: directory.issuer().ok()?,
        name: user.map(|user| user.user_principal_name.clone()),
    })
}

/// Submits the event of a request, unless a commit has recorded it already.
pub(super) fn record(core: &Core, request: &Request, result: EventResult, detail: Option<String>) {
    if !request.is_recorded() {
        let decided = core.barrier().clock().now();
        core.barrier().audit().submit(&Event::of(request, &result, decided, detail.as_deref()));
    }
}
