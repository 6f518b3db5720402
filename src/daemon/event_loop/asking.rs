//! Answers the command line's requests to the loop from the state that the loop holds.

use std::path::Path;

use tokio::sync::oneshot;

use super::EventLoop;
use crate::audit;
use crate::clock;
use crate::control::{
    CONSUMERS_SCHEMA, ConsumerFact, ConsumerFacts, DeliveryRecord, WAITING_SCHEMA, WaitingEvent, WaitingFacts,
};
use crate::daemon::control::{AskCommand, ControlAsk};
use crate::daemon::delivery_status::{DeliverySources, delivery_status};
use crate::daemon::feed_facts::feed_facts;
use crate::daemon::snapshot::{DoorFacts, SnapshotFacts, snapshot};
use crate::protocol::io::{CommandRefused, CoreCommand, OperatorInput, Ticket};
use crate::protocol::view::{ConsumerView, NodeView};
use crate::record::Entry;
use crate::status::{HealthCode, ShownProblem, Snapshot};
use crate::time::{Now, Timestamp};
use crate::wire::VerdictCode;

impl EventLoop {
    /// The asker may have gone: an answer that nobody receives is dropped.
    pub(super) fn on_ask(
        &mut self,
        ask: ControlAsk,
    ) -> Option<oneshot::Receiver<Result<(), CommandRefused>>> {
        match ask {
            ControlAsk::Snapshot(answer) => {
                let _ = answer.send(Box::new(self.snapshot()));
            }
            ControlAsk::Acknowledge(code, answer) => {
                let mut snapshot = self.snapshot();
                let now = clock::now().wall;
                let _ = answer.send(self.watches.health.acknowledge(code, &mut snapshot, now));
            }
            ControlAsk::Feeds(answer) => {
                let _ = answer.send(feed_facts(&self.node));
            }
            ControlAsk::Consumers(answer) => {
                let _ = answer.send(self.consumers(&self.node.view()));
            }
            ControlAsk::Position(name, answer) => {
                let _ = answer.send(self.node.position(&name));
            }
            ControlAsk::Waiting(answer) => {
                let _ = answer.send(self.waiting());
            }
            ControlAsk::Reload(answer) => {
                self.reload();
                let _ = answer.send(());
            }
            ControlAsk::ReloadNode(answer) => self.reload_node(answer),
            ControlAsk::Doors(answer) => {
                let _ = answer.send(self.parts.doors.set());
            }
            ControlAsk::Command(command, answer) => self.command(answer, |ticket| match command {
                AskCommand::Rewind { peer, to } => CoreCommand::Rewind { ticket, peer, to },
                AskCommand::Repair { peer } => CoreCommand::Repair { ticket, peer },
                AskCommand::AcceptClock => CoreCommand::AcceptClock { ticket },
                AskCommand::RemoveConsumer { name } => CoreCommand::RemoveConsumer { ticket, name },
                AskCommand::RewindConsumer { name, to } => CoreCommand::RewindConsumer { ticket, name, to },
                AskCommand::PlaceConsumer { name, to } => CoreCommand::PlaceConsumer { ticket, name, to },
                AskCommand::Decide { publisher, key, release } => {
                    CoreCommand::Decide { ticket, publisher, key, release }
                }
            }),
            ControlAsk::Whereabouts(entry, answer) => {
                let _ = answer.send(self.whereabouts(&entry));
            }
            ControlAsk::Keys(answer) => {
                let _ = answer.send(self.reload_keys());
            }
            ControlAsk::Statement(bytes, answer) => {
                let _ = answer.send(self.take_statement(&bytes));
            }
            ControlAsk::Stop => {
                self.parts.doors.stop();
                let (answer, stopped) = oneshot::channel();
                self.command(answer, |ticket| CoreCommand::Stop { ticket });
                return Some(stopped);
            }
        }
        None
    }

    pub(super) fn command(
        &mut self,
        answer: oneshot::Sender<Result<(), CommandRefused>>,
        command: impl FnOnce(Ticket) -> CoreCommand,
    ) {
        let ticket = Ticket(self.commands.next);
        self.commands.next += 1;
        self.commands.waiting.insert(ticket, answer);
        self.node.handle_input(OperatorInput::Command(command(ticket)), clock::now());
    }

