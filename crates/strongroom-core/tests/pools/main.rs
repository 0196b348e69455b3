//! The management plane over a store in memory.
//!
//! `cfg(test)` says to the lints that what is below is test code.

#[cfg(test)]
mod deployment;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod hsms;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod two_nodes;
#[cfg(test)]
mod vault_keys;
#[cfg(test)]
mod vaults;
