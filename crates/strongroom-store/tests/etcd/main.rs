//! What only the etcd engine can be asked: its members fail, its history is taken away, others want the same store.
//!
//! The contract itself is tested for every engine by `tests/conformance`. The members are real, of Debian's `etcd-server`.

#[cfg(test)]
mod access;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod history;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod server;
#[cfg(test)]
mod space;
