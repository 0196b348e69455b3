//! Models of rotation policies (REST: Keys, `KeyRotationPolicy`).

use serde::{Deserialize, Serialize};

/// A rotation policy, as it is sent and as it is shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct KeyRotationPolicy {
    /// Attributes.
    pub attributes: Option<KeyRotationPolicyAttributes>,
    /// Where it is; ignored when sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What happens, and when.
    #[serde(rename = "lifetimeActions")]
    pub lifetime_actions: Option<Vec<LifetimeAction>>,
}

/// Attributes of a rotation policy.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct KeyRotationPolicyAttributes {
    /// When it was first set, unix seconds; ignored when sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
    /// How long new versions are valid, an ISO 8601 duration.
    #[serde(rename = "expiryTime", skip_serializing_if = "Option::is_none")]
    pub expiry_time: Option<String>,
    /// When it was last set, unix seconds; ignored when sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<i64>,
}

/// An entry of `lifetimeActions`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LifetimeAction {
    /// What happens.
    pub action: Option<LifetimeActionType>,
    /// When.
    pub trigger: Option<LifetimeActionTrigger>,
}

/// What happens.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LifetimeActionType {
    /// `Rotate` or `Notify`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// When it happens: one of the two, an ISO 8601 duration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LifetimeActionTrigger {
    /// So long after the latest version was made.
    #[serde(rename = "timeAfterCreate", skip_serializing_if = "Option::is_none")]
    pub time_after_create: Option<String>,
    /// So long before the latest version expires.
    #[serde(rename = "timeBeforeExpiry", skip_serializing_if = "Option::is_none")]
    pub time_before_expiry: Option<String>,
}
