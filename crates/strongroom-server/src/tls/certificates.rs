//! The certificate that connections are answered with, replaced while they come in.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use strongroom_crypto::Entropy;
use strongroom_types::Timestamp;

use crate::http::host::Domain;
use crate::tls::ca::{CertificateAuthority, LEAF_DAYS, Leaf};
use crate::tls::error::TlsError;
use crate::tls::operator::OperatorCertificate;
use crate::tls::provider;

/// The current certificate, and where the next one comes from.
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwap<Current>,
    source: Source,
}

/// Where certificates come from.
#[derive(Debug)]
pub enum Source {
    /// Issued by the deployment's own CA for these domains.
    Own {
        /// The CA.
        authority: Box<CertificateAuthority>,
        /// What the certificate covers.
        domains: Vec<Domain>,
    },
    /// Files of the operator.
    Operator(OperatorCertificate),
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    not_after: Timestamp,
}

impl Certificates {
    /// Issues or reads the first certificate.
    ///
    /// # Errors
    /// [`TlsError`] if it cannot be made, or the operator's files cannot be used.
    pub fn load(source: Source, entropy: &dyn Entropy, now: Timestamp) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(source.load(entropy, now)?);
        Ok(Self { current, source })
    }

    /// Looks whether it is time for another certificate and takes it; says whether it did.
    ///
    /// Our own is replaced when a third of its life is left, the operator's when the files have changed.
    ///
    /// # Errors
    /// As [`Self::load`]; the current certificate then stays.
    pub fn renew(&self, entropy: &dyn Entropy, now: Timestamp) -> Result<bool, TlsError> {
        let current = self.current.load();
        let renewal = now.plus_days(LEAF_DAYS / 3);
        if matches!(self.source, Source::Own { .. }) && renewal < current.not_after {
            return Ok(false);
        }
        let next = self.source.load(entropy, now)?;
        if next.key.cert == current.key.cert {
            return Ok(false);
        }
        self.current.store(Arc::new(next));
        Ok(true)
    }

    /// When the current certificate ends.
    pub fn not_after(&self) -> Timestamp {
        self.current.load().not_after
    }

    /// The current certificate with its chain.
    pub fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.load().key)
    }
}

impl Source {
    fn load(&self, entropy: &dyn Entropy, now: Timestamp) -> Result<Current, TlsError> {
        match self {
            Self::Own { authority, domains } => {
                let Leaf { chain, key, not_after } = authority.issue(domains, entropy, now)?;
                let key = CertifiedKey::from_der(chain, key, &provider())?;
                Ok(Current { key: Arc::new(key), not_after })
            }
            Self::Operator(files) => {
                let (key, not_after) = files.read(now)?;
                Ok(Current { key: Arc::new(key), not_after })
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

#[cfg(test)]
mod tests {
    use strongroom_crypto::SystemEntropy;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn own() -> Certificates {
        let new = CertificateAuthority::generate("test", &SystemEntropy, NOW).unwrap();
        let authority = CertificateAuthority::open(new.certificate.to_vec(), new.key.expose()).unwrap();
        let source = Source::Own { authority: Box::new(authority), domains: vec![Domain::localhost()] };
        Certificates::load(source, &SystemEntropy, NOW).unwrap()
    }

    #[test]
    fn our_own_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        let certificates = own();
        let first = certificates.current();
        assert!(!certificates.renew(&SystemEntropy, NOW.plus_days(59)).unwrap());
        assert!(Arc::ptr_eq(&first, &certificates.current()));
        assert!(certificates.renew(&SystemEntropy, NOW.plus_days(60)).unwrap());
        assert_ne!(first.cert.first(), certificates.current().cert.first(), "another leaf");
        assert_eq!(first.cert.get(1), certificates.current().cert.get(1), "of the same CA");
        assert_eq!(certificates.not_after(), NOW.plus_days(150));
        assert!(!certificates.renew(&SystemEntropy, NOW.plus_days(60)).unwrap());
    }

    #[test]
    fn a_certificate_that_ended_while_the_machine_slept_is_renewed() {
        assert!(own().renew(&SystemEntropy, NOW.plus_days(1000)).unwrap());
    }
}
