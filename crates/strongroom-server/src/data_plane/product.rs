//! What a host of the data plane names: a managed HSM or a vault. Where the two differ on the wire is said here.

use http::header::HeaderName;
use http::{StatusCode, header};
use strongroom_api::error::ErrorBody;
use strongroom_api::operations::Containers;
use strongroom_core::container::KeyContainer;
use strongroom_core::hsm::Hsm;

use crate::authentication::Audience;
use crate::http::exchange::{Inbound, Outbound, Plane, json, with_header, with_static};
use crate::http::host::{MANAGED_HSM, VAULT};

/// Which of the two resources a host belongs to, whether one of that name exists or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    /// `<hsm>.managedhsm.<domain>`.
    ManagedHsm,
    /// `<vault>.vault.<domain>`.
    Vault,
}

/// What a host names, found.
pub(super) enum Named<'a> {
    ManagedHsm(Box<Hsm<'a>>),
    Vault(Box<KeyContainer<'a>>),
}

impl Product {
    /// What the plane of a request belongs to.
    pub(super) fn of(inbound: &Inbound) -> Self {
        if matches!(inbound.host.plane, Plane::Vault(_)) { Self::Vault } else { Self::ManagedHsm }
    }

    /// Whose tokens it takes.
    pub(super) fn audience(self) -> Audience {
        match self {
            Self::ManagedHsm => Audience::ManagedHsm,
            Self::Vault => Audience::Vault,
        }
    }

    /// Whether it has an operation.
    pub(super) fn has(self, containers: Containers) -> bool {
        self == Self::ManagedHsm || containers == Containers::All
    }

    /// The label in front of the domain, in hosts and in the resource that tokens are asked for.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::ManagedHsm => MANAGED_HSM,
            Self::Vault => VAULT,
        }
    }

    /// An error message as the product ends it.
    pub(super) fn message(self, message: &str, request_id: uuid::Uuid) -> String {
        match self {
            Self::ManagedHsm => format!("{message} (Activity ID: {request_id})"),
            Self::Vault => message.to_owned(),
        }
    }

    /// The headers that only this product sends (data-plane.md §5).
    pub(super) fn with_headers(self, inbound: &Inbound, answer: Outbound) -> Outbound {
        if self == Self::ManagedHsm {
            return answer;
        }
        let answer = with_static(with_static(answer, header::PRAGMA, "no-cache"), header::EXPIRES, "-1");
        let answer = with_static(answer, SERVICE_VERSION_NAME, SERVICE_VERSION);
        match inbound.header(CLIENT_REQUEST_ID).filter(|id| id.len() <= CLIENT_REQUEST_ID_BYTES_MAX) {
            Some(id) => with_header(answer, CLIENT_REQUEST_ID, id),
            None => answer,
        }
    }
}

/// The 401 of a vault says why (data-plane.md §4).
pub(super) fn unauthorized() -> Outbound {
    json(StatusCode::UNAUTHORIZED, &ErrorBody::new("Unauthorized", NO_TOKEN))
}

impl<'a> Named<'a> {
    /// It, as a container of keys.
    pub(super) fn keys(&self) -> &KeyContainer<'a> {
        match self {
            Self::ManagedHsm(hsm) => hsm,
            Self::Vault(vault) => vault,
        }
    }

    /// It, if it is a managed HSM.
    pub(super) fn hsm(&self) -> Option<&Hsm<'a>> {
        match self {
            Self::ManagedHsm(hsm) => Some(hsm),
            Self::Vault(_) => None,
        }
    }
}

const NO_TOKEN: &str = "AKV10000: Request is missing a Bearer or PoP token, or the one it carries is not valid here.";
const SERVICE_VERSION_NAME: HeaderName = HeaderName::from_static("x-ms-keyvault-service-version");
const SERVICE_VERSION: &str = env!("CARGO_PKG_VERSION");
const CLIENT_REQUEST_ID: &str = "x-ms-client-request-id";
/// Longest id of a client that is sent back.
const CLIENT_REQUEST_ID_BYTES_MAX: usize = 128;
