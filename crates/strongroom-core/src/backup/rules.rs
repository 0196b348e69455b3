//! What the operator sets about backup and restore (`[backup]`).

/// The rules of backup and restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupRules {
    /// A full restore needs a backup of the target that ended well at most so many minutes ago; `None`: it needs none.
    pub fresh_target_backup_minutes: Option<u32>,
    /// A job reports its end not earlier than so many seconds after its start: official clients break on faster ones.
    pub earliest_end_seconds: u32,
    /// A part of a backup is closed when it has so many bytes; at most [`BackupRules::PART_BYTES_MAX`].
    pub part_bytes: usize,
}

impl BackupRules {
    /// Largest size of a part, and the one in use outside of tests.
    pub const PART_BYTES_MAX: usize = 4 * 1024 * 1024;
}

impl Default for BackupRules {
    fn default() -> Self {
        Self { fresh_target_backup_minutes: Some(30), earliest_end_seconds: 5, part_bytes: Self::PART_BYTES_MAX }
    }
}
