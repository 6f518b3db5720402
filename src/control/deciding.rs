//! Which requests decide something for the node: those are for its own account and root alone.

use super::ControlRequest;

impl ControlRequest {
    /// Returns whether it changes the node's behaviour, or makes it read its files again. The others only read.
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
            | Self::KeysChanged
            | Self::PeersChanged
            | Self::AsideRetry { .. } => true,
            Self::Status
            | Self::PeerExplain { .. }
            | Self::EventShow { .. }
            | Self::EventList(_)
            | Self::EventExport { .. }
            | Self::EventTrace { .. }
            | Self::EventWaiting
            | Self::FeedShow
            | Self::Consumers
            | Self::PeerCheck { .. }
            | Self::PeerTrial { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To read keys and peers again costs much, and members of `socket_group` could ask for it in a loop.
    #[test]
    fn reading_files_again_is_for_the_operator() {
        assert!(ControlRequest::KeysChanged.decides() && ControlRequest::PeersChanged.decides());
        assert!(!ControlRequest::Status.decides());
    }
}
