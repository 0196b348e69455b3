//! Backups of keys, which anyone with the right to restore may have altered on the way.

#![expect(clippy::expect_used, reason = "an HSM in memory, or nothing here works")]

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_core::hsm::Hsm;
use strongroom_core::keys::{CreateKey, Key, KeyAttributes, KeyReference, ReleaseTerms, Tags};
use strongroom_core::rbac::{CRYPTO_OFFICER, CRYPTO_USER};
use strongroom_core::request::Request;
use strongroom_core::{Error, Result};
use strongroom_crypto::backup::{BackupChunks, BackupKey, BackupKind, Position};
use strongroom_crypto::{KeyMaterial, KeySpecification, SystemEntropy};
use strongroom_security_domain::open_file;
use strongroom_types::{CurveName, HsmName, KeyName, PrincipalId, Protection, Scope, SymmetricSize, TenantId};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::security_domain;
use crate::{START, TestCore, add_hsm, core_in_memory, custodians, managed_hsm, program, request_of};

/// A blob that was altered anywhere is refused in one way; an unaltered one is only refused because its key is there.
pub(super) fn blob(input: &[u8]) {
    let world = world();
    refused(world, input);
    let Some((at, patch)) = input.split_first_chunk::<2>() else { return };
    let at = usize::from(u16::from_be_bytes(*at)) % world.genuine.len();
    let (before, after) = world.genuine.split_at(at);
    refused(world, before);
    let overlaid: Vec<u8> = [before, patch, after.get(patch.len()..).unwrap_or_default()].concat();
    refused(world, &overlaid);
    refused(world, &[before, patch, after].concat());
}

fn refused(world: &World, blob: &[u8]) {
    let error = world.restore(blob).expect_err("a key was restored over itself, or from what is no backup");
    if blob == world.genuine {
        assert!(matches!(error, Error::KeyExists { .. }), "a true backup is refused: {error}");
    } else {
        assert!(matches!(error, Error::BackupRefused), "an altered backup is refused in another way: {error}");
    }
}

/// Content of any form under a true seal is refused, or restored as a key that can be read, backed up and purged.
///
/// A line is a chunk. Every second one after the first is the material of a version, in base64.
pub(super) fn content(input: &[u8]) {
    let world = world();
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let chunks = lines.iter().enumerate().map(|(number, line)| {
        let material = (number > 0 && number % 2 == 0).then(|| STANDARD.decode(line).ok()).flatten();
        material.unwrap_or_else(|| line.to_vec())
    });
    let chunks: Vec<Vec<u8>> = chunks.collect();
    match world.restore(&world.sealed(&chunks)) {
        Ok(key) => {
            let material = chunks.last().and_then(|last| KeyMaterial::from_sealable(key.specification, last).ok());
            let public = material.as_ref().map(KeyMaterial::public_key);
            assert_eq!(public, Some(&key.public_key), "a key was restored with the public half of another");
            runtime().block_on(world.live(&key)).expect("a restored key is one like any other");
        }
        Err(error) => {
            let known = matches!(error, Error::BackupRefused | Error::KeyExists { .. } | Error::LimitReached { .. });
            assert!(known, "refused in another way: {error}");
        }
    }
}

/// An activated HSM with a key, and what its custodians know.
struct World {
    test: TestCore,
    name: HsmName,
    tenant: TenantId,
    administrator: PrincipalId,
    wrapping: BackupKey,
    /// The backup of its key.
    genuine: Vec<u8>,
}

impl World {
    async fn new() -> Result<Self> {
        let test = core_in_memory().await?;
        let (tenant, administrator) =
            (TenantId::from_uuid(Uuid::from_u128(1)), PrincipalId::from_uuid(Uuid::from_u128(2)));
        let name: HsmName = "hsm1".parse().expect("it is a name");
        let request = || request_of(program(tenant, administrator), START);
        add_hsm(&test.core, &managed_hsm(name.clone(), tenant, administrator)?, &request()?).await?;
        let hsm = test.core.hsm(&name).await?;
        let download = hsm.download_security_domain(&request()?, custodians()?).await?;
        hsm.confirm_download(&request()?, download.operation).await?;
        for role in [CRYPTO_USER, CRYPTO_OFFICER] {
            hsm.create_role_assignment(&request()?, &Scope::Root, role.0, role, administrator).await?;
        }
        let opened = open_file(&download.file, security_domain::custodians())?;
        let secrets = &opened.domain.secrets;
        let epoch = secrets.newest_epoch();
        let root = secrets.root(epoch).ok_or(Error::Internal("the domain lacks its newest epoch"))?;
        let wrapping = BackupKey::new(root, secrets.domain_id(), epoch)?;
        let key: KeyName = "fuzzed".parse().expect("it is a name");
        for specification in [KeySpecification::Ec(CurveName::P256), KeySpecification::Oct(SymmetricSize::Bits256)] {
            hsm.create_key(&request()?, &key, wanted(specification)).await?;
        }
        let genuine = hsm.back_up_key(&request()?, &key).await?;
        drop(hsm);
        Ok(Self { test, name, tenant, administrator, wrapping, genuine })
    }

    async fn hsm(&self) -> Result<Hsm<'_>> {
        self.test.core.hsm(&self.name).await
    }

    fn request(&self) -> Request {
        request_of(program(self.tenant, self.administrator), START).expect("a request")
    }

    fn restore(&self, blob: &[u8]) -> Result<Key> {
        runtime().block_on(async { self.hsm().await?.restore_key(&self.request(), blob).await })
    }

    /// The life of a key after its restore, to the end, so that the next one may have its name.
    async fn live(&self, key: &Key) -> Result<()> {
        let hsm = self.hsm().await?;
        let reference = KeyReference { name: key.name.clone(), version: Some(key.version) };
        let read = hsm.key(&self.request(), &reference).await?;
        assert_eq!(read.public_key, key.public_key, "another key is read than was restored");
        hsm.back_up_key(&self.request(), &key.name).await?;
        hsm.delete_key(&self.request(), &key.name).await?;
        hsm.purge_key(&self.request(), &key.name).await
    }

    /// A backup with these chunks, as only an HSM of the domain could seal it.
    fn sealed(&self, chunks: &[Vec<u8>]) -> Vec<u8> {
        let sealing = BackupChunks::create(&self.wrapping, BackupKind::ManagedHsmKey, &SystemEntropy);
        let mut sealing = sealing.expect("sealing works");
        let mut blob = sealing.preamble().to_vec();
        for (number, chunk) in chunks.iter().enumerate() {
            let position = if number + 1 == chunks.len() { Position::Last } else { Position::Inner };
            let sealed = sealing.seal(&SystemEntropy, position, chunk).expect("sealing works");
            blob.extend_from_slice(&u32::try_from(sealed.len()).expect("an input is short").to_be_bytes());
            blob.extend_from_slice(&sealed);
        }
        blob
    }
}

fn wanted(specification: KeySpecification) -> CreateKey {
    CreateKey {
        specification,
        protection: Protection::Hsm,
        operations: None,
        attributes: KeyAttributes::default(),
        tags: Tags::default(),
        release: ReleaseTerms::default(),
    }
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| runtime().block_on(World::new()).expect("an activated HSM"))
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_current_thread().build().expect("a runtime"))
}
