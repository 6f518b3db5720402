//! Harms the disk of a node: power cuts, syncs that fail, bits that flip, parts that are lost, copies that are put
//! back. The node reacts as it can, and the witness checks what it must not do.

use std::collections::BTreeMap;

use rand::RngExt as _;

use crate::envelope::Envelope;
use crate::protocol::Input;
use crate::protocol::io::StoreInput;
use crate::protocol::rules::ProtocolRule;
use crate::sim::faults::SeenPart;
use crate::sim::machine::Backup;
use crate::sim::scheduler::SimEvent;
use crate::sim::world::{PromiseViolation, SimWorld};
use crate::store::JournalError;
use crate::store::disk::Disk;
use crate::store::engine::StoreError;
use crate::store::newest;
use crate::store::seen::memory::MemorySeen;
use crate::store::segment::{ScanStep, SegmentHeader, SegmentScan, first_of_name};
use crate::time::Timestamp;

/// How long a process is down that is restarted at once, in ms.
const RESTART_MS: u64 = 20;

impl SimWorld {
    /// The power of a node goes.
    pub(super) fn crash(&mut self, node: usize) {
        self.machines[node].crash(&mut self.agenda);
        self.went_down(node);
    }

    /// The process of a node ends, and its machine goes on.
    pub(super) fn kill(&mut self, node: usize) {
        self.machines[node].kill(&mut self.agenda);
        self.went_down(node);
    }

    fn went_down(&mut self, node: usize) {
        self.network.node_down(&mut self.agenda, node);
        self.pipelines[node].lost();
    }

    /// The store failed. If that is a fault of this run, the process ends and is started again, as its unit says.
    pub(super) fn store_failed(&mut self, node: usize, error: &StoreError) -> Result<(), PromiseViolation> {
        let machine = &mut self.machines[node];
        let rotten =
            machine.harm.rotten && matches!(error, StoreError::Journal(JournalError::Damaged { .. }));
        let Some(down_ms) = machine.repair_sync().or(rotten.then_some(RESTART_MS)) else {
            return Err(self.violated(format!("{}: {error}", self.machines[node].name)));
        };
        self.machines[node].end();
        self.went_down(node);
        self.agenda.after(down_ms, SimEvent::Start { node });
        Ok(())
    }

    /// Handles a failed start: an operator does what the hint says, if that is a fault of this run.
    pub(super) fn start_failed(&mut self, node: usize, error: &StoreError) -> Result<(), PromiseViolation> {
        if error.is_full() {
            // No room even to begin: it is tried again later.
            self.agenda.after(500, SimEvent::Start { node });
            return Ok(());
        }
        let machine = &mut self.machines[node];
        match error {
            StoreError::Journal(JournalError::Damaged { file, .. }) if machine.harm.rotten => {
                machine.repair_sync();
                let is_newest = machine.segments().last() == Some(file);
                machine.harm.newest_aside |= is_newest;
                if is_newest && !self.plan.rules.on(ProtocolRule::NewestNamed) {
                    let _ = machine.disk.remove(newest::FILE);
                }
                let removed = machine.disk.remove(file).and_then(|()| machine.disk.sync_names());
                removed.map_err(|error| self.violated(error))?;
                self.witness.nodes[node].changed_by_hand();
                if is_newest {
                    self.pipelines[node].rolled_back(false);
                }
                self.write_down(|| format!("{node} moves {file} aside"));
                self.agenda.after(RESTART_MS, SimEvent::Start { node });
                Ok(())
            }
            error => self.store_failed(node, error),
        }
    }

    /// The directory is put back to its copy, or the journal removed.
    pub(super) fn put_back(&mut self, node: usize, restored: bool) -> Vec<usize> {
        if restored && self.machines[node].backup.is_none() {
            return Vec::new();
        }
        self.crash(node);
        let machine = &mut self.machines[node];
        match &machine.backup {
            Some(backup) if restored => {
                machine.harm.sync_fails = None;
                machine.disk.restore(&backup.disk);
                machine.disk.set_fail_sync(false);
                machine.seen.restore(&backup.seen);
                machine.disk.crash(usize::MAX);
                machine.seen.crash();
            }
            _ => machine.remove_journal(),
        }
        // The file that names the newest segment went too, or is that of the copy: a start has nothing to tell.
        machine.harm.newest_aside = false;
        let record = &mut self.witness.nodes[node];
        record.changed_by_hand();
        // Peers may have been told that it is gone: only a repair by hand asks for it again.
        record.dropped.extend(&record.rotten);
        record.log = if restored { record.log_in_backup.clone() } else { BTreeMap::new() };
        self.pipelines[node].rolled_back(restored);
        self.agenda.after(RESTART_MS, SimEvent::Start { node });
        vec![node]
    }

