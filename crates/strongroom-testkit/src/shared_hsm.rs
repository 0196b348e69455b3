//! One managed HSM that several cores serve at once, each over its own way to the store: for simulated clusters.
//!
//! Principals and keys are numbers. Principal 0 administers and may do everything with keys; the others may use keys as
//! long as they have an assignment.

use std::sync::Arc;

use strongroom_core::activation::DownloadStatus;
use strongroom_core::keys::{CreateKey, KeyAttributes, KeyReference, ReleaseTerms, Tags, UpdateKey};
use strongroom_core::ports::Clock;
use strongroom_core::rbac::{AssignmentFilter, CRYPTO_OFFICER, CRYPTO_USER, RoleDefinitionId};
use strongroom_core::request::Request;
use strongroom_core::{Error, Result, layout};
use strongroom_crypto::KeySpecification;
use strongroom_store::{Kv, StoreError};
use strongroom_types::{Algorithm, CurveName, HsmName, KeyName, PrincipalId, Protection, Scope, TenantId};
use uuid::Uuid;

use crate::{TestCore, add_hsm, core_on, custodians, draw_uuid, managed_hsm, program, request_of};

/// One node's view of the HSM.
pub struct SharedHsm {
    test: TestCore,
    tenant: TenantId,
    name: HsmName,
    principals: Vec<PrincipalId>,
}

impl std::fmt::Debug for SharedHsm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedHsm").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A change of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChange {
    /// Makes a key, or a new version of one.
    Create,
    /// Enables its newest version.
    Enable,
    /// Disables it.
    Disable,
    /// Soft-deletes it.
    Delete,
    /// Takes that back.
    Recover,
    /// Destroys it.
    Purge,
}

/// How a call ended, as far as its client can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was done.
    Done,
    /// There is no such key, or none that is not deleted (or none that is, where one is asked for).
    NotFound,
    /// The name is that of a deleted key.
    IsDeleted,
    /// The key is disabled.
    IsDisabled,
    /// The rights do not allow it.
    Forbidden,
    /// Nothing was done, and nothing is said about the key.
    Nothing,
    /// It may have been done.
    Unknown,
}

/// Which store keys a node of a cluster reads on demand.
pub fn read_on_demand(key: &str) -> bool {
    layout::is_material(key)
}

/// What the store key ends with under which the event of a numbered request lies until it has reached the log of its node: it
/// was committed if its change was.
pub fn event_of(number: u64) -> String {
    request_id(number).to_string()
}

impl SharedHsm {
    /// An active HSM in an empty store. Each principal but the first has an assignment, named by its own number.
    ///
    /// # Errors
    /// What the core says.
    pub async fn found(store: Arc<dyn Kv>, principals: usize) -> Result<Self> {
        let test = core_on(store).await?;
        let tenant = TenantId::from_uuid(draw_uuid()?);
        let principals: Vec<PrincipalId> =
            (0..principals).map(|_| draw_uuid().map(PrincipalId::from_uuid)).collect::<Result<_>>()?;
        let name: HsmName = "shared".parse().map_err(|_| Error::Internal("the name is one"))?;
        let shared = Self { test, tenant, name, principals };
        let hsm = managed_hsm(shared.name.clone(), tenant, shared.principal(0)?)?;
        add_hsm(&shared.test.core, &hsm, &shared.request(0)?).await?;
        shared.activate().await?;
        for role in [CRYPTO_USER, CRYPTO_OFFICER] {
            shared.give(&shared.request(0)?, 0, draw_uuid()?, role, &Scope::Root).await?;
        }
        for principal in 1..shared.principals.len() {
            shared
                .give(&shared.request(0)?, principal, assignment_name(principal as u64), CRYPTO_USER, &Scope::Keys)
                .await?;
        }
        Ok(shared)
    }

    /// Another node, with nothing in memory.
    ///
    /// # Errors
    /// What the opening of a deployment says.
    pub async fn beside(&self, store: Arc<dyn Kv>) -> Result<Self> {
        let Self { test, tenant, name, principals } = self;
        let test = test.beside(store).await?;
        Ok(Self { test, tenant: *tenant, name: name.clone(), principals: principals.clone() })
    }

    /// Signs with the newest version of a key. Each request has a number of its own.
    ///
    /// # Errors
    /// What cannot happen in a cluster that works.
    pub async fn sign(&self, number: u64, principal: usize, key: usize) -> Result<Ended> {
        let request = self.numbered(number, principal)?;
        let signed = async {
            let hsm = self.test.core.hsm(&self.name).await?;
            hsm.sign(&request, &newest(key)?, Algorithm::Es256, vec![7; 32]).await
        };
        match ended(signed.await.map(drop))? {
            // Signing changes nothing.
            Ended::Unknown => Ok(Ended::Nothing),
            other => Ok(other),
        }
    }

