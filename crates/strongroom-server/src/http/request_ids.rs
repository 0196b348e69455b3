//! The ids of requests.

use std::sync::{Mutex, PoisonError};

use strongroom_crypto::{CryptoError, Entropy};
use uuid::{Builder, Uuid};

/// Draws ids, many at a time: a draw costs about as much for one as for all of them. They need to differ; they are no secrets.
#[derive(Default)]
pub(super) struct RequestIds(Mutex<Vec<u8>>);

impl RequestIds {
    /// An id that no other request has (RFC 9562 §5.4).
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] if none is left and no more can be drawn.
    pub(super) fn next(&self, entropy: &dyn Entropy) -> Result<Uuid, CryptoError> {
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.is_empty() {
            let mut bytes = vec![0; DRAWN * ID_BYTES];
            entropy.fill(&mut bytes)?;
            *drawn = bytes;
        }
        let id = *drawn.last_chunk::<ID_BYTES>().ok_or(CryptoError::Entropy)?;
        let left = drawn.len() - ID_BYTES;
        drawn.truncate(left);
        Ok(Builder::from_random_bytes(id).into_uuid())
    }
}

const ID_BYTES: usize = 16;
/// Ids of one draw.
const DRAWN: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use strongroom_crypto::SystemEntropy;

    use super::*;

    struct NoEntropy;

    impl Entropy for NoEntropy {
        fn fill(&self, _: &mut [u8]) -> Result<(), CryptoError> {
            Err(CryptoError::Entropy)
        }
    }

    #[test]
    fn no_two_ids_are_the_same_and_none_is_made_up() {
        let ids = RequestIds::default();
        assert!(ids.next(&NoEntropy).is_err());
        let drawn: HashSet<_> = (0..DRAWN).map(|_| ids.next(&SystemEntropy).unwrap()).collect();
        assert_eq!(drawn.len(), DRAWN);
        assert!(ids.next(&NoEntropy).is_err(), "all of them have been given out");
        assert!(!drawn.contains(&ids.next(&SystemEntropy).unwrap()));
    }
}
