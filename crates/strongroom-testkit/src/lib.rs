//! Test support: builders, an HSM, a clock that stands still, an audit log in memory, a store and a blob store with faults.
//!
//! A dev-dependency only. Tests *inside* `strongroom-core` cannot use it (they would meet a second copy of the crate);
//! its integration tests can.
//!
//! Read first: [`core_in_memory`], [`FaultyStore`], [`fuzz::Target`].
//!
//! It fails as what it builds fails.

pub mod consistency;
mod core;
mod faulty_store;
pub mod fuzz;
mod hsm;
mod memory_blobs;
mod ports;
mod shared_hsm;
mod wrapped;

pub use crate::core::{START, TestCore, core_in_memory, core_on, core_under, draw_uuid, program, request_of};
pub use faulty_store::{CommitFault, FaultyStore, StoreCounts};
pub use hsm::{add_hsm, custodians, managed_hsm};
pub use memory_blobs::{BlobFault, MemoryBlobs};
pub use ports::{FakeClock, InlinePool, MemoryAudit, MemoryRoot};
pub use shared_hsm::{Ended, KeyChange, SharedHsm, event_of, read_on_demand};
pub use wrapped::{Wrap, Wrapped, look};
