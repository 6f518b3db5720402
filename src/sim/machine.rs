//! One simulated computer: a disk, a seen set, a clock that may be wrong, keys and peer files, and perhaps a
//! process, which is the real core over the store's own engine. Obeys what the core asks of store and workers;
//! what it asks of network and pipeline is the world's matter.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rand::RngExt as _;

use crate::envelope::{Signer, UnverifiedEnvelope, VerifiedEnvelope};
use crate::identity::{CheckSecret, EventKey, LogId, PublisherName};
use crate::policy::TrustList;
use crate::protocol::io::{StoreFailure, StoreInput, StoreOutput, StoreQuestion, Ticket};
use crate::protocol::rules::ProtocolRule;
use crate::protocol::{CoreConfig, Input, Node, Output, intake};
use crate::record::{Entry, JournalEnds, NewRecord, Note};
use crate::sim::liar::Liar;
use crate::sim::plan::SimPlan;
use crate::sim::scheduler::{SimEvent, SimScheduler};
use crate::store::JournalError;
use crate::store::disk::Disk as _;
use crate::store::engine::{EngineConfig, StoreEngine, StoreError, StoreOpening};
use crate::store::journal::FreshJournal;
use crate::store::links::memory::MemoryLinks;
use crate::store::memory_disk::{DiskNeglects, MemoryDisk};
use crate::store::seen::SeenChecks;
use crate::store::seen::memory::MemorySeen;
use crate::time::{Now, Tick, Timestamp};

/// Simulated time begins here: 20 minutes after midnight.
pub(crate) const BEGINNING: Timestamp = Timestamp(1_794_961_200_000);

pub(crate) const KEEP_MS: u64 = 30 * 24 * 3_600_000;

#[derive(Debug)]
pub struct SimMachine {
    pub number: usize,
    pub name: PublisherName,
    pub signer: Signer,
    pub trust: Arc<TrustList>,
    pub disk: MemoryDisk,
    pub seen: MemorySeen,
    /// The wall clock is this far from the truth, in ms.
    pub skew_ms: i64,
    pub lives: u64,
    pub process: Option<NodeProcess>,
    /// It runs this in place of a core.
    pub liar: Option<Liar>,
    pub backup: Option<Backup>,
    pub harm: DiskHarm,
}

/// Harm done to the disk of a machine that has not shown yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskHarm {
    /// A sync will fail; then the process is down for so long, in ms.
    pub sync_fails: Option<u64>,
    /// Bits flipped: a start may find damage.
    pub rotten: bool,
    /// The newest segment was moved aside, as the hint for damage says: the next start has to say so.
    pub newest_aside: bool,
}

/// A copy of the directory.
#[derive(Clone, Debug)]
pub struct Backup {
    pub disk: MemoryDisk,
    pub seen: MemorySeen,
}

#[derive(Debug)]
pub struct NodeProcess {
    pub life: u64,
    pub core: Node,
    pub engine: StoreEngine<MemoryDisk, MemorySeen>,
    appends: VecDeque<(Ticket, Vec<NewRecord>)>,
    /// An append failed, and the core has not said that it heard of that.
    refusing: bool,
    /// Asked of the seen set, and not answered: it waits for room to be made again.
    asked: VecDeque<(Ticket, Vec<EventKey>)>,
    /// When the last answer of the seen set comes: the next is not before it.
    known_at: u64,
    /// The floors that answers named first, and when.
    floors: Vec<(u64, Timestamp)>,
    /// When it is woken next.
    pub wake: Option<u64>,
    /// Notes that it asked to append.
    pub notes: u64,
    /// Rule `PositionsRise` holds.
    positions_rise: bool,
    /// Entries that its readers met and that are broken.
    pub met: BTreeSet<EventKey>,
}

/// The bytes of an envelope, and the keys that are tried.
type Checked = (Bytes, Vec<[u8; 32]>);

/// The results of workers, for all nodes: a signature is checked once for each key.
#[derive(Debug, Default)]
pub struct SimWorkers {
    found: HashMap<Checked, Result<VerifiedEnvelope, intake::Rejection>>,
}

