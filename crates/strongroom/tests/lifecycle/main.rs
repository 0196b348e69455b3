//! The life of the built server: it starts, says so, stops, starts again on what it left, and refuses with one line of
//! cause and one of remedy when it cannot.

#[cfg(test)]
mod audit;
#[cfg(test)]
#[cfg(feature = "etcd")]
mod cluster;
#[cfg(test)]
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(test)]
#[cfg(feature = "etcd")]
#[path = "../../../strongroom-store/tests/etcd/server.rs"]
mod etcd_server;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod server;
#[cfg(test)]
mod start;
#[cfg(test)]
#[cfg(feature = "etcd")]
mod store_copy;
#[cfg(test)]
mod wire;
