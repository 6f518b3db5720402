//! The whole state that the parts of the core share, and of it the traffic: outputs and open questions. Holds no rule of
//! the protocol.

mod statements;

use std::collections::VecDeque;
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::identity::EventKey;
use crate::policy::TrustList;
use crate::protocol::context::{CoreConfig, CoreContext, CoreDisk};
use crate::protocol::intake::Intake;
use crate::protocol::io::{Event, Output, Ticket};
use crate::protocol::rules::without;
use crate::protocol::steady::SteadyClock;
use crate::record::{JournalEnds, Ledger, Note};
use crate::time::Now;

pub(crate) use statements::{STATEMENT_RATE, StatementSpread};

/// Outputs to be handed out, and everything that came and waits for an answer.
#[derive(Debug)]
pub(crate) struct Traffic {
    outputs: VecDeque<Output>,
    /// How many questions were numbered.
    tickets: u64,
    pub intake: Intake,
    pub statements: StatementSpread,
    /// For jitter.
    pub rng: StdRng,
}

impl Traffic {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            outputs: VecDeque::new(),
            tickets: 0,
            intake: Intake::default(),
            statements: StatementSpread::default(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(crate) fn emit(&mut self, output: impl Into<Output>) {
        self.outputs.push_back(output.into());
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

/// All three, for functions that use all of them.
#[derive(Debug)]
pub(crate) struct CoreState {
    pub context: CoreContext,
    pub disk: CoreDisk,
    pub traffic: Traffic,
}

impl CoreState {
    pub(crate) fn new(
        config: CoreConfig,
        trust: Arc<TrustList>,
        ledger: Ledger,
        ends: JournalEnds,
        now: Now,
    ) -> Self {
        let trust = Arc::new((*trust).clone().with_statements(&ledger.statements));
        let clock = SteadyClock::new(ledger.steady, now);
        let traffic = Traffic::new(config.seed);
        let disk = CoreDisk::new(ledger, ends);
        Self { context: CoreContext { config, trust, now, clock }, disk, traffic }
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.disk.note(note, self.context.tick());
    }

    pub(crate) fn forget_release(&mut self, key: EventKey) {
        self.disk.forget_release(key, self.context.tick());
    }

    /// Hands a batch to the store if it is time for one.
    pub(crate) fn flush(&mut self) {
        let Self { context, disk, traffic } = self;
        let append = disk.appender.flush(&disk.ledger, context.tick(), || traffic.ticket());
        let Some(append) = append else { return };
        without!(context, CarrierFirst => return traffic.emit(notes_first(append)));
        traffic.emit(append);
    }
}

/// The batch with its notes before its carriers (only without rule `CarrierFirst`).
#[cfg(feature = "sim")]
fn notes_first(mut append: crate::protocol::io::StoreOutput) -> crate::protocol::io::StoreOutput {
    use crate::protocol::io::StoreOutput;
    use crate::record::NewRecord;
    if let StoreOutput::Append { records, .. } = &mut append {
        records.sort_by_key(|record| matches!(record, NewRecord::Carrier(_)));
    }
    append
}
