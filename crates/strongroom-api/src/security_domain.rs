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
    /// How far it is.
    pub status: OperationStatus,
    /// Text for people.
    pub status_details: &'static str,
}

/// How far an operation on the security domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum OperationStatus {
    /// Ask again.
    #[serde(rename = "InProgress")]
    InProgress,
    /// Done.
    #[serde(rename = "Success")]
    Success,
    /// Over without success, or it never was.
    #[serde(rename = "Failed")]
    Failed,
}

/// The answer of `GET /securitydomain/upload`.
#[derive(Debug, Clone, Serialize)]
pub struct TransferKey {
    /// `jwk`; one client refuses anything else.
    pub key_format: &'static str,
    /// A JWK as text inside a string: clients cannot take an object, whatever the reference declares.
    pub transfer_key: String,
}

/// The answer of `GET /securitydomain`, which is ours: what an administrator may know of the security domain.
#[derive(Debug, Clone, Serialize)]
pub struct SecurityDomain {
    /// `NotActivated`, `Recovering`, `Active` or `Restoring`.
    pub state: &'static str,
    /// The domain's id, once activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_id: Option<String>,
    /// The epoch that records are sealed under.
    pub epoch: u32,
    /// The oldest epoch that a record may still be sealed under; lower than `epoch` while records are sealed again.
    pub oldest_epoch: u32,
    /// Who holds the newest file, once activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custodians: Option<SecurityDomainCustodians>,
    /// What it takes to download it again or to rotate it: `disabled`, `quorum` or `administrator`.
    pub download_policy: &'static str,
    /// Until when a quorum that has proved itself stands for a file, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum_proved_until: Option<i64>,
    /// Whether a file was made that no client has confirmed yet.
    pub unconfirmed_download: bool,
    /// The last rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<SecurityDomainRotation>,
}

/// Who holds a security-domain file.
#[derive(Debug, Clone, Serialize)]
pub struct SecurityDomainCustodians {
    /// How many of them open it.
    pub required: u8,
    /// SHA-256 of their certificates, base64url, in the order of their shares.
    #[serde(rename = "x5t#S256")]
    pub thumbprints: Vec<String>,
}

/// How far the sealing of the records under a new epoch is.
#[derive(Debug, Clone, Serialize)]
pub struct SecurityDomainRotation {
    /// The epoch.
    pub epoch: u32,
    /// How far it is; it does not fail.
    pub status: OperationStatus,
    /// Records that were sealed again so far.
    pub records: u64,
    /// When the epoch began, seconds since 1970.
    pub began: i64,
    /// When the last record was sealed under it, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_operation_is_spelled_as_on_the_wire() {
        for (status, text) in [
            (OperationStatus::InProgress, "InProgress"),
            (OperationStatus::Success, "Success"),
            (OperationStatus::Failed, "Failed"),
        ] {
            assert_eq!(serde_json::to_value(status).unwrap(), text);
        }
    }
}
