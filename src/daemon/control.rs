//! Answers the command line on `ctl.sock`. Requests that need the core go through the loop. Requests that only read the
//! store or the network are answered outside it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::config::{FileLists, NodeConfig};
use crate::control::{
    AddressCheck, ConsumerFacts, ConsumerPlace, ControlRefusal, ControlReply, ControlRequest, DeliveryRecord,
    EventFacts, EventRef, FeedFacts, ListedRange, PeerCheck, ReaderName, ReloadResult, TraceOf, WaitingFacts,
    parse_request,
};
use crate::daemon::trace::{TracePlace, trace};
use crate::daemon::{dry_run, listing};
use crate::envelope::SealOpener;
use crate::identity::{EventId, EventKey, PublisherName};
use crate::limits::TRACE_DEPTH_MAX;
use crate::local::{DoorSet, EntryQuestion};
use crate::policy::TrustList;
use crate::protocol::io::{CommandRefused, DialFailure, PositionMove, StartPosition};
use crate::record::{ConsumerName, Entry};
use crate::status::incidents::Acknowledged;
use crate::status::{HealthCode, Snapshot};
use crate::store::{Store, StoreError};
use crate::transport::{DialOutcome, Transport};

/// Requests that only the loop can answer.
#[derive(Debug)]
pub(crate) enum ControlAsk {
    Snapshot(oneshot::Sender<Box<Snapshot>>),
    /// The operator has seen what is shown under a code.
    Acknowledge(HealthCode, oneshot::Sender<Acknowledged>),
    Feeds(oneshot::Sender<FeedFacts>),
    Consumers(oneshot::Sender<ConsumerFacts>),
    /// The position of one of them, as it is on disk.
    Position(ConsumerName, oneshot::Sender<Option<u64>>),
    Waiting(oneshot::Sender<WaitingFacts>),
    Command(AskCommand, oneshot::Sender<Result<(), CommandRefused>>),
    /// Read `peers/` again; answered once it is in force.
    Reload(oneshot::Sender<()>),
    /// Read `intelmesh.toml` again.
    ReloadNode(oneshot::Sender<Result<ReloadResult, ControlRefusal>>),
    /// Ask to which peers and consumers an event went.
    Whereabouts(Arc<Entry>, oneshot::Sender<Vec<DeliveryRecord>>),
    /// Read `keys/` again, and show what it says of our keys.
    Keys(oneshot::Sender<Result<(), ControlRefusal>>),
    /// A statement that an operator brought.
    Statement(Bytes, oneshot::Sender<Result<(), ControlRefusal>>),
    /// Those of `intelmesh.toml`.
    Doors(oneshot::Sender<Arc<DoorSet>>),
    Stop,
}

/// A command of the operator's, before it has a ticket.
#[derive(Debug)]
pub(crate) enum AskCommand {
    Rewind { peer: PublisherName, to: crate::protocol::io::RewindTo },
    Repair { peer: PublisherName },
    AcceptClock,
    RemoveConsumer { name: ConsumerName },
    RewindConsumer { name: ConsumerName, to: StartPosition },
    PlaceConsumer { name: ConsumerName, to: PositionMove },
    Decide { publisher: PublisherName, key: Option<EventKey>, release: bool },
}

#[derive(Clone)]
pub(crate) struct ControlService {
    pub asks: mpsc::Sender<ControlAsk>,
    pub store: Arc<Store>,
    pub transport: Arc<Transport>,
    /// For what is sealed for this node.
    pub opener: Arc<SealOpener>,
    pub trust: Arc<ArcSwap<TrustList>>,
    pub config: Arc<NodeConfig>,
}

impl ControlService {
    /// One line in, one line out. `account` asks: members of `socket_group` may read, and decide nothing.
    pub(crate) async fn answer(self, line: String, account: Option<u32>) -> Vec<String> {
        let reply = match parse_request(line.as_bytes()) {
            Ok(request) if request.decides() && !may_decide(account) => {
                let refusal = ControlRefusal::could_not(
                    "this account may read and submit, and not decide for the node",
                );
                ControlReply::Refused(refusal.hint("run this as the node's account, or as root"))
            }
            Ok(request) => self.reply(request).await.unwrap_or_else(ControlReply::Refused),
            Err(refusal) => ControlReply::Refused(refusal),
        };
        serde_json::to_string(&reply).into_iter().collect()
    }

