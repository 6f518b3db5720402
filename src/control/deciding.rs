//! Which requests decide something for the node: those are for its own account and root alone.

use super::Request;

impl Request {
    /// Does it change what the node does? The others only read, or tell of files that the operator changed.
    pub const fn decides(&self) -> bool {
        match self {
            Self::Acknowledge { .. }
            | Self::FeedRewind { .. }
            | Self::FeedRepair { .. }
            | Self::ConsumerRemove { .. }
            | Self::ConsumerRewind { .. }
            | Self::ClockAccept
            | Self::Decide { .. }
            | Self::Statement { .. }
            | Self::Reload
            | Self::AsideRetry { .. } => true,
            Self::Status
            | Self::PeerExplain { .. }
            | Self::EventShow { .. }
            | Self::EventExport { .. }
            | Self::EventTrace { .. }
            | Self::EventWaiting
            | Self::FeedShow
            | Self::Consumers
            | Self::KeysChanged
            | Self::PeersChanged
            | Self::PeerCheck { .. }
            | Self::PeerTrial { .. } => false,
        }
    }
}
