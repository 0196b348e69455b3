//! What etcd's refusals and silences mean for a request: whether it was done, and whether another member may do better.

use std::error::Error as StdError;

use etcd_client::Error;
use tonic::{Code, ConnectError, Status};

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It never left this machine: no connection could be made.
    NotSent(String),
    /// The member says that it did nothing; it may be able to later, or another one now.
    NotDone(String),
    /// It was sent, and nobody can say whether it was done.
    Lost(String),
    /// Not this: the user may not, or it is beyond limits that were set lower than etcd's own.
    Refused(String),
    /// There is no space, or was none when the request came. See [`super::commit`] for what that leaves open.
    Full,
    /// The revision is compacted away.
    Compacted,
    /// The revision lies ahead.
    Ahead,
    /// The answer is longer than what this client takes.
    TooLong,
    /// The cluster says that its members disagree.
    Corrupt(String),
}

impl Trouble {
    pub(super) fn of(error: Error) -> Self {
        match error {
            Error::GRpcStatus(status) => Self::of_status(&status),
            // Made before anything is sent.
            Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::EndpointError(_) | Error::InvalidMetadataValue(_) => {
                Self::NotSent(error.to_string())
            }
            Error::TransportError(error) => Self::NotSent(deepest(&error)),
            error => Self::Lost(error.to_string()),
        }
    }

    /// Nobody answered in time.
    pub(super) fn silence() -> Self {
        Self::Lost(SILENCE.to_owned())
    }

    /// A watch ended without a reason.
    pub(super) fn stream_ended() -> Self {
        Self::Lost("the stream ended".to_owned())
    }

    /// The same for a request that only asked for a connection or a login: nothing was to be done.
    pub(super) fn before_sending(self) -> Self {
        match self {
            Self::Lost(text) | Self::NotDone(text) => Self::NotSent(text),
            trouble => trouble,
        }
    }

    /// Whether a question may be put to another member.
    pub(super) fn may_differ_elsewhere(&self) -> bool {
        matches!(self, Self::NotSent(_) | Self::NotDone(_) | Self::Lost(_))
    }

    /// Whether a write may be handed to another member: only if this one has certainly not begun it.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(self, Self::NotSent(_) | Self::NotDone(_))
    }

    /// Of two, the one that says that another attempt may do.
    pub(super) fn or_later(self, earlier: Self) -> Self {
        if matches!(earlier, Self::NotDone(_)) { earlier } else { self }
    }

    /// In words.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::NotSent(text)
            | Self::NotDone(text)
            | Self::Lost(text)
            | Self::Refused(text)
            | Self::Corrupt(text) => text,
            Self::Full => "etcd is out of space",
            Self::Compacted => "the revision is compacted",
            Self::Ahead => "the revision lies ahead",
            Self::TooLong => "the answer is too long",
        }
    }

    fn of_status(status: &Status) -> Self {
        let text = || match status.message() {
            "" => deepest(status),
            message => message.to_owned(),
        };
        if is_connect_error(status) {
            return Self::NotSent(deepest(status));
        }
        let says = |part: &str| status.message().contains(part);
        match status.code() {
            Code::OutOfRange if says("has been compacted") => Self::Compacted,
            Code::OutOfRange if says("future revision") => Self::Ahead,
            // Said by the client's own decoder.
            Code::OutOfRange if says("message length too large") => Self::TooLong,
            Code::ResourceExhausted if says("database space exceeded") => Self::Full,
            // Refused before it was proposed to the cluster.
            Code::ResourceExhausted if says("too many requests") => Self::NotDone(text()),
            Code::Unavailable if says("no leader") => Self::NotDone(text()),
            Code::DataLoss => Self::Corrupt(text()),
            Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition => Self::Refused(text()),
            // Rights have just changed: asked again, the member has caught up with that.
            Code::InvalidArgument if says("revision in auth header is old") => Self::NotDone(text()),
            // What is wrong with a request is found before it is proposed.
            Code::InvalidArgument => Self::Refused(text()),
            // Broken connections have nothing in their own message that helps.
            Code::Unknown | Code::Internal | Code::Cancelled | Code::Unavailable if !says("etcdserver") => {
                Self::Lost(deepest(status))
            }
            _ => Self::Lost(text()),
        }
    }
}

/// A request waits for a connection before it is handed to it, so this proves that it was not sent.
fn is_connect_error(status: &Status) -> bool {
    let mut below = status.source();
    while let Some(error) = below {
        if error.is::<ConnectError>() {
            return true;
        }
        below = error.source();
    }
    false
}

/// The innermost cause: libraries wrap it in words that help nobody.
fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut deepest = error;
    while let Some(error) = deepest.source() {
        deepest = error;
    }
    deepest.to_string()
}

pub(super) const SILENCE: &str = "no answer in time";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: Code, message: &str) -> Trouble {
        Trouble::of(Error::GRpcStatus(Status::new(code, message)))
    }

    #[test]
    fn what_etcd_certainly_did_not_do_is_told_from_what_it_may_have_done() {
        for (code, message) in [
            (Code::Unavailable, "etcdserver: no leader"),
            (Code::ResourceExhausted, "etcdserver: too many requests"),
            (Code::InvalidArgument, "etcdserver: revision in auth header is old"),
        ] {
            assert!(of(code, message).is_untouched(), "{message}");
        }
        for (code, message) in [
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "etcdserver: leader changed"),
            (Code::Unavailable, "etcdserver: server stopped"),
            (Code::Unknown, "transport error"),
            (Code::Unknown, "raft proposal dropped"),
        ] {
            let trouble = of(code, message);
            assert!(matches!(trouble, Trouble::Lost(_)) && !trouble.is_untouched(), "{message}: {trouble:?}");
        }
    }

    #[test]
    fn two_meanings_of_one_code_are_told_apart() {
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        assert!(matches!(of(Code::OutOfRange, compacted), Trouble::Compacted));
        let ahead = "etcdserver: mvcc: required revision is a future revision";
        assert!(matches!(of(Code::OutOfRange, ahead), Trouble::Ahead));
        assert!(matches!(of(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"), Trouble::Full));
        assert!(matches!(of(Code::PermissionDenied, "etcdserver: permission denied"), Trouble::Refused(_)));
        for wrong in ["etcdserver: user name is empty", "etcdserver: request is too large", "too many operations"] {
            assert!(matches!(of(Code::InvalidArgument, wrong), Trouble::Refused(_)), "{wrong}");
        }
    }
}
