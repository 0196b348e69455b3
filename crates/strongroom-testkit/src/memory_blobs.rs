//! A blob store in memory whose calls fail when a test says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use strongroom_core::blobs::{BlobContainer, BlobCredential, BlobError, BlobStores};

/// Containers by their address. A test keeps one handle to set faults and to look at what was written.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Arc<Mutex<State>>);

/// How a call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobFault {
    /// Nothing is done: this error.
    Error(BlobError),
    /// It is done, but the answer is lost: [`BlobError::Unavailable`].
    AnswerLost,
}

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    /// Calls to let through, and what the one after them gets.
    fault: Option<(u64, BlobFault)>,
    /// Whether every later call fails too.
    stays: bool,
    calls: u64,
    signatures: Vec<String>,
}

impl State {
    /// The fault of the call that arrives now.
    fn arrive(&mut self) -> Option<BlobFault> {
        self.calls += 1;
        match &mut self.fault {
            Some((0, fault)) => {
                let fault = fault.clone();
                if !self.stays {
                    self.fault = None;
                }
                Some(fault)
            }
            Some((calls, _)) => {
                *calls -= 1;
                None
            }
            None => None,
        }
    }
}

impl MemoryBlobs {
    /// Lets that many more calls through and fails the one after them.
    pub fn fail_call_after(&self, calls: u64, fault: BlobFault) {
        let mut state = self.state();
        (state.fault, state.stays) = (Some((calls, fault)), false);
    }

    /// Lets that many more calls through and fails every one after them, until [`MemoryBlobs::heal`].
    pub fn fail_calls_after(&self, calls: u64, fault: BlobFault) {
        let mut state = self.state();
        (state.fault, state.stays) = (Some((calls, fault)), true);
    }

    /// Takes back every fault.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// Calls so far, reads and writes.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Everything that lies there, by address of container and path.
    pub fn all(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().blobs.clone()
    }

    /// Puts everything back as it was.
    pub fn set_all(&self, blobs: BTreeMap<String, Vec<u8>>) {
        self.state().blobs = blobs;
    }

    /// The shared access signatures that containers were opened with.
    pub fn signatures(&self) -> Vec<String> {
        self.state().signatures.clone()
    }

    /// A container, opened without a credential.
    pub fn container(&self, address: &str) -> Arc<dyn BlobContainer> {
        Arc::new(MemoryContainer { address: address.to_owned(), state: Arc::clone(&self.0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

#[async_trait]
impl BlobStores for MemoryBlobs {
    async fn open(&self, container: &str, credential: BlobCredential) -> Result<Arc<dyn BlobContainer>, BlobError> {
        if !container.starts_with("memory:") {
            return Err(BlobError::NotAllowed(format!("{container} is not in memory")));
        }
        if let BlobCredential::SharedAccessSignature(signature) = credential {
            self.state().signatures.push(signature.expose().clone());
        }
        Ok(self.container(container))
    }
}

struct MemoryContainer {
    address: String,
    state: Arc<Mutex<State>>,
}

impl MemoryContainer {
    fn key(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }
}

#[async_trait]
impl BlobContainer for MemoryContainer {
    async fn create(&self, path: &str, content: Vec<u8>) -> Result<(), BlobError> {
        let mut state = lock(&self.state);
        let fault = state.arrive();
        if let Some(BlobFault::Error(error)) = fault {
            return Err(error);
        }
        let key = self.key(path);
        if state.blobs.contains_key(&key) {
            return Err(BlobError::AlreadyExists(path.to_owned()));
        }
        state.blobs.insert(key, content);
        if fault.is_some() { Err(lost()) } else { Ok(()) }
    }

    async fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, BlobError> {
        let mut state = lock(&self.state);
        match state.arrive() {
            Some(BlobFault::Error(error)) => return Err(error),
            Some(BlobFault::AnswerLost) => return Err(lost()),
            None => {}
        }
        let blob = state.blobs.get(&self.key(path)).ok_or_else(|| BlobError::NotFound(path.to_owned()))?;
        if blob.len() > limit {
            return Err(BlobError::TooLarge { path: path.to_owned(), limit });
        }
        Ok(blob.clone())
    }
}

fn lost() -> BlobError {
    BlobError::Unavailable("a test made it fail".to_owned())
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
