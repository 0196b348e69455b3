//! strongroom-testkit.

mod faulty_store;

pub use faulty_store::{CommitFault, FaultyStore, StoreCounts};
