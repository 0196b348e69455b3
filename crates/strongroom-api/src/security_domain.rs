//! Models of the security-domain operations (REST: HSM Security Domain; security-domain.md §1).

use serde::Serialize;

/// The answer of `POST /securitydomain/download`: the file as text.
#[derive(Clone, Serialize)]
pub struct SecurityDomainObject {
    /// The security-domain file, JSON inside a string.
    pub value: String,
}

/// The answer of `POST /securitydomain/upload` and of the pending polls.
#[derive(Debug, Clone, Serialize)]
pub struct SecurityDomainOperationStatus {
    /// `InProgress`, `Success` or `Failed`.
    pub status: &'static str,
    /// Text for people.
    pub status_details: &'static str,
}

/// The answer of `GET /securitydomain/upload`.
#[derive(Debug, Clone, Serialize)]
pub struct TransferKey {
    /// `jwk`; one client refuses anything else.
    pub key_format: &'static str,
    /// A JWK as text inside a string: clients cannot take an object, whatever the reference declares.
    pub transfer_key: String,
}
