//! The signed form of a report: a JWS with one signature a custodian (RFC 7515 §7.2.1, general JSON serialization).
//!
//! Who could sign better than those who opened the domain? No key of a machine is involved, so that a report proves the
//! presence of a quorum to somebody who trusts nobody but the custodians. Each signature is RS256 by the key of the
//! custodian's certificate, which its header carries.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use strongroom_crypto::digest::sha256;
use strongroom_security_domain::{CustodianKey, FileFacts, Thumbprint, WrappingCertificate};
use strongroom_types::Algorithm;

use crate::DrillError;
use crate::report::Report;

/// A report with its signatures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignedReport {
    /// The report, JSON in base64url.
    payload: String,
    /// One for each custodian who took part.
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Signature {
    protected: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    /// DER in standard base64 (RFC 7515 §4.1.6).
    x5c: Vec<String>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: String,
}

/// A report whose signatures have been checked.
#[derive(Debug)]
pub struct VerifiedReport {
    /// What it says.
    pub report: Report,
    /// The certificates of those who signed.
    pub signers: Vec<Thumbprint>,
}

impl SignedReport {
    /// Signs a report with the keys of the custodians who opened the domain.
    ///
    /// # Errors
    /// [`DrillError::Domain`] if a key does not sign.
    pub fn sign(report: &Report, custodians: &[CustodianKey]) -> Result<Self, DrillError> {
        let payload = encode(report)?;
        let sign = |custodian: &CustodianKey| {
            let header = Header {
                alg: "RS256".to_owned(),
                typ: TYP.to_owned(),
                x5c: vec![STANDARD.encode(custodian.certificate())],
                x5t_s256: custodian.thumbprint().to_string(),
            };
            let protected = encode(&header)?;
            let signature = custodian.sign(format!("{protected}.{payload}").as_bytes())?;
            Ok(Signature { protected, signature: URL_SAFE_NO_PAD.encode(signature) })
        };
        let signatures = custodians.iter().map(sign).collect::<Result<_, DrillError>>()?;
        Ok(Self { payload, signatures })
    }

    /// Reads the text of a signed report.
    ///
    /// # Errors
    /// [`DrillError::NoReport`].
    pub fn parse(text: &str) -> Result<Self, DrillError> {
        serde_json::from_str(text).map_err(|_| DrillError::NoReport("it is no JWS in JSON form"))
    }

    /// The text to keep.
    ///
    /// # Errors
    /// [`DrillError::NoReport`] if it cannot be written.
    pub fn to_text(&self) -> Result<String, DrillError> {
        let text = serde_json::to_string_pretty(self).map_err(|_| DrillError::NoReport("it cannot be written"))?;
        Ok(text + "\n")
    }

    /// Checks every signature, that those who are named as present have signed, and, against a security-domain file, that
    /// they are a quorum of its custodians and that it is the file the report speaks of.
    ///
    /// # Errors
    /// [`DrillError::NoReport`] says what does not hold.
    pub fn verify(&self, file: Option<&str>) -> Result<VerifiedReport, DrillError> {
        // The quorum is what the report itself says: 0 would be reached by nobody.
        if self.signatures.is_empty() {
            return Err(DrillError::NoReport("nobody has signed it"));
        }
        let mut signers = Vec::new();
        for signature in &self.signatures {
            let signer = signature.check(&self.payload)?;
            if signers.contains(&signer) {
                return Err(DrillError::NoReport("a custodian has signed twice"));
            }
            signers.push(signer);
        }
        let report: Report = decode(&self.payload)?;
        if report.format != FORMAT {
            return Err(DrillError::NoReport("it has a format that this version does not know"));
        }
        let domain = &report.security_domain;
        let named: Vec<&str> = domain.present.iter().map(|custodian| custodian.thumbprint.as_str()).collect();
        let signed: Vec<String> = signers.iter().map(ToString::to_string).collect();
        if named != signed {
            return Err(DrillError::NoReport("those who signed are not those it names"));
        }
        if signers.len() < usize::from(domain.quorum) {
            return Err(DrillError::NoReport("fewer than a quorum have signed"));
        }
        if let Some(file) = file {
            check_file(&report, &signers, file)?;
        }
        Ok(VerifiedReport { report, signers })
    }
}

impl Signature {
    /// The custodian whose signature it is.
    fn check(&self, payload: &str) -> Result<Thumbprint, DrillError> {
        let header: Header = decode(&self.protected)?;
        if header.alg != "RS256" || header.typ != TYP {
            return Err(DrillError::NoReport("a signature is of another kind"));
        }
        let certificate = header.x5c.first().and_then(|der| STANDARD.decode(der).ok());
        let certificate = certificate.and_then(|der| WrappingCertificate::from_der(&der).ok());
        let certificate = certificate.ok_or(DrillError::NoReport("a signature carries no certificate"))?;
        if certificate.thumbprint().to_string() != header.x5t_s256 {
            return Err(DrillError::NoReport("a signature names another certificate than it carries"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(&self.signature).unwrap_or_default();
        let digest = sha256(format!("{}.{payload}", self.protected).as_bytes());
        match certificate.public().verify(Algorithm::Rs256, &digest, &bytes) {
            Ok(true) => Ok(certificate.thumbprint()),
            Ok(false) | Err(_) => Err(DrillError::NoReport("a signature does not fit: the report was altered")),
        }
    }
}

fn check_file(report: &Report, signers: &[Thumbprint], file: &str) -> Result<(), DrillError> {
    let facts = FileFacts::read(file)?;
    if hexadecimal(&sha256(file.as_bytes())) != report.security_domain.file_sha256 {
        return Err(DrillError::NoReport("it speaks of another security-domain file"));
    }
    if !signers.iter().all(|signer| facts.certificates.contains(signer)) {
        return Err(DrillError::NoReport("somebody signed who is no custodian of this file"));
    }
    if signers.len() < usize::from(facts.quorum.required()) {
        return Err(DrillError::NoReport("fewer than a quorum of this file have signed"));
    }
    Ok(())
}

/// The version of the report that this program writes.
pub(crate) const FORMAT: u32 = 1;

const TYP: &str = "strongroom-drill-report+json";

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode<T: Serialize>(part: &T) -> Result<String, DrillError> {
    let json = serde_json::to_vec(part).map_err(|_| DrillError::NoReport("it cannot be written"))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, DrillError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| DrillError::NoReport("a part is not base64url"))?;
    serde_json::from_slice(&json).map_err(|_| DrillError::NoReport("a part has not the shape of a report"))
}