    /// The directory is copied while the node runs: the journal now, the seen set later.
    pub(super) fn back_up(&mut self, node: usize, later_ms: u64) {
        let machine = &mut self.machines[node];
        machine.backup = Some(Backup { disk: machine.disk.snapshot(), seen: machine.seen.snapshot() });
        let record = &mut self.witness.nodes[node];
        record.log_in_backup.clone_from(&record.log);
        self.pipelines[node].done_in_backup = self.pipelines[node].done.clone();
        self.agenda.after(later_ms, SimEvent::CopySeen { node });
    }

    /// A bit of an entry flips on the disk: of the newest segment, or of an older one.
    pub(super) fn rot(&mut self, node: usize, newest: bool) -> Result<bool, PromiseViolation> {
        let mut entries = self.journal_of(node)?;
        let mut files = self.machines[node].segments();
        let active = files.pop();
        if newest {
            files = active.into_iter().collect();
        }
        while !entries.is_empty() {
            let entry = entries.swap_remove(self.agenda.rng.random_range(0..entries.len()));
            let machine = &mut self.machines[node];
            let found = files.iter().find_map(|file| {
                let content = machine.disk.content(file)?;
                Some((file, middle_of(&entry.envelope, &content)?, content))
            });
            if let Some((file, at, mut content)) = found {
                content[at] ^= 1;
                let copy = machine.disk.snapshot();
                copy.put(file, content.clone());
                if newest && is_torn(&copy, file).map_err(|error| self.violated(error))? {
                    continue;
                }
                let machine = &mut self.machines[node];
                machine.disk.put(file, content);
                machine.harm.rotten = true;
                self.witness.nodes[node].rotten.insert(entry.envelope.key());
                self.journals[node].remove(&entry.envelope.key());
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A part of the seen set is lost while the node is stopped.
    pub(super) fn lose_seen(&mut self, node: usize, part: SeenPart) {
        self.kill(node);
        let seen = &self.machines[node].seen;
        let days = seen.days();
        match part {
            SeenPart::All => seen.restore(&MemorySeen::default()),
            _ if days.is_empty() => {}
            SeenPart::Day | SeenPart::OlderDay => {
                let day = days[self.agenda.rng.random_range(0..days.len())];
                seen.lose_day(day, part == SeenPart::OlderDay);
            }
        }
        self.agenda.after(RESTART_MS, SimEvent::Start { node });
    }

    /// Runs retention: if an entry is given up, it is no longer owed to anyone.
    pub(super) fn expire(&mut self, node: usize, now: Option<Timestamp>) -> Result<(), PromiseViolation> {
        let Some(process) = &mut self.machines[node].process else { return Ok(()) };
        match process.engine.expire(now) {
            Ok(None) => Ok(()),
            Ok(Some(retired)) => {
                self.gave_up(node);
                self.say(
                    node,
                    Input::Store(StoreInput::Retired { ends: retired.ends, missing: retired.missing }),
                );
                self.look(node)
            }
            Err(error) => self.store_failed(node, &error),
        }
    }

    /// Notes that entries below the floor of a journal were given up, now or at its start.
    pub(super) fn gave_up(&mut self, node: usize) {
        let Some(process) = &self.machines[node].process else { return };
        let (log_id, mut mark) = (process.engine.journal.log_id(), process.engine.journal.floor());
        while mark.seq > 0 {
            let place = (node, log_id, mark.seq, mark.check);
            if let Some(past) = self.witness.past.get(&place) {
                self.witness.nodes[node].dropped.insert(past.key);
                self.journals[node].remove(&past.key);
                mark = past.before;
            } else {
                // Entries that could not be read when the journal got another name.
                let Some(before) = self.witness.gaps.get(&place).filter(|before| before.seq < mark.seq)
                else {
                    return;
                };
                mark = *before;
            }
        }
    }
}

/// Returns where the middle of an envelope lies in a file.
fn middle_of(envelope: &Envelope, content: &[u8]) -> Option<usize> {
    let bytes = envelope.bytes();
    let at = content.windows(bytes.len()).position(|window| window == &bytes[..])?;
    Some(at + bytes.len() / 2)
}

/// Does the segment look as if a power cut had torn its last batch? That is no damage.
fn is_torn(disk: &impl Disk, file: &str) -> Result<bool, JournalError> {
    let (header, frames_at) = SegmentHeader::read(disk, file)?;
    let mut scan = SegmentScan::new(disk, file, header.salt, frames_at);
    while let ScanStep::Frame { .. } = scan.step()? {}
    Ok(!scan.is_damaged()?)
}

impl super::machine::SimMachine {
    /// The names of all segments, oldest first.
    fn segments(&self) -> Vec<String> {
        let mut names = self.disk.list().unwrap_or_default();
        names.retain(|name| first_of_name(name).is_some());
        names.sort();
        names
    }
}