    /// The state now, as the operator asks for it. Of a store that is busy it shows what was known last.
    fn snapshot(&mut self) -> Snapshot {
        self.look_at_store();
        self.judge(self.node.view(), clock::now())
    }

    pub(super) fn judge(&mut self, view: NodeView, now: Now) -> Snapshot {
        let store = &self.parts.store;
        self.watches.lags.observe(&view, now, |seq| store.arrived_if_free(seq));
        let audit = audit_fault(&self.files.config.paths.state, now.wall);
        let metrics = self.watches.metrics.trouble();
        let lasting = [&self.watches.keys_stale, &self.watches.renamed, &audit, &metrics];
        let first_seq = view.ends.first_seq();
        let not_deliverable = self.watches.undeliverable.shown(&self.node.trust(), first_seq, now.wall);
        let facts = SnapshotFacts {
            identity: &self.identity,
            view,
            stats: self.watches.stats.clone(),
            strangers: self.parts.transport.strangers(),
            files: &self.files.peers,
            node_file: &self.files.node_file.problems,
            chronicle: &self.chronicle,
            doors: DoorFacts {
                doors: self.parts.doors.set().status(),
                files: self.parts.doors.set().file_faults(),
                failures: self.parts.doors.set().failures(),
                cannot_open: self.parts.doors.opening().cannot_open(),
                not_converted: self.parts.doors.opening().unconverted(),
            },
            lasting: lasting.into_iter().flatten().chain(&self.watches.lists.bad).cloned().collect(),
            not_deliverable,
            now,
        };
        let mut snapshot = snapshot(facts, &self.watches.lags);
        snapshot.clients = self.parts.web.clients.status();
        self.watches.health.judge(&mut snapshot, now.wall);
        snapshot
    }

    fn whereabouts(&self, entry: &Entry) -> Vec<DeliveryRecord> {
        let sources = DeliverySources {
            view: &self.node.view(),
            files: &self.files.peers.peers,
            own: self.files.config.names(),
            doors: &self.files.config.doors.consumers,
            trust: &self.node.trust(),
            times: &self.watches.read_times,
            rules: &self.files.rules,
            clients: &self.files.peers.clients,
            client_status: self.parts.web.clients.status(),
            now: clock::now().wall,
        };
        delivery_status(entry, &sources)
    }

    /// Returns all events that a revoked key signed and that still wait for a decision.
    fn waiting(&self) -> WaitingFacts {
        let mut waiting = Vec::new();
        for (peer, state) in self.node.feed_states() {
            let undecided = state.owed.values().filter(|owed| owed.reason == VerdictCode::KeyRevoked);
            waiting.extend(undecided.map(|owed| WaitingEvent {
                publisher: owed.publisher.clone(),
                peer: peer.clone(),
                seq: owed.seq,
                key: data_encoding::HEXLOWER.encode(&owed.key.0),
            }));
        }
        WaitingFacts { schema: WAITING_SCHEMA.to_owned(), waiting }
    }

    pub(super) fn consumers(&self, view: &NodeView) -> ConsumerFacts {
        let doors = self.parts.doors.set();
        let fact = |at: &ConsumerView| ConsumerFact {
            name: at.name.to_string(),
            position: at.status.position,
            lag_events: at.status.lag_events.unwrap_or_default(),
            missing: at.status.missing,
            own: at.own,
            door: doors.hands_to(at.name.as_str()),
            connected: at.status.connected,
            filter: at
                .request
                .as_ref()
                .and_then(|request| Some(request.filter.as_ref()?.source().to_owned())),
            missing_at: self.chronicle.consumer_missing_at.get(&at.name).copied(),
        };
        ConsumerFacts {
            schema: CONSUMERS_SCHEMA.to_owned(),
            at: clock::now().wall,
            last_seq: view.ends.last.seq,
            consumers: view.consumers.iter().map(fact).collect(),
        }
    }
}

/// Returns a problem if `audit.jsonl` cannot be written, as when another account owns it: decisions go unrecorded.
fn audit_fault(state: &Path, now: Timestamp) -> Option<ShownProblem> {
    let error = audit::check_writable(state).err()?;
    let file = state.join(audit::AUDIT_FILE);
    let shown = file.display();
    Some(ShownProblem {
        at: now,
        what: format!("{shown}:1: cannot be written: {error}"),
        hint: Some("as root: intelmesh check prints the line that corrects it".to_owned()),
        code: Some(HealthCode::ConfigBad),
    })
}
