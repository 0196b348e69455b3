//! Every sentence of the store's contract as a test, run for every engine.
//!
//! A new engine adds a constructor to `Fixture` and a module to `conformance!`; it is done when this passes.

#[cfg(test)]
mod closing;
#[cfg(test)]
mod committing;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod history;
#[cfg(test)]
mod reading;
#[cfg(test)]
#[cfg(feature = "etcd")]
#[path = "../etcd/server.rs"]
#[expect(dead_code, reason = "here no member is ended before its test")]
mod server;
#[cfg(test)]
mod watching;

/// Runs each named test on each engine. One that is not named is unused code, and so refused by the compiler.
#[cfg(test)]
macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::fixture::Fixture::memory()).await;
            })*
        }

        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::fixture::Fixture::embedded()).await;
            })*
        }

        #[cfg(feature = "etcd")]
        mod etcd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::fixture::Fixture::etcd().await).await;
            })*
        }
    };
}
#[cfg(test)]
use conformance;
