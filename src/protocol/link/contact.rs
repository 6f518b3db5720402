//! Reaches a peer: dials, backs off, and asks for its feed. The frames of that feed are handled elsewhere.

use super::*;
use crate::protocol::io::TransportOutput;

impl PeerSession {
    pub(crate) fn on_connected(&mut self, address: String, context: &CoreContext, traffic: &mut Traffic) {
        let now = context.tick();
        self.contact.backoff.reset(now);
        self.contact.feed_backoff.reset(now);
        self.contact.opening = false;
        self.contact.state = ContactState::Up { since: context.now.wall, address };
        self.facts.obstacles.connected();
        self.facts.down_cause = None;
        self.facts.silent_since = None;
        self.facts.was_connected = true;
        traffic.tell(Event::PeerUp { peer: self.peer.name.clone() });
    }

    pub(crate) fn on_disconnected(&mut self, cause: String, core: &mut CoreState) {
        self.close_all(None, core);
        if self.is_up() {
            core.traffic.tell(Event::PeerDown { peer: self.peer.name.clone(), cause: cause.clone() });
        }
        // A peer that fell silent is gone since it was heard last.
        let since = self.facts.silent_since.take().unwrap_or(core.context.now.wall);
        self.contact.state = ContactState::Down { since };
        self.contact.opening = false;
        self.contact.backoff.failed(core.context.now.tick, &mut core.traffic.rng);
        self.facts.obstacles.disconnected();
        self.facts.down_cause = Some(cause.clone());
        self.facts.last_error.get_or_insert(cause);
    }

    pub(crate) fn on_dial_failed(
        &mut self,
        failure: DialFailure,
        context: &CoreContext,
        traffic: &mut Traffic,
    ) {
        if self.is_up() {
            return;
        }
        self.contact.state = ContactState::Down { since: self.down_since(context) };
        match failure {
            DialFailure::OtherKey { address, key } => {
                self.contact.backoff.refused(context.tick());
                self.facts.last_error = Some(format!("{address} has another key: {key}"));
                self.facts.obstacles.met_at_contact(ObstacleReason::OtherKey { address, key }, context.now);
            }
            DialFailure::TurnedAway(cause) => {
                self.contact.backoff.failed(context.now.tick, &mut traffic.rng);
                self.facts.last_error = Some(format!(
                    "connected and proved our key, but was turned away: is our key in their peers/? ({cause})"
                ));
                self.facts.obstacles.met_at_contact(ObstacleReason::TurnedAway { cause }, context.now);
            }
            DialFailure::Unreachable(cause) => {
                self.facts.obstacles.dialled_in_vain();
                self.contact.backoff.failed(context.now.tick, &mut traffic.rng);
                self.facts.down_cause = Some(cause.clone());
                self.facts.last_error = Some(cause);
            }
        }
    }

    /// Handles changed addresses: obstacles at the old ones say nothing of the new ones.
    pub(crate) fn on_addresses_changed(&mut self, context: &CoreContext) {
        if self.is_up() {
            return;
        }
        self.contact.backoff.reset(context.tick());
        self.facts.obstacles.dialled_in_vain();
        (self.facts.down_cause, self.facts.last_error) = (None, None);
    }

    pub(super) fn down_since(&self, context: &CoreContext) -> Timestamp {
        match self.contact.state {
            ContactState::Down { since } | ContactState::Dialing { since } => since,
            ContactState::Up { .. } => context.now.wall,
        }
    }

    /// Dials, or opens the feed, if it is time.
    pub(super) fn reach_out(&mut self, stalled: bool, context: &CoreContext, traffic: &mut Traffic) {
        if self.reaches_out_at(stalled).is_none_or(|at| context.tick() < at) {
            return;
        }
        if let ContactState::Down { since } = self.contact.state {
            self.contact.state = ContactState::Dialing { since };
            traffic.emit(TransportOutput::Dial { peer: self.peer.name.clone() });
        } else {
            self.contact.opening = true;
            traffic.emit(TransportOutput::OpenFeed { peer: self.peer.name.clone() });
        }
    }

    /// Returns when to dial, or to open the feed; `None` if there is nothing to open or something is under way.
    pub(super) fn reaches_out_at(&self, stalled: bool) -> Option<Tick> {
        let arriving = || self.arriving.iter().any(|stream| stream.role == Role::Receiver);
        match &self.contact.state {
            _ if self.peer.is_cut() => None,
            ContactState::Down { .. } => self.peer.dialled.then_some(self.contact.backoff.until),
            ContactState::Dialing { .. } => None,
            ContactState::Up { .. } => {
                let open = self.receiver.is_some() || self.contact.opening || arriving();
                (!open && !stalled).then_some(self.contact.feed_backoff.until)
            }
        }
    }

    pub(crate) fn on_feed_not_opened(&mut self, cause: String, context: &CoreContext, traffic: &mut Traffic) {
        self.contact.opening = false;
        self.contact.feed_backoff.failed(context.now.tick, &mut traffic.rng);
        self.facts.last_error = Some(format!("no feed: {cause}"));
    }
}
