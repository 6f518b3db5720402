//! Faults that may befall a federation. Each is one thing that happens at one moment; nothing here acts.

use crate::identity::PublisherName;
use crate::policy::Tlp;

/// The part of a seen set that is lost while its node is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenPart {
    All,
    /// One day. The set's record of itself stays.
    Day,
    /// One day is put back to the flush before the last. The set's record of itself stays.
    OlderDay,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SimFault {
    /// The pipeline of `node` submits its event `nth`, labelled `tlp`; `body_bytes` long at least.
    Submit { node: usize, nth: u64, tlp: Tlp, body_bytes: usize },
    /// The same, for one recipient, by the name that its publisher uses for it.
    SubmitTo { node: usize, nth: u64, to: PublisherName },
    /// The same event again: the same id, the same body, signed anew.
    SubmitAgain { node: usize, nth: u64 },
    /// Another body under the same id: an answer `conflict`, or equivocation if the first was lost.
    SubmitOther { node: usize, nth: u64 },
    /// The power of `node` goes in the middle of a write; it is started again after `down_ms`.
    Crash { node: usize, down_ms: u64 },
    /// The process of `node` ends, and the machine goes on: written bytes stay in its cache.
    Kill { node: usize, down_ms: u64 },
    /// After `syncs` more a sync of `node` fails, and the cache takes for clean what was not written. The process ends,
    /// and is started again after `down_ms`.
    SyncFails { node: usize, syncs: u64, down_ms: u64 },
    /// A bit of an entry in an old segment of `node` flips.
    Rot { node: usize },
    /// A bit of an entry in the newest segment of `node` flips. The process ends and is started again.
    RotNewest { node: usize },
    /// `node` is stopped, loses this part of its seen set, and is started again.
    SeenLost { node: usize, part: SeenPart },
    /// The next look-up in the seen set of `node` finds it broken.
    SeenBroken { node: usize },
    /// The connection between two nodes is lost with all that is in it.
    Cut { a: usize, b: usize },
    /// Nodes below `below` and the others cannot reach each other for `for_ms`.
    Partition { below: usize, for_ms: u64 },
    /// The directory of `node` is copied while it runs: the journal now, the seen set `later_ms` later.
    Backup { node: usize, later_ms: u64 },
    /// The node is stopped, its directory put back to the copy, and started again.
    Restore { node: usize },
    /// The node is stopped, its journal removed, and started again.
    Empty { node: usize },
    /// No carrier can be stored for `for_ms`.
    DiskFull { node: usize, for_ms: u64 },
    /// The wall clock of `node` jumps.
    ClockJump { node: usize, by_ms: i64 },
    /// `node` comes to trust `publisher`, which it did not.
    Trust { node: usize, publisher: usize },
    /// Retention takes all segments of `node` but the last.
    Retire { node: usize },
    /// The consumer of `node` breaks its connection and comes again.
    Reconnect { node: usize },
    /// It comes again, and acknowledges what an earlier connection was handed.
    StaleAck { node: usize },
    /// The consumer of `node` acknowledges nothing from now on (`false`) or does again.
    Acks { node: usize, on: bool },
}

impl SimFault {
    /// How long it goes on.
    pub fn lasts_ms(&self) -> u64 {
        match self {
            Self::Crash { down_ms, .. } | Self::Kill { down_ms, .. } | Self::SyncFails { down_ms, .. } => {
                *down_ms
            }
            Self::Partition { for_ms, .. } | Self::DiskFull { for_ms, .. } => *for_ms,
            Self::Backup { later_ms, .. } => *later_ms,
            _ => 0,
        }
    }

    /// Its name, for counts.
    pub fn kind(&self) -> String {
        let text = format!("{self:?}");
        text.split(' ').next().unwrap_or_default().to_owned()
    }
}
