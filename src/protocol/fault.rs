//! Why this node closes a feed: the code that its peer is told, and words for the people there. The caller that closes
//! the feed chooses the code.

use std::fmt;

use crate::wire::FaultCode;

/// A reason to close a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FeedFault {
    pub code: FaultCode,
    /// Words for people, cut to 256 bytes on the wire; empty if the code says all there is to say.
    pub detail: String,
}

impl FeedFault {
    /// The peer sent a frame out of turn; `detail` names it and what was expected.
    pub(crate) fn out_of_turn(detail: impl Into<String>) -> Self {
        Self { code: FaultCode::Protocol, detail: detail.into() }
    }
}

impl From<FaultCode> for FeedFault {
    fn from(code: FaultCode) -> Self {
        Self { code, detail: String::new() }
    }
}

impl fmt::Display for FeedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}
