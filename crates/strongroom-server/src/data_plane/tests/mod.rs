//! The data plane through the edge, on a store in memory, asked with real tokens.

mod backup;
mod matrix;
mod network;
mod throttle;
mod wire;
mod world;
