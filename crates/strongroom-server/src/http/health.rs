//! `GET https://management.<domain>/health`: whether this node serves, and what protects its keys.

use std::sync::atomic::{AtomicU8, Ordering};

use http::{Method, StatusCode};
use serde::Serialize;
use strongroom_api::error::ErrorBody;

use crate::http::exchange::{Outbound, json, with_header};

/// What this node says about itself, to anybody who asks.
#[derive(Debug)]
pub struct Health {
    phase: AtomicU8,
    facts: Facts,
}

/// What does not change while the node runs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The deployment's id.
    pub deployment: String,
    /// The release.
    pub version: &'static str,
    /// What opens keys after a start: `file`, or `quorum` (protocols.md §1).
    pub root_provider: &'static str,
    /// Whether memory is kept out of swap.
    pub locked_memory: bool,
    /// Whether the kernel was told never to write this process's memory to a core file.
    pub core_dumps_disabled: bool,
}

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not everything is there yet.
    Starting,
    /// It serves.
    Ready,
    /// It finishes what it has begun.
    Stopping,
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    #[serde(flatten)]
    facts: &'a Facts,
}

impl Health {
    /// A node that is starting.
    pub fn new(facts: Facts) -> Self {
        Self { phase: AtomicU8::new(Phase::Starting as u8), facts }
    }

    /// Notes how far the node is.
    pub fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// 200 once the node serves, 503 before and after.
    pub fn answer(&self, method: &Method) -> Outbound {
        if method != Method::GET && method != Method::HEAD {
            let body = ErrorBody::new("MethodNotAllowed", "Only GET and HEAD are allowed here.");
            return with_header(json(StatusCode::METHOD_NOT_ALLOWED, &body), "allow", "GET, HEAD");
        }
        let (code, status) = match self.phase() {
            Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
            Phase::Ready => (StatusCode::OK, "ready"),
            Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        };
        json(code, &Body { status, facts: &self.facts })
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            phase if phase == Phase::Starting as u8 => Phase::Starting,
            phase if phase == Phase::Ready as u8 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }
}
