//! The doors of `intelmesh.toml`, opened: each `[[submit]]` listening, each `[[consumer]]` with its driver. If the
//! operator asks for it, the set also retries what was set aside. Each kind of door has its own file. `prepare` does
//! what may wait for a disk, and `start` the rest.

mod drive;
mod prepare;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::counters::ConsumerCounters;
use super::{DoorContext, LocalError};
use crate::control::AsideTried;
use crate::door::DoorSettings;
use crate::format::DoorDefaults;
use crate::identity::LogId;
use crate::local::dead_letter::file::DeadLetter;
use crate::local::dead_letter::retry::{AgainError, DeadLetterRetry, EntryQuestion, Way, try_again};
use crate::local::deliver::marker::HandedMark;
use crate::local::submit::door::SubmitDoor;
use crate::local::submit::listening::Listening;
use crate::local::tasks::DoorTasks;
use crate::status::DoorStatus;
use crate::wire::Mark;

use prepare::{DoorPlan, Planned, ReadyConsumer, ReadySubmit, plan};
use start::{start_consumer, start_submit};

/// Entries of one consumer that wait to be handed over again.
const AGAIN_MAX: usize = 16;

/// Asks whether an entry of this journal has this seq and this check.
pub(crate) type MarkQuestion = Arc<dyn Fn(Mark) -> BoxFuture<'static, bool> + Send + Sync>;

/// Questions of doors to the journal.
pub(crate) struct JournalQuestions {
    pub log_id: LogId,
    pub holds: MarkQuestion,
}

impl JournalQuestions {
    /// Returns true if `last` is an entry of this journal, as it is now.
    pub(super) async fn agrees(&self, last: HandedMark) -> bool {
        last.log_id == self.log_id && (self.holds)(last.mark).await
    }
}

/// A submitting door, as others see it.
struct SubmitHandle {
    door: Arc<SubmitDoor>,
    /// The port of a door over TCP.
    listening: Option<Arc<Listening>>,
}

/// A consumer's door, as others see it.
struct ConsumerHandle {
    name: String,
    counters: Arc<ConsumerCounters>,
    aside: Arc<DeadLetter>,
    again: mpsc::Sender<DeadLetterRetry>,
    stopping: CancellationToken,
    tasks: DoorTasks,
}

/// The open doors.
#[derive(Clone, Default)]
pub(crate) struct DoorSet {
    submits: Vec<Arc<SubmitHandle>>,
    consumers: Vec<Arc<ConsumerHandle>>,
    /// Why a door could not be opened as configured. If it was open before, it goes on as it was.
    failed: BTreeMap<String, String>,
}

impl DoorSet {
    /// Opens all of them, as part of `shared`. Reads files.
    pub(super) fn open(settings: &DoorSettings, shared: &DoorContext) -> Result<Self, LocalError> {
        let plain = &shared.behind.plain;
        let planned = plan((settings, plain), &BTreeSet::new(), &BTreeMap::new(), shared);
        let mut set = Self::default();
        for (_, plan) in planned.submits {
            let DoorPlan::Open(ready) = plan? else { continue };
            let listening = ready.bind()?;
            set.submits.push(Arc::new(start_submit(ready, None, listening, shared)));
        }
        for (_, plan) in planned.consumers {
            let DoorPlan::Open(ready) = plan? else { continue };
            set.consumers.push(Arc::new(start_consumer(ready, None, shared)));
        }
        Ok(set)
    }

    /// Opens the doors of `settings`: those in `same` stay as they are, the others open anew once their predecessors have
    /// ended: two of them must not read one queue, or hand over one event. They keep their counts and files. If a door
    /// cannot be opened, the old one goes on, and is named. Doors that are not there any more end.
    pub(super) async fn reopen(
        &self,
        (settings, plain): (DoorSettings, DoorDefaults),
        mut same: BTreeSet<String>,
        shared: &Arc<DoorContext>,
    ) -> Self {
        same.retain(|name| self.is_open(name) && !self.failed.contains_key(name));
        let asides = self.asides();
        let planning = tokio::task::spawn_blocking({
            let shared = Arc::clone(shared);
            move || plan((&settings, &plain), &same, &asides, &shared)
        });
        let Ok(Planned { submits, consumers }) = planning.await else { return self.clone() };
        let (mut set, mut opening) = (Self::default(), ToOpen::default());
        for (name, plan) in submits {
            let held = self.submits.iter().find(|held| held.door.name == name).cloned();
            match set.heed(name, plan) {
                Some(ready) => opening.submits.push((ready, held)),
                None => set.submits.extend(held),
            }
        }
        for (name, plan) in consumers {
            let held = self.consumers.iter().find(|held| held.name == name).cloned();
            match set.heed(name, plan) {
                Some(ready) => opening.consumers.push((ready, held)),
                None => set.consumers.extend(held),
            }
        }
        let listening = self.end_all_but(&set).await;
        for (ready, held) in opening.submits {
            let port = ready.from.listens_on().map(|at| {
                let held = listening.iter().find(|listening| listening.is_at(at)).cloned();
                held.unwrap_or_else(|| Arc::new(Listening::later(at)))
            });
            set.submits.push(Arc::new(start_submit(ready, held.as_deref(), port, shared)));
        }
        for (ready, held) in opening.consumers {
            set.consumers.push(Arc::new(start_consumer(ready, held.as_deref(), shared)));
        }
        set
    }

