//! The `api-version` of the data plane.

use std::fmt;
use std::str::FromStr;

use strongroom_types::Algorithm;

/// An api-version that clients of the data plane send, oldest first. A preview counts as the version it led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiVersion {
    /// 7.0.
    V7_0,
    /// 7.1.
    V7_1,
    /// 7.2 and its preview.
    V7_2,
    /// 7.3.
    V7_3,
    /// 7.4.
    V7_4,
    /// 7.5 and its preview.
    V7_5,
    /// 7.6 and its preview.
    V7_6,
    /// 2025-07-01 and its preview.
    V2025_07_01,
    /// 2026-04-01 and its preview.
    V2026_04_01,
}

/// An api-version this server does not speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownApiVersion;

impl ApiVersion {
    /// Every spelling that is accepted, with the version it means.
    pub const SPELLINGS: &'static [(&'static str, Self)] = &[
        ("7.0", Self::V7_0),
        ("7.1", Self::V7_1),
        ("7.2-preview", Self::V7_2),
        ("7.2", Self::V7_2),
        ("7.3", Self::V7_3),
        ("7.4", Self::V7_4),
        ("7.5-preview.1", Self::V7_5),
        ("7.5", Self::V7_5),
        ("7.6-preview.2", Self::V7_6),
        ("7.6", Self::V7_6),
        ("2025-06-01-preview", Self::V2025_07_01),
        ("2025-07-01", Self::V2025_07_01),
        ("2026-01-01-preview", Self::V2026_04_01),
        ("2026-04-01", Self::V2026_04_01),
    ];

    /// The first version that has an algorithm (data-plane.md §1).
    pub const fn first_with(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256
            | Algorithm::Hs384
            | Algorithm::Hs512
            | Algorithm::CkmAesKeyWrap
            | Algorithm::CkmAesKeyWrapPad => Self::V7_6,
            _ => Self::V7_0,
        }
    }
}

impl FromStr for ApiVersion {
    type Err = UnknownApiVersion;
    fn from_str(text: &str) -> Result<Self, UnknownApiVersion> {
        let found = Self::SPELLINGS.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(text));
        found.map(|(_, version)| *version).ok_or(UnknownApiVersion)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V7_0 => "7.0",
            Self::V7_1 => "7.1",
            Self::V7_2 => "7.2",
            Self::V7_3 => "7.3",
            Self::V7_4 => "7.4",
            Self::V7_5 => "7.5",
            Self::V7_6 => "7.6",
            Self::V2025_07_01 => "2025-07-01",
            Self::V2026_04_01 => "2026-04-01",
        })
    }
}
