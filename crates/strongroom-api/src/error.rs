//! The error body that all planes share (data-plane.md §6, management-plane.md §7).

use serde::Serialize;

/// `{"error": {…}}`.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorObject,
}

/// What went wrong, for programs (`code`) and people (`message`).
#[derive(Debug, Clone, Serialize)]
pub struct ErrorObject {
    /// Stable word.
    pub code: String,
    /// Sentence.
    pub message: String,
    /// A more exact word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub innererror: Option<InnerError>,
}

/// A more exact word.
#[derive(Debug, Clone, Serialize)]
pub struct InnerError {
    /// Stable word.
    pub code: String,
}

impl ErrorBody {
    /// An error without an inner one.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error: ErrorObject { code: code.into(), message: message.into(), innererror: None } }
    }

    /// The same with an inner code.
    #[must_use]
    pub fn with_inner(mut self, code: &str) -> Self {
        self.error.innererror = Some(InnerError { code: code.to_owned() });
        self
    }
}
