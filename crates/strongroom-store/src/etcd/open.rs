//! Opening a store, or making it: its format record, which is also the fence of every later call.
//!
//! The record's modification revision, as it was read here, is compared in the same step of etcd in which a call reads or
//! writes. So a prefix that was wiped, that another deployment took, or that a newer release has brought into another form,
//! is never mistaken for the store that was opened, whatever a node still believes. Which of several nodes may serve is not
//! decided here but by the registrations of the cluster (`docs/decisions/0016-many-nodes-on-etcd.md`).

use etcd_client::proto::{PbKeyValue, PbTxnOpResponse};
use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp, TxnResponse};

use super::keyspace::{Keyspace, number, revision};
use super::members::Members;
use super::trouble::{SILENCE, Trouble};

/// Why a store in etcd cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EtcdOpenError {
    /// It would be found nowhere.
    #[error("`{0}` is no prefix of a store in etcd")]
    Prefix(String),
    /// No member answers.
    #[error("etcd cannot be reached at {endpoints}: {cause}")]
    Unreachable {
        /// Where it was looked for.
        endpoints: String,
        /// What the last attempt said.
        cause: String,
    },
    /// Somebody answers whose certificate proves nothing.
    #[error("etcd at {endpoints} is not who it should be: {cause}")]
    Untrusted {
        /// Where it was looked for.
        endpoints: String,
        /// What is wrong with the certificate.
        cause: String,
    },
    /// etcd does not take this client's certificate, or wants one.
    #[error("etcd at {endpoints} does not accept this client: {cause}")]
    ClientCertificate {
        /// Where it was looked for.
        endpoints: String,
        /// What etcd said.
        cause: String,
    },
    /// etcd does not let this user in, or not to this prefix.
    #[error("etcd refuses this user: {cause}")]
    Refused {
        /// What etcd said.
        cause: String,
    },
    /// Members answer, but not enough of them to decide anything.
    #[error("etcd answers, but decides nothing without a quorum of its members: {cause}")]
    NoQuorum {
        /// What etcd said.
        cause: String,
    },
    /// etcd takes no writes.
    #[error("etcd is out of space (alarm NOSPACE)")]
    NoSpace,
    /// The members hold different data.
    #[error("etcd says that it is corrupt: {cause}")]
    Corrupt {
        /// What etcd said.
        cause: String,
    },
    /// Something else lies there.
    #[error("what lies below {prefix} in etcd is no store of strongroom")]
    Foreign {
        /// The prefix.
        prefix: String,
    },
    /// A newer release wrote it.
    #[error("the store at {prefix} in etcd has format {found}, this release reads format {FORMAT}")]
    NewerFormat {
        /// The prefix.
        prefix: String,
        /// The format found.
        found: u32,
    },
    /// Nothing is there, and nothing was to be made.
    #[error("there is no store at {prefix} in etcd")]
    Missing {
        /// The prefix.
        prefix: String,
    },
    /// An older release wrote it, and it was not to be changed.
    #[error(
        "the store at {prefix} in etcd has format {found}, which nodes of this release have yet to change to {FORMAT}"
    )]
    OlderFormat {
        /// The prefix.
        prefix: String,
        /// The format found.
        found: u32,
    },
    /// A node of an older release, which shares it with nobody, has it.
    #[error("the store at {prefix} in etcd is in use by {place}, which runs an older release")]
    Owned {
        /// The prefix.
        prefix: String,
        /// Where that node is.
        place: String,
    },
    /// Others keep changing it at the same moment.
    #[error("the format of the store at {prefix} in etcd keeps changing at this moment")]
    Contended {
        /// The prefix.
        prefix: String,
    },
}

impl EtcdOpenError {
    /// What to do about it, in one line.
    #[must_use]
    pub fn remedy(&self) -> String {
        let fixed = match self {
            Self::Prefix(_) => {
                "set [store] prefix to a path such as \"/strongroom\": letters, digits and /._-, at most 128 bytes"
            }
            Self::Unreachable { .. } => {
                "check [store] endpoints, the network, and that etcd runs (etcdctl endpoint status)"
            }
            Self::Untrusted { .. } => {
                "name the CA of etcd with [store] ca_file, and in endpoints a host that its certificate is for"
            }
            Self::ClientCertificate { .. } => {
                "name a client certificate that etcd trusts with [store] certificate_file and private_key_file"
            }
            Self::Refused { .. } => {
                "check [store] user and password_file, and that a role of the user may read and write below the prefix"
            }
            Self::NoQuorum { .. } => "start the members of etcd that are down (etcdctl endpoint status --cluster)",
            Self::NoSpace => {
                "compact and defragment etcd, or raise --quota-backend-bytes, then disarm the alarm (etcdctl alarm disarm)"
            }
            Self::Corrupt { .. } => "do not write to it; restore the members of etcd as its own guide says",
            Self::Foreign { .. } => "choose another [store] prefix; nothing there was changed",
            Self::NewerFormat { .. } => "use the release that wrote it, or a newer one",
            Self::Missing { .. } => {
                "check [store] prefix and endpoints; a store is made by the first `strongroom serve`"
            }
            Self::OlderFormat { .. } => "start a node of this release on it first",
            Self::Owned { prefix, .. } => {
                return format!(
                    "stop that node in order, which gives the store up; only if it is gone for good: etcdctl del {prefix}/owner"
                );
            }
            Self::Contended { .. } => "start again",
        };
        fixed.to_owned()
    }
}