impl SimWorkers {
    fn inspect(
        &mut self,
        envelope: UnverifiedEnvelope,
        candidates: Vec<ed25519_dalek::VerifyingKey>,
    ) -> Result<VerifiedEnvelope, intake::Rejection> {
        let name =
            (envelope.envelope().bytes().clone(), candidates.iter().map(|key| key.to_bytes()).collect());
        self.found.entry(name).or_insert_with(|| intake::inspect(envelope, &candidates)).clone()
    }
}

impl SimMachine {
    /// Returns the time by its clocks.
    pub fn now(&self, agenda: &SimScheduler) -> Now {
        let wall = BEGINNING.plus_ms(agenda.now).0.saturating_add_signed(self.skew_ms);
        Now { tick: Tick(agenda.now), wall: Timestamp(wall) }
    }

    /// Starts the process over what is on the disk.
    ///
    /// # Errors
    /// [`StoreError`]: the store refuses what the simulated disk holds.
    pub fn start(&mut self, agenda: &mut SimScheduler, plan: &SimPlan) -> Result<StoreOpening, StoreError> {
        self.lives += 1;
        let rules = plan.rules;
        let mut config = EngineConfig::new(self.name.clone(), plan.keep_bytes, KEEP_MS);
        config.checks = SeenChecks {
            synced: rules.on(ProtocolRule::SeenSynced),
            position: rules.on(ProtocolRule::SeenPosition),
            empty_both: rules.on(ProtocolRule::EmptyBoth),
            floor_first: rules.on(ProtocolRule::FloorFirst),
        };
        let fresh = FreshJournal {
            log_id: LogId(agenda.rng.random()),
            salt: agenda.rng.random(),
            check_secret: CheckSecret::new(agenda.rng.random()),
        };
        self.seen.set_counted(rules.on(ProtocolRule::SeenCounted));
        self.disk.set_neglects(DiskNeglects {
            rewrites: !rules.on(ProtocolRule::WrittenAgain),
            names: !rules.on(ProtocolRule::NamesSynced),
        });
        let seen_keep_ms = config.seen_keep_ms();
        let now = self.now(agenda);
        let links = Box::<MemoryLinks>::default();
        let (engine, opened) =
            StoreEngine::open(Arc::new(self.disk.clone()), (self.seen.clone(), links), config, fresh, now)?;
        let config = CoreConfig {
            federation: "simulated".into(),
            software: "intelmesh/simulated".into(),
            instance: agenda.rng.random(),
            seed: agenda.rng.random(),
            seen_keep_ms,
            rules,
            bounds: plan.bounds,
            dialect: plan.dialect(self.number),
        };
        let mut core = Node::new(config, self.trust.clone(), opened.ledger.clone(), opened.ends, now);
        core.handle_input(StoreInput::Broken(opened.lacks.clone()), now);
        let (life, appends, asked) = (self.lives, VecDeque::new(), VecDeque::new());
        let positions_rise = rules.on(ProtocolRule::PositionsRise);
        let met = BTreeSet::new();
        let (known_at, floors, wake, notes) = (0, Vec::new(), None, 0);
        self.process = Some(NodeProcess {
            life,
            core,
            engine,
            appends,
            refusing: false,
            asked,
            known_at,
            floors,
            wake,
            notes,
            met,
            positions_rise,
        });
        Ok(opened)
    }

    /// Ends the process: the contents of its memory are forgotten.
    pub fn end(&mut self) {
        self.process = None;
        self.seen.crash();
    }

    /// Ends the process in the middle of a write; the machine goes on, with that in its cache.
    pub fn kill(&mut self, agenda: &mut SimScheduler) {
        if let Some(process) = &mut self.process
            && let Some((_, records)) = process.appends.pop_front()
            && !agenda.chance(3)
        {
            let _ = process.engine.append_unsynced(records);
        }
        self.end();
    }

    /// Cuts the power in the middle of a write.
    pub fn crash(&mut self, agenda: &mut SimScheduler) {
        self.kill(agenda);
        if agenda.chance(4) {
            self.disk.crash_scattered(|| agenda.rng.random());
        } else {
            let most = self.disk.unsynced_bytes();
            let keep = if agenda.chance(3) { most } else { agenda.rng.random_range(0..=most) };
            self.disk.crash(keep);
        }
    }

