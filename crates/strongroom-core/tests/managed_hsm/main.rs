//! A managed HSM through the core, on a store in memory: its life, its keys, its rights, its records.
//!
//! `cfg(test)` says to the lints that what is below is test code.

#[cfg(test)]
mod activation;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod download_again;
#[cfg(test)]
mod epochs;
#[cfg(test)]
mod full_backup;
#[cfg(test)]
mod full_restore;
#[cfg(test)]
mod import;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod key_restore;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod overtaken;
#[cfg(test)]
mod rbac;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod release;
#[cfg(test)]
mod restore_resealing;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod sealing;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod slow_store;
#[cfg(test)]
mod support;
#[cfg(test)]
mod throttle;
#[cfg(test)]
mod two_nodes;
#[cfg(test)]
mod two_nodes_jobs;
#[cfg(test)]
mod two_nodes_quorum;
