//! What a verification found.

use serde::Serialize;

use crate::audit_log::format::Gap;

/// What a verification found. Its JSON is what `strongroom audit verify --json` prints.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether nothing was found.
    pub good: bool,
    /// The log's id; empty if there is no head.
    pub log: String,
    /// The deployment's id.
    pub deployment: String,
    /// The thumbprint (RFC 7638) of the key that its checkpoints were verified with.
    pub key: String,
    /// Whether that key came from outside the log.
    pub key_is_trusted: bool,
    /// Segments that were read.
    pub segments: u64,
    /// Lines that were read.
    pub lines: u64,
    /// The numbers of the first and the last line.
    pub first_sequence: u64,
    /// See [`Self::first_sequence`].
    pub last_sequence: u64,
    /// Checkpoints in the log.
    pub checkpoints: u64,
    /// Checkpoints kept elsewhere that were found in the log.
    pub outside_checkpoints: u64,
    /// Lines behind the last checkpoint: chained, but not signed yet.
    pub unsigned_lines: u64,
    /// Lines of a release before the chain.
    pub unchained_lines: u64,
    /// Lines that were removed because they were old, as the log itself says.
    pub removed_through: u64,
    /// Gaps that the log itself tells of: how many, and the last ones.
    pub gap_count: u64,
    /// See [`Self::gap_count`].
    pub gaps: Vec<GapSeen>,
    /// What is worth knowing and no fault.
    pub notes: Vec<String>,
    /// What is not as it was written: how many places, and the first ones.
    pub finding_count: u64,
    /// See [`Self::finding_count`].
    pub findings: Vec<Finding>,
}

/// A place that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file's name; empty for what is not in a file.
    pub file: String,
    /// The line in it, counted from 1; 0 for the file as a whole.
    pub line: u64,
    /// The number the line has, or should have.
    pub sequence: u64,
    /// What is wrong.
    pub problem: String,
}

/// A gap that the log itself tells of.
#[derive(Debug, Clone, Serialize)]
pub struct GapSeen {
    /// The number of the line that tells.
    pub sequence: u64,
    /// When it was written.
    pub time: String,
    /// What it says.
    #[serde(flatten)]
    pub gap: Gap,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, line, sequence, problem } = self;
        match (file.is_empty(), line) {
            (true, _) => write!(f, "sequence {sequence}: {problem}"),
            (false, 0) => write!(f, "{file} (sequence {sequence}): {problem}"),
            (false, line) => write!(f, "{file}, line {line} (sequence {sequence}): {problem}"),
        }
    }
}

impl Report {
    pub(super) fn found(&mut self, finding: Finding) {
        self.finding_count += 1;
        if self.findings.len() < SHOWN_MAX {
            self.findings.push(finding);
        }
    }

    pub(super) fn gap(&mut self, gap: GapSeen) {
        self.gap_count += 1;
        if self.gaps.len() == SHOWN_MAX {
            self.gaps.remove(0);
        }
        self.gaps.push(gap);
    }
}

/// Findings and gaps that a report names one by one.
const SHOWN_MAX: usize = 50;
