//! Making and removing principals.

use strongroom_types::PrincipalId;

use crate::barrier::Transaction;
use crate::identity::directory::{ProgramIds, repeat_on_conflict};
use crate::identity::record::{
    ClientCertificate, Index, ManagedIdentity, Principal, PrincipalKind, PrincipalState, ServicePrincipal,
};
use crate::identity::{Directory, IdentityError, Result, layout};
use crate::request::Request;

/// A managed identity to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewManagedIdentity<'a> {
    /// Its name.
    pub display_name: &'a str,
    /// Its ARM resource id, as written.
    pub resource_id: &'a str,
}

/// What of a principal is to change, in one commit; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrincipalChange {
    /// The name for people.
    pub display_name: Option<String>,
    /// Whether it may get and use tokens.
    pub state: Option<PrincipalState>,
    /// The certificates of a service principal.
    pub certificates: Option<CertificateChange>,
}

/// New certificates in the place of those that are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificateChange {
    /// Those that stay, by SHA-256 thumbprint.
    pub kept: Vec<String>,
    /// Those that come.
    pub new: Vec<ClientCertificate>,
}

impl Directory {
    /// Makes a service principal without credentials.
    ///
    /// # Errors
    /// [`IdentityError::BadParameter`] for a name that is empty or too long.
    pub async fn create_service_principal(&self, request: &Request, display_name: &str) -> Result<ProgramIds> {
        self.create_certified_program(request, display_name, Vec::new()).await
    }

    /// Makes a service principal with certificates.
    ///
    /// # Errors
    /// [`IdentityError::BadParameter`] for a name that is empty or too long, [`IdentityError::LimitReached`].
    pub async fn create_certified_program(
        &self,
        request: &Request,
        display_name: &str,
        certificates: Vec<ClientCertificate>,
    ) -> Result<ProgramIds> {
        below(certificates.len(), CERTIFICATES_MAX + 1, "certificates of a client")?;
        let kind = PrincipalKind::ServicePrincipal(ServicePrincipal {
            client_id: self.draw_uuid()?,
            secrets: Vec::new(),
            certificates,
            federated: Vec::new(),
        });
        let principal = self.new_principal(display_name, kind)?;
        let mut transaction = self.barrier().transaction();
        let ids = self.stage_principal(&mut transaction, &principal)?;
        transaction.detail(format!("service principal {}", ids.object_id)).commit(request).await?;
        Ok(ids)
    }

    /// Adds a new managed identity to the commit that makes its ARM resource.
    ///
    /// The commit ends in a conflict if the resource id has an identity already.
    ///
    /// # Errors
    /// [`IdentityError::BadParameter`] for a name that is empty or too long.
    pub fn stage_managed_identity(
        &self,
        transaction: &mut Transaction<'_>,
        new: NewManagedIdentity<'_>,
    ) -> Result<ProgramIds> {
        let kind = PrincipalKind::ManagedIdentity(ManagedIdentity {
            client_id: self.draw_uuid()?,
            resource_id: new.resource_id.to_owned(),
            federated: Vec::new(),
        });
        let principal = self.new_principal(new.display_name, kind)?;
        self.stage_principal(transaction, &principal)
    }

    /// Adds the removal of a principal of any kind to a commit. Its tokens are refused from that commit on.
    ///
    /// # Errors
    /// [`IdentityError::Protected`] for the administrator and for `machine`, [`IdentityError::GroupNotEmpty`],
    /// [`IdentityError::PrincipalNotFound`].
    pub async fn stage_removal(&self, transaction: &mut Transaction<'_>, object_id: PrincipalId) -> Result<()> {
        let tenant = self.tenant()?;
        if object_id == tenant.administrator || object_id == tenant.machine {
            return Err(IdentityError::Protected);
        }
        let stored = self.existing(object_id).await?;
        if let Some(group) = stored.value.group() {
            // A former group must not live on in its members' records, where it would still give them rights.
            for member in &group.members {
                if self.principal(*member).await?.is_some() {
                    return Err(IdentityError::GroupNotEmpty);
                }
            }
        }
        if stored.value.user().is_some() {
            self.stage_sign_in_removal(transaction, object_id).await?;
        }
        for key in index_keys(&stored.value) {
            transaction.discard(key);
        }
        transaction.delete(&stored);
        Ok(())
    }

    /// Removes a principal of any kind.
    ///
    /// # Errors
    /// As [`Directory::stage_removal`].
    pub async fn remove(&self, request: &Request, object_id: PrincipalId) -> Result<()> {
        repeat_on_conflict(|| async move {
            let mut transaction = self.barrier().transaction();
            self.stage_removal(&mut transaction, object_id).await?;
            transaction.detail(format!("principal {object_id}")).commit(request).await?;
            Ok(())
        })
        .await
    }

