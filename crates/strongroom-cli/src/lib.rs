//! A client of strongroom's public API: the commands that talk to a running deployment.
//!
//! It uses what any client could: `client.env`, tokens from the authority, the planes' REST calls. It is *not* the place
//! for shortcuts into the server: what a command here can do, `az` or an SDK can do too.
//!
//! Read first: [`connection::Connection`], [`quickstart::run`].
//!
//! [`ceremony`] talks to nobody: it works on files, in a room without a network. [`drill`] talks to a blob store only.
//!
//! It fails with an `anyhow` error whose text is one line of cause; a ceremony with [`ceremony::CeremonyError`], a drill
//! with [`drill::DrillFailure`].

pub mod bench;
pub mod ceremony;
pub mod connection;
mod custodians;
pub mod directory;
pub mod domain;
pub mod drill;
mod managed_hsm;
pub mod quickstart;
pub mod who_can;
