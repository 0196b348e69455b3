//! What a node must know about store keys, told by whoever lays out the store.

/// Which store keys are special. The functions judge the name alone.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Whether the value under a key is read from the engine when it is needed, and only its revision is kept in memory:
    /// key material.
    pub on_demand: fn(&str) -> bool,
    /// Whether no answer ever depends on what lies under a key, so that a change of it need not be waited for: events on
    /// their way to the audit log.
    pub incidental: fn(&str) -> bool,
}
