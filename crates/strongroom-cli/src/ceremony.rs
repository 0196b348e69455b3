//! `strongroom ceremony …`: the tool for the room in which custodians meet. It opens no connection and needs no server.
//!
//! Every command prints a protocol: what was done, when, with which files (SHA-256), and what came out. Files are those of
//! the official client, and the other way round.

mod error;
pub(crate) mod files;
mod keys;
mod protocol;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use strongroom_crypto::SystemEntropy;
use strongroom_security_domain::{
    CertificateTerms, CustodianKey, Custodians, Entries, FileFacts, NewCustodian, OpenedDomain, Quorum,
    SecurityDomainFile, Thumbprint, WrappingCertificate, certificate_of_pem, open_entries_of_file, open_file,
    restore_blob,
};
use strongroom_types::{Epoch, RsaSize};

use files::{Input, read, read_password};
use protocol::Protocol;

pub use error::CeremonyError;
pub(crate) use keys::Keys;
pub(crate) use protocol::now;

/// The steps of a ceremony.
#[derive(Debug, Subcommand)]
pub enum Ceremony {
    /// Make a custodian's key and certificate.
    #[command(after_help = MAKE_KEY_EXAMPLES)]
    MakeKey(MakeKey),
    /// Show what a security-domain file says without a key: quorum, custodians, entries.
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(Inspect),
    /// Say whether these custodians are a quorum of a file, by their certificates; exit code 1 if not.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Open a file with a quorum and check that it is whole, writing nothing: a drill for each quarter.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(Verify),
    /// Open a file with a quorum and encrypt it to the transfer key of an HSM: what `az … restore-blob` does.
    #[command(after_help = OPEN_EXAMPLES)]
    Open(Open),
    /// Open a file with a quorum and make another one for other custodians.
    #[command(after_help = REWRAP_EXAMPLES)]
    Rewrap(Rewrap),
}

/// `ceremony make-key`.
#[derive(Debug, Args)]
pub struct MakeKey {
    /// Whose key it is: the name in the certificate, and of the files NAME.key and NAME.cer.
    #[arg(long)]
    name: String,
    /// Where the files are put.
    #[arg(long, value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Bits of the RSA key.
    #[arg(long, default_value = "3072")]
    bits: KeyBits,
    /// File whose first line is the password of the private key, or - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "no_password", required_unless_present = "no_password")]
    password_file: Option<PathBuf>,
    /// Leave the private key unencrypted: whoever has the file is the custodian.
    #[arg(long)]
    no_password: bool,
    #[command(flatten)]
    output: Output,
}

/// `ceremony inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    #[command(flatten)]
    file: DomainFile,
    #[command(flatten)]
    output: Output,
}

/// `ceremony check`.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    file: DomainFile,
    /// A custodian's certificate (PEM); repeat it for each.
    #[arg(long = "certificate", value_name = "FILE", required = true, num_args = 1..)]
    certificates: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// `ceremony verify`.
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    file: DomainFile,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    output: Output,
}

