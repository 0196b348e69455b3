//! The key that signs checkpoints, in the store: every node of a deployment signs with the same.

use strongroom_core::request::Request;
use strongroom_core::{Core, Error, Result};
use strongroom_crypto::KeyMaterial;

use crate::audit_log::checkpoint::{CheckpointKey, SPECIFICATION};

/// Opens the deployment's key, or makes it if there is none yet.
///
/// # Errors
/// What the store says; [`Error::Tampered`] if what is there is no such key.
pub async fn open_or_create(core: &Core, request: &Request) -> Result<CheckpointKey> {
    if let Some(key) = open(core).await? {
        return Ok(key);
    }
    match create(core, request).await {
        // Another node has made it in the same moment.
        Ok(()) | Err(Error::Conflict) => {}
        Err(error) => return Err(error),
    }
    open(core).await?.ok_or(Error::Internal("the key of audit checkpoints is gone"))
}

async fn open(core: &Core) -> Result<Option<CheckpointKey>> {
    let barrier = core.barrier();
    let Some((secret, _)) = barrier.read_secret(barrier.deployment(), KEY).await? else { return Ok(None) };
    let malformed = |_| Error::Tampered { key: KEY.to_owned(), problem: "it is no key of checkpoints" };
    let key = KeyMaterial::from_sealable(SPECIFICATION, secret.expose()).map_err(malformed)?;
    CheckpointKey::new(key, core.deployment().id.to_string()).map(Some).map_err(malformed)
}

async fn create(core: &Core, request: &Request) -> Result<()> {
    let barrier = core.barrier();
    let key = KeyMaterial::generate(SPECIFICATION, barrier.entropy().as_ref())?;
    let thumbprint = key.public_key().thumbprint().unwrap_or_default();
    let mut transaction = barrier.transaction().detail(format!("key of audit checkpoints {thumbprint}"));
    transaction.create_secret(barrier.deployment(), KEY.to_owned(), key.to_sealable()?.expose());
    transaction.commit(request).await?;
    Ok(())
}

// Below `layout::DEPLOYMENT_AREA`; nobody else reads or writes it.
const KEY: &str = "d/audit/checkpoint-key";

#[cfg(test)]
mod tests {
    use strongroom_testkit::{START, core_in_memory};
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn every_node_signs_with_the_same_key() {
        let core = core_in_memory().await.unwrap().core;
        let request = Request::internal(Uuid::from_u128(1), START, "AuditKeyCreate", String::new());
        let first = open_or_create(&core, &request).await.unwrap();
        let second = open_or_create(&core, &request).await.unwrap();
        assert_eq!(first.public(), second.public());
    }
}
