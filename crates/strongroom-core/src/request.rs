//! Who asks, when, and what the audit log will say about it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_types::{PrincipalId, TenantId, Timestamp};
use uuid::Uuid;

/// What a verified token says about its bearer (protocols.md §8). Only token verification makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant; principals and groups mean something only within it.
    pub tenant: TenantId,
    /// The bearer's object id (`oid`).
    pub principal: PrincipalId,
    /// Groups the bearer is a member of (`groups`, or the directory for the built-in authority).
    pub groups: Vec<PrincipalId>,
    /// The client id of the program that asks (`appid` or `azp`).
    pub application: Option<String>,
    /// A person or a program on its own behalf (`idtyp`).
    pub kind: CallerKind,
    /// Who vouches for it (`iss`).
    pub issuer: String,
    /// A name to show in logs (`upn` or `preferred_username`).
    pub name: Option<String>,
}

/// Whether a token was issued to a person or to a program on its own behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// A person, through some program (`idtyp` `user`).
    User,
    /// A service principal or managed identity (`idtyp` `app`).
    Application,
}

impl Caller {
    /// Whether the principal of an assignment is the bearer or one of its groups.
    pub fn is(&self, principal: PrincipalId) -> bool {
        self.principal == principal || self.groups.contains(&principal)
    }
}

/// One request, as the core sees it. Every function that decides or changes something takes one.
#[derive(Debug)]
pub struct Request {
    /// Answered as `x-ms-request-id`, and the event's id.
    pub id: Uuid,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// When the request had arrived whole.
    pub received: Timestamp,
    /// What the audit log will say besides the outcome.
    pub context: Context,
    recorded: AtomicBool,
}

/// The parts of an audit event that are known when a request arrives. They may be as long as clients sent them:
/// [`Event::of`](crate::audit::Event::of) cuts them.
#[derive(Debug, Clone)]
pub struct Context {
    /// The operation, in the words of Azure's `AuditEvent`, such as `KeySign`.
    pub operation: &'static str,
    /// The `api-version`.
    pub operation_version: String,
    /// The ARM resource id, if known.
    pub resource_id: Arc<str>,
    /// The status that success will be answered with.
    pub success_status: u16,
    /// The peer's address.
    pub client_address: Option<IpAddr>,
    /// Path and query; secrets never travel there.
    pub uri: Arc<str>,
    /// The `User-Agent`.
    pub user_agent: String,
    /// The client's own id of the request (`x-ms-client-request-id`).
    pub correlation_id: String,
}

impl Context {
    /// Of what comes over no network.
    pub fn internal(operation: &'static str, resource_id: impl Into<Arc<str>>) -> Self {
        Self {
            operation,
            operation_version: String::new(),
            resource_id: resource_id.into(),
            success_status: 200,
            client_address: None,
            uri: Arc::default(),
            user_agent: String::new(),
            correlation_id: String::new(),
        }
    }
}

impl Request {
    /// A request from outside.
    pub fn new(id: Uuid, caller: impl Into<Arc<Caller>>, received: Timestamp, context: Context) -> Self {
        Self { id, caller: caller.into(), received, context, recorded: AtomicBool::new(false) }
    }

    /// Work the server does by itself: jobs, first start.
    pub fn internal(id: Uuid, now: Timestamp, operation: &'static str, resource_id: impl Into<Arc<str>>) -> Self {
        let caller = Caller {
            tenant: TenantId::from_uuid(Uuid::nil()),
            principal: PrincipalId::from_uuid(Uuid::nil()),
            groups: Vec::new(),
            application: None,
            kind: CallerKind::Application,
            issuer: "strongroom".to_owned(),
            name: Some("strongroom".to_owned()),
        };
        Self::new(id, caller, now, Context::internal(operation, resource_id))
    }

    /// Whether a commit has already recorded this request's event.
    pub fn is_recorded(&self) -> bool {
        self.recorded.load(Ordering::Acquire)
    }

    pub(crate) fn mark_recorded(&self) {
        self.recorded.store(true, Ordering::Release);
    }
}
