//! What all planes share of HTTP.

pub mod edge;
pub mod exchange;
pub mod health;
pub mod host;
pub mod limits;
pub mod listener;
pub mod observers;
pub(crate) mod odata;
mod pace;
pub mod planes;
pub mod proxies;
mod request_ids;
