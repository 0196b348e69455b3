//! The records of the directory.

use serde::{Deserialize, Serialize};
use strongroom_crypto::passphrase::PassphraseHash;
use strongroom_types::{PrincipalId, TenantId, Timestamp};
use uuid::Uuid;

use crate::barrier::{KeptWhole, Record};
use crate::identity::credential::CredentialHash;

/// The one tenant of a deployment, and the principals it cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id (`tid`).
    pub id: TenantId,
    /// When it was made.
    pub created: Timestamp,
    /// The service principal that was made with it and owns the deployment.
    pub administrator: PrincipalId,
    /// The managed identity that the metadata service serves when no other is asked for.
    pub machine: PrincipalId,
}

impl Record for Tenant {
    const FORMAT: u16 = 1;
}

/// Whoever can be named in a role assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Its object id (`oid`), never used again.
    pub object_id: PrincipalId,
    /// A name for people.
    pub display_name: String,
    /// Whether it may get and use tokens.
    pub state: PrincipalState,
    /// The groups it is a direct member of. This list decides; a group's list of members is for showing.
    pub groups: Vec<PrincipalId>,
    /// When it was made.
    pub created: Timestamp,
    /// What it is.
    pub kind: PrincipalKind,
}

impl Record for Principal {
    const FORMAT: u16 = 1;
}

/// Whether a principal may get and use tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalState {
    /// It may.
    Enabled,
    /// It may not; tokens it has are refused at once.
    Disabled,
}

/// The kinds of principals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalKind {
    /// A program with credentials of its own.
    ServicePrincipal(ServicePrincipal),
    /// A program whose host vouches for it.
    ManagedIdentity(ManagedIdentity),
    /// A person.
    User(User),
    /// A set of principals.
    Group(Group),
}

/// A program with credentials of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePrincipal {
    /// What the program calls itself (`appid`).
    pub client_id: Uuid,
    /// Secrets we made for it.
    pub secrets: Vec<ClientSecret>,
    /// Certificates whose keys may sign its assertions.
    pub certificates: Vec<ClientCertificate>,
    /// Outside identities that may act as it.
    pub federated: Vec<FederatedCredential>,
}

/// A secret as it is stored: nothing but its hash and a hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// Names it when it is listed or revoked.
    pub id: Uuid,
    /// Its HMAC under a key of the deployment (protocols.md §8).
    pub hash: CredentialHash,
    /// Its first characters.
    pub hint: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; `None`: when it is revoked.
    pub expires: Option<Timestamp>,
    /// The node whose bootstrap secret it is.
    pub node: Option<String>,
}

/// A certificate whose key may sign assertions of a client (RFC 7523 §2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// SHA-1 of the DER, base64url (`x5t`, RFC 7515 §4.1.7); names it, proves nothing.
    pub thumbprint_sha1: String,
    /// SHA-256 of the DER, base64url (`x5t#S256`).
    pub thumbprint_sha256: String,
    /// The certificate, DER in base64url.
    pub der: String,
    /// The modulus of its RSA key, base64url.
    pub n: String,
    /// The exponent of its RSA key, base64url.
    pub e: String,
    /// When it ends.
    pub expires: Timestamp,
}

/// An outside identity that may act as a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FederatedCredential {
    /// Its id in the directory.
    pub id: Uuid,
    /// Its name, as written; unique among those of its principal in any case.
    pub name: String,
    /// The token's `iss`; one of the configured outside issuers.
    pub issuer: String,
    /// The token's `sub`.
    pub subject: String,
    /// A value of the token's `aud`.
    pub audience: String,
    /// A text for people.
    pub description: Option<String>,
}

impl FederatedCredential {
    /// Whether it has this name, in any case.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether this is its name or its id.
    pub fn is_called(&self, key: &str) -> bool {
        self.is_named(key) || key.parse() == Ok(self.id)
    }
}

/// A program whose host vouches for it (`Microsoft.ManagedIdentity/userAssignedIdentities`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedIdentity {
    /// What it is called in tokens (`appid`).
    pub client_id: Uuid,
    /// Its ARM resource id, as written.
    pub resource_id: String,
    /// Outside identities that may act as it. Records of the first release have none.
    #[serde(default)]
    pub federated: Vec<FederatedCredential>,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name to sign in with (`userPrincipalName`), as written; compared without case.
    pub user_principal_name: String,
    /// Set until the person has chosen a passphrase.
    pub one_time_password: Option<CredentialHash>,
    /// Set once the person has chosen it.
    pub passphrase: Option<PassphraseHash>,
}

/// A set of principals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its members, for showing; some may have been removed since.
    pub members: Vec<PrincipalId>,
    /// `mailNickname`: clients find a group again by it, nothing else uses it. Records of the first release have none.
    #[serde(default)]
    pub mail_nickname: Option<String>,
}

impl Principal {
    /// The client id of a program; `None` for users and groups.
    pub fn client_id(&self) -> Option<Uuid> {
        match &self.kind {
            PrincipalKind::ServicePrincipal(program) => Some(program.client_id),
            PrincipalKind::ManagedIdentity(identity) => Some(identity.client_id),
            PrincipalKind::User(_) | PrincipalKind::Group(_) => None,
        }
    }

    /// The service principal, if it is one.
    pub fn service_principal(&self) -> Option<&ServicePrincipal> {
        match &self.kind {
            PrincipalKind::ServicePrincipal(program) => Some(program),
            _ => None,
        }
    }

    /// The outside identities that may act as it.
    pub fn federated(&self) -> &[FederatedCredential] {
        match &self.kind {
            PrincipalKind::ServicePrincipal(program) => &program.federated,
            PrincipalKind::ManagedIdentity(identity) => &identity.federated,
            PrincipalKind::User(_) | PrincipalKind::Group(_) => &[],
        }
    }

    /// The managed identity, if it is one.
    pub fn managed_identity(&self) -> Option<&ManagedIdentity> {
        match &self.kind {
            PrincipalKind::ManagedIdentity(identity) => Some(identity),
            _ => None,
        }
    }

    /// The user, if it is one.
    pub fn user(&self) -> Option<&User> {
        match &self.kind {
            PrincipalKind::User(user) => Some(user),
            _ => None,
        }
    }

    /// The group, if it is one.
    pub fn group(&self) -> Option<&Group> {
        match &self.kind {
            PrincipalKind::Group(group) => Some(group),
            _ => None,
        }
    }
}

/// Points from a unique name to a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) object_id: PrincipalId,
}

impl Record for Index {
    const FORMAT: u16 = 1;
}

impl KeptWhole for Index {}
