//! Counts for status, since when a door does not reach its other end, and the last failure at each door. No decision
//! depends on it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::identity::EventId;
use crate::local::dead_letter::file::DeadLetter;
use crate::local::dead_letter::record::AsideRecord;
use crate::status::{ConsumerState, DoorDown, DoorStatus, DoorWay, SubmitState};
use crate::time::{Now, Timestamp};

/// Failures at a door.
#[derive(Clone, Debug, Default)]
pub(crate) struct DoorTrouble {
    /// The last thing, until the door works again.
    pub last_error: Option<String>,
    down: Option<DoorDown>,
    /// When the door was opened, until it has reached its other end once.
    opening: Option<Timestamp>,
}

impl DoorTrouble {
    /// Notes that the door opens.
    fn opening(now: Timestamp) -> Self {
        Self { opening: Some(now), ..Self::default() }
    }

    /// Returns since when the other end is not reached, even if nothing has failed yet: a first connection may hang.
    pub(crate) fn down(&self) -> Option<DoorDown> {
        let opening = || Some(DoorDown { since: self.opening?, what: "nothing has answered yet".to_owned() });
        self.down.clone().or_else(opening)
    }

    /// Notes that the other end cannot be reached, or does nothing that it is asked. It begins with the first failure,
    /// even if a connection succeeds between two of them.
    fn unreachable(&mut self, what: String, now: Timestamp) {
        let since = self.down().map_or(now, |down| down.since);
        self.down = Some(DoorDown { since, what: what.clone() });
        self.last_error = Some(what);
    }
}

/// The counters of one door. `S` is what status shows of its kind.
#[derive(Debug)]
pub(crate) struct DoorCounters<S> {
    name: String,
    now: fn() -> Now,
    inner: Mutex<(S, DoorTrouble)>,
    /// Why the receiver's list of fields cannot be used as it is now.
    form_fault: Mutex<Option<String>>,
}

/// The counters of one `[[submit]]`.
pub(crate) type SubmitCounters = DoorCounters<SubmitState>;

/// The counters of one `[[consumer]]`.
pub(crate) type ConsumerCounters = DoorCounters<ConsumerState>;

impl From<SubmitState> for DoorWay {
    fn from(state: SubmitState) -> Self {
        Self::Submit(state)
    }
}

impl From<ConsumerState> for DoorWay {
    fn from(state: ConsumerState) -> Self {
        Self::Consumer(state)
    }
}