    /// Changes a key, as the administrator.
    ///
    /// # Errors
    /// What cannot happen in a cluster that works.
    pub async fn change(&self, number: u64, key: usize, change: KeyChange) -> Result<Ended> {
        let request = self.numbered(number, 0)?;
        let changed = async {
            let hsm = self.test.core.hsm(&self.name).await?;
            let name = key_name(key)?;
            let enable = |enabled| UpdateKey {
                attributes: KeyAttributes { enabled: Some(enabled), ..KeyAttributes::default() },
                ..UpdateKey::default()
            };
            match change {
                KeyChange::Create => hsm.create_key(&request, &name, ec()).await.map(drop),
                KeyChange::Enable => hsm.update_key(&request, &newest(key)?, &enable(true)).await.map(drop),
                KeyChange::Disable => hsm.update_key(&request, &newest(key)?, &enable(false)).await.map(drop),
                KeyChange::Delete => hsm.delete_key(&request, &name).await.map(drop),
                KeyChange::Recover => hsm.recover_key(&request, &name).await.map(drop),
                KeyChange::Purge => hsm.purge_key(&request, &name).await,
            }
        };
        ended(changed.await)
    }

    /// Gives a principal the right to use keys, by an assignment.
    ///
    /// # Errors
    /// What cannot happen in a cluster that works.
    pub async fn assign(&self, number: u64, principal: usize, assignment: u64) -> Result<Ended> {
        let (request, name) = (self.numbered(number, 0)?, assignment_name(assignment));
        match self.give(&request, principal, name, CRYPTO_USER, &Scope::Keys).await {
            Err(Error::RoleAssignmentExists { .. }) => Ok(Ended::Nothing),
            other => ended(other),
        }
    }

    /// Takes it away. Answers which assignment it was, if it had one.
    ///
    /// # Errors
    /// What cannot happen in a cluster that works.
    pub async fn unassign(&self, number: u64, principal: usize) -> Result<(Ended, Option<u64>)> {
        let (request, of) = (self.numbered(number, 0)?, self.principal(principal)?);
        let taken = async {
            let hsm = self.test.core.hsm(&self.name).await?;
            let found = hsm.role_assignments(&request, &Scope::Keys, AssignmentFilter::Principal(of)).await?;
            let Some(assignment) = found.first() else { return Ok(None) };
            let gone = hsm.delete_role_assignment(&request, &Scope::Keys, assignment.name).await?;
            Ok(Some(gone.name))
        };
        match taken.await {
            Ok(Some(name)) => Ok((Ended::Done, u64::try_from(name.as_u128()).ok())),
            Ok(None) | Err(Error::RoleAssignmentNotFound { .. }) => Ok((Ended::Nothing, None)),
            Err(error) => ended(Err(error)).map(|ended| (ended, None)),
        }
    }

    async fn give(
        &self,
        request: &Request,
        to: usize,
        name: Uuid,
        role: RoleDefinitionId,
        scope: &Scope,
    ) -> Result<()> {
        let hsm = self.test.core.hsm(&self.name).await?;
        hsm.create_role_assignment(request, scope, name, role, self.principal(to)?).await.map(drop)
    }

    async fn activate(&self) -> Result<()> {
        let (hsm, request) = (self.test.core.hsm(&self.name).await?, self.request(0)?);
        let download = hsm.download_security_domain(&request, custodians()?).await?;
        match hsm.confirm_download(&self.request(0)?, download.operation).await? {
            DownloadStatus::Success => Ok(()),
            _ => Err(Error::Internal("the managed HSM was not activated")),
        }
    }

    fn principal(&self, number: usize) -> Result<PrincipalId> {
        self.principals.get(number).copied().ok_or(Error::Internal("there is no such principal"))
    }

    fn request(&self, principal: usize) -> Result<Request> {
        request_of(program(self.tenant, self.principal(principal)?), self.test.clock.now())
    }

    fn numbered(&self, number: u64, principal: usize) -> Result<Request> {
        let mut request = self.request(principal)?;
        request.id = request_id(number);
        Ok(request)
    }
}

/// What a client can tell from an answer.
fn ended(result: Result<()>) -> Result<Ended> {
    match result {
        Ok(()) => Ok(Ended::Done),
        Err(Error::KeyNotFound { .. }) => Ok(Ended::NotFound),
        Err(Error::KeyDeleted { .. }) => Ok(Ended::IsDeleted),
        Err(Error::KeyDisabled { .. }) => Ok(Ended::IsDisabled),
        Err(Error::Forbidden { .. }) => Ok(Ended::Forbidden),
        Err(Error::Conflict | Error::LimitReached { .. } | Error::Store(StoreError::Full)) => Ok(Ended::Nothing),
        Err(Error::Store(_)) => Ok(Ended::Unknown),
        Err(other) => Err(other),
    }
}

fn assignment_name(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

fn request_id(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

fn key_name(number: usize) -> Result<KeyName> {
    format!("key-{number}").parse().map_err(|_| Error::Internal("the name is one"))
}

fn newest(key: usize) -> Result<KeyReference> {
    Ok(KeyReference { name: key_name(key)?, version: None })
}

fn ec() -> CreateKey {
    CreateKey {
        specification: KeySpecification::Ec(CurveName::P256),
        protection: Protection::Hsm,
        operations: None,
        attributes: KeyAttributes::default(),
        tags: Tags::default(),
        release: ReleaseTerms::default(),
    }
}
