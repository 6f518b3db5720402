//! From what the core knows of a peer's feeds to what status shows as their fault: the worst of several, in its own
//! words. And what is wrong with a file of the operator's, as an answer.

use crate::config::ConfigProblem;
use crate::control::{ControlRefusal, REFUSAL_SEPARATOR};
use crate::protocol::obstacle::{self, Obstacle, ObstacleReason};
use crate::protocol::view::PeerView;
use crate::status::{FeedDirection, PeerFault, PeerFaultKind};
use crate::wire::FaultCode;

/// Returns the fault that stops the feeds with this peer.
pub fn fault(peer: &PeerView) -> Option<PeerFault> {
    peer.facts.obstacles.first().map(|obstacle| shown(obstacle, peer))
}

fn shown(obstacle: &Obstacle, peer: &PeerView) -> PeerFault {
    let side = match obstacle.side {
        obstacle::FeedSide::Here => FeedDirection::Here,
        obstacle::FeedSide::There => FeedDirection::There,
    };
    let (kind, what) = match &obstacle.reason {
        ObstacleReason::OtherKey { address, key } => {
            (PeerFaultKind::PeerKeyChanged { key: key.clone(), address: address.clone() }, String::new())
        }
        ObstacleReason::TurnedAway { cause } => (PeerFaultKind::RejectedByPeer, cause.clone()),
        ObstacleReason::Fault { code, detail } => {
            let kind = match code {
                FaultCode::Version | FaultCode::Federation | FaultCode::NotBuilt => {
                    PeerFaultKind::VersionSkew
                }
                FaultCode::Name => PeerFaultKind::NameMismatch {
                    called: peer.facts.called.clone().filter(|_| side == FeedDirection::Here),
                },
                FaultCode::Paused => PeerFaultKind::RejectedByPeer,
                FaultCode::Cloned => PeerFaultKind::Cloned,
                FaultCode::DiskFull => PeerFaultKind::DiskFull,
                _ => PeerFaultKind::FeedClosed,
            };
            // The code is enough if the kind has it in its name.
            let what = match kind {
                PeerFaultKind::VersionSkew | PeerFaultKind::FeedClosed | PeerFaultKind::RejectedByPeer => {
                    format!("{} {detail}", code.as_str())
                }
                _ => detail.clone(),
            };
            (kind, what.trim_end().to_owned())
        }
    };
    PeerFault { kind, side, since: obstacle.since, what }
}

/// All `problems` of a file. One hint fits: that of the last, below which it is shown.
pub fn refusal(problems: &[ConfigProblem], otherwise: Option<&str>) -> ControlRefusal {
    let text = problems.iter().map(ConfigProblem::to_string).collect::<Vec<_>>().join(REFUSAL_SEPARATOR);
    let hint = problems.last().and_then(ConfigProblem::hint).or_else(|| otherwise.map(str::to_owned));
    let refusal = ControlRefusal::no(text);
    match hint {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}