/// Whether a store may be made, or brought into the form of this release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Use,
    /// What is there may be written to, but it stays in its form.
    Enter,
    Look,
}

/// What was opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    /// When the format record was last written.
    pub(super) format: u64,
    /// The newest revision that was seen meanwhile.
    pub(super) newest: u64,
}

impl Opened {
    fn of(format: &PbKeyValue, newest: u64) -> Self {
        Self { format: revision(format.mod_revision).0, newest }
    }
}

/// Opens the store; several nodes may do so at once.
pub(super) async fn open(members: &Members, keyspace: &Keyspace, access: Access) -> Result<Opened, EtcdOpenError> {
    let prefix = || keyspace.prefix().to_owned();
    for _ in 0..ATTEMPTS {
        let found = look(members, keyspace).await?;
        let form = found.form(keyspace.prefix())?;
        let there = found.format.as_ref().filter(|_| form == Some(FORMAT));
        let write = match (access, there, form) {
            (Access::Look, Some(record), _) => return Ok(Opened::of(record, found.newest)),
            (Access::Look | Access::Enter, None, Some(found)) => {
                return Err(EtcdOpenError::OlderFormat { prefix: prefix(), found });
            }
            (Access::Look | Access::Enter, None, None) => return Err(EtcdOpenError::Missing { prefix: prefix() }),
            (Access::Use | Access::Enter, Some(_), _) => attempt(keyspace),
            (Access::Use, None, _) => shape(keyspace, &found),
        };
        let answer = match members.tell(&write).await {
            Ok(answer) => answer,
            Err(trouble) => return Err(diagnose(members, trouble).await),
        };
        let newest = header_revision(&answer);
        match there {
            Some(record) => return Ok(Opened::of(record, newest)),
            None if answer.succeeded() => {
                tracing::info!(
                    prefix = keyspace.prefix(),
                    format = FORMAT,
                    before = form,
                    "the store in etcd has its form"
                );
                return Ok(Opened { format: newest, newest });
            }
            None => {}
        }
    }
    Err(EtcdOpenError::Contended { prefix: prefix() })
}

/// What lies at the prefix.
struct Found {
    format: Option<PbKeyValue>,
    /// Of form 1.
    owner: Option<PbKeyValue>,
    anything: bool,
    newest: u64,
}

impl Found {
    /// The form of the store, if there is a store; no error if this release can use it or bring it into its own form.
    fn form(&self, prefix: &str) -> Result<Option<u32>, EtcdOpenError> {
        let prefix = || prefix.to_owned();
        let Some(record) = &self.format else {
            return if self.anything { Err(EtcdOpenError::Foreign { prefix: prefix() }) } else { Ok(None) };
        };
        match (format_of(&record.value), &self.owner) {
            (None | Some(0), _) => Err(EtcdOpenError::Foreign { prefix: prefix() }),
            (Some(found), _) if found > FORMAT => Err(EtcdOpenError::NewerFormat { prefix: prefix(), found }),
            (Some(found), Some(owner)) if found < FORMAT => {
                Err(EtcdOpenError::Owned { prefix: prefix(), place: place_of(&owner.value) })
            }
            (form, _) => Ok(form),
        }
    }
}

async fn look(members: &Members, keyspace: &Keyspace) -> Result<Found, EtcdOpenError> {
    let (first, end) = keyspace.everything();
    let any = GetOptions::new().with_range(end).with_limit(1).with_keys_only();
    let questions =
        [TxnOp::get(keyspace.format(), None), TxnOp::get(keyspace.owner(), None), TxnOp::get(first, Some(any))];
    let answer = match members.ask(&Txn::new().and_then(questions)).await {
        Ok(answer) => answer,
        Err(trouble) => return Err(diagnose(members, trouble).await),
    };
    let newest = header_revision(&answer);
    let mut found = ranges(answer);
    Ok(Found {
        format: found.next().and_then(|records| records.into_iter().next()),
        owner: found.next().and_then(|records| records.into_iter().next()),
        anything: found.next().is_some_and(|records| !records.is_empty()),
        newest,
    })
}

