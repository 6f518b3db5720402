//! Why no feed runs with a peer: each reason with its own words, its side and its time, until it is over.
//! Decides nothing; status says which of them is worth a warning.

use crate::identity::PublisherName;
use crate::limits::CLONE_SHOWN_MS;
use crate::protocol::io::Role;
use crate::status::{FeedSide, PeerFault, PeerFaultKind};
use crate::time::{Now, Tick, Timestamp};
use crate::wire::FaultCode;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObstacleReason {
    /// A node with another key answers at this address.
    OtherKey { address: String, key: String },
    /// The peer closed our connection once it knew our key.
    TurnedAway { cause: String },
    /// A feed was closed with a FAULT.
    Fault { code: FaultCode, detail: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub reason: ObstacleReason,
    pub side: FeedSide,
    /// When it was first met; meeting it again does not start it anew.
    pub since: Timestamp,
}

/// Obstacles to one peer's connection, to the feed to it, and to the feed from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Obstacles {
    contact: Option<Obstacle>,
    sending: Option<Obstacle>,
    receiving: Option<Obstacle>,
    /// A second process with one of both keys was refused. It does not stop the feeds of the first one.
    cloned: Option<(Obstacle, Tick)>,
}

impl Obstacles {
    /// Notes what a dial met: it holds for the connection. Earlier obstacles of feeds are not known any more.
    pub(crate) fn met_at_contact(&mut self, reason: ObstacleReason, now: Now) {
        (self.sending, self.receiving) = (None, None);
        meet(&mut self.contact, Obstacle { reason, side: FeedSide::There, since: now.wall });
    }

    /// A feed was closed for it. Reasons that are part of normal work leave no trace.
    pub(crate) fn met_at_feed(&mut self, role: Role, reason: ObstacleReason, side: FeedSide, now: Now) {
        let obstacle = Obstacle { reason, side, since: now.wall };
        if let ObstacleReason::Fault { code, .. } = &obstacle.reason {
            match code {
                FaultCode::Cloned => return self.met_clone(obstacle, now),
                FaultCode::Replaced | FaultCode::Stopping | FaultCode::Silent => return,
                // Our own full disk is no fault of the peer's.
                FaultCode::DiskFull if side == FeedSide::Here => return,
                _ => {}
            }
        }
        let slot = match role {
            Role::Sender => &mut self.sending,
            Role::Receiver => &mut self.receiving,
        };
        meet(slot, obstacle);
    }

    fn met_clone(&mut self, obstacle: Obstacle, now: Now) {
        let mut slot = self.cloned.take().map(|(known, _)| known);
        meet(&mut slot, obstacle);
        self.cloned = slot.map(|known| (known, now.tick.plus_ms(CLONE_SHOWN_MS)));
    }

    /// Clears the obstacle of a feed that runs again.
    pub(crate) fn feed_runs(&mut self, role: Role) {
        match role {
            Role::Sender => self.sending = None,
            Role::Receiver => self.receiving = None,
        }
        // If the peer was told to be the second process, and is let in now, that is over.
        self.cloned.take_if(|(known, _)| known.side == FeedSide::There);
    }

    /// All processes of the peer that were let in are gone: the next one is no second one. True if one was refused
    /// for them.
    pub(crate) fn no_process_is_left(&mut self) -> bool {
        self.cloned.take_if(|(known, _)| known.side == FeedSide::Here).is_some()
    }

    pub(crate) fn connected(&mut self) {
        self.contact = None;
    }

    /// Forgets the obstacles of its feeds, unless the peer pauses us: that outlives the connection that it closes.
    pub(crate) fn disconnected(&mut self) {
        let pauses = |known: &mut Obstacle| !matches!(&known.reason, ObstacleReason::Fault { code, .. } if *code == FaultCode::Paused);
        self.sending.take_if(pauses);
        self.receiving.take_if(pauses);
    }

    /// Nothing is known any more but what the next dial meets.
    pub(crate) fn dialled_in_vain(&mut self) {
        (self.contact, self.sending, self.receiving) = (None, None, None);
    }

    /// Returns the worst of them at `now`.
    pub(crate) fn worst(&self, now: Tick) -> Option<&Obstacle> {
        let cloned = self.cloned.as_ref().filter(|(_, until)| now < *until).map(|(known, _)| known);
        let others = [&self.contact, &self.receiving, &self.sending].into_iter().flatten();
        cloned.into_iter().chain(others).next()
    }
}

impl Obstacle {
    /// Returns the fault that status shows for it. `called` is the name that the peer gives itself, if another one.
    pub(crate) fn as_fault(&self, called: Option<&PublisherName>) -> PeerFault {
        let (kind, what) = match &self.reason {
            ObstacleReason::OtherKey { address, key } => {
                (PeerFaultKind::PeerKeyChanged { key: key.clone(), address: address.clone() }, String::new())
            }
            ObstacleReason::TurnedAway { cause } => (PeerFaultKind::RejectedByPeer, cause.clone()),
            ObstacleReason::Fault { code, detail } => {
                let named = format!("{} {detail}", code.as_str());
                // The code is enough if the kind has it in its name.
                match code {
                    FaultCode::Version | FaultCode::Federation | FaultCode::NotBuilt => {
                        (PeerFaultKind::VersionSkew, named)
                    }
                    FaultCode::Paused => (PeerFaultKind::RejectedByPeer, named),
                    FaultCode::Cloned => (PeerFaultKind::Cloned, detail.clone()),
                    FaultCode::DiskFull => (PeerFaultKind::DiskFull, detail.clone()),
                    FaultCode::Name => {
                        let called = called.filter(|_| self.side == FeedSide::Here).cloned();
                        (PeerFaultKind::NameMismatch { called }, detail.clone())
                    }
                    _ => (PeerFaultKind::FeedClosed, named),
                }
            }
        };
        PeerFault { kind, side: self.side, since: self.since, what: what.trim_end().to_owned() }
    }
}

