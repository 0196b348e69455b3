//! HTTP, TLS, configuration, processes: the only crate that serves HTTP.
//!
//! A request passes, in this order: socket → TLS ([`tls`]) → the edge ([`http`]: limits, body, Host) → its plane
//! ([`data_plane`], [`arm`], [`authority`]): authentication, operation table → the core → answer and audit event.
//!
//! It is *not* the place for decisions about keys, roles or resources: those are the core's.
//!
//! Read first: [`http::exchange::Inbound`], [`data_plane`], [`authentication`].
//!
//! It fails in one of two ways: at start, with one line of cause and one of remedy; later, with an answer in the
//! shape the plane's clients expect.

pub mod arm;
pub mod audit_log;
pub mod authentication;
pub mod authority;
pub mod backup_jobs;
pub mod blob;
pub mod client_env;
pub mod clock;
pub mod config;
pub mod crypto_pool;
pub mod data_dir;
pub mod data_plane;
pub mod hardening;
pub mod http;
pub mod jobs;
mod limited_file;
pub mod logging;
pub mod membership;
pub mod metrics;
mod outgoing;
pub mod resealing;
pub mod serve;
pub mod statements;
pub mod store_copy;
pub mod tasks;
#[cfg(feature = "otlp")]
pub mod telemetry;
pub mod tls;
pub mod witness_file;
