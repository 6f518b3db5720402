//! The rules of the feed protocol that prevent losses, repeats or leaks, each found by model checking. PROTOCOL.md §5.6
//! tells what each one prevents. In the program all of them hold. Tests (feature `sim`) switch one off, to show that
//! the simulator would notice its lack: `without!` says there what happens then, and is nothing in the program.

#[cfg(feature = "sim")]
macro_rules! without {
    ($context:expr, $rule:ident => $broken:expr) => {
        if !$context.config.rules.on($crate::protocol::ProtocolRule::$rule) {
            $broken
        }
    };
}

#[cfg(not(feature = "sim"))]
macro_rules! without {
    ($context:expr, $($broken:tt)*) => {
        let _ = &$context;
    };
}

pub(in crate::protocol) use without;

/// A rule that can be switched off in a simulation.
#[cfg(feature = "sim")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ProtocolRule {
    /// The sender's first frame says where it resumes; the receiver takes its cursor back to it.
    ResumeTold,
    /// … and its owed and rejected entries above it, in the same record.
    OwedCut,
    /// WANT names seq and key; the sender checks both, and the share policy, again.
    WantKey,
    /// A WANT that can't be answered is answered with GONE.
    Gone,
    /// Back to its source an envelope is offered, unless it came on the connection that stands.
    OfferSource,
    /// An envelope may always be offered to its own publisher, even if its label forbids it to others.
    HomeLabel,
    /// A node trusts its own key at intake, and `relay` does not apply to its own events.
    OwnTrusted,
    /// An entry offered and not yet taken holds the durable cursor back, or is owed.
    HaveOwed,
    /// Reading a feed never waits for room to write on it.
    ReadFree,
    /// The window is never more than the free owed slots; answers to WANT are outside it.
    OwedWindow,
    /// Whether a rejection is cured is asked at every SUBSCRIBE, not only when a file changes.
    CureLevel,
    /// Going back to a lower seq means a new SUBSCRIBE; frames of the old one are dropped.
    CureResets,
    /// The seen set on disk is never ahead of the synced journal.
    SeenSynced,
    /// The seen set names the place that it covers; if the journal disagrees, the set is rebuilt.
    SeenPosition,
    /// A cursor or settlement record follows the carrier that it speaks of.
    CarrierFirst,
    /// A duplicate submission is answered only when the first one is durable.
    DuplicateSynced,
    /// An ack counts only for what was handed out on this connection.
    AckClamped,
    /// `own` is decided by the publisher, not by the source.
    OwnByPublisher,
    /// Emptying a journal empties the seen set as well.
    EmptyBoth,
    /// `refused` means held; an id that is only asked for elsewhere is owed.
    HeldNotInFlight,
    /// A verdict on an identity settles only the entry of that identity, even if another entry has its seq by now.
    VerdictKey,
    /// A seen set that lacks ids which the last flush counted is made again.
    SeenCounted,
    /// The floor of a seen set that was made again is on disk before the set is believed.
    FloorFirst,
    /// Each reason and publisher has a share of the owed places; if an entry finds none, it is read again later.
    OwedShare,
    /// An entry that was deferred without an owed place is read again when its time has come.
    ReadAgain,
    /// An entry has one time at which it is asked for; an owed entry is not asked for before.
    OneDue,
    /// Rejections are written down only if they change something.
    NotesOnChange,
    /// A request takes a place in the rate of its publisher first.
    RateAsked,
    /// A start writes the last batch again, and syncs it, before it believes what the cache says of it.
    WrittenAgain,
    /// Entries that cannot be read are counted as missing of the consumers that pass them.
    LossCounted,
    /// The position of a consumer only rises, even if the notes of store and core come in another order.
    PositionsRise,
    /// The name of a file that was made or replaced is on disk before anything is answered that lies in it.
    NamesSynced,
    /// A file beside the segments names the newest of them: a start notices that it was moved away.
    NewestNamed,
    /// Peers are asked again for entries that can no longer be read.
    LostAsked,
}

/// Which rules hold: all of them, but in simulations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    #[cfg(feature = "sim")]
    off: u64,
}

#[cfg(feature = "sim")]
impl Rules {
    #[must_use]
    pub fn without(mut self, rule: ProtocolRule) -> Self {
        self.off |= 1 << rule as u8;
        self
    }

    pub fn on(self, rule: ProtocolRule) -> bool {
        self.off & (1 << rule as u8) == 0
    }
}
