//! Routes each input to the session, the consumer or the question that it is for. Decides nothing.

use crate::protocol::intake::SeenQuestion;
use crate::protocol::io::{DoorInput, Input, OperatorInput, StoreInput, TransportInput};
use crate::protocol::node::Node;

impl Node {
    pub(super) fn on_input(&mut self, input: Input) {
        match input {
            Input::Transport(input) => self.on_transport(input),
            Input::Store(input) => self.on_store(input),
            Input::Verified { ticket, results } => self.on_verified(ticket, results),
            Input::Door(input) => self.on_door(input),
            Input::Operator(input) => self.on_operator(input),
        }
    }

    fn on_transport(&mut self, input: TransportInput) {
        match input {
            TransportInput::Connected { peer, address } => self
                .with_link(&peer, |link, core| link.on_connected(address, &core.context, &mut core.traffic)),
            TransportInput::Disconnected { peer, cause } => {
                self.with_link(&peer, |link, core| link.on_disconnected(cause, core));
                self.streams.retain(|_, owner| *owner != peer);
            }
            TransportInput::DialFailed { peer, failure } => self.with_link(&peer, |link, core| {
                link.on_dial_failed(failure, &core.context, &mut core.traffic)
            }),
            TransportInput::FeedOpened { peer, stream, role } => self.on_feed_opened(peer, stream, role),
            TransportInput::FeedNotOpened { peer, cause } => {
                self.with_link(&peer, |link, core| {
                    link.on_feed_not_opened(cause, &core.context, &mut core.traffic)
                });
            }
            TransportInput::Frames { stream, frames } => self.on_frames(stream, frames),
            TransportInput::Sent { stream, bytes } => {
                if let Some(link) = self.streams.get(&stream).and_then(|peer| self.links.get_mut(peer)) {
                    link.on_sent(stream, bytes);
                }
            }
            TransportInput::FeedClosed { stream, cause } => {
                if let Some(peer) = self.streams.remove(&stream) {
                    self.with_link(&peer, |link, core| link.on_feed_closed(stream, &cause, core));
                }
            }
        }
    }

    fn on_store(&mut self, input: StoreInput) {
        match input {
            StoreInput::Stored { ticket, first_seq, ends } => self.on_stored(ticket, first_seq, ends),
            StoreInput::NotStored { ticket, failure } => self.on_not_stored(ticket, failure),
            StoreInput::Known { ticket, digests, floor } => {
                self.core.disk.heed_floor(floor);
                self.on_known(ticket, digests);
            }
            StoreInput::Entries { reader, read } => self.on_entries(reader, read),
            StoreInput::Broken(broken) => self.on_broken(broken),
            StoreInput::Fetched { ticket, entry } => match self.core.traffic.intake.comparing.remove(&ticket)
            {
                Some(comparison) => self.compared(comparison, entry.map(|entry| entry.envelope.clone())),
                None => self.on_recalled(ticket, entry),
            },
            StoreInput::MarksChecked { ticket, agrees } => {
                for link in self.links.values_mut() {
                    link.on_marks_checked(ticket, agrees, &mut self.core);
                }
            }
            StoreInput::Retired { ends, missing } => self.on_retired(ends, missing),
        }
    }

    fn on_door(&mut self, input: DoorInput) {
        match input {
            DoorInput::Submit { ticket, envelope } => {
                self.on_submit(ticket, SeenQuestion::Submission { ticket, envelope })
            }
            DoorInput::SubmitReturned { ticket, id } => {
                self.on_submit(ticket, SeenQuestion::Returned { ticket, key: id.key() });
            }
            DoorInput::Recall { ticket, id } => {
                self.core.traffic.intake.ask(SeenQuestion::Recall { ticket, id })
            }
            DoorInput::ConsumerOpened { consumer, request } => {
                self.handoffs.on_opened(consumer, request, &mut self.core)
            }
            DoorInput::ConsumerOpenedAt { consumer, request, holds } => {
                self.handoffs.on_opened_at(consumer, request, holds, &mut self.core);
            }
            DoorInput::ConsumerReady { consumer } => self.handoffs.on_ready(consumer, &mut self.core),
            DoorInput::ConsumerAcked { consumer, seq } => {
                self.handoffs.on_acked(consumer, seq, &mut self.core)
            }
            DoorInput::ConsumerFinished { consumer } => {
                self.handoffs.on_finished(consumer, &mut self.core.disk, &mut self.core.traffic)
            }
            DoorInput::ConsumerGone { consumer } => self.handoffs.on_gone(consumer, &mut self.core),
        }
    }

    fn on_operator(&mut self, input: OperatorInput) {
        match input {
            OperatorInput::AddressesChanged { peer } => {
                self.with_link(&peer, |link, core| link.on_addresses_changed(&core.context))
            }
            OperatorInput::SeenKept { seen_keep_ms } => self.core.context.config.seen_keep_ms = seen_keep_ms,
            OperatorInput::Trust(trust) => self.on_trust(trust),
            OperatorInput::OwnStatement(statement) => self.core.take_statement(statement),
            OperatorInput::Command(command) => self.on_command(command),
        }
    }
}
