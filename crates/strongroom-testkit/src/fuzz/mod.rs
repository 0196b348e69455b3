//! Entry points for hostile bytes: what strangers, custodians and the store can put in front of a parser.
//!
//! Each [`Target`] takes any bytes and asserts what must hold of them. `cargo fuzz` drives it with coverage
//! (`fuzz/fuzz_targets`), `tests/fuzz.rs` of this crate with a seeded [`Mutator`] on the stable toolchain: same entry
//! points, same kept corpus. An entry point fails by a panic.

mod corpus;
mod import;
mod key_backup;
mod mutator;
mod record;
mod release_policy;
mod request;
mod security_domain;
mod token;

pub use corpus::Corpus;
pub use mutator::Mutator;

/// What is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A request path, and the names and scopes that are parts of one.
    RequestPath,
    /// The JSON bodies of the data plane, and what is built from their members.
    RequestBody,
    /// A token: in compact form, or its header and claims on a line each.
    Token,
    /// A release policy, and on a second line the claims of an environment.
    ReleasePolicy,
    /// A set of JSON Web Keys, as an outside issuer publishes it.
    KeySet,
    /// The body of a security-domain download: JSON Web Keys with certificates.
    DownloadRequest,
    /// The blob of a security-domain upload.
    SecurityDomainUpload,
    /// A security-domain file, opened with a quorum.
    SecurityDomainFile,
    /// The secrets of a domain, as they lie inside of an upload.
    DomainSecrets,
    /// A sealed record, as the store gives it back.
    SealedRecord,
    /// What lies inside of a sealed record.
    RecordContent,
    /// The body of an import: a key in parts.
    ImportParameters,
    /// The content of a `.byok` file: a key that is wrapped for a key exchange key.
    KeyTransferBlob,
    /// The blob of a key backup.
    KeyBackup,
    /// What lies inside of a key backup.
    KeyBackupContent,
}

impl Target {
    /// Every target.
    pub const ALL: &'static [Self] = &[
        Self::RequestPath,
        Self::RequestBody,
        Self::Token,
        Self::ReleasePolicy,
        Self::KeySet,
        Self::DownloadRequest,
        Self::SecurityDomainUpload,
        Self::SecurityDomainFile,
        Self::DomainSecrets,
        Self::SealedRecord,
        Self::RecordContent,
        Self::ImportParameters,
        Self::KeyTransferBlob,
        Self::KeyBackup,
        Self::KeyBackupContent,
    ];

    /// Its name: that of its program in `fuzz/` and of its folder in `fuzz/corpus`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestPath => "request-path",
            Self::RequestBody => "request-body",
            Self::Token => "token",
            Self::ReleasePolicy => "release-policy",
            Self::KeySet => "key-set",
            Self::DownloadRequest => "download-request",
            Self::SecurityDomainUpload => "security-domain-upload",
            Self::SecurityDomainFile => "security-domain-file",
            Self::DomainSecrets => "domain-secrets",
            Self::SealedRecord => "sealed-record",
            Self::RecordContent => "record-content",
            Self::ImportParameters => "import-parameters",
            Self::KeyTransferBlob => "key-transfer-blob",
            Self::KeyBackup => "key-backup",
            Self::KeyBackupContent => "key-backup-content",
        }
    }

    /// How many inputs the stable test makes: enough to reach every branch, within seconds in a debug build.
    pub const fn rounds(self) -> u32 {
        match self {
            // A private RSA operation each.
            Self::SecurityDomainUpload | Self::SecurityDomainFile => 400,
            Self::KeyTransferBlob | Self::KeyBackup | Self::KeyBackupContent => 1000,
            Self::DownloadRequest | Self::ImportParameters => 2000,
            _ => 20_000,
        }
    }

    /// Feeds it.
    ///
    /// # Panics
    /// If what it guards does not hold: that is the finding.
    pub fn run(self, input: &[u8]) {
        match self {
            Self::RequestPath => request::path(input),
            Self::RequestBody => request::body(input),
            Self::Token => token::token(input),
            Self::ReleasePolicy => release_policy::policy(input),
            Self::KeySet => token::key_set(input),
            Self::DownloadRequest => security_domain::download_request(input),
            Self::SecurityDomainUpload => security_domain::upload(input),
            Self::SecurityDomainFile => security_domain::file(input),
            Self::DomainSecrets => security_domain::domain_secrets(input),
            Self::SealedRecord => record::sealed(input),
            Self::RecordContent => record::content(input),
            Self::ImportParameters => import::parameters(input),
            Self::KeyTransferBlob => import::transfer_blob(input),
            Self::KeyBackup => key_backup::blob(input),
            Self::KeyBackupContent => key_backup::content(input),
        }
    }
}