    /// Returns the door to open; `None` if the door that is held goes on.
    fn heed<T>(&mut self, name: String, plan: Result<DoorPlan<T>, LocalError>) -> Option<T> {
        match plan {
            Ok(DoorPlan::Open(ready)) => Some(ready),
            Ok(DoorPlan::Keep) => None,
            Err(error) => {
                self.failed.insert(name, error.to_string());
                None
            }
        }
    }

    fn is_open(&self, name: &str) -> bool {
        self.submits.iter().any(|held| held.door.name == name) || self.hands_to(name)
    }

    /// Returns the files to share: two writers of one would count apart, and not wait for each other.
    fn asides(&self) -> BTreeMap<String, Arc<DeadLetter>> {
        let submits = self.submits.iter().map(|held| (held.door.name.clone(), held.door.aside.clone()));
        let consumers = self.consumers.iter().map(|held| (held.name.clone(), held.aside.clone()));
        submits.chain(consumers).collect()
    }

    /// Ends the doors that are not in `kept`, and waits for it. Returns the ports on which they listened: they stay
    /// open for the doors that take them over.
    async fn end_all_but(&self, kept: &Self) -> Vec<Arc<Listening>> {
        let (mut ports, mut ending) = (Vec::new(), Vec::new());
        for held in &self.submits {
            if !kept.submits.iter().any(|other| Arc::ptr_eq(held, other)) {
                held.door.stopping.cancel();
                ports.extend(held.listening.clone());
                ending.push(held.door.tasks.clone());
            }
        }
        for held in &self.consumers {
            if !kept.consumers.iter().any(|other| Arc::ptr_eq(held, other)) {
                held.stopping.cancel();
                ending.push(held.tasks.clone());
            }
        }
        join_all(ending.iter().map(DoorTasks::ended)).await;
        ports
    }

    /// Returns why doors could not be opened as configured, by name.
    pub(crate) fn failed(&self) -> &BTreeMap<String, String> {
        &self.failed
    }

    /// Returns the state that status shows, in the order of the file.
    pub(crate) fn status(&self) -> Vec<DoorStatus> {
        let submits = self.submits.iter().map(|held| held.door.counters.status(&held.door.aside));
        let consumers = self.consumers.iter().map(|door| door.counters.status(&door.aside));
        submits.chain(consumers).collect()
    }

    /// Returns true if there is a `[[consumer]]` of this name.
    pub(crate) fn hands_to(&self, name: &str) -> bool {
        self.consumers.iter().any(|door| door.name == name)
    }

    /// Names the doors that are not open as configured, in words.
    pub(crate) fn failures(&self) -> Vec<String> {
        let failed = self.failed.iter().map(|(name, why)| match self.is_open(name) {
            true => format!("door {name} is open as it was, and not as intelmesh.toml says: {why}"),
            false => format!("door {name} is not open: {why}"),
        });
        failed.collect()
    }

    /// Returns the faults of files that doors read while they run.
    pub(crate) fn file_faults(&self) -> Vec<String> {
        let named = |door: &Arc<ConsumerHandle>| {
            Some(format!("{} (harmonization of door {})", door.counters.file_fault()?, door.name))
        };
        self.consumers.iter().filter_map(named).collect()
    }

    /// Notices files that the operator has moved out of `aside/`. Asks the disk: not for the core's loop.
    pub(crate) fn look(&self) {
        let asides = self.submits.iter().map(|held| &held.door.aside);
        asides.chain(self.consumers.iter().map(|door| &door.aside)).for_each(|aside| aside.look());
    }

    /// Tries again what the door `name` has set aside; `None` if there is no such door.
    ///
    /// # Errors
    /// Returns [`AgainError`] if not all of it was tried.
    pub(crate) async fn try_again(
        &self,
        name: &str,
        find: &EntryQuestion,
    ) -> Option<Result<AsideTried, AgainError>> {
        if let Some(SubmitHandle { door, .. }) =
            self.submits.iter().map(Arc::as_ref).find(|held| held.door.name == name)
        {
            return Some(try_again(&door.aside, Way::Submit(door)).await);
        }
        let door = self.consumers.iter().find(|door| door.name == name)?;
        Some(try_again(&door.aside, Way::Consumer(&door.again, find)).await)
    }
}

impl std::fmt::Debug for DoorSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.status().iter().map(|door| &door.name)).finish()
    }
}

/// Doors to open, and the doors that they replace.
#[derive(Default)]
struct ToOpen {
    submits: Vec<(ReadySubmit, Option<Arc<SubmitHandle>>)>,
    consumers: Vec<(ReadyConsumer, Option<Arc<ConsumerHandle>>)>,
}
