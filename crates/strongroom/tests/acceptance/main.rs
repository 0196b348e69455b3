//! The built server against the clients people use: the official Azure CLI and Python SDK, plain HTTP, and the
//! signals of an operating system that shows no mercy.
//!
//! Each test starts its own deployment in its own folder and on its own ports, and stops it with SIGTERM. The official
//! clients come from virtual environments that `cargo xtask acceptance` installs; without them the tests fail and say so.

#[cfg(test)]
mod api_versions;
#[cfg(test)]
mod arm_keys;
#[cfg(test)]
mod attestation_authority;
#[cfg(test)]
mod az;
#[cfg(test)]
mod az_azure_roles;
#[cfg(test)]
mod az_backup;
#[cfg(test)]
mod az_directory;
#[cfg(test)]
mod az_domain;
#[cfg(test)]
mod az_federation;
#[cfg(test)]
mod az_hsm;
#[cfg(test)]
mod az_import;
#[cfg(test)]
mod az_key_life;
#[cfg(test)]
mod az_keys;
#[cfg(test)]
mod az_login;
#[cfg(test)]
mod az_network_rules;
#[cfg(test)]
mod az_recovery;
#[cfg(test)]
mod az_roles;
#[cfg(test)]
mod az_sealed;
#[cfg(test)]
mod az_settings;
#[cfg(test)]
mod az_storage;
#[cfg(test)]
mod az_vaults;
#[cfg(test)]
mod azurite;
#[cfg(test)]
mod backup_crash;
#[cfg(test)]
mod backup_faults;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod ceremony;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod comparison;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod deployment;
#[cfg(test)]
mod device_page;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod disaster_recovery;
#[cfg(test)]
mod domain_crash;
#[cfg(test)]
mod drill;
#[cfg(test)]
mod environment;
#[cfg(test)]
#[path = "../../../strongroom-store/tests/etcd/server.rs"]
#[expect(dead_code, reason = "here no member is ended before its test")]
mod etcd_server;
#[cfg(test)]
mod exchanges;
#[cfg(test)]
mod faulty_blobs;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod hsm;
#[cfg(test)]
mod identity_endpoint;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod namespace;
#[cfg(test)]
mod networks;
#[cfg(test)]
mod outside_issuer;
#[cfg(test)]
mod python_sdk;
#[cfg(test)]
mod quickstart;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod release;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod schema_fuzzing;
#[cfg(test)]
mod secrecy;
#[cfg(test)]
mod slow_way;
#[cfg(test)]
mod startup;
#[cfg(test)]
mod trusted_services;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod who_can;
#[cfg(test)]
mod wrapping_keys;
