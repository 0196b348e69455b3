//! The official SDKs: programs of `tests/clients`, one folder a language, which walk the operations their packages
//! offer against an activated HSM and a vault, with challenge verification on.
//!
//! A program prints a line for each operation that did what it should, and fails at the first that does not. That they
//! reached the server is not left to them: the audit log says which operations it carried out for which client.
//!
//! What is in `conformance` is run by `cargo xtask conformance`, which brings a Go toolchain and Maven.

mod conformance;
mod javascript;
mod language;
mod link_local;
mod python;
mod readme;
mod rust;
mod scene;
