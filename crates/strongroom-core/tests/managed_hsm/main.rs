//! A managed HSM through the core, on a store in memory: its life, its keys, its rights, its records.

mod activation;
mod keys;
mod rbac;
mod sealing;
mod support;