/// Gives the prefix the form of this release, if all is still as it was found. A node of form 1 cannot come in between: it
/// claims the store in a transaction that compares both records as well.
fn shape(keyspace: &Keyspace, found: &Found) -> Txn {
    // A key that is absent has modification revision 0.
    let seen = found.format.as_ref().map_or(0, |record| record.mod_revision);
    let unchanged = [
        Compare::mod_revision(keyspace.format(), CompareOp::Equal, seen),
        Compare::mod_revision(keyspace.owner(), CompareOp::Equal, 0),
    ];
    Txn::new().when(unchanged).and_then([TxnOp::put(keyspace.format(), format!("{FORMAT_NAME}{FORMAT}\n"), None)])
}

/// A write that never happens. etcd looks at the rights of the user and at its space all the same, so both show at the start
/// and not at the first change.
fn attempt(keyspace: &Keyspace) -> Txn {
    let never = Compare::version(keyspace.format(), CompareOp::Less, 0);
    Txn::new().when([never]).and_then([TxnOp::put(keyspace.format(), "", None)])
}

/// That the store is still the one that was opened.
pub(super) fn fence(keyspace: &Keyspace, format: u64) -> Compare {
    Compare::mod_revision(keyspace.format(), CompareOp::Equal, number(format))
}

/// Asks for a key without its value.
pub(super) fn keys_only(key: &str) -> TxnOp {
    TxnOp::get(key, Some(GetOptions::new().with_keys_only()))
}

/// The answers to the questions of a transaction, in their order.
pub(super) fn ranges(answer: TxnResponse) -> impl Iterator<Item = Vec<PbKeyValue>> {
    answer.0.responses.into_iter().filter_map(|response| match response.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => Some(range.kvs),
        _ => None,
    })
}

/// The answer to the first question, which was for one key.
pub(super) fn first_record(answer: TxnResponse) -> Option<PbKeyValue> {
    ranges(answer).next().and_then(|records| records.into_iter().next())
}

/// The newest revision when the transaction was done; its own if it wrote.
pub(super) fn header_revision(answer: &TxnResponse) -> u64 {
    answer.header().map_or(0, |header| u64::try_from(header.revision()).unwrap_or_default())
}

/// The format's number, if it is one.
fn format_of(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.strip_prefix(FORMAT_NAME)?.strip_suffix('\n')?.parse().ok()
}

/// Where the owner is, as its record says: in the second line.
fn place_of(record: &[u8]) -> String {
    let text = String::from_utf8_lossy(record);
    text.lines().nth(1).unwrap_or("a node that does not say where it is").to_owned()
}

/// Says what is wrong when the very first requests fail.
async fn diagnose(members: &Members, trouble: Trouble) -> EtcdOpenError {
    let endpoints = members.options().endpoints.join(", ");
    let cause = trouble.text().to_owned();
    let hung_up = matches!(trouble, Trouble::Lost(_)) && cause != SILENCE;
    match trouble {
        Trouble::Full => return EtcdOpenError::NoSpace,
        Trouble::Refused(_) => return EtcdOpenError::Refused { cause },
        Trouble::Corrupt(_) => return EtcdOpenError::Corrupt { cause },
        Trouble::NotSent(_) | Trouble::NotDone(_) | Trouble::Lost(_) => {}
        Trouble::Compacted | Trouble::Ahead | Trouble::TooLong => {
            return EtcdOpenError::Unreachable { endpoints, cause };
        }
    }
    // rustls' words for a certificate that it refuses, and for an alert with which the other side refuses ours.
    if cause.contains("invalid peer certificate") {
        return EtcdOpenError::Untrusted { endpoints, cause };
    }
    if cause.contains("received fatal alert") {
        return EtcdOpenError::ClientCertificate { endpoints, cause };
    }
    if members.somebody_answers().await {
        return EtcdOpenError::NoQuorum { cause };
    }
    // In TLS 1.3 a member judges the client after the handshake, and may hang up before its alert is read.
    if hung_up && endpoints.contains("https://") {
        return EtcdOpenError::ClientCertificate { endpoints, cause };
    }
    EtcdOpenError::Unreachable { endpoints, cause }
}

/// What the format record begins with.
const FORMAT_NAME: &str = "strongroom store ";
/// The form that this release writes, and the newest that it reads.
const FORMAT: u32 = 2;
/// How often a store is looked at again while others give it its form.
const ATTEMPTS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_read_as_it_is_written_and_nothing_else_is_one() {
        assert_eq!(format_of(format!("{FORMAT_NAME}{FORMAT}\n").as_bytes()), Some(FORMAT));
        assert_eq!(format_of(b"strongroom store 27\n"), Some(27));
        for foreign in [&b""[..], b"1", b"strongroom store x\n", b"strongroom store 1", b"\xff"] {
            assert_eq!(format_of(foreign), None);
        }
    }

    #[test]
    fn an_owner_says_where_it_is() {
        assert_eq!(place_of(b"one\nhost b:/data\n"), "host b:/data");
        assert!(!place_of(b"").is_empty());
    }
}
