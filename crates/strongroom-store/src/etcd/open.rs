//! Taking a store: its format, and the one node that may use it.
//!
//! The owner's record is the fence. Its modification revision is this node's number: every read and every commit compares
//! it, in the same step of etcd, so that a node that has lost the store can neither read nor write from that moment on,
//! whatever it still believes. No lease and no clock is part of that (`docs/decisions/0014-one-node-on-etcd.md`).

use etcd_client::proto::{PbKeyValue, PbTxnOpResponse};
use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp, TxnResponse};

use super::keyspace::{Keyspace, number};
use super::members::Members;
use super::options::EtcdNode;
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
    /// Another node has it.
    #[error("the store at {prefix} in etcd is in use by {place}")]
    Occupied {
        /// The prefix.
        prefix: String,
        /// Where that node is.
        place: String,
    },
    /// Others keep taking it at the same moment.
    #[error("other nodes are taking the store at {prefix} in etcd at this moment")]
    Contended {
        /// The prefix.
        prefix: String,
    },
}

impl EtcdOpenError {
    /// What to do about it, in one line.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
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
            Self::Occupied { .. } => {
                "stop that node; if it is gone for good, start this one once with --take-over, which locks the other out"
            }
            Self::Contended { .. } => "start again",
        }
    }
}

/// Takes the store for a node, and says the node's number: the revision of its owner's record.
pub(super) async fn take(members: &Members, keyspace: &Keyspace) -> Result<u64, EtcdOpenError> {
    let node = &members.options().node;
    for _ in 0..ATTEMPTS {
        let found = look(members, keyspace).await?;
        let prefix = || keyspace.prefix().to_owned();
        match found.format.as_ref().map(|record| format_of(&record.value)) {
            None if found.anything => return Err(EtcdOpenError::Foreign { prefix: prefix() }),
            Some(None) => return Err(EtcdOpenError::Foreign { prefix: prefix() }),
            Some(Some(found)) if found > FORMAT => return Err(EtcdOpenError::NewerFormat { prefix: prefix(), found }),
            None | Some(Some(_)) => {}
        }
        if let Some(owner) = &found.owner
            && !members.options().take_over
            && let Some(place) = somebody_else(&owner.value, node)
        {
            return Err(EtcdOpenError::Occupied { prefix: prefix(), place });
        }
        let claim = claim(keyspace, &found, node);
        let answer = match members.tell(&claim).await {
            Ok(answer) => answer,
            Err(trouble) => return Err(diagnose(members, trouble).await),
        };
        if answer.succeeded() {
            let number = header_revision(&answer);
            tracing::info!(prefix = keyspace.prefix(), number, "the store in etcd is this node's");
            return Ok(number);
        }
    }
    Err(EtcdOpenError::Contended { prefix: keyspace.prefix().to_owned() })
}

/// What lies at the prefix.
struct Found {
    format: Option<PbKeyValue>,
    owner: Option<PbKeyValue>,
    anything: bool,
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
    let mut found = ranges(answer);
    Ok(Found {
        format: found.next().and_then(|records| records.into_iter().next()),
        owner: found.next().and_then(|records| records.into_iter().next()),
        anything: found.next().is_some_and(|records| !records.is_empty()),
    })
}

/// Writes the owner's record if all is still as it was found.
fn claim(keyspace: &Keyspace, found: &Found, node: &EtcdNode) -> Txn {
    let seen = |record: &Option<PbKeyValue>| record.as_ref().map_or(0, |record| record.mod_revision);
    // A key that is absent has modification revision 0.
    let unchanged = [
        Compare::mod_revision(keyspace.format(), CompareOp::Equal, seen(&found.format)),
        Compare::mod_revision(keyspace.owner(), CompareOp::Equal, seen(&found.owner)),
    ];
    let mut writes = vec![TxnOp::put(keyspace.owner(), format!("{}\n{}\n", node.id, node.place), None)];
    if found.format.is_none() {
        writes.push(TxnOp::put(keyspace.format(), format!("{FORMAT_NAME}{FORMAT}\n"), None));
    }
    Txn::new().when(unchanged).and_then(writes).or_else([keys_only(keyspace.owner())])
}

/// Gives the store up, if it is still this node's.
pub(super) async fn release(members: &Members, keyspace: &Keyspace, number: u64) -> Result<(), Trouble> {
    let release = Txn::new()
        .when([fence(keyspace, number)])
        .and_then([TxnOp::delete(keyspace.owner(), None)])
        .or_else([keys_only(keyspace.owner())]);
    members.tell(&release).await.map(drop)
}

/// That the store is still this node's.
pub(super) fn fence(keyspace: &Keyspace, own: u64) -> Compare {
    Compare::mod_revision(keyspace.owner(), CompareOp::Equal, number(own))
}

/// Asks for a key without its value.
pub(super) fn keys_only(key: String) -> TxnOp {
    TxnOp::get(key, Some(GetOptions::new().with_keys_only()))
}

/// The answers to the questions of a transaction, in their order.
pub(super) fn ranges(answer: TxnResponse) -> impl Iterator<Item = Vec<PbKeyValue>> {
    answer.0.responses.into_iter().filter_map(|response| match response.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => Some(range.kvs),
        _ => None,
    })
}

/// The newest revision when the transaction was done; its own if it wrote.
pub(super) fn header_revision(answer: &TxnResponse) -> u64 {
    answer.header().map_or(0, |header| u64::try_from(header.revision()).unwrap_or_default())
}

/// The format's number, if it is one.
fn format_of(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.strip_prefix(FORMAT_NAME)?.strip_suffix('\n')?.parse().ok()
}

/// Where the owner is, if it is not this node.
fn somebody_else(record: &[u8], node: &EtcdNode) -> Option<String> {
    let text = String::from_utf8_lossy(record);
    let mut lines = text.lines();
    if lines.next() == Some(node.id.as_str()) {
        return None;
    }
    Some(lines.next().unwrap_or("a node that does not say where it is").to_owned())
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
const FORMAT: u32 = 1;
/// How often a store is tried to be taken while others change it.
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
    fn a_node_knows_its_own_record() {
        let node = EtcdNode { id: "one".to_owned(), place: "host a".to_owned() };
        assert_eq!(somebody_else(b"one\nhost b\n", &node), None);
        assert_eq!(somebody_else(b"two\nhost b\n", &node).as_deref(), Some("host b"));
        assert!(somebody_else(b"", &node).is_some());
    }
}
