//! The management plane as its clients see it.

mod coverage;
mod federated;
mod hsms;
mod keys;
mod listings;
mod matrix;
mod plane;
mod private_links;
mod resources;
mod roles;
mod storage;
mod vaults;
mod world;
