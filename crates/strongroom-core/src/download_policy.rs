//! Who may have the security domain of an HSM that is active already (docs/decisions/0005).
//!
//! A file for new custodians is the whole root of trust: whoever gets one for custodians of their choice needs nobody
//! else. Before activation there is nothing to protect; afterwards this policy decides, for a download and for a rotation
//! alike, because the file of a rotation holds the earlier roots too.

use serde::Deserialize;

use crate::domain::{CustodianList, DomainRecord, Purpose, QuorumProof};
use crate::request::Request;
use crate::{Error, Result};

/// What it takes to download the security domain of an active HSM, besides the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DownloadPolicy {
    /// It is not possible.
    Disabled,
    /// A quorum of the present custodians proves itself first, by an upload as for a recovery. It gets nothing that it
    /// could not open by itself.
    #[default]
    Quorum,
    /// Nothing: one administrator then is as good as all custodians.
    Administrator,
}

impl DownloadPolicy {
    /// How it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Quorum => "quorum",
            Self::Administrator => "administrator",
        }
    }

    /// Checks that a file may be made for these custodians now.
    ///
    /// # Errors
    /// [`Error::DownloadDisabled`]; [`Error::QuorumNotProved`].
    pub(crate) fn check(self, request: &Request, record: &DomainRecord, wanted: &Wanted<'_>) -> Result<()> {
        match self {
            Self::Disabled => Err(Error::DownloadDisabled),
            Self::Administrator => Ok(()),
            Self::Quorum => match &record.quorum {
                Some(proof) if proof.is_good_for(request, wanted) => Ok(()),
                _ => Err(Error::QuorumNotProved),
            },
        }
    }
}

/// A file that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) purpose: Purpose,
    pub(crate) custodians: &'a CustodianList,
}

impl QuorumProof {
    /// Whether it is fresh, was given to the caller, and was used for nothing else.
    fn is_good_for(&self, request: &Request, wanted: &Wanted<'_>) -> bool {
        let Self { mark: _, by, proved, used_for } = self;
        let fresh = request.received < proved.plus_seconds(QUORUM_PROOF_SECONDS);
        let free = used_for
            .as_ref()
            .is_none_or(|(purpose, custodians)| *purpose == wanted.purpose && custodians == wanted.custodians);
        request.caller.principal == *by && fresh && free
    }

    /// The same, used for this file.
    pub(crate) fn used_for(&self, wanted: &Wanted<'_>) -> Self {
        Self { used_for: Some((wanted.purpose, wanted.custodians.clone())), ..self.clone() }
    }
}

/// How long after its upload a quorum stands for a download, in seconds.
pub const QUORUM_PROOF_SECONDS: i64 = 60 * 60;