impl<S: Clone> DoorCounters<S> {
    pub(crate) fn new(name: &str, state: S, now: fn() -> Now) -> Self {
        let inner = Mutex::new((state, DoorTrouble::opening(now().wall)));
        Self { name: name.to_owned(), now, inner, form_fault: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, (S, DoorTrouble)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Notes a failure that no event caused; the same is logged once.
    pub(crate) fn failed(&self, what: String) {
        let mut inner = self.inner();
        if inner.1.last_error.as_ref() != Some(&what) {
            tracing::warn!(door = self.name, "{what}");
            inner.1.last_error = Some(what);
        }
    }

    /// Notes that the other end cannot be reached, or does nothing that it is asked; the same is logged once.
    pub(crate) fn unreachable(&self, what: String) {
        self.failed(what.clone());
        self.inner().1.unreachable(what, (self.now)().wall);
    }

    /// Returns the state that status shows. `aside` has what the door set aside.
    pub(crate) fn status(&self, aside: &DeadLetter) -> DoorStatus
    where
        S: Into<DoorWay>,
    {
        let (state, trouble) = self.inner().clone();
        DoorStatus {
            name: self.name.clone(),
            way: state.into(),
            aside: aside.status(),
            down: trouble.down(),
            last_error: trouble.last_error,
        }
    }
}

impl SubmitCounters {
    /// Notes that the door was opened anew, perhaps at another place: its counts stay.
    pub(crate) fn moved(&self, new: SubmitState) {
        let (state, trouble) = &mut *self.inner();
        if (&state.from, &state.at) != (&new.from, &new.at) {
            (state.from, state.at) = (new.from, new.at);
            *trouble = DoorTrouble::default();
        }
        trouble.opening = Some((self.now)().wall);
    }

    /// Notes that the trouble is over.
    pub(crate) fn well(&self) {
        self.inner().1 = DoorTrouble::default();
    }

    /// Notes that the door works, and what the operator should see to all the same; the same is logged once.
    pub(crate) fn works_but(&self, what: String) {
        self.failed(what);
        let trouble = &mut self.inner().1;
        (trouble.down, trouble.opening) = (None, None);
    }

    pub(crate) fn came(&self) {
        self.inner().0.clients += 1;
    }

    pub(crate) fn went(&self) {
        let clients = &mut self.inner().0.clients;
        *clients = clients.saturating_sub(1);
    }

    pub(crate) fn taken(&self, duplicate: bool) {
        let state = &mut self.inner().0;
        if duplicate {
            state.duplicates += 1;
        } else {
            state.accepted += 1;
        }
    }

    pub(crate) fn rejected(&self, record: &AsideRecord) {
        let AsideRecord { code, error, .. } = record;
        tracing::warn!(door = self.name, outcome = "set aside", reason = code, "{error}");
        let mut inner = self.inner();
        inner.0.rejects += 1;
        inner.1.last_error = Some(format!("{code}: {error}"));
    }
}

impl ConsumerCounters {
    /// Notes that the door was opened anew, perhaps to another place: its counts stay.
    pub(crate) fn moved(&self, new: ConsumerState) {
        let (state, trouble) = &mut *self.inner();
        if (&state.to, &state.at) != (&new.to, &new.at) {
            (state.to, state.at, state.since) = (new.to, new.at, new.since);
            *trouble = DoorTrouble::default();
        }
        trouble.opening = Some((self.now)().wall);
        state.held = None;
        *self.form_fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn connected(&self, connected: bool, now: Timestamp) {
        let mut inner = self.inner();
        if inner.0.connected != connected {
            tracing::debug!(door = self.name, connected, "receiver");
            inner.0.connected = connected;
            inner.0.since = Some(now);
        }
    }

    /// Notes that the receiver does what it is asked: a connection alone does not show that.
    pub(crate) fn well(&self) {
        if std::mem::take(&mut self.inner().1).last_error.is_some() {
            tracing::info!(door = self.name, "the receiver takes events again");
        }
    }

    /// Notes why nothing is handed over although the receiver is there; `None` if it goes on.
    pub(crate) fn held(&self, why: Option<String>) {
        let (state, trouble) = &mut *self.inner();
        if why.is_some() {
            trouble.opening = None;
        }
        if state.held != why {
            match &why {
                Some(why) => tracing::warn!(door = self.name, "held: {why}"),
                None => tracing::info!(door = self.name, "no longer held"),
            }
            state.held = why;
        }
    }

    /// Notes that the receiver's list of fields was read again, or could not be.
    pub(crate) fn form_fault(&self, fault: Option<String>) {
        if let Some(fault) = &fault {
            self.failed(fault.clone());
        }
        *self.form_fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Returns the fault in the files of this door, as long as it lasts.
    pub(crate) fn file_fault(&self) -> Option<String> {
        self.form_fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn is_held(&self) -> bool {
        self.inner().0.held.is_some()
    }

    pub(crate) fn handed(&self, count: u64, adapted: u64) {
        let state = &mut self.inner().0;
        state.handed += count;
        state.adapted += adapted;
    }

    pub(crate) fn handed_so_far(&self) -> u64 {
        self.inner().0.handed
    }

    pub(crate) fn set_aside(&self, record: &AsideRecord) {
        let AsideRecord { code, error, .. } = record;
        tracing::warn!(door = self.name, outcome = "set aside", reason = code, "{error}");
        self.inner().0.set_aside += 1;
    }

    /// Notes that this entry expired: nobody may get it any more.
    pub(crate) fn expired(&self, id: &EventId) {
        tracing::info!(door = self.name, outcome = "expired", %id);
        self.expired_made(1);
    }

    /// Notes that the receiver lost entries that it had taken, and nothing proves how many of them were not read.
    pub(crate) fn lost(&self) {
        self.inner().0.lost_at = Some((self.now)().wall);
    }

    /// Notes how many lines expired while they waited.
    pub(crate) fn expired_made(&self, count: u64) {
        self.inner().0.expired += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Tick;

    #[test]
    fn a_door_is_down_until_its_first_answer() {
        let now = || Now { wall: Timestamp(7), tick: Tick(0) };
        let counters = ConsumerCounters::new("soc", ConsumerState::default(), now);
        let since = |counters: &ConsumerCounters| counters.inner().1.down().map(|down| down.since);
        assert_eq!(since(&counters), Some(Timestamp(7)));
        counters.well();
        assert_eq!(since(&counters), None);
        counters.moved(ConsumerState::default());
        assert_eq!(since(&counters), Some(Timestamp(7)), "opened anew");
        counters.held(Some("its queue is full".into()));
        assert_eq!(since(&counters), None, "it is there");
    }
}