    /// After `syncs` more a sync fails; then the process is down for `down_ms`.
    pub fn break_sync(&mut self, syncs: u64, down_ms: u64) {
        self.disk.fail_sync_after(Some(syncs));
        self.harm.sync_fails = Some(down_ms);
    }

    /// The disk works again. Says how long the process is down that could not sync; `None` if nothing was broken.
    pub fn repair_sync(&mut self) -> Option<u64> {
        self.disk.set_fail_sync(false);
        self.harm.sync_fails.take()
    }

    pub fn remove_journal(&self) {
        for file in self.disk.list().unwrap_or_default() {
            let _ = self.disk.remove(&file);
        }
        let _ = self.disk.sync_names();
    }

    /// No room any more, or room again.
    pub fn fill_disk(&self, full: bool) {
        let used = self.disk.space().map_or(0, |space| space.total - space.free);
        self.disk.set_capacity(full.then_some(used));
    }
}

/// Treats damage as if nothing were there, like a reader thread of the node.
fn past_damage<T>(result: Result<T, JournalError>) -> Result<Option<T>, JournalError> {
    match result {
        Err(JournalError::Damaged { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// The result of a commit.
#[derive(Debug)]
pub struct Committed {
    pub first_seq: u64,
    pub ends: JournalEnds,
    pub entries: Vec<Arc<Entry>>,
}

impl NodeProcess {
    /// Does the core judge by an older floor than the seen set has named to it?
    pub fn is_behind_floor(&self, now: u64) -> bool {
        self.floors.iter().any(|(at, floor)| *at < now && *floor > self.core.floor())
    }

    pub fn handle(&mut self, inputs: Vec<Input>, now: Now) {
        if inputs.is_empty() {
            self.core.handle_timeout(now);
        } else {
            self.core.handle_inputs(inputs, now);
        }
    }

    /// Writes and syncs the oldest append. Returns `None` if the disk is full.
    ///
    /// # Errors
    /// [`StoreError`]: the store failed otherwise.
    pub fn commit(
        &mut self,
        agenda: &mut SimScheduler,
        number: usize,
    ) -> Result<Option<Committed>, StoreError> {
        let Some((ticket, records)) = self.appends.pop_front() else { return Ok(None) };
        let committed = match self.engine.append(records) {
            Ok((first_seq, ends)) => {
                agenda.tell(
                    number,
                    self.life,
                    0,
                    Input::Store(StoreInput::Stored { ticket, first_seq, ends }),
                );
                let mut entries = Vec::new();
                for seq in first_seq..=ends.last.seq {
                    entries.extend(self.engine.journal.entry(seq)?);
                }
                if agenda.chance(4) {
                    match self.engine.flush() {
                        Err(StoreError::Full) => {}
                        flushed => flushed?,
                    }
                }
                if agenda.chance(4) {
                    self.engine.journal.mark_quiet();
                }
                Some(Committed { first_seq, ends, entries })
            }
            Err(error) if error.is_full() => {
                // Records handed over behind it are not in the journal either.
                self.refusing = true;
                let behind = std::mem::take(&mut self.appends);
                for ticket in std::iter::once(ticket).chain(behind.into_iter().map(|(ticket, _)| ticket)) {
                    self.refuse(ticket, agenda, number);
                }
                None
            }
            Err(error) => return Err(error),
        };
        if !self.appends.is_empty() {
            self.arrange_commit(agenda, number);
        }
        Ok(committed)
    }

    /// The answer may take a while, in which the core hands over more.
    fn refuse(&self, ticket: Ticket, agenda: &mut SimScheduler, number: usize) {
        let after = agenda.draw(agenda.weather.answer_ms);
        let answer = StoreInput::NotStored { ticket, failure: StoreFailure::DiskFull };
        agenda.tell(number, self.life, after, Input::Store(answer));
    }

    /// Without rule `PositionsRise` the position that comes last counts.
    fn replacing(&self, mut records: Vec<NewRecord>) -> Vec<NewRecord> {
        let known = &self.engine.journal.ledger().consumers;
        for record in &mut records {
            if let NewRecord::Note(Note::Position { consumer, seq, .. }) = record
                && known.contains_key(consumer)
            {
                *record =
                    NewRecord::Note(Note::Rewound { consumer: consumer.clone(), seq: *seq, generation: 0 });
            }
        }
        records
    }

    fn arrange_commit(&self, agenda: &mut SimScheduler, number: usize) {
        let took = agenda.draw(agenda.weather.sync_ms);
        agenda.after(took, SimEvent::Commit { node: number, life: self.life });
    }

    /// Answers what was asked of the seen set, in the order of the questions, as far as there is room.
    fn look_up(&mut self, agenda: &mut SimScheduler, number: usize, took: u64) -> Result<(), StoreError> {
        while let Some((ticket, keys)) = self.asked.pop_front() {
            let digests = match self.engine.look_up(&keys) {
                Err(StoreError::Full) => {
                    self.asked.push_front((ticket, keys));
                    return Ok(());
                }
                digests => digests?,
            };
            let floor = self.engine.floor();
            let broken = self.engine.take_lacks();
            if !broken.is_empty() {
                agenda.tell(number, self.life, 0, Input::Store(StoreInput::Broken(broken)));
            }
            self.known_at = self.known_at.max(agenda.now + took);
            if self.floors.last().is_none_or(|(_, known)| *known < floor) {
                self.floors.push((self.known_at, floor));
            }
            let took = self.known_at - agenda.now;
            agenda.tell(number, self.life, took, Input::Store(StoreInput::Known { ticket, digests, floor }));
        }
        Ok(())
    }

    /// Obeys what is asked of store and workers; gives back what is not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn obey(
        &mut self,
        output: Output,
        agenda: &mut SimScheduler,
        number: usize,
        workers: &mut SimWorkers,
    ) -> Result<Option<Output>, StoreError> {
        self.look_up(agenda, number, 0)?;
        let took = agenda.draw(agenda.weather.answer_ms);
        let answer = match output {
            Output::Store(StoreOutput::GoOn) => {
                self.refusing = false;
                return Ok(None);
            }
            Output::Store(StoreOutput::Append { ticket, .. }) if self.refusing => {
                self.refuse(ticket, agenda, number);
                return Ok(None);
            }
            Output::Store(StoreOutput::Append { ticket, records }) => {
                let notes = records.iter().filter(|record| matches!(record, NewRecord::Note(_)));
                self.notes += notes.count() as u64;
                let records = if self.positions_rise { records } else { self.replacing(records) };
                self.appends.push_back((ticket, records));
                if self.appends.len() == 1 {
                    self.arrange_commit(agenda, number);
                }
                return Ok(None);
            }
            Output::Ask(StoreQuestion::LookUp { ticket, keys }) => {
                self.asked.push_back((ticket, keys));
                self.look_up(agenda, number, took)?;
                return Ok(None);
            }
            Output::Ask(StoreQuestion::Read { reader, after_seq, bytes_max }) => {
                let read = self.engine.read(after_seq, bytes_max)?;
                self.met.extend(read.broken.iter().map(|entry| entry.key));
                Input::Store(StoreInput::Entries { reader, read })
            }
            Output::Ask(StoreQuestion::Fetch { ticket, id }) => {
                let entry = past_damage(self.engine.journal.fetch(&id))?;
                Input::Store(StoreInput::Fetched { ticket, entry: entry.flatten() })
            }
            Output::Ask(StoreQuestion::CheckMarks { ticket, marks }) => {
                let agrees = past_damage(self.engine.journal.newest_agreeing(&marks))?;
                Input::Store(StoreInput::MarksChecked { ticket, agrees: agrees.flatten() })
            }
            Output::Verify { ticket, envelopes } => {
                let results =
                    envelopes.into_iter().map(|(envelope, candidates)| workers.inspect(envelope, candidates));
                Input::Verified { ticket, results: results.collect() }
            }
            other => return Ok(Some(other)),
        };
        agenda.tell(number, self.life, took, answer);
        Ok(None)
    }
}
