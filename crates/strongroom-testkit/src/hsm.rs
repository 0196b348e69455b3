//! A managed HSM, made without the management plane.

use std::collections::BTreeMap;

use strongroom_core::managed_hsm::{ManagedHsm, NetworkAcls, Provisioning, PublicNetworkAccess, Sku};
use strongroom_core::request::Request;
use strongroom_core::{Core, Result, layout};
use strongroom_crypto::{Entropy, SystemEntropy};
use strongroom_security_domain::{CertificateJwk, Custodians};
use strongroom_types::{HsmName, InstanceId, PrincipalId, TenantId};
use uuid::Uuid;

use crate::START;

/// The record of a new HSM with one initial administrator and the shortest retention.
///
/// # Errors
/// [`strongroom_core::Error::Crypto`] if the system has no random bytes.
pub fn managed_hsm(name: HsmName, tenant: TenantId, administrator: PrincipalId) -> Result<ManagedHsm> {
    Ok(ManagedHsm {
        name,
        subscription: Uuid::nil(),
        resource_group: "strongroom".to_owned(),
        location: "local".to_owned(),
        sku: Sku { family: "B".to_owned(), name: "Standard_B1".to_owned() },
        tags: BTreeMap::new(),
        identity: None,
        tenant,
        initial_administrators: vec![administrator],
        retention_days: 7,
        purge_protection: false,
        public_network_access: PublicNetworkAccess::Enabled,
        network_acls: NetworkAcls {
            bypass: "AzureServices".to_owned(),
            default_action: "Allow".to_owned(),
            ip_rules: Vec::new(),
        },
        private_endpoint_connections: Vec::new(),
        instance: InstanceId::from_random(SystemEntropy.sixteen()?),
        provisioning: Provisioning::Succeeded,
        created: START,
        updated: START,
        deletion: None,
    })
}

/// Puts an HSM into a store, not activated yet.
///
/// # Errors
/// What the store says.
pub async fn add_hsm(core: &Core, hsm: &ManagedHsm, request: &Request) -> Result<()> {
    let barrier = core.barrier();
    let mut transaction = barrier.transaction();
    transaction.create(barrier.deployment(), layout::managed_hsm(hsm.name.folded()), hsm)?;
    core.stage_guard(&mut transaction, hsm)?;
    transaction.commit(request).await?;
    Ok(())
}

/// Three custodians with a quorum of two, as the official client sends them.
///
/// # Errors
/// [`strongroom_core::Error::SecurityDomain`] if the vector is not what it was.
pub fn custodians() -> Result<Custodians> {
    #[derive(serde::Deserialize)]
    struct Download {
        certificates: Vec<CertificateJwk>,
        required: i64,
    }
    let malformed = |_| strongroom_core::Error::Internal("the vector of a download request is malformed");
    let Download { certificates, required } = serde_json::from_slice(DOWNLOAD).map_err(malformed)?;
    Ok(Custodians::parse(&certificates, required)?)
}

const DOWNLOAD: &[u8] = include_bytes!("../../../vectors/security-domain/download-request.json");
