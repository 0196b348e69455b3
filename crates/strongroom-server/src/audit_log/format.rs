//! The bytes of the log: how a line is chained to the one before, and the log's own records. Byte for byte in
//! `docs/audit-log-format.md`.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strongroom_core::audit::{Event, rfc3339};
use strongroom_crypto::digest::sha256_of;
use strongroom_types::Timestamp;
use uuid::Uuid;

use crate::audit_log::checkpoint::PublicJwk;

/// SHA-256 over a line and, through the hash of the line before, over everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineHash([u8; 32]);

impl LineHash {
    /// What stands before the first line of a log.
    pub(super) const NONE: Self = Self([0; 32]);

    /// The hash of a line that follows this one. `body` is the line up to its own hash.
    pub(super) fn then(self, body: &[u8]) -> Self {
        Self(sha256_of(&[&self.0, body]))
    }

    /// Base64url.
    fn text(self) -> [u8; HASH_TEXT_BYTES] {
        let mut text = [0; HASH_TEXT_BYTES];
        // It fits.
        let _ = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
        text
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

impl FromStr for LineHash {
    type Err = base64::DecodeSliceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes)?;
        if length == bytes.len() { Ok(Self(bytes)) } else { Err(base64::DecodeSliceError::OutputSliceTooSmall) }
    }
}

impl Serialize for LineHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LineHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where the chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    /// The number of the next line.
    pub(super) next: u64,
    /// The hash of the last one.
    pub(super) previous: LineHash,
}

/// Whole lines that are to be written together.
pub(super) struct Lines {
    pub(super) bytes: Vec<u8>,
    /// Where the chain ends once they are written.
    pub(super) chain: Chain,
}

impl Lines {
    /// No line yet, behind what is written.
    pub(super) fn after(chain: Chain) -> Self {
        Self { bytes: Vec::new(), chain }
    }

    /// Adds an event.
    pub(super) fn event(&mut self, event: &EventLine) -> io::Result<()> {
        self.push(&event.0)
    }

    /// Adds a record of the log itself.
    pub(super) fn record<T: Serialize + Named>(&mut self, time: Timestamp, properties: T) -> io::Result<()> {
        self.push(&serde_json::to_vec(&OwnRecord {
            time: rfc3339(time),
            category: OWN_CATEGORY.to_owned(),
            operation_name: T::NAME.to_owned(),
            properties,
        })?)
    }

    /// Adds an object, with its number in front of its members and its hash behind them.
    fn push(&mut self, object: &[u8]) -> io::Result<()> {
        let members = object.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
        let members = members.ok_or_else(|| io::Error::other("a line of the log is an object"))?;
        let begin = self.bytes.len();
        write!(self.bytes, "{{\"sequence\":{},", self.chain.next)?;
        self.bytes.extend_from_slice(members);
        let hash = self.chain.previous.then(self.bytes.get(begin..).unwrap_or_default());
        self.bytes.extend_from_slice(HASH_MEMBER);
        self.bytes.extend_from_slice(&hash.text());
        self.bytes.extend_from_slice(b"\"}\n");
        self.chain = Chain { next: self.chain.next.saturating_add(1), previous: hash };
        Ok(())
    }
}

/// An event as it will stand in the log, but for its number and its hash.
pub(super) struct EventLine(Vec<u8>);

impl EventLine {
    pub(super) fn of(event: &Event<'_>) -> serde_json::Result<Self> {
        let mut line = Vec::with_capacity(EVENT_BYTES);
        serde_json::to_writer(&mut line, event)?;
        Ok(Self(line))
    }
}

/// Room for nearly all events, so that it need not grow.
const EVENT_BYTES: usize = 1024;

/// A line without its newline: what its hash covers, and the hash it states. `None` if it states none: a release
/// before the chain wrote it, or nobody of ours.
pub(super) fn split(line: &[u8]) -> Option<(&[u8], LineHash)> {
    let (body, tail) = line.split_at_checked(line.len().checked_sub(TAIL_BYTES)?)?;
    let hash = tail.strip_prefix(HASH_MEMBER)?.strip_suffix(b"\"}")?;
    Some((body, std::str::from_utf8(hash).ok()?.parse().ok()?))
}

/// What is read of any line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outline {
    pub(super) sequence: u64,
    #[serde(default)]
    pub(super) time: String,
    #[serde(default)]
    pub(super) category: String,
    #[serde(default)]
    pub(super) operation_name: String,
    /// Events have one.
    pub(super) event_id: Option<Uuid>,
}

impl Outline {
    /// Whether the line is this kind of record of the log itself.
    pub(super) fn is<T: Named>(&self) -> bool {
        self.category == OWN_CATEGORY && self.operation_name == T::NAME
    }
}

/// A record of the log itself, in the shape of an event.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnRecord<T> {
    time: String,
    category: String,
    operation_name: String,
    properties: T,
}