    /// Switches a principal on or off. Tokens of a disabled principal are refused from now on.
    ///
    /// # Errors
    /// As [`Directory::update`].
    pub async fn set_state(&self, request: &Request, object_id: PrincipalId, state: PrincipalState) -> Result<()> {
        self.update(request, object_id, &PrincipalChange { state: Some(state), ..PrincipalChange::default() }).await
    }

    /// Lets the key of a certificate sign assertions of a service principal.
    ///
    /// # Errors
    /// [`IdentityError::LimitReached`], [`IdentityError::PrincipalNotFound`].
    pub async fn add_certificate(
        &self,
        request: &Request,
        object_id: PrincipalId,
        certificate: &ClientCertificate,
    ) -> Result<()> {
        self.change_program(request, object_id, |program| {
            program.certificates.retain(|known| known.thumbprint_sha256 != certificate.thumbprint_sha256);
            below(program.certificates.len(), CERTIFICATES_MAX, "certificates of a client")?;
            program.certificates.push(certificate.clone());
            Ok(())
        })
        .await
    }

    /// Changes a principal of any kind.
    ///
    /// # Errors
    /// [`IdentityError::BadParameter`] for a name that is empty or too long, [`IdentityError::LimitReached`],
    /// [`IdentityError::Protected`] for the administrator, who is never switched off,
    /// [`IdentityError::PrincipalNotFound`], also for certificates of what is no service principal.
    pub async fn update(&self, request: &Request, object_id: PrincipalId, change: &PrincipalChange) -> Result<()> {
        let PrincipalChange { display_name, state, certificates } = change;
        if let Some(name) = display_name {
            check_display_name(name)?;
        }
        if *state == Some(PrincipalState::Disabled) && object_id == self.tenant()?.administrator {
            return Err(IdentityError::Protected);
        }
        self.change(request, object_id, |principal| {
            if let Some(name) = display_name {
                name.clone_into(&mut principal.display_name);
            }
            principal.state = state.unwrap_or(principal.state);
            match (certificates, &mut principal.kind) {
                (None, _) => Ok(()),
                (Some(change), PrincipalKind::ServicePrincipal(program)) => change.apply(&mut program.certificates),
                (Some(_), _) => Err(IdentityError::PrincipalNotFound),
            }
        })
        .await
    }

    /// Changes a service principal in one commit, from its newest state.
    pub(super) async fn change_program(
        &self,
        request: &Request,
        object_id: PrincipalId,
        change: impl Fn(&mut ServicePrincipal) -> Result<()>,
    ) -> Result<()> {
        self.change(request, object_id, |principal| match &mut principal.kind {
            PrincipalKind::ServicePrincipal(program) => change(program),
            _ => Err(IdentityError::PrincipalNotFound),
        })
        .await
    }

    /// Changes a principal in one commit, from its newest state.
    pub(super) async fn change(
        &self,
        request: &Request,
        object_id: PrincipalId,
        change: impl Fn(&mut Principal) -> Result<()>,
    ) -> Result<()> {
        let change = &change;
        repeat_on_conflict(|| async move {
            let stored = self.existing(object_id).await?;
            let mut principal = stored.value.clone();
            change(&mut principal)?;
            let mut transaction = self.barrier().transaction();
            transaction.replace(self.barrier().deployment(), &stored, &principal)?;
            transaction.detail(format!("principal {object_id}")).commit(request).await?;
            Ok(())
        })
        .await
    }

    /// A principal without groups, made now.
    pub(super) fn new_principal(&self, display_name: &str, kind: PrincipalKind) -> Result<Principal> {
        check_display_name(display_name)?;
        Ok(Principal {
            object_id: self.draw_principal_id()?,
            display_name: display_name.to_owned(),
            state: PrincipalState::Enabled,
            groups: Vec::new(),
            created: self.now(),
            kind,
        })
    }

    pub(super) fn draw_principal_id(&self) -> Result<PrincipalId> {
        Ok(PrincipalId::from_uuid(self.draw_uuid()?))
    }

    /// Adds a new principal and what points to it to a commit. For users and groups the client id is nil.
    pub(super) fn stage_principal(
        &self,
        transaction: &mut Transaction<'_>,
        principal: &Principal,
    ) -> Result<ProgramIds> {
        let (sealer, object_id) = (self.barrier().deployment(), principal.object_id);
        transaction.create(sealer, layout::principal(object_id), principal)?;
        for key in index_keys(principal) {
            transaction.create(sealer, key, &Index { object_id })?;
        }
        Ok(ProgramIds { client_id: principal.client_id().unwrap_or_default(), object_id })
    }
}

