//! The custodians' side: opening a file with a quorum of private keys, and making the upload for another HSM.

use serde::{Deserialize, Serialize};
use strongroom_crypto::Entropy;
use strongroom_types::Secret;

use crate::entries::{EncData, Entries, STRONGROOM_TAGS, draw_master};
use crate::file::EncryptedKey;
use crate::shamir::{Share, combine, share_at};
use crate::{
    CustodianKey, OpenedDomain, Quorum, SecurityDomainError, SecurityDomainFile, Thumbprint, WrappingCertificate, jwe,
};

/// An opened file of ours.
#[derive(Debug)]
pub struct OpenedFile {
    /// The entries, as an upload carries them.
    pub entries: Entries,
    /// What they mean.
    pub domain: OpenedDomain,
    /// Custodians whose share does not belong to this file: theirs cannot help next time.
    pub suspects: Vec<Thumbprint>,
}

/// An opened file, whoever made it, whose entries were not interpreted.
#[derive(Debug)]
pub struct OpenedEntries {
    /// The entries.
    pub entries: Entries,
    /// The quorum as the file has it.
    pub quorum: Quorum,
    /// The certificates of the custodians, in the order of the file.
    pub certificates: Vec<Thumbprint>,
    /// Custodians whose share does not belong to this file.
    pub suspects: Vec<Thumbprint>,
}

/// Opens a file of ours and checks it against its manifest. With more keys than the quorum it also opens if some of the
/// shares are wrong, and names them.
///
/// # Errors
/// What is wrong, in terms a custodian can act on.
pub fn open_file(text: &str, keys: &[CustodianKey]) -> Result<OpenedFile, SecurityDomainError> {
    let opened = open_entries_of_file(text, keys, STRONGROOM_TAGS)?;
    let domain = OpenedDomain::from_entries(&opened.entries)?;
    if domain.manifest.quorum != opened.quorum || domain.manifest.certificates != opened.certificates {
        return Err(SecurityDomainError::Altered("its custodians or quorum are not those of the manifest"));
    }
    Ok(OpenedFile { entries: opened.entries, domain, suspects: opened.suspects })
}

/// Opens a file with exactly these tags, without looking for a manifest.
///
/// # Errors
/// What is wrong, in terms a custodian can act on.
pub fn open_entries_of_file(
    text: &str,
    keys: &[CustodianKey],
    expected_tags: &[&str],
) -> Result<OpenedEntries, SecurityDomainError> {
    let file = SecurityDomainFile::parse(text, expected_tags)?;
    let quorum = file.quorum()?;
    let certificates = file.shares()?.iter().map(|share| share.thumbprint).collect();
    let (shares, mut suspects) = decrypt_shares(&file, keys)?;
    if shares.len() < usize::from(quorum.required()) {
        return Err(match suspects.first() {
            Some(suspect) => SecurityDomainError::ShareRejected(*suspect),
            None => SecurityDomainError::TooFewKeys { required: quorum.required().into(), given: shares.len() },
        });
    }
    let subset = subsets(&shares, quorum.required()).find_map(|subset| Some((open_subset(&file, &subset)?, subset)));
    let (entries, subset) = subset.ok_or(SecurityDomainError::SharesDoNotFit)?;
    let good: Vec<&Share> = subset.iter().map(|held| &held.share).collect();
    suspects.extend(shares.iter().filter(|held| !fits(&good, &held.share)).map(|held| held.thumbprint));
    Ok(OpenedEntries { entries, quorum, certificates, suspects })
}

/// Makes what is uploaded to another HSM: the entries under a fresh master key, that key to the transfer certificate.
///
/// # Errors
/// [`SecurityDomainError::Certificate`] if the transfer certificate cannot be used; [`SecurityDomainError::Crypto`].
pub fn restore_blob(
    entries: &Entries,
    transfer_certificate: &[u8],
    entropy: &dyn Entropy,
) -> Result<String, SecurityDomainError> {
    let certificate = WrappingCertificate::from_der(transfer_certificate)
        .map_err(|problem| SecurityDomainError::Certificate { index: 0, problem })?;
    let master = draw_master(entropy)?;
    let blob = RestoreBlob {
        enc_data: EncData::seal(entries, master.expose(), entropy)?,
        wrapped_key: EncryptedKey {
            enc_key: jwe::seal_to(certificate.public(), master.expose(), entropy)?,
            x5t_256: certificate.thumbprint().to_string(),
        },
    };
    serde_json::to_string(&blob)
        .map_err(|_| SecurityDomainError::Malformed { what: "upload", problem: "it cannot be written" })
}

/// The upload (docs/security-domain-format.md).
#[derive(Serialize, Deserialize)]
pub(crate) struct RestoreBlob {
    #[serde(rename = "EncData")]
    pub(crate) enc_data: EncData,
    #[serde(rename = "WrappedKey")]
    pub(crate) wrapped_key: EncryptedKey,
}

/// A share that its custodian has decrypted.
struct HeldShare {
    thumbprint: Thumbprint,
    share: Share,
}

/// The shares of these keys, each key once, and the custodians whose share is none.
fn decrypt_shares(
    file: &SecurityDomainFile,
    keys: &[CustodianKey],
) -> Result<(Vec<HeldShare>, Vec<Thumbprint>), SecurityDomainError> {
    let encrypted = file.shares()?;
    let (mut shares, mut rejected): (Vec<HeldShare>, Vec<Thumbprint>) = (Vec::new(), Vec::new());
    for key in keys {
        let thumbprint = key.thumbprint();
        if shares.iter().any(|held| held.thumbprint == thumbprint) || rejected.contains(&thumbprint) {
            continue;
        }
        let share = encrypted.iter().find(|share| share.thumbprint == thumbprint);
        let compact = share.ok_or(SecurityDomainError::NotACustodian(thumbprint))?.compact;
        let payload = jwe::open_with(key.private(), compact).ok();
        match payload.and_then(|payload| Share::from_bytes(payload.expose())) {
            Some(share) => shares.push(HeldShare { thumbprint, share }),
            None => rejected.push(thumbprint),
        }
    }
    Ok((shares, rejected))
}

/// Every way to take as many as required; of ten shares there are at most 252.
fn subsets(shares: &[HeldShare], required: u8) -> impl Iterator<Item = Vec<&HeldShare>> {
    let masks = (0..1u32 << shares.len()).filter(move |mask| mask.count_ones() == u32::from(required));
    masks.map(|mask| {
        shares.iter().enumerate().filter(|(position, _)| mask >> position & 1 == 1).map(|(_, held)| held).collect()
    })
}

fn open_subset(file: &SecurityDomainFile, subset: &[&HeldShare]) -> Option<Entries> {
    let shares: Vec<&Share> = subset.iter().map(|held| &held.share).collect();
    let combined = combine(&shares)?;
    let master: Secret<[u8; 32]> = Secret::new(combined.expose().as_slice().try_into().ok()?);
    file.enc_data.open(master.expose()).ok()
}

/// Whether a share lies on the polynomials of a good quorum.
fn fits(good: &[&Share], share: &Share) -> bool {
    share_at(good, share.x()).is_some_and(|expected| expected.equals(share))
}