    /// Answers one request, whoever asks.
    pub(crate) async fn reply(&self, request: ControlRequest) -> Result<ControlReply, ControlRefusal> {
        match request {
            ControlRequest::Status => {
                let doors = self.ask(ControlAsk::Doors).await?;
                // Not on the loop: it asks the disk. A change missed now is noticed the next time.
                let _ = tokio::task::spawn_blocking(move || doors.look()).await;
                self.ask(ControlAsk::Snapshot).await.map(ControlReply::Status)
            }
            ControlRequest::Acknowledge { code } => self.acknowledge(code).await,
            ControlRequest::FeedShow => self.ask(ControlAsk::Feeds).await.map(ControlReply::Feeds),
            ControlRequest::EventShow { id } => {
                let entry = self.find(id).await?;
                let mut facts = EventFacts::from(&*entry);
                facts.went = self.ask(|answer| ControlAsk::Whereabouts(Arc::clone(&entry), answer)).await?;
                if facts.sealed {
                    facts.opened(self.opener.open(&entry.envelope));
                }
                Ok(ControlReply::Event(Box::new(facts)))
            }
            ControlRequest::PeerExplain { peer, id } => {
                let entry = self.find(id).await?;
                let went = self.ask(|answer| ControlAsk::Whereabouts(entry, answer)).await?;
                let one = went.into_iter().find(|went| went.reader == ReaderName::Peer(peer.clone()));
                one.map(|one| ControlReply::Explained(Box::new(one)))
                    .ok_or_else(|| ControlRefusal::unknown_peer(&peer))
            }
            ControlRequest::EventList(range) => self.list(range).await,
            ControlRequest::EventExport { id } => self.find(id).await.map(|entry| ControlReply::Envelope {
                id: entry.envelope.id().to_string(),
                cose: data_encoding::BASE64.encode(entry.envelope.bytes()),
            }),
            ControlRequest::EventTrace { of, depth } => self.trace(of, depth).await,
            ControlRequest::Consumers => self.ask(ControlAsk::Consumers).await.map(ControlReply::Consumers),
            ControlRequest::ConsumerRemove { name } => self.remove_consumer(&name).await,
            ControlRequest::ConsumerRewind { name, to } => self.rewind_consumer(&name, to).await,
            ControlRequest::EventWaiting => self.ask(ControlAsk::Waiting).await.map(ControlReply::Waiting),
            ControlRequest::FeedRewind { peer, to } => {
                self.command(AskCommand::Rewind { peer, to: rewind_to(to) }).await
            }
            ControlRequest::FeedRepair { peer } => self.command(AskCommand::Repair { peer }).await,
            ControlRequest::ClockAccept => self.command(AskCommand::AcceptClock).await,
            ControlRequest::Decide { publisher, event, release } => {
                let key = event.as_deref().map(str::parse::<EventId>).transpose();
                let key = key.map_err(|error| ControlRefusal::no(error.to_string()))?.map(|id| id.key());
                self.command(AskCommand::Decide { publisher, key, release }).await
            }
            ControlRequest::KeysChanged => self.ask(ControlAsk::Keys).await?.map(|()| ControlReply::Done),
            ControlRequest::Statement { cose } => {
                let bytes = data_encoding::BASE64.decode(cose.as_bytes());
                let bytes = bytes.map_err(|error| ControlRefusal::no(format!("not base64: {error}")))?;
                let taken = self.ask(|answer| ControlAsk::Statement(bytes.into(), answer)).await?;
                taken.map(|()| ControlReply::Done)
            }
            ControlRequest::Reload => self.ask(ControlAsk::ReloadNode).await?.map(ControlReply::Reloaded),
            ControlRequest::PeersChanged => self.ask(ControlAsk::Reload).await.map(|()| ControlReply::Done),
            ControlRequest::PeerCheck { peer } => self.check(&peer).await,
            ControlRequest::PeerTrial { file, text, last } => self.trial(file, text, last).await,
            ControlRequest::AsideRetry { door } => self.try_again(&door).await,
        }
    }

