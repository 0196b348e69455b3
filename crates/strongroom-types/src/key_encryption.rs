//! How a key is wrapped for an attested environment, or arrives wrapped for an HSM.

use crate::vocabulary::vocabulary;

vocabulary!(
    /// `enc` of secure key release (REST `KeyEncryptionAlgorithm`): an RSA key wraps a new AES-256 key, which wraps the
    /// key itself with padding (RFC 5649). They differ in the hash of OAEP.
    KeyEncryptionAlgorithm, "key encryption algorithm", {
        /// OAEP with SHA-1 and MGF1-SHA-1; what a request means that names none.
        CkmRsaAesKeyWrap => "CKM_RSA_AES_KEY_WRAP",
        /// OAEP with SHA-256 and MGF1-SHA-256.
        RsaAesKeyWrap256 => "RSA_AES_KEY_WRAP_256",
        /// OAEP with SHA-384 and MGF1-SHA-384.
        RsaAesKeyWrap384 => "RSA_AES_KEY_WRAP_384",
    }
);