/// The same reason keeps its time, and takes the newer words.
fn meet(slot: &mut Option<Obstacle>, new: Obstacle) {
    let same = |known: &Obstacle| known.side == new.side && is_same(&known.reason, &new.reason);
    let since = slot.as_ref().filter(|known| same(known)).map_or(new.since, |known| known.since);
    *slot = Some(Obstacle { since, ..new });
}

fn is_same(known: &ObstacleReason, new: &ObstacleReason) -> bool {
    match (known, new) {
        (ObstacleReason::OtherKey { key: known, .. }, ObstacleReason::OtherKey { key: new, .. }) => {
            known == new
        }
        (ObstacleReason::TurnedAway { .. }, ObstacleReason::TurnedAway { .. }) => true,
        (ObstacleReason::Fault { code: known, .. }, ObstacleReason::Fault { code: new, .. }) => known == new,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { wall: Timestamp(1_000_000 + ms), tick: Tick(ms) }
    }

    fn fault(code: FaultCode) -> ObstacleReason {
        ObstacleReason::Fault { code, detail: String::new() }
    }

    #[test]
    fn a_reason_keeps_its_time_and_ends_with_its_feed() {
        let mut obstacles = Obstacles::default();
        obstacles.met_at_feed(Role::Sender, fault(FaultCode::DiskFull), FeedSide::There, at(1));
        obstacles.met_at_feed(Role::Sender, fault(FaultCode::DiskFull), FeedSide::There, at(50));
        obstacles.feed_runs(Role::Receiver);
        assert_eq!(obstacles.worst(Tick(50)).unwrap().since, at(1).wall);
        obstacles.feed_runs(Role::Sender);
        assert!(obstacles.worst(Tick(50)).is_none());
    }

    /// It is dialled again and again, and met again each time: it stands since the first time.
    #[test]
    fn what_each_dial_meets_again_keeps_its_time() {
        let turned_away = |cause: &str| ObstacleReason::TurnedAway { cause: cause.to_owned() };
        let mut obstacles = Obstacles::default();
        for ms in [1, 50, 99] {
            obstacles.met_at_contact(turned_away("closed"), at(ms));
        }
        assert_eq!(obstacles.worst(Tick(99)).unwrap().since, at(1).wall);
        let other = ObstacleReason::OtherKey { address: "a".into(), key: "k".into() };
        obstacles.met_at_contact(other, at(120));
        assert_eq!(obstacles.worst(Tick(120)).unwrap().since, at(120).wall);
    }

    #[test]
    fn a_second_process_is_told_until_nothing_is_heard_of_it() {
        let mut obstacles = Obstacles::default();
        obstacles.met_at_feed(Role::Sender, fault(FaultCode::Cloned), FeedSide::Here, at(0));
        // The first process goes on, and its feed runs: that says nothing of the second.
        obstacles.feed_runs(Role::Sender);
        assert!(obstacles.worst(Tick(CLONE_SHOWN_MS - 1)).is_some());
        assert!(obstacles.worst(Tick(CLONE_SHOWN_MS)).is_none());
        assert!(obstacles.no_process_is_left() && obstacles.worst(Tick(1)).is_none());
        obstacles.met_at_feed(Role::Sender, fault(FaultCode::Cloned), FeedSide::There, at(0));
        assert!(!obstacles.no_process_is_left(), "we are the one that is refused");
        obstacles.feed_runs(Role::Sender);
        assert!(obstacles.worst(Tick(1)).is_none(), "we are let in");
    }

    #[test]
    fn normal_work_leaves_no_trace_and_a_pause_outlives_its_connection() {
        let mut obstacles = Obstacles::default();
        for code in [FaultCode::Replaced, FaultCode::Stopping, FaultCode::Silent] {
            obstacles.met_at_feed(Role::Receiver, fault(code), FeedSide::There, at(1));
        }
        obstacles.met_at_feed(Role::Receiver, fault(FaultCode::DiskFull), FeedSide::Here, at(1));
        assert!(obstacles.worst(Tick(1)).is_none());
        obstacles.met_at_feed(Role::Receiver, fault(FaultCode::Paused), FeedSide::There, at(1));
        obstacles.met_at_feed(Role::Sender, fault(FaultCode::Protocol), FeedSide::There, at(1));
        obstacles.disconnected();
        assert!(obstacles.worst(Tick(1)).is_some());
        obstacles.dialled_in_vain();
        assert!(obstacles.worst(Tick(1)).is_none());
    }
}
