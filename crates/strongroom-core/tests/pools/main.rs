//! The management plane over a store in memory.

mod deployment;
mod groups;
mod hsms;
mod lifecycle;
mod roles;
