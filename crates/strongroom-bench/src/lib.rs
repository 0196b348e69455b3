//! Measuring a server: load over TLS, and the ceilings that its figures are compared with.
//!
//! The ceilings are what the machine can do without us: cryptography alone ([`raw`]), an HTTPS server that answers the same
//! bytes to the same requests ([`bare`]), a durable append ([`durable`]). They are measured in the same run, on the same
//! core, because only ratios taken side by side hold.
//!
//! It is *not* a client of any API: requests are bytes to it. What is asked, and what the figures are worth, is the
//! command's business (`strongroom bench`).
//!
//! Read first: [`load::run`], [`flood::run`], [`request::Request`], [`figures::Spread`].
//!
//! It fails with a [`MeasureError`]. A request that fails is no error: it is part of the outcome.

pub mod bare;
mod client;
pub mod cores;
pub mod durable;
pub mod figures;
pub mod flood;
pub mod load;
pub mod raw;
pub mod request;

use std::io;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The system refused something.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A host name that TLS cannot check.
    #[error("{0} is no host name")]
    HostName(String),
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The other side does not speak HTTP as we read it.
    #[error("the answer is no HTTP: {0}")]
    Answer(&'static str),
    /// HTTP/2 broke.
    #[error("HTTP/2 broke")]
    Http2(#[from] hyper::Error),
    /// A request that cannot be sent.
    #[error("the request is malformed")]
    Request(#[from] http::Error),
    /// A certificate for the bare server could not be made.
    #[error("no certificate can be made")]
    Certificate(#[from] rcgen::Error),
    /// Cryptography refused what it must do.
    #[error("the cryptographic library refused: {0}")]
    Crypto(&'static str),
    /// What the bare server was told is malformed.
    #[error("the bare server was told something malformed")]
    Told(#[from] serde_json::Error),
    /// A thread or task of the measurement ended early.
    #[error("a part of the measurement ended early")]
    Ended,
}

impl MeasureError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// The time, which is what is measured.
#[expect(clippy::disallowed_methods, reason = "what is measured is time")]
pub fn now() -> std::time::Instant {
    std::time::Instant::now()
}