/// The properties of a record of the log itself.
pub(super) fn properties<T: serde::de::DeserializeOwned>(line: &[u8]) -> serde_json::Result<T> {
    Ok(serde_json::from_slice::<OwnRecord<T>>(line)?.properties)
}

/// A kind of record of the log itself.
pub(super) trait Named {
    /// Its `operationName`.
    const NAME: &'static str;
}

/// The first line of every segment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    /// [`FORMAT`].
    pub(super) format: u16,
    /// Drawn when the log began; the same in every segment.
    pub(super) log: Uuid,
    /// The deployment's id.
    pub(super) deployment: String,
    /// The hash of the last line of the segment before.
    pub(super) previous_hash: LineHash,
    /// The number of the last line that a release before the chain wrote. Only in the first chained segment behind such
    /// lines; its `previousHash` then covers all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unchained_through: Option<u64>,
    /// What checkpoints are verified with.
    pub(super) key: PublicJwk,
}

impl Named for Head {
    const NAME: &'static str = "AuditLogSegment";
}

/// A checkpoint, as it stands in the log.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckpointLine {
    /// Compact JWS.
    pub(super) checkpoint: String,
}

impl Named for CheckpointLine {
    const NAME: &'static str = "AuditLogCheckpoint";
}

/// Something is missing here, and this is why.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// Bytes that were cut off: half a line, or what no longer fitted the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_bytes: Option<u64>,
    /// Where they are kept, if they were more than half a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_file: Option<String>,
    /// Events that were dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_events: Option<u64>,
}

impl Named for Gap {
    const NAME: &'static str = "AuditLogGap";
}

/// Why events may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GapReason {
    /// The server before did not close the log: up to 100 ms of events may be missing.
    Crash,
    /// The log could not be written for so long that events were dropped.
    LogNotWritable,
}

/// Segments were removed because they were old.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Retention {
    /// The number of the last line that was removed.
    pub(super) removed_through: u64,
    /// How many segments.
    pub(super) segments: usize,
}

impl Named for Retention {
    const NAME: &'static str = "AuditLogRetention";
}

/// The number of this format.
pub(super) const FORMAT: u16 = 1;
/// Longest line that is written: [`Event::of`] bounds events, [`crate::audit_log::checkpoint`] checkpoints.
pub(super) const LINE_BYTES_MAX: u64 = 256 * 1024;
/// Longest line that is read. An earlier release did not cut the texts of an event: such a line is one of the log.
pub(super) const LINE_BYTES_READ_MAX: u64 = 16 * LINE_BYTES_MAX;
/// `category` of the log's own records.
const OWN_CATEGORY: &str = "AuditLog";
const HASH_MEMBER: &[u8] = b",\"hash\":\"";
/// 32 bytes in base64url.
const HASH_TEXT_BYTES: usize = 43;
/// [`HASH_MEMBER`], the hash, and the end of the object.
const TAIL_BYTES: usize = HASH_MEMBER.len() + HASH_TEXT_BYTES + 2;

#[cfg(test)]
mod tests {
    use strongroom_crypto::digest::sha256;

    use super::*;

    #[test]
    fn a_line_is_chained_as_documented() {
        let mut lines = Lines::after(Chain { next: 7, previous: LineHash::NONE });
        let gap = Gap { reason: GapReason::Crash, cut_bytes: Some(3), cut_file: None, dropped_events: None };
        lines.record(Timestamp::from_seconds(0), gap).unwrap();
        let body = r#"{"sequence":7,"time":"1970-01-01T00:00:00.000Z","category":"AuditLog","operationName":"AuditLogGap","properties":{"reason":"crash","cutBytes":3}"#;
        let hash = URL_SAFE_NO_PAD.encode(sha256(&[&[0; 32], body.as_bytes()].concat()));
        let line = format!("{body},\"hash\":\"{hash}\"}}\n");
        assert_eq!(String::from_utf8(lines.bytes).unwrap(), line);
        assert_eq!(lines.chain, Chain { next: 8, previous: hash.parse().unwrap() });
        let (split_body, stated) = split(line.trim_end().as_bytes()).unwrap();
        assert_eq!((split_body, stated.to_string()), (body.as_bytes(), hash));
    }

    #[test]
    fn a_line_without_its_hash_at_the_end_states_none() {
        let hash = LineHash::NONE.to_string();
        for line in [
            String::new(),
            "{}".to_owned(),
            format!(r#"{{"a":1,"hash":"{hash}","b":2}}"#),
            format!(r#"{{"a":1,"hash":"{hash}"}} "#),
            format!(r#"{{"a":1,"hash":"{}"}}"#, &hash[1..]),
            format!(r#"{{"a":1,"hash":"{}="}}"#, &hash[1..]),
        ] {
            assert!(split(line.as_bytes()).is_none(), "{line}");
        }
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let text = LineHash::NONE.to_string();
        assert_eq!(text.len(), 43);
        assert!(format!("{}B", &text[..42]).parse::<LineHash>().is_err(), "bits behind the last byte");
    }
}