/// `ceremony open`.
#[derive(Debug, Args)]
pub struct Open {
    #[command(flatten)]
    file: DomainFile,
    #[command(flatten)]
    keys: Keys,
    /// The transfer key's certificate (PEM), as `az keyvault security-domain init-recovery` writes it.
    #[arg(long, value_name = "FILE")]
    transfer_key: PathBuf,
    /// The thumbprint that the HSM's side has told you (x5t#S256); anything else is refused.
    // It is base64url: one in 64 begins with a hyphen.
    #[arg(long, value_name = "THUMBPRINT", allow_hyphen_values = true)]
    expect_thumbprint: Option<String>,
    /// The upload is written here; the file must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// `ceremony rewrap`.
#[derive(Debug, Args)]
pub struct Rewrap {
    #[command(flatten)]
    file: DomainFile,
    #[command(flatten)]
    keys: Keys,
    /// A new custodian's certificate (PEM); repeat it for each, 3 to 10.
    #[arg(long = "certificate", value_name = "FILE", required = true, num_args = 1..)]
    certificates: Vec<PathBuf>,
    /// How many of the new custodians open the new file.
    #[arg(long)]
    quorum: i64,
    /// The new file is written here; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct DomainFile {
    /// The security-domain file.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Output {
    /// Print the protocol as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KeyBits {
    #[value(name = "2048")]
    Bits2048,
    #[value(name = "3072")]
    Bits3072,
    #[value(name = "4096")]
    Bits4096,
}

/// Does one step and prints its protocol.
///
/// # Errors
/// [`CeremonyError`] says what is wrong and what helps.
pub fn run(ceremony: Ceremony) -> Result<(), CeremonyError> {
    match ceremony {
        Ceremony::MakeKey(step) => make_key(&step)?.print(step.output.json),
        Ceremony::Inspect(step) => inspect(&step)?.print(step.output.json),
        Ceremony::Check(step) => {
            let (protocol, missing) = check(&step)?;
            protocol.print(step.output.json)?;
            missing.map_or(Ok(()), Err)
        }
        Ceremony::Verify(step) => verify(&step)?.print(step.output.json),
        Ceremony::Open(step) => open(&step)?.print(step.output.json),
        Ceremony::Rewrap(step) => rewrap(&step)?.print(step.output.json),
    }
}

fn make_key(step: &MakeKey) -> Result<Protocol, CeremonyError> {
    let MakeKey { name, folder, bits, password_file, .. } = step;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(['/', '\0']) || name.starts_with('.') {
        return Err(CeremonyError::Name);
    }
    let password = password_file.as_ref().map(|file| read_password(file)).transpose()?;
    let size = match bits {
        KeyBits::Bits2048 => RsaSize::Bits2048,
        KeyBits::Bits3072 => RsaSize::Bits3072,
        KeyBits::Bits4096 => RsaSize::Bits4096,
    };
    let terms = CertificateTerms { name, not_before: now(), days: CERTIFICATE_DAYS };
    let made = NewCustodian::generate(size, terms, password.as_ref(), &SystemEntropy)?;
    let mut protocol = Protocol::of("make-key");
    protocol.wrote("private key", &folder.join(format!("{name}.key")), made.key.expose().as_bytes())?;
    protocol.wrote("certificate", &folder.join(format!("{name}.cer")), made.certificate.as_bytes())?;
    protocol.say("custodian", json!({"name": name, "x5t#S256": made.thumbprint.to_string()}));
    protocol.say("passwordProtected", json!(password.is_some()));
    if password.is_none() {
        protocol.warn("the private key is not encrypted: whoever has the file is the custodian");
    }
    Ok(protocol)
}

fn inspect(step: &Inspect) -> Result<Protocol, CeremonyError> {
    let mut protocol = Protocol::of("inspect");
    let (_, facts) = domain_file(&mut protocol, &step.file)?;
    if facts.is_ours() {
        protocol.warn("nothing here is proved until a quorum opens the file (ceremony verify)");
    }
    Ok(protocol)
}

/// The protocol, and what to fail with if they are no quorum.
fn check(step: &Check) -> Result<(Protocol, Option<CeremonyError>), CeremonyError> {
    let mut protocol = Protocol::of("check");
    let (_, facts) = domain_file(&mut protocol, &step.file)?;
    let (mut present, mut strangers) = (Vec::new(), Vec::new());
    for certificate in read_certificates(&mut protocol, &step.certificates)? {
        let list = if facts.certificates.contains(&certificate.thumbprint()) { &mut present } else { &mut strangers };
        if !list.contains(&certificate.thumbprint()) {
            list.push(certificate.thumbprint());
        }
    }
    let required = usize::from(facts.quorum.required());
    protocol.say("present", json!(present.iter().map(Thumbprint::to_string).collect::<Vec<_>>()));
    protocol.say("strangers", json!(strangers.iter().map(Thumbprint::to_string).collect::<Vec<_>>()));
    protocol.say("isQuorum", json!(present.len() >= required));
    let missing = (present.len() < required).then_some(CeremonyError::NoQuorum { required, present: present.len() });
    Ok((protocol, missing))
}

fn verify(step: &Verify) -> Result<Protocol, CeremonyError> {
    let mut protocol = Protocol::of("verify");
    let (file, facts) = domain_file(&mut protocol, &step.file)?;
    let opened = open_with_quorum(&mut protocol, file.text.expose(), &facts, &step.keys)?;
    protocol.say("entriesOpened", json!(opened.entries.iter().count()));
    Ok(protocol)
}

fn open(step: &Open) -> Result<Protocol, CeremonyError> {
    let mut protocol = Protocol::of("open");
    let (file, facts) = domain_file(&mut protocol, &step.file)?;
    let input = read(&step.transfer_key)?;
    let unusable = || CeremonyError::Certificate(step.transfer_key.clone());
    let transfer = certificate_of_pem(input.text.expose()).ok_or_else(unusable)?;
    let certificate = WrappingCertificate::from_der(&transfer).map_err(|_| unusable())?;
    protocol.read("transfer key", &input);
    let thumbprint = certificate.thumbprint().to_string();
    protocol.say("transferKey", json!({"subject": certificate.subject(), "x5t#S256": thumbprint}));
    match &step.expect_thumbprint {
        Some(expected) if *expected != thumbprint => {
            return Err(CeremonyError::OtherTransferKey { found: thumbprint, expected: expected.clone() });
        }
        Some(_) => {}
        None => {
            protocol.warn("compare the thumbprint of the transfer key with what the HSM shows, over another channel")
        }
    }
    let opened = open_with_quorum(&mut protocol, file.text.expose(), &facts, &step.keys)?;
    let blob = restore_blob(&opened.entries, &transfer, &SystemEntropy)?;
    protocol.wrote("upload", &step.out, blob.as_bytes())?;
    Ok(protocol)
}

fn rewrap(step: &Rewrap) -> Result<Protocol, CeremonyError> {
    let mut protocol = Protocol::of("rewrap");
    let (file, facts) = domain_file(&mut protocol, &step.file)?;
    // Whoever is wrong about the new custodians learns it before a key is typed in.
    let mut certificates = Vec::new();
    for path in &step.certificates {
        let input = read(path)?;
        certificates
            .push(certificate_of_pem(input.text.expose()).ok_or_else(|| CeremonyError::Certificate(path.clone()))?);
        protocol.read("new custodian's certificate", &input);
    }
    let custodians = Custodians::from_certificates(&certificates, step.quorum)?;
    let opened = open_with_quorum(&mut protocol, file.text.expose(), &facts, &step.keys)?;
    let domain = opened.domain.ok_or(CeremonyError::Foreign)?;
    let epoch = domain.secrets.newest_epoch();
    let rewrapped = SecurityDomainFile::build(&domain.secrets, epoch, &custodians, now(), &SystemEntropy)?;
    protocol.wrote("security domain", &step.out, rewrapped.as_bytes())?;
    let thumbprints = custodians.certificates().iter().map(|one| one.thumbprint());
    protocol.say("newCustodians", custodians_json(custodians.quorum(), thumbprints));
    protocol.warn("a quorum of the old custodians can still open the old file and every copy of it");
    Ok(protocol)
}

/// Reads the file and notes what it says.
fn domain_file(protocol: &mut Protocol, file: &DomainFile) -> Result<(Input, FileFacts), CeremonyError> {
    let input = read(&file.file)?;
    let facts = FileFacts::read(input.text.expose())?;
    protocol.read("security domain", &input);
    protocol.say("custodians", custodians_json(facts.quorum, facts.certificates.iter().copied()));
    protocol.say("entries", json!(facts.tags));
    protocol.say("madeBy", json!(if facts.is_ours() { "strongroom" } else { "another product" }));
    Ok((input, facts))
}

/// What a quorum has opened.
struct Opened {
    entries: Entries,
    /// What it means; `None` if another product made it.
    domain: Option<OpenedDomain>,
}

fn open_with_quorum(
    protocol: &mut Protocol,
    text: &str,
    facts: &FileFacts,
    keys: &Keys,
) -> Result<Opened, CeremonyError> {
    let keys = read_keys(protocol, keys)?;
    let (opened, suspects) = if facts.is_ours() {
        let opened = open_file(text, &keys)?;
        protocol.say("domain", domain_json(&opened.domain));
        (Opened { entries: opened.entries, domain: Some(opened.domain) }, opened.suspects)
    } else {
        let tags: Vec<&str> = facts.tags.iter().map(String::as_str).collect();
        let opened = open_entries_of_file(text, &keys, &tags)?;
        protocol.warn("another product made this file: that it is whole, and where it comes from, is not proved");
        (Opened { entries: opened.entries, domain: None }, opened.suspects)
    };
    for suspect in suspects {
        protocol.warn(&format!("the share of {suspect} does not belong to this file and cannot help to open it"));
    }
    Ok(opened)
}

/// Reads the keys and notes whose they are.
fn read_keys(protocol: &mut Protocol, keys: &Keys) -> Result<Vec<CustodianKey>, CeremonyError> {
    let mut read_keys = Vec::new();
    for held in keys.read()? {
        // The hash of a private key file is nobody's business; that of its certificate says whose it is.
        protocol.read("custodian's certificate", &held.certificate);
        read_keys.push(held.key);
    }
    Ok(read_keys)
}

fn read_certificates(protocol: &mut Protocol, paths: &[PathBuf]) -> Result<Vec<WrappingCertificate>, CeremonyError> {
    let mut certificates = Vec::new();
    for path in paths {
        let input: Input = read(path)?;
        let certificate = WrappingCertificate::from_pem(input.text.expose());
        certificates.push(certificate.map_err(|_| CeremonyError::Certificate(path.clone()))?);
        protocol.read("custodian's certificate", &input);
    }
    Ok(certificates)
}

fn custodians_json(quorum: Quorum, thumbprints: impl Iterator<Item = Thumbprint>) -> serde_json::Value {
    let thumbprints: Vec<String> = thumbprints.map(|one| one.to_string()).collect();
    json!({"required": quorum.required(), "total": quorum.total(), "x5t#S256": thumbprints})
}

fn domain_json(domain: &OpenedDomain) -> serde_json::Value {
    let OpenedDomain { secrets, manifest } = domain;
    let epochs: Vec<u32> = secrets.roots().iter().map(|(epoch, _)| Epoch::number(*epoch)).collect();
    json!({
        "id": manifest.domain_id.to_string(),
        "epochs": epochs,
        "created": protocol::rfc3339(manifest.created),
        "manifest": "signed by the domain, and everything it names is there unaltered",
    })
}

/// Longest name of a custodian, in bytes: it becomes a file name.
const NAME_BYTES_MAX: usize = 64;
/// Validity of a custodian's certificate, in days. Nobody looks: a file is opened many years later.
pub(crate) const CERTIFICATE_DAYS: u32 = 3653;

const MAKE_KEY_EXAMPLES: &str = "\
Examples:
  strongroom ceremony make-key --name alice --password-file alice.password
  strongroom ceremony make-key --name bob --folder /media/bob --bits 4096 --password-file -

Files are never overwritten. Certificates made elsewhere do as well: any RSA key of 2048 to 8192 bits.";
const INSPECT_EXAMPLES: &str = "\
Example:
  strongroom ceremony inspect --file ContosoMHSM-SD.json --json";
const CHECK_EXAMPLES: &str = "\
Example:
  strongroom ceremony check --file ContosoMHSM-SD.json --certificate alice.cer bob.cer";
const VERIFY_EXAMPLES: &str = "\
Example:
  strongroom ceremony verify --file ContosoMHSM-SD.json --key alice.key bob.key --password-file alice.password bob.password

With more keys than the quorum, wrong shares are named.";
const OPEN_EXAMPLES: &str = "\
Example:
  az keyvault security-domain init-recovery --hsm-name ContosoMHSM2 --sd-exchange-key exchange.cer
  strongroom ceremony open --file ContosoMHSM-SD.json --key alice.key bob.key --transfer-key exchange.cer --out upload.json
  az keyvault security-domain upload --hsm-name ContosoMHSM2 --restore-blob --sd-file upload.json

The middle line is for the room, without a network; the others are for a machine that reaches the HSM.";
const REWRAP_EXAMPLES: &str = "\
Example:
  strongroom ceremony rewrap --file ContosoMHSM-SD.json --key alice.key bob.key \\
      --certificate carol.cer dave.cer erin.cer --quorum 2 --out ContosoMHSM-SD-2.json

The old file stays what it was: a quorum of the old custodians can still open it.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(subcommand)]
        step: Ceremony,
    }

    #[test]
    fn a_thumbprint_may_begin_with_a_hyphen() {
        let thumbprint = "-jlqqgG4cxBnArQKPO2EFHfr9UL_H_IcfqaWHsMMb4M";
        let line = ["ceremony", "open", "--file", "f", "--key", "a", "b", "--transfer-key", "c", "--out", "o"];
        let line = line.into_iter().chain(["--expect-thumbprint", thumbprint]);
        match Program::try_parse_from(line).unwrap().step {
            Ceremony::Open(step) => assert_eq!(step.expect_thumbprint.as_deref(), Some(thumbprint)),
            other => panic!("{other:?}"),
        }
    }
}
