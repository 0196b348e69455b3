//! OpenTelemetry: the audit log as logs and requests as spans, to a collector over OTLP/HTTP (protobuf).
//!
//! Part of the program only with the cargo feature `otlp`; the wire types are those of `opentelemetry-proto`. The audit log's
//! files stay the record: they are read from where the collector last took them, so an outage loses nothing that retention
//! does not. Spans are for looking, not for proof: they wait in a bounded queue, and what does not fit is dropped.
//!
//! It never holds a request up. A collector that cannot be reached is logged once and tried again.

mod collector;
mod logs;
mod spans;
mod values;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;

use crate::config::OtlpEndpoint;
use crate::tasks::Tasks;
use crate::tls::error::TlsError;

use collector::Collector;
use logs::AuditExport;
pub use logs::export_json;
pub use spans::{Finished, Spans};

/// Who speaks: the resource of everything that is exported.
#[derive(Debug, Clone)]
pub struct Source {
    /// The deployment's id.
    pub deployment: String,
    /// The release.
    pub version: &'static str,
}

/// Where the audit log lies, and where is kept how far it was exported.
#[derive(Debug, Clone)]
pub struct AuditPlaces {
    /// The log's folder.
    pub folder: PathBuf,
    /// The file with the number of the last line that the collector took.
    pub position: PathBuf,
}

/// Begins to export, until the process stops.
///
/// # Errors
/// [`TlsError::Stack`] if outgoing TLS cannot be set up.
pub fn begin(
    endpoint: &OtlpEndpoint,
    source: Source,
    places: AuditPlaces,
    roots: &RootCertStore,
    tasks: &Tasks,
) -> Result<Spans, TlsError> {
    let collector = Arc::new(Collector::new(endpoint, roots)?);
    AuditExport::new(places, source.clone(), Arc::clone(&collector)).begin(tasks);
    Ok(Spans::begin(collector, source, tasks))
}