impl CertificateChange {
    fn apply(&self, certificates: &mut Vec<ClientCertificate>) -> Result<()> {
        certificates.retain(|known| self.kept.contains(&known.thumbprint_sha256));
        for certificate in &self.new {
            certificates.retain(|known| known.thumbprint_sha256 != certificate.thumbprint_sha256);
            below(certificates.len(), CERTIFICATES_MAX, "certificates of a client")?;
            certificates.push(certificate.clone());
        }
        Ok(())
    }
}

fn check_display_name(display_name: &str) -> Result<()> {
    let length = display_name.chars().count();
    if (1..=DISPLAY_NAME_MAX).contains(&length) && !display_name.chars().any(char::is_control) {
        return Ok(());
    }
    let problem = "1 to 256 characters, none of them a control character";
    Err(IdentityError::BadParameter { parameter: "displayName", problem })
}

/// The store keys of what points to a principal.
fn index_keys(principal: &Principal) -> Vec<String> {
    match &principal.kind {
        PrincipalKind::ServicePrincipal(program) => vec![layout::client(program.client_id)],
        PrincipalKind::ManagedIdentity(identity) => {
            vec![layout::client(identity.client_id), layout::resource(&identity.resource_id)]
        }
        PrincipalKind::User(user) => vec![layout::user_name(&user.user_principal_name)],
        PrincipalKind::Group(_) => Vec::new(),
    }
}

/// Refuses one more where the limit is reached.
pub(super) fn below(count: usize, limit: usize, what: &'static str) -> Result<()> {
    if count < limit { Ok(()) } else { Err(IdentityError::LimitReached { what, limit }) }
}

const DISPLAY_NAME_MAX: usize = 256;
const CERTIFICATES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use crate::Error;
    use crate::identity::test_support::{directory, request};

    use super::*;

    const RESOURCE: &str =
        "/subscriptions/1/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";

    #[tokio::test]
    async fn a_managed_identity_is_made_and_removed_by_the_commit_of_another() {
        let (directory, _) = directory().await;
        let mut transaction = directory.core().barrier().transaction();
        let new = NewManagedIdentity { display_name: "i", resource_id: RESOURCE };
        let ids = directory.stage_managed_identity(&mut transaction, new).unwrap();
        assert!(directory.principal(ids.object_id).await.unwrap().is_none());
        transaction.commit(&request()).await.unwrap();
        assert!(directory.by_client_id(ids.client_id).await.unwrap().is_some());

        let mut twice = directory.core().barrier().transaction();
        directory.stage_managed_identity(&mut twice, new).unwrap();
        assert!(matches!(twice.commit(&request()).await, Err(Error::Conflict)));

        let mut transaction = directory.core().barrier().transaction();
        directory.stage_removal(&mut transaction, ids.object_id).await.unwrap();
        transaction.commit(&request()).await.unwrap();
        assert!(directory.by_client_id(ids.client_id).await.unwrap().is_none());
        assert!(directory.by_resource_id(RESOURCE).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_administrator_and_the_machine_cannot_be_removed() {
        let (directory, foundation) = directory().await;
        for object_id in [foundation.administrator.object_id, foundation.machine.object_id] {
            assert!(matches!(directory.remove(&request(), object_id).await, Err(IdentityError::Protected)));
        }
    }

    #[tokio::test]
    async fn the_administrator_is_never_switched_off() {
        let (directory, foundation) = directory().await;
        let administrator = foundation.administrator.object_id;
        let disabled = directory.set_state(&request(), administrator, PrincipalState::Disabled).await;
        assert!(matches!(disabled, Err(IdentityError::Protected)));
        directory.set_state(&request(), administrator, PrincipalState::Enabled).await.unwrap();
        directory.set_state(&request(), foundation.machine.object_id, PrincipalState::Disabled).await.unwrap();
    }

    #[tokio::test]
    async fn the_sign_ins_of_a_user_go_with_the_user() {
        let (directory, foundation) = directory().await;
        let user = directory.create_user(&request(), "ada@example.org", "Ada").await.unwrap().principal.object_id;
        directory.sign_in(&request(), user, foundation.administrator.client_id).await.unwrap();
        assert_eq!(directory.core().barrier().keys(&layout::sign_ins(user), 9).await.unwrap().len(), 1);
        directory.remove(&request(), user).await.unwrap();
        assert!(directory.core().barrier().keys(&layout::sign_ins(user), 9).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_display_name_is_neither_empty_nor_long_nor_has_control_characters() {
        let (directory, _) = directory().await;
        for name in ["", "a\nb", &"a".repeat(257)] {
            let made = directory.create_service_principal(&request(), name).await;
            assert!(matches!(made, Err(IdentityError::BadParameter { .. })), "{name:?}");
        }
        assert!(directory.create_service_principal(&request(), &"ä".repeat(256)).await.is_ok());
    }
}