    async fn acknowledge(&self, code: HealthCode) -> Result<ControlReply, ControlRefusal> {
        match self.ask(|answer| ControlAsk::Acknowledge(code, answer)).await? {
            Acknowledged::Incidents(incidents) => {
                Ok(ControlReply::Acknowledged { incidents: incidents as u64 })
            }
            Acknowledged::Nothing => {
                let refusal = ControlRefusal::no(format!("nothing is shown under {}", code.as_str()));
                Err(refusal.hint("intelmesh status"))
            }
            Acknowledged::State => {
                let why =
                    format!("{} describes a state that still lasts: it ends with its cause", code.as_str());
                Err(ControlRefusal::no(why).hint("intelmesh status says what to do about it"))
            }
        }
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> ControlAsk) -> Result<T, ControlRefusal> {
        let stopping = || ControlRefusal::could_not("the node is stopping");
        let (answer, answered) = oneshot::channel();
        self.asks.send(ask(answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }

    async fn command(&self, command: AskCommand) -> Result<ControlReply, ControlRefusal> {
        let refused = match self.ask(|answer| ControlAsk::Command(command, answer)).await? {
            Ok(()) => return Ok(ControlReply::Done),
            Err(refused) => refused,
        };
        let refusal = ControlRefusal::no(refused.to_string());
        Err(match refused {
            CommandRefused::UnknownPeer(_) => refusal.hint("intelmesh peer list"),
            CommandRefused::UnknownConsumer(_) => refusal.hint("intelmesh consumer list"),
            CommandRefused::NothingWaits(_) => refusal.hint("intelmesh event waiting lists what waits"),
            CommandRefused::TooManyConsumers => refusal.hint("intelmesh consumer remove NAME"),
            CommandRefused::NotStored(_) => refusal,
        })
    }

    async fn remove_consumer(&self, name: &str) -> Result<ControlReply, ControlRefusal> {
        let doors = self.ask(ControlAsk::Doors).await?;
        if doors.hands_to(name) {
            return Err(ControlRefusal::no(format!(
                "consumer \"{name}\" is a door of intelmesh.toml, and would come again"
            ))
            .hint("take its [[consumer]] out, reload the node, then remove it"));
        }
        let name = consumer_name(name)?;
        self.command(AskCommand::RemoveConsumer { name }).await
    }

    async fn rewind_consumer(&self, name: &str, to: ConsumerPlace) -> Result<ControlReply, ControlRefusal> {
        let to = match to {
            ConsumerPlace::Earliest => StartPosition::Earliest,
            ConsumerPlace::Now => StartPosition::Now,
            ConsumerPlace::Seq(seq) => StartPosition::Seq(seq),
            ConsumerPlace::Time(time) => {
                let store = Arc::clone(&self.store);
                StartPosition::Seq(of_store(move || store.seq_at(time)).await?)
            }
        };
        let name = consumer_name(name)?;
        self.command(AskCommand::RewindConsumer { name, to }).await
    }

    async fn trace(&self, of: TraceOf, depth: u8) -> Result<ControlReply, ControlRefusal> {
        let start = match &of {
            TraceOf::Event(EventRef::Full(id)) => TracePlace::Event(id.clone()),
            TraceOf::Event(prefix) => {
                TracePlace::Event(self.find(prefix.clone()).await?.envelope.id().clone())
            }
            TraceOf::Alternate(text) => TracePlace::Opaque(text.clone()),
        };
        let (store, depth) = (Arc::clone(&self.store), depth.min(TRACE_DEPTH_MAX));
        let traced = of_store(move || trace(&store, start, depth)).await?;
        traced.map(|facts| ControlReply::Trace(Box::new(facts))).ok_or_else(|| match of {
            TraceOf::Event(id) => ControlRefusal::unknown_event(&id),
            TraceOf::Alternate(text) => {
                ControlRefusal::no(format!("no event here has the alternate id {text:?}"))
                    .hint("it has to be written as the link has it, case included")
            }
        })
    }

    async fn find(&self, id: EventRef) -> Result<Arc<Entry>, ControlRefusal> {
        let store = Arc::clone(&self.store);
        let wanted = id.clone();
        let found = of_store(move || match &wanted {
            EventRef::Full(full) => store.fetch(full).map(|entry| entry.into_iter().collect()),
            EventRef::Prefix(prefix) => store.find(prefix),
        });
        let mut found: Vec<Arc<Entry>> = found.await?;
        if found.len() > 1 {
            let names: Vec<String> = found.iter().map(|entry| entry.envelope.id().to_string()).collect();
            return Err(ControlRefusal::no(format!(
                "{id} names {} events: {}",
                found.len(),
                names.join(", ")
            )));
        }
        found.pop().ok_or_else(|| ControlRefusal::unknown_event(&id))
    }

    async fn trial(&self, file: String, text: String, last: u64) -> Result<ControlReply, ControlRefusal> {
        let (store, trust, config) = (self.store.clone(), self.trust.load_full(), self.config.clone());
        let trial = tokio::task::spawn_blocking(move || {
            dry_run::trial(&store, &trust, &config, (&file, &text), last)
        });
        let trial = trial.await.map_err(|error| ControlRefusal::could_not(error.to_string()))??;
        Ok(ControlReply::Trial(Box::new(trial)))
    }

    async fn list(&self, range: ListedRange) -> Result<ControlReply, ControlRefusal> {
        let (store, opener, config) = (self.store.clone(), self.opener.clone(), self.config.clone());
        let list = tokio::task::spawn_blocking(move || {
            listing::list(&store, &opener, &FileLists::new(&config.paths.lists), &range)
        });
        let list = list.await.map_err(|error| ControlRefusal::could_not(error.to_string()))??;
        Ok(ControlReply::Events(list))
    }

    async fn try_again(&self, door: &str) -> Result<ControlReply, ControlRefusal> {
        let doors = self.ask(ControlAsk::Doors).await?;
        let store = Arc::clone(&self.store);
        let find: EntryQuestion = Arc::new(move |id| {
            let store = Arc::clone(&store);
            Box::pin(async move {
                let found = tokio::task::spawn_blocking(move || store.fetch(&id).ok().flatten());
                found.await.ok().flatten()
            })
        });
        match doors.try_again(door, &find).await {
            None => {
                Err(ControlRefusal::no(format!("no door \"{door}\""))
                    .hint("intelmesh status shows their names"))
            }
            Some(Ok(tried)) => Ok(ControlReply::AsideTried(tried)),
            Some(Err(error)) => Err(ControlRefusal::could_not(format!("{door}: {error}"))
                .hint("what was not tried is still in aside/: say it again once the cause is gone")),
        }
    }

    async fn check(&self, peer: &PublisherName) -> Result<ControlReply, ControlRefusal> {
        let report = self.transport.check(peer).await.ok_or_else(|| ControlRefusal::unknown_peer(peer))?;
        let snapshot = self.ask(ControlAsk::Snapshot).await?;
        let connected = snapshot.peers.iter().any(|known| known.name == *peer && known.connected);
        let addresses = report.dials.into_iter().map(|dial| {
            let ok = dial.outcome == DialOutcome::Reached;
            AddressCheck { address: dial.address, ok, what: outcome_text(dial.outcome) }
        });
        Ok(ControlReply::PeerCheck(PeerCheck {
            peer: peer.clone(),
            connected,
            addresses: addresses.collect(),
        }))
    }
}

/// Root and the node's own account. An account that the kernel does not name is neither.
fn may_decide(account: Option<u32>) -> bool {
    account.is_some_and(|uid| uid == 0 || uid == rustix::process::geteuid().as_raw())
}

/// Asks the store outside the loop: it may wait for the disk.
async fn of_store<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ControlRefusal> {
    let answer = tokio::task::spawn_blocking(question).await;
    let answer = answer.map_err(|error| ControlRefusal::could_not(error.to_string()))?;
    answer.map_err(|error| ControlRefusal::could_not(error.to_string()))
}

fn consumer_name(text: &str) -> Result<ConsumerName, ControlRefusal> {
    let unknown = |_| ControlRefusal::no(format!("no consumer \"{text}\"")).hint("intelmesh consumer list");
    ConsumerName::parse_any(text).map_err(unknown)
}

fn outcome_text(outcome: DialOutcome) -> String {
    match outcome {
        DialOutcome::Reached => "reached, with the key of the peer file".to_owned(),
        DialOutcome::Failed(DialFailure::Unreachable(cause)) => cause,
        DialOutcome::Failed(DialFailure::OtherKey { key, .. }) => {
            format!("somebody with another key answers: {key}")
        }
        DialOutcome::Failed(DialFailure::TurnedAway(cause)) => {
            format!("it answers, and refuses our key: is our invitation in its peers/? ({cause})")
        }
    }
}

fn rewind_to(place: crate::control::RewindPlace) -> crate::protocol::io::RewindTo {
    use crate::control::RewindPlace;
    use crate::protocol::io::RewindTo;
    match place {
        RewindPlace::Seq(seq) => RewindTo::Seq(seq.saturating_sub(1)),
        // When the peer stored what is not known here: everything is offered again, and what is held refused.
        RewindPlace::Earliest | RewindPlace::Time(_) => RewindTo::Earliest,
    }
}
