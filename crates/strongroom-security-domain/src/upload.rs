//! The HSM's side of a recovery: opening an upload with the exchange key.

use strongroom_crypto::CryptoError;
use strongroom_types::Secret;

use crate::entries::{Entries, STRONGROOM_TAGS};
use crate::open::RestoreBlob;
use crate::{ExchangeKey, OpenedDomain, SecurityDomainError, TEXT_BYTES_MAX, Thumbprint, jwe};

/// Opens an upload of ours and checks it against its manifest. The caller counts failures and destroys the exchange key
/// after [`EXCHANGE_TRIES_MAX`](crate::EXCHANGE_TRIES_MAX).
///
/// # Errors
/// [`SecurityDomainError::Rejected`] for every failure of decryption; [`SecurityDomainError::WrongExchangeKey`],
/// [`SecurityDomainError::Foreign`] and [`SecurityDomainError::Malformed`] for what shows before any decryption;
/// [`SecurityDomainError::Altered`] if what was decrypted does not belong together.
pub fn open_upload(value: &str, exchange: &ExchangeKey) -> Result<OpenedDomain, SecurityDomainError> {
    OpenedDomain::from_entries(&open_entries_of_upload(value, exchange, STRONGROOM_TAGS)?)
}

/// Opens an upload with exactly these tags, without looking for a manifest.
///
/// # Errors
/// As [`open_upload`].
pub fn open_entries_of_upload(
    value: &str,
    exchange: &ExchangeKey,
    expected_tags: &[&str],
) -> Result<Entries, SecurityDomainError> {
    let malformed = |problem| SecurityDomainError::Malformed { what: "upload", problem };
    if value.len() > TEXT_BYTES_MAX {
        return Err(malformed("it is too long"));
    }
    let blob: RestoreBlob = serde_json::from_str(value)
        .map_err(|_| malformed("expected what restore-blob made: JSON with EncData and WrappedKey"))?;
    blob.enc_data.check("upload", expected_tags)?;
    if Thumbprint::from_base64url(&blob.wrapped_key.x5t_256) != Some(exchange.thumbprint()) {
        return Err(SecurityDomainError::WrongExchangeKey);
    }
    unwrap_master(&blob, exchange)
        .and_then(|master| blob.enc_data.open(master.expose()))
        .map_err(|_| SecurityDomainError::Rejected)
}

fn unwrap_master(blob: &RestoreBlob, exchange: &ExchangeKey) -> Result<Secret<[u8; 32]>, CryptoError> {
    let payload = jwe::open_with(exchange.private(), &blob.wrapped_key.enc_key)?;
    payload.expose().as_slice().try_into().map(Secret::new).map_err(|_| CryptoError::Rejected)
}
