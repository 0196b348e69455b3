//! A custodian's private key with its certificate.

use std::fmt;

use strongroom_crypto::{Entropy, RsaPrivateKey};
use strongroom_types::{RsaSize, Secret};

use crate::pem::{certificate_to_pem, first_block, to_pem};
use crate::{CertificateTerms, SecurityDomainError, Thumbprint, WrappingCertificate, self_signed};

/// A private key that decrypts the share of one certificate.
pub struct CustodianKey {
    private: RsaPrivateKey,
    certificate: Vec<u8>,
    thumbprint: Thumbprint,
}

impl CustodianKey {
    /// From a private key and the DER of its certificate.
    ///
    /// # Errors
    /// [`SecurityDomainError::PrivateKey`] if they do not belong together; [`SecurityDomainError::Certificate`].
    pub fn new(private: RsaPrivateKey, certificate: &[u8]) -> Result<Self, SecurityDomainError> {
        let wrapping = WrappingCertificate::from_der(certificate)
            .map_err(|problem| SecurityDomainError::Certificate { index: 0, problem })?;
        if wrapping.public().n() != private.public().n() {
            return Err(SecurityDomainError::PrivateKey("does not belong to the certificate"));
        }
        Ok(Self { private, certificate: certificate.to_vec(), thumbprint: wrapping.thumbprint() })
    }

    /// From the PEM texts of both files. The key may be PKCS#8, PKCS#1, or PKCS#8 under a password (PBES2).
    ///
    /// # Errors
    /// [`SecurityDomainError::PrivateKey`] says what to do; a wrong password cannot be told from a damaged file.
    pub fn from_pem(
        key: &str,
        certificate: &str,
        password: Option<&Secret<String>>,
    ) -> Result<Self, SecurityDomainError> {
        let problem = SecurityDomainError::PrivateKey;
        let (label, der) = first_block(key).ok_or(problem("is no PEM file"))?;
        let private = match (label, password) {
            ("PRIVATE KEY", _) => RsaPrivateKey::from_pkcs8(der.expose()),
            ("RSA PRIVATE KEY", _) => RsaPrivateKey::from_pkcs1(der.expose()),
            ("ENCRYPTED PRIVATE KEY", None) => return Err(problem("needs its password")),
            ("ENCRYPTED PRIVATE KEY", Some(password)) => {
                RsaPrivateKey::from_encrypted_pkcs8(der.expose(), password.expose().as_bytes())
            }
            _ => return Err(problem("is neither PKCS#8 nor PKCS#1")),
        };
        let private =
            private.map_err(|_| problem("cannot be read: it is damaged, no RSA key, or the password is wrong"))?;
        match first_block(certificate) {
            Some(("CERTIFICATE", der)) => Self::new(private, der.expose()),
            _ => Err(problem("needs the PEM file of its certificate")),
        }
    }

    /// The SHA-256 of the certificate.
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// The certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Signs what the custodian agrees to, such as the report of a drill: RS256 over the message.
    ///
    /// # Errors
    /// [`SecurityDomainError::Crypto`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SecurityDomainError> {
        Ok(self.private.sign_message(message)?)
    }

    pub(crate) fn private(&self) -> &RsaPrivateKey {
        &self.private
    }
}

/// A custodian's new key, as files.
pub struct NewCustodian {
    /// The private key, PKCS#8 PEM; encrypted if a password was given.
    pub key: Secret<String>,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The SHA-256 of the certificate.
    pub thumbprint: Thumbprint,
}

impl NewCustodian {
    /// Draws a key and certifies it. Takes up to seconds.
    ///
    /// # Errors
    /// [`SecurityDomainError::Crypto`].
    pub fn generate(
        size: RsaSize,
        terms: CertificateTerms<'_>,
        password: Option<&Secret<String>>,
        entropy: &dyn Entropy,
    ) -> Result<Self, SecurityDomainError> {
        let private = RsaPrivateKey::generate(size)?;
        let certificate = self_signed(&private, terms, entropy)?;
        let key = match password {
            None => to_pem("PRIVATE KEY", private.to_pkcs8()?.expose()),
            Some(password) => {
                let encrypted = private.to_encrypted_pkcs8(password.expose().as_bytes(), entropy)?;
                to_pem("ENCRYPTED PRIVATE KEY", &encrypted)
            }
        };
        let thumbprint = Thumbprint::of(&certificate);
        Ok(Self { key, certificate: certificate_to_pem(&certificate), thumbprint })
    }
}

impl fmt::Debug for CustodianKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustodianKey").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}
