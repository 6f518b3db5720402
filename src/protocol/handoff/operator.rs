//! What the operator, or the HTTP door for its clients, does to the position of a consumer. Connections under its name end.

use super::ConsumerHandoffs;
use crate::limits::{CLIENT_CONSUMERS_MAX, CONSUMERS_MAX};
use crate::protocol::io::{
    CommandRefused, ConsumerClosed, ConsumerId, ConsumerRequest, DoorOutput, PositionMove, StartPosition,
};
use crate::protocol::state::{CoreState, Traffic};
use crate::record::{ConsumerName, Note};

impl ConsumerHandoffs {
    /// Forgets the consumer `name` at once. Connections under this name are turned away, and may come again as a new
    /// consumer.
    ///
    /// # Errors
    /// There is no such consumer.
    pub(crate) fn remove(&mut self, name: &ConsumerName, core: &mut CoreState) -> Result<(), CommandRefused> {
        if core.disk.ledger.consumers.remove(name).is_none() {
            return Err(CommandRefused::UnknownConsumer(name.clone()));
        }
        self.close_named(name, ConsumerClosed::Removed, &mut core.traffic);
        self.failing.remove(name);
        core.note(Note::ConsumerGone { consumer: name.clone(), generation: core.disk.ledger.generation + 1 });
        Ok(())
    }

    /// Moves the position of `name` behind a place, at once. Missing entries stay counted.
    ///
    /// # Errors
    /// There is no such consumer.
    pub(crate) fn rewind(
        &mut self,
        name: &ConsumerName,
        to: StartPosition,
        core: &mut CoreState,
    ) -> Result<(), CommandRefused> {
        if !core.disk.ledger.consumers.contains_key(name) {
            return Err(CommandRefused::UnknownConsumer(name.clone()));
        }
        self.close_named(name, ConsumerClosed::Rewound, &mut core.traffic);
        let (floor, last) = (core.disk.ends.floor.seq, core.disk.ends.last.seq);
        let seq = match to {
            StartPosition::Earliest | StartPosition::Time(_) => floor,
            StartPosition::Now => last,
            StartPosition::Seq(seq) => seq.saturating_sub(1).clamp(floor, last),
        };
        core.note(Note::Rewound { consumer: name.clone(), seq, generation: core.disk.ledger.generation + 1 });
        Ok(())
    }

    /// Moves the position of `name`, which is read past the core, forward. It begins there if it is new.
    ///
    /// # Errors
    /// Too many consumers have names, or too many of this client.
    pub(crate) fn place(
        name: &ConsumerName,
        to: PositionMove,
        core: &mut CoreState,
    ) -> Result<(), CommandRefused> {
        let consumers = &core.disk.ledger.consumers;
        let known = consumers.get(name).map(|position| position.seq);
        let of_client = || consumers.keys().filter(|other| other.client() == name.client()).count();
        if known.is_none()
            && to.from.is_none()
            && (consumers.len() >= CONSUMERS_MAX || of_client() >= CLIENT_CONSUMERS_MAX)
        {
            return Err(CommandRefused::TooManyConsumers);
        }
        let seq = to.seq.min(core.disk.ends.last.seq);
        let is_there = to.from.is_none_or(|from| known == Some(from));
        if is_there && known.is_none_or(|known| known < seq) {
            core.note(Note::Position { consumer: name.clone(), seq, own: true });
        }
        Ok(())
    }

    fn close_named(&mut self, name: &ConsumerName, why: ConsumerClosed, traffic: &mut Traffic) {
        let named = |request: &ConsumerRequest| request.name.as_ref() == Some(name);
        let open: Vec<ConsumerId> =
            self.open.iter().filter(|(_, handoff)| named(&handoff.request)).map(|(id, _)| *id).collect();
        open.iter().for_each(|id| drop(self.open.remove(id)));
        let waiting: Vec<ConsumerId> =
            self.waiting.iter().filter(|(_, request, _)| named(request)).map(|(id, ..)| *id).collect();
        self.waiting.retain(|(_, request, _)| !named(request));
        for consumer in open.into_iter().chain(waiting) {
            self.holds.remove(&consumer);
            traffic.emit(DoorOutput::ConsumerClosed { consumer, why });
        }
    }
}
