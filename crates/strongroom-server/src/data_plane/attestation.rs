//! Handler of key attestation: the core says what is known of a key, and here it is put into words and signed.

use http::StatusCode;
use strongroom_api::attestation as api;
use strongroom_api::keys::KeyBundle;
use strongroom_core::hsm::Hsm;
use strongroom_core::keys::{Key, KeyProvenance, ReleasePolicy};
use strongroom_core::statement::StatementSigner;
use strongroom_crypto::PublicKey;
use strongroom_crypto::digest::sha256;
use strongroom_types::Timestamp;

use super::wire::{self, text};
use super::{ApiError, Call};
use crate::http::exchange::{Outbound, json};
use crate::tls::trust::pem;

pub(super) async fn get(call: &Call<'_>) -> Result<Outbound, ApiError> {
    let hsm = call.hsm()?;
    let provenance = hsm.key_provenance(call.request, &wire::key_reference(call)?).await?;
    let signer = call.release.statements.signer(call.request.received).await?;
    let private = sign(call, &signer, statement(call, hsm, &provenance, api::KeyPart::Private)).await?;
    let public = match provenance.key.public_key {
        PublicKey::Oct => None,
        _ => Some(sign(call, &signer, statement(call, hsm, &provenance, api::KeyPart::Public)).await?),
    };
    let certificates: String = signer.chain().iter().map(|der| pem("CERTIFICATE", der)).collect();
    let mut bundle: KeyBundle = wire::key_bundle(call, &provenance.key);
    bundle.attributes.attestation = Some(api::KeyAttestation {
        certificate_pem_file: text(certificates.as_bytes()),
        private_key_attestation: private,
        public_key_attestation: public,
        version: api::FORMAT,
    });
    Ok(json(StatusCode::OK, &bundle))
}

async fn sign(call: &Call<'_>, signer: &StatementSigner, statement: api::KeyStatement) -> Result<String, ApiError> {
    let jws = call.core.sign_statement(signer, api::TYPE, &statement).await?;
    Ok(text(jws.as_bytes()))
}

fn statement(call: &Call<'_>, hsm: &Hsm<'_>, provenance: &KeyProvenance, part: api::KeyPart) -> api::KeyStatement {
    let KeyProvenance { key, deployment, instance, domain, epoch, root_provider, .. } = provenance;
    let record = hsm.record();
    let is_private = part == api::KeyPart::Private;
    api::KeyStatement {
        format: api::FORMAT,
        part,
        iat: call.request.received.seconds(),
        key: stated_key(call, key),
        hsm: api::StatedHsm {
            name: record.name.to_string(),
            resource_id: record.resource_id(),
            instance: instance.to_string(),
            security_domain: domain.to_string(),
            epoch: epoch.number(),
            deployment: deployment.to_string(),
        },
        history: is_private.then(|| history(provenance)),
        protection: is_private.then_some(api::StatedProtection {
            boundary: "software-process",
            root_provider,
            certifications: [],
        }),
        jwk: (!is_private).then(|| wire::json_web_key(call, key)),
    }
}

fn history(provenance: &KeyProvenance) -> api::StatedHistory {
    let KeyProvenance { origin, releases, backed_up, restored, .. } = provenance;
    api::StatedHistory {
        origin: origin.as_str(),
        releases: *releases,
        backed_up: backed_up.map(Timestamp::seconds),
        restored: restored.map(Timestamp::seconds),
    }
}

fn stated_key(call: &Call<'_>, key: &Key) -> api::StatedKey {
    let jwk = wire::json_web_key(call, key);
    api::StatedKey {
        kid: jwk.kid,
        kty: jwk.kty,
        thumbprint: key.public_key.thumbprint(),
        key_ops: jwk.key_ops,
        enabled: key.enabled,
        created: key.created.seconds(),
        exportable: key.release.is_exportable(),
        release_policy_sha256: key.release.policy().map(|policy| text(&sha256(policy.canonical().as_bytes()))),
        release_policy_immutable: key.release.policy().map(ReleasePolicy::is_immutable),
    }
}
